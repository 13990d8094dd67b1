"""A model small enough to train inside a test."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
import trio
from msgspec import structs

from duologue.agents import ChatML, write_call
from duologue.agents.models.local._folder import init_model, load_model, load_tokenizer
from duologue.engine import Seed, Trajectory, open_rollouts
from duologue.envs import make_dialogues, scripted_agent
from duologue.envs.intention import gym
from duologue.train._coldstart import tokenise
from duologue.train._packing import make_sample, pack
from duologue.train._save import read_companions, save_folder
from duologue.train._step import make_optimizer, supervised_step


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


@pytest.fixture(scope="session")
def started(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model after a short cold start: it mostly calls the tool, and asks badly."""
    torch.set_num_threads(1)
    model = load_model(tiny)
    chat = ChatML(load_tokenizer(tiny))
    optimizer = make_optimizer(model)
    samples = [make_sample(dialogue) for dialogue in _scripted(chat, 384)]
    for step in range(160):
        batch = [samples[(step * 16 + i) % len(samples)] for i in range(16)]
        supervised_step(model, optimizer, pack(batch, 100_000), learning_rate=1e-2)
    path = tmp_path_factory.mktemp("models") / "started"
    save_folder(model, path, read_companions(tiny))
    return path


def _scripted(chat: ChatML, count: int) -> list[Trajectory]:
    """Dialogues that the imperfect script led, as tokens."""
    make = make_dialogues(gym, scripted_agent(gym, "imperfect"), options={"instructions": False})

    async def play() -> list[Trajectory]:
        tasks = islice(gym.tasks("train", Seed(2)), count)
        async with open_rollouts(tasks, make, seed=Seed(2)) as rollouts:
            return [t async for group in rollouts for t in group.trajectories]

    played = sorted(trio.run(play), key=lambda t: t.key)
    return [structs.replace(t, tokens=tokenise(t, chat)) for t in played]
