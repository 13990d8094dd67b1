"""The run store's tables, and the statements that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from ._errors import StoreError

VERSION = 3

TABLES = """
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
    version INTEGER, seconds REAL NOT NULL,
    file INTEGER NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL,
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
# A trajectory's record is `size` bytes from `place` on in the records file number `file`
# (`_records.py`); 0 bytes once it was pruned.
#
# `seal` is a function of ours (`_seal.py`): any tool can read the file, but only we write it.
FATE = """UPDATE fates SET fate = ?4, step = ?5, seal = seal(phase,ordinal,sample,life,?4,?5)
    WHERE (phase, ordinal, sample) = (?1, ?2, ?3)
    AND life = (SELECT max(life) FROM fates WHERE (phase, ordinal, sample) = (?1, ?2, ?3))"""
SETTLE = """UPDATE groups SET settled = ?1, seal = seal(phase,ordinal,env,task,split,data,?1)
    WHERE phase = ?2 AND ordinal = ?3"""
UNSETTLE = """UPDATE groups SET settled = NULL, seal = seal(phase,ordinal,env,task,split,data,NULL)
    WHERE phase = ?1 AND settled >= ?2"""
LIFE = """UPDATE run SET lives = lives + 1, seal = seal(name,config,facts,lives + 1)
    RETURNING lives"""

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises over a damaged file; the second when the damage is in the name of a column."""

_MOST_ROWS, _FEW_ROWS = 1024, 32  # to a statement; SQLite takes 32,766 values, a row has 18

STATEMENTS = 256
"""Statements that a writer's connection keeps prepared. `insert` makes 37 for a table, and three
tables get most of the rows."""


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Add whole rows, their seals included; a group that is there already stays as it is.

    Many to a statement, because each one lets go of the interpreter's lock, and where the loop's
    thread is busy, getting it back takes 5 ms: row by row, 666 trajectories/s were written. A power
    of two at a time, and in the end a few of any number, so that all can be kept prepared.
    """
    at = 0
    while left := len(rows) - at:
        count = left if left < _FEW_ROWS else min(_MOST_ROWS, 1 << (left.bit_length() - 1))
        values = tuple(chain.from_iterable(rows[at : at + count]))
        connection.execute(_insertion(table, len(rows[0]), count), values)
        at += count


@cache
def _insertion(table: str, width: int, count: int) -> str:
    word = "INSERT OR IGNORE" if table == "groups" else "INSERT"
    row = f"({','.join('?' * width)})"
    return f"{word} INTO {table} VALUES {','.join([row] * count)}"


def check_version(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool) -> None:
    """Raise `StoreError` unless the file is a run store of this version. Changes nothing: it may
    be somebody else's."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables:
        raise StoreError(f"{path} is a database, but not a run store; give the run another folder")
    if version == 0 and not may_be_empty:
        raise StoreError(f"the run store {path} is empty; put it back from a copy, or start anew")
    if version not in (0, VERSION):
        raise StoreError(
            f"{path} is a run store of version {version}; this is {VERSION}. "
            "Read it with the release that wrote it"
        )


def last_file(connection: sqlite3.Connection) -> int:
    """The highest number of a records file that any row names; -1 where none does."""
    row: tuple[Any, ...] = connection.execute(
        "SELECT coalesce(max(file), -1) FROM trajectories"
    ).fetchone()
    return int(row[0])
