"""The engine's side of training: dialogues, buffer, learner and sampler joined by credits.

    tasks -> dialogues -> store -> buffer -> batch -> learner -> new weights -> sampler
       ^                                       |
       +--------------- credits <--------------+

At most (max_staleness + 1) x groups_per_step groups are outstanding: with staleness 0 sampling and
learning take turns, with 1 the next batch is sampled while this one is learned from.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import anyio
import msgspec
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from msgspec import Struct

from ..agents.models import WeightSink
from ..engine import (
    CAPACITY_BYTES,
    Board,
    Buffer,
    Carried,
    Credits,
    Fate,
    Group,
    Key,
    Lineage,
    MakeDialogue,
    Observer,
    RolloutConfig,
    Rollouts,
    Seed,
    Service,
    ServiceRole,
    Store,
    Task,
    Trajectory,
    UsageError,
    one_error,
    open_rollouts,
)
from ._checkpoint import checkpoint_path, pack_keys, prune
from ._loss_config import LossConfig
from ._remote import RemoteLearner
from ._schedule import Schedule, learning_rate
from ._shaping import Shaping, shape
from ._wire import PolicyBatch, SaveCheckpoint, WireSample

PHASE = "train"


class TrainConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a policy is trained.

    groups_per_step: groups (tasks) in one optimiser step.
    max_staleness:   how many versions old a trained-on token may be. 0 alternates sampling and
                     learning; 1 overlaps them.
    budget_tokens:   tokens the learner reads in one pass.
    train_cut_short: also train on dialogues that ran out of room.
    checkpoint_every: steps between checkpoints (the first and the last step always have one).
    keep_checkpoints: how many are kept.
    buffer_bytes:    tokens and text that wait for the learner, in bytes; a batch always fits.
    """

    steps: int = 100
    groups_per_step: int = 16
    max_staleness: int = 1
    shaping: Shaping = Shaping()
    loss: LossConfig = LossConfig()
    schedule: Schedule = Schedule(peak=1e-6)
    max_grad_norm: float = 1.0
    budget_tokens: int = 16384
    train_cut_short: bool = False
    checkpoint_every: int = 50
    keep_checkpoints: int = 2
    buffer_bytes: int = CAPACITY_BYTES

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1 or self.keep_checkpoints < 1:
            raise ValueError(
                f"checkpoint_every={self.checkpoint_every} and "
                f"keep_checkpoints={self.keep_checkpoints} must be at least 1"
            )
        if self.buffer_bytes < 1:
            raise ValueError(f"buffer_bytes is {self.buffer_bytes}; it must be at least 1")
        if self.steps < 0 or self.groups_per_step < 1 or self.max_staleness < 0:
            raise ValueError(
                f"steps={self.steps} and max_staleness={self.max_staleness} must not be negative, "
                f"groups_per_step={self.groups_per_step} must be at least 1"
            )


class Start(Struct, frozen=True, kw_only=True):
    """Where training begins: the defaults are a fresh run's, `train/_resume.py` makes the others.

    step:      optimiser steps done. version: what the weights are called; `lineage` knows its kin.
    committed: a checkpoint holds it; if none does, making one comes before the first step.
    consumed:  the trajectories those weights have learned from.
    carried:   groups to finish first; new ones are numbered from `next_group` on.
    """

    step: int = 0
    version: int = 0
    committed: bool = False
    lineage: Lineage = msgspec.field(default_factory=lambda: Lineage(()))
    consumed: frozenset[Key] = frozenset()
    carried: tuple[Carried, ...] = ()
    next_group: int = 0


class Progress(Struct, frozen=True, kw_only=True):
    """One finished step: its metrics, as they are stored."""

    step: int
    version: int
    metrics: dict[str, float]


