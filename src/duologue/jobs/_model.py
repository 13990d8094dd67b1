"""`duologue model init`: a tiny model whose tokenizer knows the gym's own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct

from ..agents.models._extras import extra
from ..config import Config
from ..engine import RolloutConfig, Seed, Trajectory, open_rollouts
from ..envs import find, make_dialogues, scripted_agent
from ..progress import Reporter
from ._tasks import endless_tasks

with extra("train"):
    from ..agents.models.local._folder import init_model, load_model

CORPUS = 2000
"""Scripted dialogues the tokenizer is trained on."""


class MadeModel(Struct, frozen=True, kw_only=True):
    """A model folder that was made."""

    path: str
    parameters: int
    vocab: int


async def make_model(config: Config, path: Path, *, reporter: Reporter) -> MadeModel:
    """A model with random weights, its tokenizer trained on scripted dialogues of the gym."""
    gym = find(config.env.name)
    seed = Seed(config.seed) / "corpus"
    make = make_dialogues(
        gym,
        scripted_agent(gym, config.coldstart.script),
        max_turns=config.env.max_turns or None,
        options=config.env.options,
    )
    bar = reporter.bar("text for the tokenizer", CORPUS)
    dialogues: list[Trajectory] = []
    tasks = islice(endless_tasks(gym, config, seed), CORPUS)
    async with open_rollouts(tasks, make, seed=seed, config=RolloutConfig()) as rollouts:
        async for group in rollouts:
            dialogues.extend(group.trajectories)
            bar.update(rollouts.stats.ended)
    # Sorted, because groups close in any order and byte-pair merges depend on the text's order.
    return init_folder(config, path, sorted(dialogues, key=lambda t: t.key))


def init_folder(config: Config, path: Path, dialogues: Iterable[Trajectory]) -> MadeModel:
    """The same from dialogues that are at hand already."""
    tiny = config.tiny
    init_model(
        path,
        corpus=corpus(dialogues),
        seed=(Seed(config.seed) / "model").integer(),
        vocab=tiny.vocab,
        hidden=tiny.hidden,
        layers=tiny.layers,
        heads=tiny.heads,
        kv_heads=tiny.kv_heads,
        head_dim=tiny.head_dim,
        intermediate=tiny.intermediate,
        context=config.model.context,
    )
    model = load_model(path)
    return MadeModel(
        path=str(path),
        parameters=sum(weight.numel() for weight in model.parameters()),
        vocab=model.config.vocab,
    )


def corpus(dialogues: Iterable[Trajectory]) -> Iterator[str]:
    """What a tokenizer for these dialogues will meet, piece by piece as it is rendered."""
    for dialogue in dialogues:
        for message in dialogue.opening:
            yield f"{message.role}\n{message.content}"
        for turn in dialogue.turns:
            yield turn.text
            yield f"user\n<tool_response>\n{turn.feedback}\n</tool_response>"
            yield "assistant\n"
