"""Pacing: nothing is lost, nothing is old, nothing waits for ever.

The properties run on a virtual clock with a learner, a store and models made of nothing but delays;
the whole loop then runs once a loop with the real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import count, islice
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
import trio
from anyio.abc import ObjectReceiveStream
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from duologue.agents import ChatML
from duologue.agents.models import Sampling
from duologue.agents.models.local._folder import load_tokenizer
from duologue.agents.models.local._model import open_local
from duologue.engine import (
    Board,
    BufferClosed,
    Dialogue,
    End,
    Fate,
    Key,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Rollouts,
    Seed,
    Span,
    Stalled,
    Store,
    Task,
    Tokens,
    Trajectory,
    UsageError,
    Wait,
    first_fate,
    open_reader,
    open_store,
    open_watchdog,
    pack_tokens,
)
from duologue.envs import make_dialogues, token_agent
from duologue.envs.intention import gym
from duologue.train import (
    Progress,
    RemoteLearner,
    Schedule,
    TrainConfig,
    open_learner,
    open_training,
)
from duologue.train._checkpoint import newest
from duologue.train._loss_config import LossConfig
from duologue.train._wire import PolicyBatch, SaveCheckpoint, Setup, Trained

# ---------------------------------------------------------------- a world of delays


class World:
    """The parts around the loop, and a record of what the loop did with them.

    Delays and outcomes are drawn by dialogue, so they do not depend on who is scheduled when.
    """

    def __init__(self, config: TrainConfig, samples: int, seed: int, troubles: float) -> None:
        self.config = config
        self.samples = samples
        self.seed = Seed(seed)
        self.troubles = troubles
        self.version = 0
        self.limit = (config.max_staleness + 1) * config.groups_per_step
        self.opened: dict[int, Task] = {}
        self.settled: dict[int, int] = {}
        self.fates: dict[Key, Fate] = {}
        self.records: dict[Key, Trajectory] = {}
        self.learned: list[Key] = []
        self.live = 0
        self.learning = False
        self.overlapped = False

    def draw(self, *path: str | int) -> float:
        return self.seed.at("draw", *path).random().random()

    # -- the store

    async def open_group(self, phase: str, ordinal: int, task: Task) -> None:
        await anyio.lowlevel.checkpoint()
        self.opened[ordinal] = task
        assert len(self.opened) - len(self.settled) <= self.limit

    async def append(
        self, phase: str, trajectory: Trajectory, *, seconds: float, fate: Fate
    ) -> None:
        await anyio.lowlevel.checkpoint()
        assert trajectory.key not in self.records
        self.records[trajectory.key] = trajectory
        self.fates[trajectory.key] = fate

    async def settle(
        self, phase: str, groups: Iterable[int], step: int, fates: Mapping[Fate, Iterable[Key]]
    ) -> None:
        await anyio.lowlevel.checkpoint()
        for ordinal in groups:
            assert ordinal not in self.settled
            self.settled[ordinal] = step
        for fate, keys in fates.items():
            for key in keys:
                # Only what was ready is given another fate, and only once.
                assert self.fates[key] is Fate.READY
                self.fates[key] = fate

    async def add_version(self, version: int, parent: int | None, step: int) -> None:
        await anyio.lowlevel.checkpoint()

    async def add_metrics(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()

    # -- the learner and the sampler

    async def improve(self, order: PolicyBatch) -> Trained:
        self.learning = True
        self.overlapped |= self.live > 0
        for sample in order.samples:
            assert sample.tokens.spans
            ages = [self.version - span.version for span in sample.tokens.spans]
            assert max(ages) <= self.config.max_staleness
            assert self.records[sample.key].end.finished
            assert sample.key not in self.learned
        await anyio.sleep(5 * self.draw("learn", order.step))
        self.learning = False
        if not order.samples or self.draw("skip", order.step) < self.troubles / 2:
            # Skipped: the weights have learned nothing, so nothing is consumed.
            return Trained(step=order.step, version=self.version, weights=None, stats={})
        self.learned += [sample.key for sample in order.samples]
        return Trained(step=order.step, version=self.version + 1, weights="file", stats={})

    async def checkpoint(self, order: SaveCheckpoint) -> None:
        await anyio.lowlevel.checkpoint()

    async def push(self, version: int, path: str) -> None:
        await anyio.sleep(self.draw("push", version))
        self.version = version

    # -- dialogues

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(agent=_Agent(self, key), environment=_Environment(self, key), max_turns=2)

    def tasks(self) -> Iterator[Task]:
        return (Task(env="e", id=f"t{number}") for number in count())

    def train(
        self, tasks: Iterable[Task] | None = None, board: Board | None = None, **rollout: Any
    ) -> AbstractAsyncContextManager[tuple[ObjectReceiveStream[Progress], Rollouts]]:
        return open_training(
            self.tasks() if tasks is None else tasks,
            self.make,
            cast(RemoteLearner, self),
            self,
            seed=Seed(0),
            store=cast(Store, self),
            rollout=RolloutConfig(samples=self.samples, attempts=1, **rollout),
            config=self.config,
            checkpoints=Path("nowhere"),
            board=board,
        )


class _Agent:
    """Samples one token a turn, some seconds each, with whatever weights there are by then."""

    def __init__(self, world: World, key: Key) -> None:
        self._world = world
        self._key = key
        self._versions: list[int] = []
        world.live += 1

    async def receive(self, observation: Observation) -> Reply:
        world, key, turn = self._world, self._key, len(self._versions)
        await anyio.sleep(10 * world.draw("turn", key.group, key.sample, turn) ** 4)
        trouble = world.draw("trouble", key.group, key.sample, turn)
        if trouble < world.troubles / 2:
            raise ModelError("gone")
        self._versions.append(world.version)
        return Reply(text="a", end=End.TRUNCATED if trouble < world.troubles else None)

    def tokens(self) -> Tokens:
        size = 1 + len(self._versions)
        spans = [Span(i, i + 1, v) for i, v in enumerate(self._versions, 1)]
        starts = range(1, size)
        mask = [0] + [1] * (size - 1)
        return pack_tokens([1] * size, mask, [0.0] * size, list(starts), spans)

    def close(self) -> None:
        self._world.live -= 1


class _Environment:
    """Pays 0 or 1."""

    def __init__(self, world: World, key: Key) -> None:
        self._world, self._key = world, key

    async def receive(self, reply: Reply | None) -> Observation:
        await anyio.lowlevel.checkpoint()
        paid = self._world.draw("paid", self._key.group, self._key.sample) < 0.5
        return Observation(feedback="b", reward=float(paid and reply is not None))


VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]


def run(virtual_time: VirtualTime, world: World, **rollout: Any) -> list[Progress]:
    """All the steps; a loop that waits for ever is a TimeoutError after a virtual day."""

    async def main() -> list[Progress]:
        with anyio.fail_after(86_400):
            async with world.train(**rollout) as (steps, _):
                return [progress async for progress in steps]

    done: list[Progress] = virtual_time(main)
    return done


WORLDS = st.builds(
    World,
    st.builds(
        TrainConfig,
        steps=st.integers(0, 6),
        groups_per_step=st.integers(1, 3),
        max_staleness=st.integers(0, 3),
    ),
    samples=st.integers(2, 4),
    seed=st.integers(0, 10**6),
    troubles=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
)


@settings(max_examples=150, deadline=None)
@given(world=WORLDS, live=st.sampled_from([4, 7, 1000]), wave=st.integers(0, 3))
def test_every_dialogue_has_a_fate_and_nothing_old_is_learned_from(
    world: World, live: int, wave: int
) -> None:
    """The other promises are asserted where the world sees them: credits, ages, fates given once."""
    config = world.config
    if wave and (config.groups_per_step % wave or wave * world.samples > live):
        wave = 0
    done = run(_virtual_time, world, live=live, wave=wave)
    assert [progress.step for progress in done] == list(range(config.steps))
    assert done == [] or done[-1].version == world.version
    assert world.fates.keys() == world.records.keys()
    assert len(world.opened) - len(world.settled) <= world.limit
    by_group = Counter(key.group for key in world.records)
    for ordinal in world.settled:
        assert by_group[ordinal] == world.samples
    for key, trajectory in world.records.items():
        fate = world.fates[key]
        if first_fate(trajectory.end) is not Fate.READY:
            assert fate is first_fate(trajectory.end)
        elif key.group in world.settled:
            assert fate in (Fate.TRAINED, Fate.STALE, Fate.FILTERED)
        else:
            assert fate is Fate.READY
    trained = {key for key, fate in world.fates.items() if fate is Fate.TRAINED}
    assert trained >= set(world.learned)
    if config.max_staleness == 0:
        # Sampling and learning take turns.
        assert not world.overlapped
        assert Fate.STALE not in world.fates.values()


def _virtual_time(main: Callable[[], Awaitable[Any]]) -> Any:
    """The fixture's clock, for a property: one a test would be one for all examples."""
    return trio.run(main, clock=MockClock(autojump_threshold=0))


