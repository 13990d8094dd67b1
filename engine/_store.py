"""The run store: one SQLite file, one writer, durable before anybody is told.

`Store.append` returns once the trajectory is on disk. Everything that is waiting when the writer
comes round goes into one transaction, so ten thousand dialogues share a few hundred commits.
Readers (`_reader.py`) never block the writer and see only whole transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from ._errors import MailboxClosed, StoreError, one_error
from ._mailbox import Mailbox
from ._messages import Fate, Key, Task, Trajectory
from ._park import OneShot
from ._seal import seal

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE run (
    name TEXT NOT NULL, config TEXT NOT NULL, facts TEXT NOT NULL, lives INTEGER NOT NULL,
    seal INTEGER NOT NULL
);
CREATE TABLE groups (
    phase TEXT NOT NULL, ordinal INTEGER NOT NULL,
    env TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL, data BLOB NOT NULL,
    settled INTEGER, seal INTEGER NOT NULL,
    PRIMARY KEY (phase, ordinal)
) WITHOUT ROWID;
CREATE TABLE trajectories (
    phase TEXT NOT NULL, ordinal INTEGER NOT NULL, sample INTEGER NOT NULL, life INTEGER NOT NULL,
    env TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL,
    "end" TEXT NOT NULL, reward REAL, turns INTEGER NOT NULL, tokens INTEGER NOT NULL,
    version INTEGER, seconds REAL NOT NULL, record BLOB NOT NULL,
    seal INTEGER NOT NULL,
    UNIQUE (phase, ordinal, sample, life)
);
CREATE TABLE fates (
    phase TEXT NOT NULL, ordinal INTEGER NOT NULL, sample INTEGER NOT NULL, life INTEGER NOT NULL,
    fate TEXT NOT NULL, step INTEGER, seal INTEGER NOT NULL,
    PRIMARY KEY (phase, ordinal, sample, life)
) WITHOUT ROWID;
CREATE TABLE metrics (
    kind TEXT NOT NULL, step INTEGER NOT NULL, data TEXT NOT NULL, seal INTEGER NOT NULL
);
CREATE TABLE versions (
    version INTEGER PRIMARY KEY, parent INTEGER, step INTEGER NOT NULL, seal INTEGER NOT NULL
);
"""

# `life` counts the lives of the run: a crash ends one, a resume begins the next. A dialogue that
# the next life runs again gets a row of its own; the row of the latest life is the one that counts.
#
# `seal` is a function of ours (`_seal.py`): any tool can read the file, but only we write it.
_COLUMNS = ",".join(f"?{n}" for n in range(1, 15))
_APPEND = f"INSERT INTO trajectories VALUES ({_COLUMNS}, seal({_COLUMNS}))"
_FIRST_FATE = "INSERT INTO fates VALUES (?1,?2,?3,?4,?5,NULL, seal(?1,?2,?3,?4,?5,NULL))"
_FATE = """UPDATE fates SET fate = ?4, step = ?5, seal = seal(phase,ordinal,sample,life,?4,?5)
    WHERE (phase, ordinal, sample) = (?1, ?2, ?3)
    AND life = (SELECT max(life) FROM fates WHERE (phase, ordinal, sample) = (?1, ?2, ?3))"""
_GROUP = """INSERT OR IGNORE INTO groups
    VALUES (?1,?2,?3,?4,?5,?6,NULL, seal(?1,?2,?3,?4,?5,?6,NULL))"""
_SETTLE = """UPDATE groups SET settled = ?1, seal = seal(phase,ordinal,env,task,split,data,?1)
    WHERE phase = ?2 AND ordinal = ?3"""
_UNSETTLE = """UPDATE groups SET settled = NULL, seal = seal(phase,ordinal,env,task,split,data,NULL)
    WHERE phase = ?1 AND settled >= ?2"""
