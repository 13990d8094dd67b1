"""The run store: one SQLite file and its records, one writer, durable before anybody is told.

`Store.append` returns once the trajectory is on disk. Everything that is waiting when the writer
comes round goes into one transaction (`_writer.py`), so ten thousand dialogues share a few hundred
commits; its thread (`_commits.py`) writes while the loop packs what is next. Readers (`_reader.py`)
never block the writer and see only whole transactions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from ._commits import Commits
from ._errors import StoreError, one_error
from ._mailbox import BURST
from ._messages import Fate, Key, Task, Trajectory
from ._park import Lot, checkpoint
from ._records import checksum
from ._schema import FATE, SETTLE, UNSETTLE
from ._snapshot import Hop
from ._writer import TRAJECTORIES, Row, Write, Writer

QUEUE = 4096
"""Writes that wait for the writer at most."""

GATHER_S = 0.015
"""How long the writer waits for company before it writes a trajectory, where trajectories come
thick enough that the last transaction had several: a transaction of one costs nearly what one of
ten does. A lone dialogue after another never waits, nor does a crowd."""

CROWD, CROWD_BYTES = 256, 8 << 20
"""Writes, or bytes of records, that are company enough."""

ARMFUL, AHEAD = 64, 32
"""Writes that go to the writer's thread together while it is busy, and how many such it may have
before it: so that it finds much to do next, and the others wait in the queue."""

QUEUE_BYTES = 64 << 20
"""Bytes of records that are handed over and not yet durable, at most; the last may exceed it."""

_encode = msgspec.msgpack.Encoder().encode


class StoreStats(Struct, frozen=True, kw_only=True):
    """What the writer has done, and what waits for it.

    writes, commits, largest: writes made durable, transactions, the most that shared one.
    queued, capacity:         writes handed over and not yet taken up by the writer; their bound.
    bytes, capacity_bytes:    bytes of records handed over and not yet durable; their bound.
    waiting:                  tasks that wait for room.
    """

    writes: int
    commits: int
    largest: int
    queued: int = 0
    capacity: int = QUEUE
    bytes: int = 0
    capacity_bytes: int = QUEUE_BYTES
    waiting: int = 0


class Store:
    """The writer's handle. Methods return when their rows are durable.

    Raises `StoreError` when they could not be written (disk full, say); nothing of that
    transaction is then in the store.
    """

    def __init__(self, writer: Writer, queue_bytes: int) -> None:
        self.path: Path = writer.path
        self.life: int = writer.life
        self._writer = writer
        self._queue: deque[Write] = deque()
        self._capacity = QUEUE
        self._commits = Commits(writer)
        self._lost: StoreError | None = None
        self._capacity_bytes = queue_bytes
        self._bytes = 0
        self._closed = False
        self._room = Lot()
        self._news = Lot()
        self._company = Lot()
        self._writes = 0
        self._transactions = 0
        self._largest = 0

    async def append(
        self, phase: str, trajectory: Trajectory, *, seconds: float, fate: Fate = Fate.READY
    ) -> None:
        """Add a finished dialogue and its first fate."""
        key = trajectory.key
        record = _encode(trajectory)
        await self._write(
            Write(
                inserts=(
                    (TRAJECTORIES, _trajectory_row(phase, trajectory, self.life, seconds)),
                    ("fates", (phase, key.group, key.sample, self.life, fate.value, None)),
                ),
                record=record,
                check=checksum(record),
                size=len(record),
            )
        )

    async def open_group(self, phase: str, ordinal: int, task: Task) -> None:
        """Record which task a group is about to try.

        The one write that does not wait to be durable: the writer keeps the order, so a group is
        in the file no later than its trajectories. Should it fail, every later write does too.
        """
        data = _encode(task.data)
        row = (phase, ordinal, task.env, task.id, task.split, data, None)
        if ordinal % BURST == 0:
            await checkpoint()  # nothing else here ever waits, and there may be thousands
        await self._hand_over(Write(inserts=(("groups", row),), size=len(data), awaited=False))

    async def set_fates(
        self, phase: str, keys: Iterable[Key], fate: Fate, step: int | None = None
    ) -> None:
        """Say what became of trajectories; the last word counts."""
        rows = [(phase, key.group, key.sample, fate.value, step) for key in keys]
        await self._write(Write(updates=((FATE, rows),)))

    async def settle(
        self,
        phase: str,
        groups: Iterable[int],
        step: int,
        fates: Mapping[Fate, Iterable[Key]],
    ) -> None:
        """Close the books on groups: their trajectories' last fates, all in one transaction."""
        rows = [
            (phase, key.group, key.sample, fate.value, step)
            for fate, keys in fates.items()
            for key in keys
        ]
        settled = [(step, phase, group) for group in groups]
        await self._write(Write(updates=((FATE, rows), (SETTLE, settled))))

    async def rewind(
        self, phase: str, step: int, *, ready: Iterable[Key], stale: Iterable[Key]
    ) -> None:
        """Go back to where `step` steps were done: what was settled since is open again, and the
        trajectories of open groups are `ready` for the learner or too `stale` for it."""
        again = [(phase, k.group, k.sample, Fate.READY.value, None) for k in ready]
        gone = [(phase, k.group, k.sample, Fate.STALE.value, None) for k in stale]
        await self._write(Write(updates=((UNSETTLE, [(phase, step)]), (FATE, [*again, *gone]))))

    async def add_metrics(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add one line of numbers to the curve called `kind`."""
        data = msgspec.json.encode(values).decode()
        await self._write(Write(inserts=(("metrics", (kind, step, data)),)))

    async def add_version(self, version: int, parent: int | None, step: int) -> None:
        """Name new weights. A version number is never used twice in a run."""
        await self._write(Write(inserts=(("versions", (version, parent, step)),)))

    def hop(self) -> Hop:
        """What waits to be durable, for a board."""
        now = self.stats()
        return Hop(
            name="store",
            depth=now.queued,
            capacity=now.capacity,
            bytes=now.bytes,
            capacity_bytes=now.capacity_bytes,
            waiting_in=now.waiting,
        )

    def stats(self) -> StoreStats:
        return StoreStats(
            writes=self._writes,
            commits=self._transactions,
            largest=self._largest,
            queued=len(self._queue),
            capacity=self._capacity,
            bytes=self._bytes,
            capacity_bytes=self._capacity_bytes,
            waiting=len(self._room),
        )

    async def _write(self, write: Write) -> None:
        await self._hand_over(write)
        await write.done.wait()

    async def _hand_over(self, write: Write) -> None:
        """Queue a write, waiting while there are as many, or as many bytes of them, as may be."""
        while self._full and not self._closed:
            await self._room.park()
        self._check()
        self._bytes += write.size
        self._queue.append(write)
        if self._room and not self._full:
            self._room.wake()  # whoever comes after the one that was let in
        if self._commits.idle:
            if self._enough():
                self._pass_on()  # now: the loop may be long in coming round to `_feed`
            else:
                self._news.wake()
        elif len(self._queue) >= ARMFUL and self._commits.queued < AHEAD:
            self._pass_on()

    @property
    def _full(self) -> bool:
        return self._bytes >= self._capacity_bytes or len(self._queue) >= self._capacity

    def _enough(self) -> bool:
        """Whether the writer, who has nothing to do, need not wait for company."""
        return self._closed or len(self._queue) >= CROWD or self._bytes >= CROWD_BYTES

    def _pass_on(self) -> None:
        count = min(len(self._queue), CROWD)
        self._commits.hand_over([self._queue.popleft() for _ in range(count)])
        self._company.wake()
        self._room.wake()

    def _close(self) -> None:
        self._closed = True
        self._room.wake_all()
        self._company.wake()
        self._news.wake()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"the run store {self.path} is closed")
        self._check_lost()

    def _check_lost(self) -> None:
        if self._lost is not None:
            raise StoreError(
                f"the run store {self.path} lost a group's row and takes no more: {self._lost}"
            ) from self._lost

    async def _serve(self) -> None:
        # Shielded, because whoever is cancelled, what was handed over is still written; the
        # store's closing is what ends it.
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._commits.run, self._news.wake)
                try:
                    await self._feed()
                finally:
                    self._commits.end()

    async def _feed(self) -> None:
        """Pass on what waits whenever the thread has nothing to do, and tell who waited."""
        crowded = False
        while True:
            for batch, error in self._commits.take_back():
                crowded = len(batch) > 1
                self._tell(batch, error)
            if self._commits.idle and self._queue:
                if crowded and not self._enough():
                    crowded = False
                    with anyio.move_on_after(GATHER_S):
                        await self._company.park()
                    continue
                self._pass_on()
            if self._commits.idle and self._closed:
                return
            await self._news.park()

    def _tell(self, batch: list[Write], error: StoreError | None) -> None:
        if error is None:
            self._writes += len(batch)
            self._transactions += 1
            self._largest = max(self._largest, len(batch))
        for write in batch:
            if error is None:
                write.done.give(None)
            elif write.awaited:
                write.done.fail(error)
            else:
                self._lost = error
        self._bytes -= sum(write.size for write in batch)
        self._room.wake()


def _trajectory_row(phase: str, trajectory: Trajectory, life: int, seconds: float) -> Row:
    tokens = trajectory.tokens
    counts = trajectory.end.finished or trajectory.end.cut_short
    return (
        phase,
        trajectory.key.group,
        trajectory.key.sample,
        life,
        trajectory.env,
        trajectory.task,
        trajectory.split,
        trajectory.end.value,
        # A failure has no reward: NULL, so that no query can mistake it for 0.
        _real(trajectory.reward) if counts else None,
        len(trajectory.turns),
        0 if tokens is None else len(tokens),
        trajectory.oldest_version,
        float(seconds),
    )


def _real(number: float) -> float | None:
    """As the column gives it back, so that the seal agrees: no integer, and NULL for nan."""
    return None if isnan(number) else float(number)


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    name: str = "",
    config: str = "",
    facts: Mapping[str, str] | None = None,
    create: bool = True,
    queue_bytes: int = QUEUE_BYTES,
) -> AsyncGenerator[Store]:
    """The run store at `path` for as long as the block lasts; made if it is not there and may be.

    queue_bytes: records that may wait to be written, in bytes; above it, `append` waits.

    Leaving the block writes what was asked for and closes the file. Raises `StoreError` when the
    file is no run store of this version.
    """
    make = partial(Writer, path, name=name, config=config, facts=dict(facts or {}), create=create)
    writer = await anyio.to_thread.run_sync(make)
    store = Store(writer, queue_bytes)
    try:
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store._serve, name="store")
                try:
                    yield store
                finally:
                    store._close()
        store._check_lost()
    finally:
        writer.close()
