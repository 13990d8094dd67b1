"""Environments: tasks, their rules and rewards, rule-based users, scripted agents."""

from ._conformance import Check as Check
from ._conformance import Conformance as Conformance
from ._conformance import check_gym as check_gym
from ._dialogues import EnvSeat as EnvSeat
from ._dialogues import MakeAgent as MakeAgent
from ._dialogues import make_dialogues as make_dialogues
from ._dialogues import scripted_agent as scripted_agent
from ._dialogues import token_agent as token_agent
from ._env import Env as Env
from ._env import Gym as Gym
from ._env import MakeScript as MakeScript
from ._env import Script as Script
from ._env import Step as Step
from ._env import Voice as Voice
from ._official import OfficialConfig as OfficialConfig
from ._official import OfficialEnv as OfficialEnv
from ._registration import register_gymnasium as register_gymnasium
from ._registry import find as find
from ._registry import names as names
