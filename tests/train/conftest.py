"""A model small enough to train inside a test."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest

from duologue.agents import write_call
from duologue.agents.models._folder import init_model
from duologue.engine import Seed
from duologue.envs.intention import gym


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a one-layer model, random weights, and the intention gym's own words."""
    corpus: list[str] = []
    for task in islice(gym.tasks("train", Seed(1)), 300):
        script = gym.scripts["imperfect"](task, Random(0))
        corpus += [task.data["task"], write_call(script([])), "user\n", "assistant\n"]
        corpus += ["<tool_response>\nNo preference.\n</tool_response>"]
    path = tmp_path_factory.mktemp("models") / "tiny"
    init_model(
        path,
        corpus=corpus,
        seed=0,
        vocab=700,
        hidden=32,
        layers=1,
        heads=2,
        kv_heads=1,
        head_dim=16,
        intermediate=64,
        context=160,
    )
    return path
