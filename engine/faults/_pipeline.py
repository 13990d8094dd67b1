"""The pipeline behind the dialogues, meeting faults: the store's disk, and whoever takes groups."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import sleep
from typing import Any

import anyio

from .._buffer import Buffer, Taken
from .._messages import Group
from .._rollouts import Rollouts
from .._store import Store
from ._kinds import Site
from ._plan import Faults, Hit

FRAME_BYTES = 4096 + 24
"""A page of SQLite's log and its header: what a torn write leaves a part of."""


def make_store_faulty(store: Store, faults: Faults) -> None:
    """Put a bad disk under an open store.

    Beneath SQLite's connection, so that the store meets the very errors it would meet, in its own
    thread, and everything above runs as it is.
    """
    if faults.at(Site.STORE):
        writer: Any = store._writer
        writer.connection = _FaultyConnection(writer.connection, store.path, faults)


class _FaultyConnection:
    """Stands where the store's writer has its connection. Called in the writer's thread only."""

    def __init__(self, connection: sqlite3.Connection, path: Path, faults: Faults) -> None:
        self._connection = connection
        self._path = path
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        hit = self._faults.strike_next(Site.STORE) if sql == "COMMIT" else None
        if hit is not None:
            self._before(hit)
        cursor = self._connection.execute(sql, *parameters)
        if hit is not None and hit.name == "torn_file":
            log = Path(f"{self._path}-wal")
            tear(log, 1 + hit.chance.integer() % (FRAME_BYTES - 1))
            _kill()
        return cursor

    def _before(self, hit: Hit) -> None:
        match hit.name:
            case "slow_disk":
                sleep(hit.for_s or 0.0)
            case "worker_killed":
                _kill()
            case "disk_full":
                raise sqlite3.OperationalError("database or disk is full")
            case _:
                pass  # torn_file strikes when the transaction is through


def tear(path: Path, lost: int) -> None:
    """Cut the last `lost` bytes off a file, as a crash in the middle of a write does."""
    os.truncate(path, max(0, path.stat().st_size - lost))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyBuffer(Buffer):
    """A buffer whose consumer is slow, stops, or goes and comes back."""

    def __init__(self, faults: Faults, capacity: int, **bounds: Any) -> None:
        super().__init__(capacity, **bounds)
        self._faults = faults

    async def take(self, count: int, *, fresh: Callable[[Group], bool]) -> Taken:
        hit = self._faults.strike_next(Site.CONSUMER)
        if hit is None:
            return await super().take(count, fresh=fresh)
        for_s = hit.for_s or 0.0
        if hit.name == "learner_restart":
            with anyio.move_on_after(for_s):
                return await super().take(count, fresh=fresh)
        elif hit.name == "full_buffer":
            await anyio.sleep(for_s)
        taken = await super().take(count, fresh=fresh)
        if hit.name == "slow_learner":
            await anyio.sleep(for_s)
        return taken


async def faulty_groups(rollouts: Rollouts, faults: Faults) -> AsyncIterator[Group]:
    """The groups of `rollouts`, taken by somebody as slow as the plan has it."""
    async for group in rollouts:
        hit = faults.strike_next(Site.CONSUMER)
        if hit is not None:
            await anyio.sleep(hit.for_s or 0.0)
        yield group
