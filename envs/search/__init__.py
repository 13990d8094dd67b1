"""The search gym: questions whose answer is several searches away."""

from ._api import SearchEnv as SearchEnv
from ._api import SearchGymConfig as SearchGymConfig
from ._api import get_default_config as get_default_config
from ._articles import Article as Article
from ._contract import Contract as Contract
from ._contract import contract as contract
from ._engines import Engine as Engine
from ._gym import gym as gym