def world(troubles: float = 0.0, samples: int = 4, **config: Any) -> World:
    return World(TrainConfig(**config), samples=samples, seed=1, troubles=troubles)


def test_staleness_overlaps_sampling_with_learning(virtual_time: VirtualTime) -> None:
    one = world(steps=10, groups_per_step=2, max_staleness=1)
    done = run(virtual_time, one)
    assert one.overlapped
    ages = [progress.metrics["staleness_max"] for progress in done]
    assert max(ages) == 1


def test_slow_dialogues_are_swept_out_and_counted_as_stale(virtual_time: VirtualTime) -> None:
    one = world(steps=25, groups_per_step=1, max_staleness=1)
    # One dialogue takes a minute; meanwhile the policy moves on.
    draw = one.draw

    def slow(*path: str | int) -> float:
        return 1.5 if path[:3] == ("turn", 0, 0) else draw(*path)

    one.draw = slow  # type: ignore[method-assign]
    run(virtual_time, one)
    assert one.fates[Key(0, 0)] is Fate.STALE
    assert one.records[Key(0, 0)].end is not End.CANCELLED


def test_a_model_that_only_fails_trains_on_nothing_and_still_comes_to_the_end(
    virtual_time: VirtualTime,
) -> None:
    one = world(steps=5, groups_per_step=2, troubles=2.0)
    done = run(virtual_time, one)
    assert len(done) == 5 and done[-1].version == 0
    assert one.learned == []
    assert set(one.fates.values()) <= {Fate.FAILED, Fate.CANCELLED}