_METRICS = "INSERT INTO metrics VALUES (?1,?2,?3, seal(?1,?2,?3))"
_VERSION = "INSERT INTO versions VALUES (?1,?2,?3, seal(?1,?2,?3))"
_RUN = "INSERT INTO run VALUES (?1,?2,?3,1, seal(?1,?2,?3,1))"
_LIFE = """UPDATE run SET lives = lives + 1, seal = seal(name,config,facts,lives + 1)
    RETURNING lives"""

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises over a damaged file; the second when the damage is in the name of a column."""

_encode = msgspec.msgpack.Encoder().encode

Rows = Sequence[tuple[object, ...]]


class StoreStats(Struct, frozen=True, kw_only=True):
    """What the writer has done: statements written, transactions, the largest transaction."""

    writes: int
    commits: int
    largest: int


class _Write:
    """Statements that stand or fall together, and the task that waits for them."""

    __slots__ = ("awaited", "done", "statements")

    def __init__(self, statements: Sequence[tuple[str, Rows]], awaited: bool = True) -> None:
        self.statements = statements
        self.awaited = awaited
        self.done: OneShot[None] = OneShot()


class Store:
    """The writer's handle. Methods return when their rows are durable.

    Raises `StoreError` when they could not be written (disk full, say); nothing of that
    transaction is then in the file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, life: int) -> None:
        self.path = path
        self.life = life
        self._connection = connection
        self._mailbox: Mailbox[_Write] = Mailbox(4096, "store")
        self._limiter = anyio.CapacityLimiter(1)
        self._lost: StoreError | None = None
        self._writes = 0
        self._commits = 0
        self._largest = 0

    async def append(
        self, phase: str, trajectory: Trajectory, *, seconds: float, fate: Fate = Fate.READY
    ) -> None:
        """Add a finished dialogue and its first fate."""
        row = _trajectory_row(phase, trajectory, self.life, seconds)
        key = trajectory.key
        first = (phase, key.group, key.sample, self.life, fate.value)
        await self._write((_APPEND, [row]), (_FIRST_FATE, [first]))

    async def open_group(self, phase: str, ordinal: int, task: Task) -> None:
        """Record which task a group is about to try.

        The one write that does not wait to be durable: the writer keeps the order, so a group is
        in the file no later than its trajectories. Should it fail, every later write does too.
        """
        row = (phase, ordinal, task.env, task.id, task.split, _encode(task.data))
        await self._hand_over(_Write([(_GROUP, [row])], awaited=False))

    async def set_fates(
        self, phase: str, keys: Iterable[Key], fate: Fate, step: int | None = None
    ) -> None:
        """Say what became of trajectories; the last word counts."""
        rows = [(phase, key.group, key.sample, fate.value, step) for key in keys]
        await self._write((_FATE, rows))

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
        await self._write((_FATE, rows), (_SETTLE, [(step, phase, group) for group in groups]))

    async def rewind(
        self, phase: str, step: int, *, ready: Iterable[Key], stale: Iterable[Key]
    ) -> None:
        """Go back to where `step` steps were done: what was settled since is open again, and the
        trajectories of open groups are `ready` for the learner or too `stale` for it."""
        again = [(phase, k.group, k.sample, Fate.READY.value, None) for k in ready]
        gone = [(phase, k.group, k.sample, Fate.STALE.value, None) for k in stale]
        await self._write(
            (_UNSETTLE, [(phase, step)]),
            (_FATE, [*again, *gone]),
        )

    async def add_metrics(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add one line of numbers to the curve called `kind`."""
        data = msgspec.json.encode(values).decode()
        await self._write((_METRICS, [(kind, step, data)]))

    async def add_version(self, version: int, parent: int | None, step: int) -> None:
        """Name new weights. A version number is never used twice in a run."""
        await self._write((_VERSION, [(version, parent, step)]))

    def stats(self) -> StoreStats:
        return StoreStats(writes=self._writes, commits=self._commits, largest=self._largest)

    async def _write(self, *statements: tuple[str, Rows]) -> None:
        write = _Write(statements)
        await self._hand_over(write)
        await write.done.wait()

    async def _hand_over(self, write: _Write) -> None:
        self._check()
        try:
            await self._mailbox.put(write)
        except MailboxClosed:
            raise StoreError(f"the run store {self.path} is closed") from None

    def _check(self) -> None:
        if self._lost is not None:
            raise StoreError(f"the run store {self.path} lost a group's row") from self._lost

    async def _serve(self) -> None:
        # Shielded, because whoever is cancelled, what was handed over is still written; the
        # mailbox's closing is what ends it.
        with anyio.CancelScope(shield=True):
            while True:
                try:
                    batch = [await self._mailbox.get()]
                except MailboxClosed:
                    return
                while (write := self._mailbox.get_nowait()) is not None:
                    batch.append(write)
                error = await anyio.to_thread.run_sync(self._commit, batch, limiter=self._limiter)
                for write in batch:
                    if error is None:
                        write.done.give(None)
                    elif write.awaited:
                        write.done.fail(error)
                    else:
                        self._lost = error

    def _commit(self, batch: list[_Write]) -> StoreError | None:
        """In the writer's thread: one transaction for everybody who waits."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                for sql, rows in write.statements:
                    self._connection.executemany(sql, rows)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001
            # Not only SQLite's own (a number too large for it, say): were one to get away, the
            # writer would be gone, and those who wait for it would never be told.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = StoreError(f"the run store {self.path} could not be written: {error}")
            failure.__cause__ = error
            return failure
        self._writes += len(batch)
        self._commits += 1
        self._largest = max(self._largest, len(batch))
        return None


def _trajectory_row(
    phase: str, trajectory: Trajectory, life: int, seconds: float
) -> tuple[object, ...]:
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
        # Floats, whatever was summed: the column makes one of an integer, and the seal must agree.
        float(trajectory.reward) if counts else None,
        len(trajectory.turns),
        0 if tokens is None else len(tokens),
        trajectory.oldest_version,
        float(seconds),
        _encode(trajectory),
    )


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    name: str = "",
    config: str = "",
    facts: Mapping[str, str] | None = None,
    create: bool = True,
) -> AsyncGenerator[Store]:
    """The run store at `path` for as long as the block lasts; made if it is not there and may be.

    Leaving the block writes what was asked for and closes the file. Raises `StoreError` when the
    file is no run store of this version.
    """
    connection, life = await anyio.to_thread.run_sync(
        _connect, path, name, config, dict(facts or {}), create
    )
    store = Store(path, connection, life)
    try:
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store._serve, name="store")
                try:
                    yield store
                finally:
                    store._mailbox.close()
        store._check()
    finally:
        connection.close()


