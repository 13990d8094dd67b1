"""Cold start: supervised learning on dialogues that somebody else led.

The dialogues are real ones, run end to end against the environment; the best are kept; the model
learns the agent's tokens only, rendered exactly as it will sample them later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from ..agents import ChatML
from ..engine import Message, Seed, Store, Tokens, Trajectory, UsageError, pack_tokens
from ._remote import RemoteLearner
from ._schedule import Schedule, learning_rate
from ._wire import SupervisedBatch, WireSample

CURVE = "coldstart"


class ColdStartConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is started.

    script:    the gym's scripted agent that leads the dialogues.
    dialogues: how many are led; keep: the share with the highest rewards that is learned from.
    steps:     optimiser steps, `batch` dialogues each; 0 leaves the model as it is.
    """

    script: str = "imperfect"
    dialogues: int = 4000
    keep: float = 1.0
    steps: int = 300
    batch: int = 16
    schedule: Schedule = Schedule(peak=1e-5)

    def __post_init__(self) -> None:
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(f"keep is {self.keep}; it is a share, above 0 and at most 1")
        if self.dialogues < 1 or self.batch < 1 or self.steps < 0:
            raise ValueError(
                f"dialogues={self.dialogues} and batch={self.batch} must be at least 1, "
                f"steps={self.steps} not negative"
            )


def best(trajectories: Sequence[Trajectory], keep: float) -> list[Trajectory]:
    """The share `keep` with the highest rewards of each environment's dialogues that count, in
    key order; at least one of each environment."""
    chosen: list[Trajectory] = []
    for env in sorted({t.env for t in trajectories}):
        ranked = sorted(
            (t for t in trajectories if t.env == env and t.end.finished),
            key=lambda t: (-t.reward, t.key),
        )
        chosen += ranked[: max(1, round(keep * len(ranked)))]
    return sorted(chosen, key=lambda t: t.key)


def tokenise(trajectory: Trajectory, chat: ChatML) -> Tokens:
    """A text dialogue as the token stream a model would have made of it, agent's tokens masked in.

    Log-probabilities are 0: nobody sampled these tokens.
    """
    ids = chat.open(trajectory.opening)
    mask = [0] * len(ids)
    starts: list[int] = []
    for number, turn in enumerate(trajectory.turns):
        if number:
            feedback = Message("tool", trajectory.turns[number - 1].feedback)
            shown = chat.observe([feedback], last=ids[-1])
            ids += shown
            mask += [0] * len(shown)
        starts.append(len(ids))
        written = chat.wrote(turn.text)
        ids += written
        mask += [1] * len(written)
    return pack_tokens(ids, mask, [0.0] * len(ids), turns=starts)


async def imitate(
    learner: RemoteLearner,
    dialogues: Sequence[WireSample],
    *,
    seed: Seed,
    store: Store,
    config: ColdStartConfig,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Take the cold start's steps; returns the last loss. `report` is told each step's loss.

    Batches are drawn without replacement, pass after pass, each pass shuffled by its own seed.
    Raises `UsageError` when there is nothing to draw from.
    """
    if config.steps and not dialogues:
        raise UsageError(
            "there is no dialogue to learn from: none of those that were led ran its course; "
            "look at how they ended, or try another coldstart.script"
        )
    loss = float("nan")
    order = _passes(len(dialogues), seed)
    for step in range(config.steps):
        batch = tuple(dialogues[next(order)] for _ in range(min(config.batch, len(dialogues))))
        rate = learning_rate(step, config.schedule)
        done = await learner.imitate(SupervisedBatch(step=step, learning_rate=rate, samples=batch))
        loss = float(done.stats["loss"])
        await store.add_metrics(CURVE, step, done.stats)
        report(step, loss)
    return loss


def _passes(count: int, seed: Seed) -> Iterator[int]:
    """Endless passes over range(count), each in an order of its own."""
    number = 0
    while True:
        order = list(range(count))
        (seed / "pass" / number).random().shuffle(order)
        yield from order
        number += 1