@asynccontextmanager
async def open_training(
    tasks: Iterable[Task],
    make: MakeDialogue,
    learner: RemoteLearner,
    sink: WeightSink,
    *,
    seed: Seed,
    store: Store,
    rollout: RolloutConfig,
    config: TrainConfig,
    checkpoints: Path,
    start: Start | None = None,
    observer: Observer | None = None,
    board: Board | None = None,
) -> AsyncGenerator[tuple[ObjectReceiveStream[Progress], Rollouts]]:
    """Train for as long as the block lasts, and stream one `Progress` a step.

    tasks:       group n tries the n-th; what `start` says is done or carried over is skipped.
    checkpoints: the folder they are written to.
    observer:    is told of every dialogue.
    board:       shows the dialogues, the buffer and what the learner is at; a step is progress.

    The stream ends after the last step; then what is still outstanding is cancelled. Errors of the
    learner (`LearnerDied`), the store or the engine are raised from the block. Raises `UsageError`
    for rollouts that could never fill a batch or teach anything.
    """
    credits = Credits(
        (config.max_staleness + 1) * config.groups_per_step,
        "group credits",
        batch=config.groups_per_step,
    )
    if rollout.samples < 2:
        raise UsageError(
            f"rollout.samples is {rollout.samples}; the dialogues of a task are compared with one "
            "another, so training needs at least 2 (8 is a good start)"
        )
    if rollout.wave and config.groups_per_step % rollout.wave:
        # The last wave before a step would wait for credits that only the step gives back.
        raise UsageError(
            f"rollout.wave is {rollout.wave}; in training it must divide "
            f"train.groups_per_step = {config.groups_per_step}"
        )
    buffer = Buffer(credits.limit, capacity_bytes=config.buffer_bytes)
    send, receive = anyio.create_memory_object_stream[Progress](0)
    start, board = start or Start(), board or Board()
    trainer = _Trainer(learner, sink, store, buffer, credits, config, checkpoints, start, board)
    with one_error(), board.showing(buffer.hop, trainer.service):
        async with (
            open_rollouts(
                islice(tasks, start.next_group, None),
                make,
                seed=seed,
                config=rollout,
                store=store,
                phase=PHASE,
                credits=credits,
                first_group=start.next_group,
                carried=start.carried,
                observer=observer,
                board=board,
            ) as rollouts,
            anyio.create_task_group() as owner,
            receive,
        ):
            owner.start_soon(_feed, rollouts, buffer, name="buffer feeder")
            owner.start_soon(trainer.run, send, name="trainer")
            yield receive, rollouts
            owner.cancel_scope.cancel()


async def _feed(rollouts: Rollouts, buffer: Buffer) -> None:
    async for group in rollouts:
        await buffer.put(group)
    buffer.close()