def _connect(
    path: Path, name: str, config: str, facts: dict[str, str], create: bool = True
) -> tuple[sqlite3.Connection, int]:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            check_version(connection, path, may_be_empty=create)
            return connection, _prepare(connection, name, config, facts)
        except BaseException:
            connection.close()
            raise
    except UNREADABLE as error:
        raise StoreError(f"cannot open the run store {path}: {error}") from error


def check_version(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool) -> None:
    """Raise `StoreError` unless the file is a run store of this version. Changes nothing: it may
    be somebody else's."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables:
        raise StoreError(f"{path} is a database, but not a run store; give the run another folder")
    if version == 0 and not may_be_empty:
        raise StoreError(f"the run store {path} is empty; put it back from a copy, or start anew")
    if version not in (0, SCHEMA_VERSION):
        raise StoreError(
            f"{path} is a run store of version {version}; this is {SCHEMA_VERSION}. "
            "Read it with the release that wrote it"
        )


def _prepare(connection: sqlite3.Connection, name: str, config: str, facts: dict[str, str]) -> int:
    """Make the empty file a run store, or open it; which life of the run this is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.create_function("seal", -1, seal, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit survives a power cut, not only a killed process. Group commit pays for it.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    connection.execute("PRAGMA busy_timeout = 5000")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
        connection.execute(_RUN, (name, config, msgspec.json.encode(facts).decode()))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        return 0
    (lives,) = connection.execute(_LIFE).fetchone()
    return int(lives) - 1