def test_tasks_that_run_out_are_an_error_and_not_a_wait(virtual_time: VirtualTime) -> None:
    one = world(steps=5, groups_per_step=2)

    async def main() -> None:
        with pytest.raises(BufferClosed, match=r"closed with . of 2 groups"):
            async with one.train(islice(one.tasks(), 5)) as (steps, _):
                async for _ in steps:
                    pass

    virtual_time(main)


def test_leaving_early_stops_everything_and_accounts_for_it(virtual_time: VirtualTime) -> None:
    one = world(steps=50, groups_per_step=2, max_staleness=1)

    async def main() -> None:
        async with one.train() as (steps, _):
            await steps.receive()

    virtual_time(main)
    assert one.live == 0
    assert one.fates.keys() == one.records.keys()
    by_group = Counter(key.group for key in one.records)
    assert all(by_group[ordinal] == 4 for ordinal in one.settled)


@pytest.mark.parametrize(
    ("verb", "doing"),
    [
        ("improve", "learning, step 0"),
        ("push", "pushing weights, version 1"),
        ("checkpoint", "writing step-0"),
    ],
)
def test_a_learner_that_is_alive_but_silent_ends_the_run_with_what_it_was_at(
    virtual_time: VirtualTime, verb: str, doing: str
) -> None:
    one = world(steps=5, groups_per_step=2, max_staleness=1)

    async def hang(*args: object) -> None:
        await anyio.sleep_forever()

    setattr(one, verb, hang)

    async def main() -> Stalled:
        board = Board()
        with anyio.fail_after(86_400), pytest.raises(Stalled) as caught:
            async with open_watchdog(board, limit_s=300), one.train(board=board) as (steps, _):
                async for _ in steps:
                    pass
        return caught.value

    error: Stalled = virtual_time(main)
    [learner] = [s for s in error.stall.snapshot.services if s.name == "learner"]
    assert learner.doing.startswith(doing)
    assert (error.stall.cause, doing in str(error)) == (Wait.CREDITS, True)
    assert one.live == 0


def test_training_shows_who_is_behind_and_beats_with_every_step(virtual_time: VirtualTime) -> None:
    one = world(steps=3, groups_per_step=2)

    async def main() -> list[str]:
        board, seen = Board(), list[str]()
        # Steps take up to five seconds, turns up to ten: sixteen are never too few.
        async with (
            open_watchdog(board, limit_s=16, every_s=0.1),
            one.train(board=board, deadline_s=float("inf")) as (steps, _),
            anyio.create_task_group() as tasks,
        ):

            async def look() -> None:
                while True:
                    seen.append(board.snapshot().why[1])
                    await anyio.sleep(0.1)

            tasks.start_soon(look)
            async for _ in steps:
                pass
            tasks.cancel_scope.cancel()
        return seen

    seen = virtual_time(main)
    for step in range(3):
        assert any("the learner is behind" in why and f"step {step}" in why for why in seen)
    assert any(why.startswith("model: ") for why in seen)