class _Trainer:
    def __init__(
        self,
        learner: RemoteLearner,
        sink: WeightSink,
        store: Store,
        buffer: Buffer,
        credits: Credits,
        config: TrainConfig,
        checkpoints: Path,
        start: Start,
        board: Board,
    ) -> None:
        self.learner = learner
        self.sink = sink
        self.store = store
        self.buffer = buffer
        self.credits = credits
        self.config = config
        self.checkpoints = checkpoints
        self.first = start.step
        self.committed = start.committed
        self.version = start.version
        self.lineage = start.lineage
        self.consumed = set(start.consumed)
        self.board = board
        self.doing = ""

    def service(self) -> Service:
        """What the learner is at, for the board; nothing while it waits for a batch."""
        busy = bool(self.doing)
        return Service(name="learner", role=ServiceRole.LEARNER, in_flight=busy, doing=self.doing)

    def _at(self, doing: str) -> None:
        self.doing = doing
        self.board.pulse.beats += 1

    async def run(self, progress: ObjectSendStream[Progress]) -> None:
        async with progress:
            if self.version not in self.lineage:
                await self.store.add_version(self.version, None, self.first)
                self.lineage.add(self.version, None)
            if not self.committed:
                await self._checkpoint(self.first)
            for step in range(self.first, self.config.steps):
                taken = await self._step(step)
                self._at(f"step {step} waits to be taken")
                await progress.send(taken)
                self._at("")

    async def _step(self, step: int) -> Progress:
        began = anyio.current_time()
        groups = await self._fresh_groups(step)
        sampled = anyio.current_time()
        self._at(f"learning, step {step}")
        live = [group for group in groups if self._teaches(group)]
        trained = [t for group in live for t in group.trajectories if self._trainable(t)]
        result = await self.learner.improve(
            PolicyBatch(
                step=step,
                learning_rate=learning_rate(step, self.config.schedule),
                samples=_samples(trained, self.config.shaping),
            )
        )
        learned = anyio.current_time()
        metrics = {
            **_describe(groups),
            "groups_live": len(live),
            **self._ages(trained),
            **{name: value for name, value in result.stats.items() if name != "skipped"},
        }
        self._at(f"keeping step {step}")
        if result.weights is not None:
            await self.store.add_version(result.version, self.version, step + 1)
            self.lineage.add(result.version, self.version)
            self._at(f"pushing weights, version {result.version}")
            await self.sink.push(result.version, result.weights)
            self._at(f"keeping step {step}")
            self.version = result.version
        # A step that was skipped (a loss that is no number) taught the weights nothing.
        await self._settle(groups, trained if result.weights is not None else [], step)
        done = anyio.current_time()
        metrics |= {
            "seconds_wait": sampled - began,
            "seconds_learn": learned - sampled,
            "seconds_push": done - learned,
            "seconds_step": done - began,
        }
        # Before the checkpoint: a step that is never taken again must have its line in the curve.
        await self.store.add_metrics(PHASE, step, metrics)
        if (step + 1) % self.config.checkpoint_every == 0 or step + 1 == self.config.steps:
            await self._checkpoint(step + 1)
        return Progress(step=step, version=self.version, metrics=metrics)

    async def _fresh_groups(self, step: int) -> tuple[Group, ...]:
        """A batch in which nothing is older than allowed; what is, is settled as stale."""

        def fresh(group: Group) -> bool:
            return self.lineage.is_fresh(group, self.version, self.config.max_staleness)

        wanted = self.config.groups_per_step
        batch: list[Group] = []
        while len(batch) < wanted:
            taken = await self.buffer.take(wanted - len(batch), fresh=fresh)
            batch.extend(taken.batch)
            if taken.stale:
                keys = [t.key for group in taken.stale for t in group.trajectories if _ready(t)]
                ordinals = [group.ordinal for group in taken.stale]
                await self.store.settle(PHASE, ordinals, step, {Fate.STALE: keys})
                self.credits.release(len(taken.stale))
        return tuple(sorted(batch, key=lambda group: group.ordinal))

    async def _settle(
        self, groups: Sequence[Group], trained: Sequence[Trajectory], step: int
    ) -> None:
        """Give every trajectory of the batch its last fate, and the credits back."""
        taught = {trajectory.key for trajectory in trained}
        unused = [
            t.key for g in groups for t in g.trajectories if _ready(t) and t.key not in taught
        ]
        self.consumed |= taught
        fates = {Fate.TRAINED: taught, Fate.FILTERED: unused}
        await self.store.settle(PHASE, [group.ordinal for group in groups], step, fates)
        self.credits.release(len(groups))

    async def _checkpoint(self, step: int) -> None:
        path = checkpoint_path(self.checkpoints, step)
        self._at(f"writing {path.name}")
        await self.learner.checkpoint(
            SaveCheckpoint(path=str(path.absolute()), step=step, consumed=pack_keys(self.consumed))
        )
        prune(self.checkpoints, self.config.keep_checkpoints)
        self._at("")

    def _ages(self, trained: Sequence[Trajectory]) -> dict[str, float]:
        ages = [
            age for t in trained if (age := self.lineage.staleness(t, self.version)) is not None
        ]
        if not ages:
            return {}
        return {"staleness_mean": sum(ages) / len(ages), "staleness_max": max(ages)}

    def _trainable(self, trajectory: Trajectory) -> bool:
        end = trajectory.end
        return end.finished or (end.cut_short and self.config.train_cut_short)

    def _teaches(self, group: Group) -> bool:
        """Two members that were rewarded differently; anything less has no advantage in it."""
        rewards = {t.rewards for t in group.trajectories if self._trainable(t)}
        return len(rewards) > 1


def _samples(trained: Sequence[Trajectory], shaping: Shaping) -> tuple[WireSample, ...]:
    """Sorted by key, so that a batch is the same whatever order its groups closed in."""
    ordered = sorted(trained, key=lambda trajectory: trajectory.key)
    samples: list[WireSample] = []
    for trajectory, advantages in zip(ordered, shape(ordered, shaping), strict=True):
        tokens = trajectory.tokens
        # No advantage anywhere: nothing to learn, so nothing to read either.
        if tokens is not None and any(advantages):
            samples.append(
                WireSample(key=trajectory.key, tokens=tokens, advantages=tuple(advantages))
            )
    return tuple(samples)


def _ready(trajectory: Trajectory) -> bool:
    return trajectory.end.finished or trajectory.end.cut_short


def _describe(groups: Sequence[Group]) -> dict[str, float]:
    """Reward, turns and length over the batch's dialogues that count."""
    every = [t for group in groups for t in group.trajectories]
    counted = [t for t in every if _ready(t)]
    numbers: dict[str, float] = {
        "dialogues": len(every),
        "counted": len(counted),
        "cut_short": sum(t.end.cut_short for t in every),
    }
    if counted:
        numbers["reward"] = sum(t.reward for t in counted) / len(counted)
        numbers["turns"] = sum(len(t.turns) for t in counted) / len(counted)
        numbers["length"] = sum(len(t.tokens or ()) for t in counted) / len(counted)
    return numbers
