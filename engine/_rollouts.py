"""Rollouts: tasks in, groups of finished trajectories out, thousands of dialogues in between.

The tree of owners is the supervision policy: the block owns admission, admission starts dialogues,
a dialogue owns its two parties. A dialogue that fails is retried whole, with a fresh environment,
within its attempts and the run's budget; then its failure is recorded like any other end. A group
closes by counting its samples, failures included, so no failure can hold one open.

Backpressure: a dialogue gives its place back only when its trajectory is durable and, if it closed
its group, the group has been taken. So a consumer that stops taking stops admission, after at most
`live` closed groups.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, nullcontext
from itertools import chain

import anyio

from ._board import Board, Roster, Source
from ._credits import Credits
from ._dialogue import Dialogue, MakeDialogue, Outcome, converse, describe, end_of
from ._errors import PartyError, UsageError, one_error
from ._handover import Handover
from ._messages import End, Fate, Group, Key, Task, Trajectory
from ._nursery import Nursery, open_nursery
from ._observer import Observer, Watch, watched
from ._park import checkpoint
from ._rollout_config import Carried, MayRetry, RolloutConfig, RolloutStats
from ._seed import Seed
from ._snapshot import Hop, Wait
from ._store import Store
from ._watchdog import open_watchdog

BURST = 4
"""Dialogues that admission starts before it lets others run. Making one can take a millisecond."""


class Rollouts:
    """Running rollouts: a stream of closed groups and the counts so far."""

    def __init__(self, groups: Handover[Group], stats: RolloutStats) -> None:
        self._groups = groups
        self.stats = stats

    def __aiter__(self) -> AsyncIterator[Group]:
        return self

    async def __anext__(self) -> Group:
        try:
            return await self._groups.take()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> Group:
        """The next closed group; raises `anyio.EndOfStream` after the last."""
        return await self._groups.take()


@asynccontextmanager
async def open_rollouts(
    tasks: Iterable[Task],
    make: MakeDialogue,
    *,
    seed: Seed,
    config: RolloutConfig | None = None,
    store: Store | None = None,
    phase: str = "rollout",
    credits: Credits | None = None,
    may_retry: MayRetry | None = None,
    observer: Observer | None = None,
    board: Board | None = None,
    watchdog_s: float = 0.0,
    first_group: int = 0,
    carried: Sequence[Carried] = (),
) -> AsyncGenerator[Rollouts]:
    """Run dialogues on `tasks` for as long as the block lasts, and stream the closed groups.

    tasks:    may be endless; read one at a time, as credits and places allow. Never waits.
    credits:  one is taken per group; whoever settles a group's fate gives it back. Those of groups
              that nobody took come back when the block ends.
    store:    with one, a trajectory is durable before its group is offered.
    may_retry: has the last word on a retry within a dialogue's attempts. The budget's own word
              depends on who failed first, so a replay asks its recording instead.
    observer: is told of every dialogue and its turns; None costs nothing.
    board:    shows how many dialogues are live and what each of them, and admission, waits for.
    watchdog_s: end the block by `Stalled` when nothing on the board has progressed for so many
              seconds, as `open_watchdog` does; 0 waits for ever. A consumer that does not take is
              waited for like anybody else.
    carried:  groups to finish first, under their own ordinals; `tasks` are numbered from
              `first_group` on.

    Leaving the block early cancels what is alive; each such dialogue is recorded as `cancelled`.
    """
    config = config or RolloutConfig()
    if credits is not None and config.wave and not credits.bears_waves(config.wave):
        raise UsageError(
            f"a wave of {config.wave} groups needs {config.wave} credits, but there are "
            f"{credits.limit}, and batches of {credits.batch} hold some back while they collect; "
            "make the wave smaller, or allow more groups to be outstanding"
        )
    groups: Handover[Group] = Handover()
    numbered = chain(
        carried,
        (Carried(ordinal=n, task=task) for n, task in enumerate(tasks, first_group)),
    )
    board = board or Board()
    run = _Run(
        make,
        seed,
        config,
        store,
        phase,
        credits,
        groups,
        may_retry or _as_budgeted,
        observer,
        board,
    )

    def offered() -> Hop:
        givers = len(groups)
        return Hop(name="closed groups", depth=givers, capacity=0, waiting_in=givers)

    shown: list[Source] = [offered, lambda: run.places.hop("places")]
    if credits is not None:
        shown.append(lambda: credits.hop("credits"))
    # Closed last: whoever takes when the block is over is told that there is no more.
    watchdog = open_watchdog(board, limit_s=watchdog_s) if watchdog_s > 0 else nullcontext()
    with one_error(), board.listing(run.roster), board.showing(*shown), closing(groups):
        async with watchdog, anyio.create_task_group() as owner:
            owner.start_soon(run.admit, numbered, name=f"admission of {phase}")
            yield Rollouts(groups, run.stats)
            owner.cancel_scope.cancel()


class _OpenGroup:
    """A group that waits for its samples."""

    __slots__ = ("ordinal", "samples", "task", "trajectories")

    def __init__(self, begun: Carried, samples: int) -> None:
        self.ordinal = begun.ordinal
        self.task = begun.task
        self.samples = samples
        self.trajectories = list(begun.trajectories)

    @property
    def missing(self) -> list[int]:
        """Samples still to be run."""
        there = {trajectory.key.sample for trajectory in self.trajectories}
        return [sample for sample in range(self.samples) if sample not in there]

    def add(self, trajectory: Trajectory) -> Group | None:
        """Count one more in; the whole group once it was the last."""
        self.trajectories.append(trajectory)
        return self.whole()

    def whole(self) -> Group | None:
        if len(self.trajectories) < self.samples:
            return None
        ordered = tuple(sorted(self.trajectories, key=lambda t: t.key))
        return Group(ordinal=self.ordinal, task=self.task, trajectories=ordered)


class _Run:
    def __init__(
        self,
        make: MakeDialogue,
        seed: Seed,
        config: RolloutConfig,
        store: Store | None,
        phase: str,
        credits: Credits | None,
        groups: Handover[Group],
        may_retry: MayRetry,
        observer: Observer | None,
        board: Board,
    ) -> None:
        self.make = make
        self.seeds = seed / "group"
        self.config = config
        self.store = store
        self.phase = phase
        self.credits = credits
        self.groups = groups
        self.may_retry = may_retry
        self.observer = observer
        self.places = Credits(config.live, "places for live dialogues")
        self.stats = RolloutStats()
        self.roster = Roster(phase, board.pulse, self.stats, deadline_s=config.deadline_s)
        self.burst = BURST
        self.untaken = 0  # groups that hold a credit and have not been taken from the stream

    async def admit(self, begun: Iterator[Carried]) -> None:
        """Start dialogues as credits and places allow; returns when the last has ended."""
        try:
            if self.config.wave:
                while await self._admit_wave(begun):
                    pass
            else:
                await self._admit_each(begun)
            # Not in a `finally`: a run that a bug stops has not come to its end, and a consumer
            # that is told so goes on to work with half of it before the bug reaches it.
            self.groups.close()
        finally:
            if self.credits is not None:
                self.credits.release(self.untaken)

    async def _admit_each(self, begun: Iterator[Carried]) -> None:
        async with open_nursery() as dialogues:
            for one in begun:
                group = await self._open_group(one)
                for sample in group.missing:
                    await self._take_place()
                    self._start(dialogues, group, sample)
            self.roster.admission = Wait.TASKS

    async def _admit_wave(self, begun: Iterator[Carried]) -> bool:
        """One lockstep wave; False when there was no task left.

        All its dialogues are made, and so have opened their model sessions, before any runs: who
        belongs to a batch then depends on nothing but the wave.
        """
        wave: list[_OpenGroup] = []
        for one in begun:
            wave.append(await self._open_group(one))
            if len(wave) == self.config.wave:
                break
        async with open_nursery() as dialogues:
            for group in wave:
                for sample in group.missing:
                    self.places.acquire_nowait()
                    self._start(dialogues, group, sample)
            self.roster.admission = Wait.PLACES if wave else Wait.TASKS
        return bool(wave)

    async def _take_place(self) -> None:
        """A place for one more dialogue. Lets others run once in `BURST` places at the latest."""
        self.burst -= 1
        if self.burst and self.places.acquire_nowait():
            return
        self.burst = BURST
        self.roster.admission = Wait.PLACES
        await self.places.acquire()
        self.roster.admission = Wait.NOTHING

    async def _open_group(self, begun: Carried) -> _OpenGroup:
        roster = self.roster
        if self.credits is not None:
            roster.admission = Wait.CREDITS
            await self.credits.acquire()
        self.untaken += 1
        if self.store is not None:
            roster.admission = Wait.STORE
            await self.store.open_group(self.phase, begun.ordinal, begun.task)
        group = _OpenGroup(begun, self.config.samples)
        # A group that was carried over whole has no dialogue left whose end would offer it.
        if (whole := group.whole()) is not None:
            roster.admission = Wait.CONSUMER
            await self._offer(whole)
        roster.admission = Wait.NOTHING
        return group

    async def _offer(self, group: Group) -> None:
        self.stats.groups += 1
        await self.groups.give(group)
        self.untaken -= 1

    def _start(self, dialogues: Nursery, group: _OpenGroup, sample: int) -> None:
        key = Key(group.ordinal, sample)
        self.stats.admitted += 1
        self.stats.live += 1
        run = self._run if self.observer is None else self._run_observed
        dialogue = self._make(group.task, key, 0)
        dialogues.start_soon(run, group, key, dialogue, name="dialogue")

    def _make(self, task: Task, key: Key, attempt: int) -> Dialogue | Outcome:
        """A fresh dialogue, or the outcome of an environment that could not even be built."""
        path = (key.group, "task", task.id, "sample", key.sample, "attempt", attempt)
        try:
            return self.make(task, key, self.seeds.at(*path))
        except PartyError as error:
            return Outcome(end=end_of(error), detail=describe(error))

    async def _run_observed(
        self, group: _OpenGroup, key: Key, dialogue: Dialogue | Outcome
    ) -> None:
        assert self.observer is not None
        watch = self.observer.dialogue_began(key, group.task)
        try:
            await self._run(group, key, dialogue, watch)
        except Exception as error:
            if watch is not None:
                watch.crashed(error)
            raise

    async def _run(
        self,
        group: _OpenGroup,
        key: Key,
        dialogue: Dialogue | Outcome,
        watch: Watch | None = None,
    ) -> None:
        """One dialogue from its first attempt to its place in the group."""
        started = anyio.current_time()
        slot = self.roster.enter(key)
        discarded: list[End] = []
        try:
            while True:
                slot.begin()
                if isinstance(dialogue, Outcome):
                    await checkpoint()
                    outcome = dialogue
                else:
                    outcome = await converse(
                        dialogue if watch is None else watched(dialogue, watch),
                        deadline_s=self.config.deadline_s,
                        most_chars=self.config.dialogue_chars,
                        slot=slot,
                    )
                if not (outcome.end.failed and self._retries(key, len(discarded) + 1)):
                    break
                discarded.append(outcome.end)
                if watch is not None:
                    watch.retried(outcome.end, outcome.detail)
                dialogue = self._make(group.task, key, len(discarded))
        except BaseException as error:
            if not isinstance(error, Exception):
                # A run that is stopped still accounts for each of its dialogues.
                stopped = _record(group.task, key, Outcome(detail="the run was stopped"), discarded)
                await self._keep(stopped, anyio.current_time() - started, watch)
            raise
        trajectory = _record(group.task, key, outcome, discarded)
        slot.end()
        await self._keep(trajectory, anyio.current_time() - started, watch)
        closed = group.add(trajectory)
        if closed is not None:
            slot.wait(Wait.CONSUMER)
            await self._offer(closed)
        self.roster.leave(key)
        self.places.release()

    def _retries(self, key: Key, tries: int) -> bool:
        if tries >= self.config.attempts:
            return False
        budget = max(10.0, self.config.retry_budget * self.stats.admitted)
        again = self.may_retry(self.phase, key, tries, self.stats.retried + 1 <= budget)
        self.stats.retried += again
        return again

    async def _keep(self, trajectory: Trajectory, seconds: float, watch: Watch | None) -> None:
        if self.store is not None:
            # Shielded, because a record is kept once or not at all: cancelled half-way, nobody
            # could say which. The store bounds the wait: it finishes what it was handed, or fails.
            with anyio.CancelScope(shield=True):
                await self.store.append(
                    self.phase, trajectory, seconds=seconds, fate=first_fate(trajectory.end)
                )
        stats = self.stats
        stats.live -= 1
        stats.ended += 1
        stats.turns += len(trajectory.turns)
        stats.ends[trajectory.end] = stats.ends.get(trajectory.end, 0) + 1
        if trajectory.end.finished or trajectory.end.cut_short:
            stats.counted += 1
            stats.reward += trajectory.reward
        if watch is not None:
            watch.dialogue_ended(trajectory, seconds)


def _as_budgeted(phase: str, key: Key, tries: int, budgeted: bool) -> bool:
    return budgeted


def first_fate(end: End) -> Fate:
    """The fate a trajectory is stored with; the learner has the last word on `ready` ones."""
    if end is End.CANCELLED:
        return Fate.CANCELLED
    if end.failed or end is End.TIMEOUT:
        return Fate.FAILED
    return Fate.READY


def _record(task: Task, key: Key, outcome: Outcome, discarded: list[End]) -> Trajectory:
    return Trajectory(
        key=key,
        task=task.id,
        env=task.env,
        split=task.split,
        end=outcome.end,
        detail=outcome.detail,
        opening=outcome.opening,
        turns=tuple(outcome.turns),
        tokens=outcome.tokens,
        discarded=tuple(discarded),
    )
