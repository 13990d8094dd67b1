"""The turtle gym: ask your way to the story behind a strange one."""

from ._api import StoryEnv as StoryEnv
from ._api import TurtleGymConfig as TurtleGymConfig
from ._api import get_default_config as get_default_config
from ._contract import contract as contract
from ._gym import gym as gym
