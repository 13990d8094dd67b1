"""The tau gym: serve a customer with a company's tools, and leave its database as it should be."""

from ._api import TauEnv as TauEnv
from ._api import TauGymConfig as TauGymConfig
from ._api import get_default_config as get_default_config
from ._contract import contract as contract
from ._gym import gym as gym
