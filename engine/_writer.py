"""The writer's side of a run store: what happens in its thread.

A batch is everything that waited when the writer came round: its records go to the records file
and to disk, then its rows to the database in one transaction. Python code runs here while the loop
runs in another thread, so what is done a row at a time does not let go of the interpreter's lock,
and what lets go of it is done a batch at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ._errors import StoreError
from ._park import OneShot
from ._records import Place, RecordWriter
from ._schema import (
    LIFE,
    STATEMENTS,
    TABLES,
    UNREADABLE,
    VERSION,
    check_version,
    insert,
    last_file,
)
from ._seal import seal

Row = tuple[object, ...]
Inserts = Sequence[tuple[str, Row]]
Updates = Sequence[tuple[str, Sequence[Row]]]

TRAJECTORIES = "trajectories"


class Write:
    """What stands or falls together, and the task that waits for it.

    inserts: rows by table, without their seals; a trajectory's without its record's place.
    record:  of the trajectory, if one is among them, and its checksum.
    updates: statements, run after the inserts.
    size:    bytes it counts for in the queue.
    """

    __slots__ = ("awaited", "check", "done", "inserts", "record", "size", "updates")

    def __init__(
        self,
        *,
        inserts: Inserts = (),
        record: bytes = b"",
        check: int = 0,
        updates: Updates = (),
        size: int = 0,
        awaited: bool = True,
    ) -> None:
        self.inserts = inserts
        self.record = record
        self.check = check
        self.updates = updates
        self.size = size
        self.awaited = awaited
        self.done: OneShot[None] = OneShot()


class Writer:
    """One connection, one file of records. Made, used and closed in one thread at a time."""

    def __init__(self, path: Path, *, name: str, config: str, facts: dict[str, str], create: bool):
        self.path: Path = path
        self.connection: sqlite3.Connection = _connect(path, create)
        self.life: int
        try:
            self.life, first = _prepare(self.connection, name, config, facts)
            self._records = RecordWriter(path, first)
        except UNREADABLE as error:
            self.connection.close()
            raise StoreError(f"cannot open the run store {path}: {error}") from error
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        self._records.close()
        self.connection.close()

    def commit(self, batch: Sequence[Write]) -> StoreError | None:
        """Make a batch durable, all of it or nothing; what went wrong, if anything did."""
        try:
            places = iter(self._write_records([write for write in batch if write.record]))
            self.connection.execute("BEGIN IMMEDIATE")
            rows: dict[str, list[Row]] = {}
            for write in batch:
                for table, row in write.inserts:
                    if table == TRAJECTORIES:
                        row = (*row, *next(places))
                    rows.setdefault(table, []).append((*row, seal(*row)))
                if write.updates:
                    self._insert(rows)
                    for sql, values in write.updates:
                        self.connection.executemany(sql, values)
            self._insert(rows)
            self.connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001
            # Not only SQLite's own (a number too large for it, say): were one to get away, the
            # writer would be gone, and those who wait for it would never be told.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            failure = StoreError(f"the run store {self.path} could not be written: {error}")
            failure.__cause__ = error
            return failure
        return None

    def _write_records(self, writes: Sequence[Write]) -> list[Place]:
        if not writes:
            return []
        records = [write.record for write in writes]
        return self._records.write(records, [write.check for write in writes])

    def _insert(self, rows: dict[str, list[Row]]) -> None:
        """Between two updates the order of inserts decides nothing, so each table's go together."""
        for table, each in rows.items():
            insert(self.connection, table, each)
        rows.clear()


def _connect(path: Path, create: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
        try:
            check_version(connection, path, may_be_empty=create)
        except BaseException:
            connection.close()
            raise
    except UNREADABLE as error:
        raise StoreError(f"cannot open the run store {path}: {error}") from error
    return connection


def _prepare(
    connection: sqlite3.Connection, name: str, config: str, facts: dict[str, str]
) -> tuple[int, int]:
    """Make the empty file a run store, or open it; which life of the run this is, and the lowest
    number that its records file may have."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.create_function("seal", -1, seal, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit survives a power cut, not only a killed process. Group commit pays for it.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    connection.execute("PRAGMA busy_timeout = 5000")
    if version == 0:
        run = (name, config, msgspec.json.encode(facts).decode(), 1)
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES}")
        insert(connection, "run", [(*run, seal(*run))])
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        return 0, 0
    (lives,) = connection.execute(LIFE).fetchone()
    return int(lives) - 1, last_file(connection) + 1
