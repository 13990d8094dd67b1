"""A whole pipeline cut at every step: a model that fails behind its limits, dialogues that are
tried again, a store, credits, a buffer and somebody who takes batches out of it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import anyio
import pytest
from chatter import Listener, tasks
from sweeping import Cut, sweep

from duologue.agents import TextAgent, write_call
from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models._faulty import MODEL_KINDS, FaultyModel
from duologue.agents.models.limits._limits import Limits, LimitsConfig
from duologue.engine import (
    Action,
    Buffer,
    Credits,
    Dialogue,
    End,
    Group,
    Key,
    RolloutConfig,
    Rollouts,
    Seed,
    Task,
    checkpoint,
    open_reader,
    open_rollouts,
    open_store,
)
from duologue.engine.faults import (
    Fault,
    FaultPlan,
    Faults,
    FaultyDialogues,
    Resources,
    Where,
    check_invariants,
)

TASKS, SAMPLES = 2, 2

PLAN = FaultPlan(
    faults=(
        Fault(kind="rate_limited", at=1, tries=1, where=Where(sample=0)),
        Fault(kind="reset", at=2, where=Where(sample=1, attempt=0)),
        Fault(kind="refusal", at=2, where=Where(group=1, sample=0)),
    )
)


class Model:
    """Says the same every time, and knows which sessions are open."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()

    def open(self, session: str) -> None:
        assert session not in self.sessions
        self.sessions.add(session)

    def close(self, session: str) -> None:
        self.sessions.remove(session)

    async def generate(self, request: Request) -> Generation:
        await checkpoint()
        return Generation(text=write_call(Action("action", "go on")))


class Pipeline:
    """Everything between a task and a batch, under the plan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = Model()
        self.faults = Faults(PLAN, MODEL_KINDS)
        config = LimitsConfig(concurrency=2, backoff_s=0.0, circuit_s=0.0)
        self.limits = Limits("model", config, seed=Seed(0))
        self.dialogues = FaultyDialogues(self.make, self.faults)
        self.credits = Credits(TASKS)
        self.buffer = Buffer(1)
        self.taken: list[Group] = []
        self.held: Group | None = None
        self.rollouts: Rollouts | None = None

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        agent = TextAgent(
            FaultyModel(self.model, self.faults, self.limits),
            session=f"{key.group}/{key.sample}",
            seed=seed,
            sampling=Sampling(),
        )
        return Dialogue(agent=agent, environment=Listener(0.0), max_turns=9)

    async def run(self) -> None:
        config = RolloutConfig(samples=SAMPLES, live=3)
        async with (
            open_store(self.path) as store,
            open_rollouts(
                tasks(TASKS),
                self.dialogues.make,
                seed=Seed(0),
                config=config,
                store=store,
                credits=self.credits,
                observer=self.dialogues,
            ) as self.rollouts,
        ):
            try:
                async with anyio.create_task_group() as owner:
                    owner.start_soon(self._feed, self.rollouts)
                    for _ in range(TASKS):
                        batch = (await self.buffer.take(1, fresh=lambda group: True)).batch
                        self.taken += batch
                        self.credits.release(len(batch))
            finally:
                # What was taken from the rollouts and got no further is ours to account for.
                self.credits.release(self.buffer.stats().buffered + (self.held is not None))

    async def _feed(self, rollouts: Rollouts) -> None:
        async for group in rollouts:
            self.held = group
            await self.buffer.put(group)
            self.held = None

    def check(self, cut: Cut) -> None:
        assert not self.model.sessions
        stats = self.limits.stats
        assert (stats.in_flight, stats.waiting) == (0, 0)
        check_invariants(groups=self.taken, buffers=[self.buffer.stats()], credits=[self.credits])
        if self.rollouts is None:
            return
        with open_reader(self.path) as reader:
            check_invariants(stats=self.rollouts.stats, reader=reader)
            stored = {one.trajectory.key: one.trajectory for one in reader.trajectories()}
        for trajectory in (t for group in self.taken for t in group.trajectories):
            assert trajectory == stored[trajectory.key]
        report = self.dialogues.ledger.report()
        assert report.surprises == 0 and report.dialogues == len(stored)
        if not cut.fired:
            ends = {key: one.end for key, one in stored.items()}
            assert ends.pop(Key(1, 0)) is End.NO_ACTION
            assert set(ends.values()) == {End.DONE} and len(self.taken) == TASKS
            assert {one.discarded for key, one in stored.items() if key.sample} == {
                (End.MODEL_ERROR,)
            }


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_pipeline_can_be_cut_anywhere(backend: str, tmp_path: Path) -> None:
    numbers = count()

    async def scenario(cut: Cut) -> None:
        await anyio.to_thread.run_sync(int)  # the thread that the loop keeps for the store
        before = Resources.now()
        pipeline = Pipeline(tmp_path / f"{next(numbers)}.db")
        with cut:
            await pipeline.run()
        pipeline.check(cut)
        check_invariants(before=before, after=Resources.now())

    sweep(backend, scenario, at_least=30)
