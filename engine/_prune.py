"""Dropping records from a run store, and giving the space back.

A trajectory without its record keeps its row: the counts, ends, rewards and fates of the run stay
true. For a run that nobody is writing to.

Files with records to drop are not cut up: the records that stay are copied to a new file, the rows
are told in the same transaction that drops the others, and then the old files go. Killed anywhere,
every row names a record that is there; files that no row names go the next time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ._errors import StoreError
from ._records import DamagedRecord, RecordReader, RecordWriter, records_file, records_files
from ._schema import UNREADABLE, check_version, last_file
from ._seal import seal

_DUE = """phase = ?1 AND size > 0 AND (?2 IS NULL OR ordinal IN
    (SELECT ordinal FROM groups WHERE phase = ?1 AND settled < ?2))"""
_COUNT = f"SELECT count(*), coalesce(sum(size), 0) FROM trajectories WHERE {_DUE}"
_FILES = f"SELECT DISTINCT file FROM trajectories WHERE {_DUE}"
_ROW = 'phase,ordinal,sample,life,env,task,split,"end",reward,turns,tokens,version,seconds'
_DROP = f"""UPDATE trajectories SET place = 0, size = 0, crc = 0, seal = seal({_ROW},file,0,0,0)
    WHERE {_DUE}"""
_KEPT = """SELECT rowid, file, place, size, crc FROM trajectories
    WHERE file = ? AND size > 0 AND rowid > ? ORDER BY rowid LIMIT ?"""
_MOVE = f"""UPDATE trajectories SET file = ?2, place = ?3, seal = seal({_ROW},?2,?3,size,crc)
    WHERE rowid = ?1"""

_ROWS = 256  # whose records are in memory at once


def drop_records(
    path: Path, phases: Mapping[str, int | None], *, dry_run: bool = False
) -> dict[str, tuple[int, int]]:
    """Drop the records of whole phases, or of the groups settled before a step; how many, and how
    many bytes, of each phase. Then the files are made smaller, which needs room for a copy of what
    stays in them.

    phases: each with its step, or None for all of it. Raises `StoreError`; the store is then as it
    was, or at worst as large.
    """
    try:
        mode = "ro" if dry_run else "rw"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            check_version(connection, path, may_be_empty=False)
            connection.create_function("seal", -1, seal, deterministic=True)
            due = {
                phase: connection.execute(_COUNT, (phase, step)).fetchone()
                for phase, step in phases.items()
            }
            if not dry_run:
                _drop(connection, path, phases)
    except (*UNREADABLE, OSError, DamagedRecord) as error:
        raise StoreError(f"cannot prune the run store {path}: {error}") from error
    return {phase: (count, size) for phase, (count, size) in due.items() if count}


def _drop(connection: sqlite3.Connection, path: Path, phases: Mapping[str, int | None]) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    files = {
        number for due in phases.items() for (number,) in connection.execute(_FILES, due).fetchall()
    }
    connection.executemany(_DROP, phases.items())
    try:
        with (
            closing(RecordReader(path)) as reader,
            closing(RecordWriter(path, last_file(connection) + 1)) as writer,
        ):
            for number in sorted(files):
                _move(connection, number, reader, writer)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        _remove_unnamed(connection, path)  # a copy that came half-way
        raise
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _remove_unnamed(connection, path)


def _move(
    connection: sqlite3.Connection, number: int, reader: RecordReader, writer: RecordWriter
) -> None:
    """Copy what is left of a file into the new one, and tell the rows."""
    after = -1
    while rows := connection.execute(_KEPT, (number, after, _ROWS)).fetchall():
        after = rows[-1][0]
        places = writer.write([reader.read(row[1:]) for row in rows], [row[4] for row in rows])
        moves: list[tuple[Any, ...]] = [
            (row[0], file, at) for row, (file, at, _, _) in zip(rows, places, strict=True)
        ]
        connection.executemany(_MOVE, moves)


def _remove_unnamed(connection: sqlite3.Connection, path: Path) -> None:
    named = connection.execute("SELECT DISTINCT file FROM trajectories WHERE size > 0").fetchall()
    kept = {records_file(path, number) for (number,) in named}
    for file in records_files(path):
        if file not in kept:
            file.unlink()
