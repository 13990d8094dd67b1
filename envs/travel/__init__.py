"""The travel gym: find out what a traveller wants, from hints, and book what suits it best."""

from ._api import TravelEnv as TravelEnv
from ._api import TravelGymConfig as TravelGymConfig
from ._api import get_default_config as get_default_config
from ._contract import Contract as Contract
from ._contract import contract as contract
from ._gym import gym as gym
from ._gym import gym_of as gym_of
from ._gym import travel22 as travel22
from ._gym import travel33 as travel33
from ._gym import travel44 as travel44
from ._gym import travel233 as travel233
from ._gym import travel333 as travel333
from ._gym import travel334 as travel334
from ._gym import travel444 as travel444
from ._gym import travel2222 as travel2222
from ._leakage import Overlap as Overlap
from ._leakage import overlap as overlap
