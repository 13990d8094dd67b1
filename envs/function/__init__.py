"""The function gym: find a hidden rule by trying numbers."""

from ._api import FunctionEnv as FunctionEnv
from ._api import FunctionGymConfig as FunctionGymConfig
from ._api import get_default_config as get_default_config
from ._gym import gym as gym
