"""The telepathy gym: find out by yes-or-no questions what the user is thinking of."""

from ._api import TelepathyEnv as TelepathyEnv
from ._api import TelepathyGymConfig as TelepathyGymConfig
from ._api import get_default_config as get_default_config
from ._contract import Contract as Contract
from ._contract import Fact as Fact
from ._contract import contract as contract
from ._gym import gym as gym
