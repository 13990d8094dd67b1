"""Environments: tasks, their rules and rewards, rule-based users, scripted agents."""

from ._env import Env as Env
from ._env import Gym as Gym
from ._env import MakeScript as MakeScript
from ._env import Script as Script
from ._env import Step as Step
from ._registry import find as find
from ._registry import names as names
