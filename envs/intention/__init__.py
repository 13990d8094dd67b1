"""The intention gym: find out what a vague wish leaves unsaid."""

from ._api import IntentionEnv as IntentionEnv
from ._api import IntentionGymConfig as IntentionGymConfig
from ._api import get_default_config as get_default_config
from ._gym import gym as gym
