"""The engine: actors, dialogues, rollouts, the buffer and the run store. No models, no torch."""

from ._errors import BufferClosed as BufferClosed
from ._errors import DuologueError as DuologueError
from ._errors import EnvError as EnvError
from ._errors import JudgeError as JudgeError
from ._errors import MailboxClosed as MailboxClosed
from ._errors import ModelError as ModelError
from ._errors import PartyError as PartyError
from ._errors import StoreError as StoreError
from ._errors import UsageError as UsageError
from ._errors import UserError as UserError
from ._messages import Action as Action
from ._messages import End as End
from ._messages import Fate as Fate
from ._messages import Group as Group
from ._messages import Key as Key
from ._messages import Message as Message
from ._messages import Role as Role
from ._messages import Span as Span
from ._messages import Task as Task
from ._messages import Tokens as Tokens
from ._messages import Trajectory as Trajectory
from ._messages import Turn as Turn
from ._messages import pack_tokens as pack_tokens
from ._seed import Seed as Seed