def test_single_samples_cannot_be_compared_and_are_refused(virtual_time: VirtualTime) -> None:
    with pytest.raises(UsageError, match=r"rollout.samples is 1.*at least 2"):
        run(virtual_time, world(samples=1, steps=1))


@pytest.mark.parametrize("wave", [2, 4, 6, 7])
def test_waves_that_do_not_make_up_a_batch_are_refused_instead_of_waiting_for_ever(
    virtual_time: VirtualTime, wave: int
) -> None:
    one = world(steps=1, groups_per_step=3, max_staleness=1)
    with pytest.raises(UsageError, match=rf"rollout.wave is {wave}.*divide.*groups_per_step = 3"):
        run(virtual_time, one, wave=wave)


# ---------------------------------------------------------------- the real parts


@pytest.mark.anyio
async def test_a_policy_is_trained_end_to_end(started: Path, tmp_path: Path) -> None:
    """A real learner, sampler and store on the intention gym; the books balance.

    (Staleness 0 has its own real runs, in the tests of determinism.)
    """
    config = TrainConfig(
        steps=4,
        groups_per_step=4,
        max_staleness=1,
        schedule=Schedule(peak=1e-3),
        checkpoint_every=2,
    )
    samples, steps_done = 4, list[Progress]()
    (tmp_path / "weights").mkdir()
    setup = Setup(
        model=str(started), weights_dir=str(tmp_path / "weights"), device="cpu", threads=1,
        bf16=False, deterministic=False, version=0, next_version=1, budget_tokens=4096,
        max_grad_norm=1.0, temperature=1.0, loss=LossConfig(),
    )  # fmt: skip
    async with (
        open_store(tmp_path / "run.db") as store,
        open_learner(setup, log=tmp_path / "log") as learner,
        open_local(started, context=160) as sampler,
    ):
        chat = ChatML(load_tokenizer(started))
        agent = token_agent(sampler, chat, sampling=Sampling(max_tokens=24), context=160)
        async with open_training(
            gym.tasks("train", Seed(4)),
            make_dialogues(gym, agent, options={"instructions": False}),
            learner,
            sampler,
            seed=Seed(0),
            store=store,
            rollout=RolloutConfig(samples=samples),
            config=config,
            checkpoints=tmp_path / "checkpoints",
        ) as (steps, _):
            async for progress in steps:
                steps_done.append(progress)
                assert sampler.version == progress.version
    assert [progress.version for progress in steps_done] == [1, 2, 3, 4]
    with open_reader(tmp_path / "run.db") as reader:
        stored = list(reader.trajectories("train"))
        fates = reader.fates("train")
        assert reader.versions() == [(0, None, 0), (1, 0, 1), (2, 1, 2), (3, 2, 3), (4, 3, 4)]
        assert [row["step"] for row in reader.metrics("train")] == [0, 1, 2, 3]
    assert sum(fates.values()) == len(stored)
    assert set(fates) <= {Fate.TRAINED, Fate.FILTERED, Fate.READY, Fate.STALE, Fate.CANCELLED}
    settled = fates[Fate.TRAINED] + fates.get(Fate.FILTERED, 0)
    assert settled == config.steps * config.groups_per_step * samples
    # The learner's own log-probabilities are the sampler's wherever their weights are the same.
    for progress in steps_done:
        numbers = progress.metrics
        assert numbers.get("staleness_max", 0) <= 1
        if numbers["staleness_max"] == 0:
            assert numbers["own_tokens"] == numbers["trained_tokens"]
        assert numbers["own_gap_max"] <= 1e-5
    assert sum(progress.metrics["own_tokens"] for progress in steps_done) > 0
    consumed = {s.trajectory.key for s in stored if s.fate is Fate.TRAINED}
    last = newest(tmp_path / "checkpoints")
    assert last is not None
    assert (last.state.step, last.state.version) == (4, 4)
    assert last.consumed == consumed
    assert (tmp_path / "log").read_text() == ""
