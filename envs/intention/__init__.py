"""The intention gym: find out what a vague wish leaves unsaid."""

from ._gym import gym as gym
