"""The persuade gym: change the mind of a user who strongly agrees with a claim."""

from ._api import PersuadeEnv as PersuadeEnv
from ._api import PersuadeGymConfig as PersuadeGymConfig
from ._api import get_default_config as get_default_config
from ._contract import contract as contract
from ._gym import gym as gym
from ._gym import persuade_general as persuade_general
from ._tasks import shared_claims as shared_claims
