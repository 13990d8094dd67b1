"""Agents: models and their transports, transcripts, chat rendering, the agent's seat."""

from ._chat import ChatML as ChatML
from ._policy import TextAgent as TextAgent
from ._policy import TokenAgent as TokenAgent
from ._tools import CHOICES as CHOICES
from ._tools import SCHEMA as SCHEMA
from ._tools import TOOL as TOOL
from ._tools import read_calls as read_calls
from ._tools import whole_text as whole_text
from ._tools import write_call as write_call
from ._transcript import Transcript as Transcript
