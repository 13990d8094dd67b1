"""Dropping records from a run store, and giving the space back.

A trajectory without its record keeps its row: the counts, ends, rewards and fates of the run stay
true. For a run that nobody is writing to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ._errors import StoreError
from ._seal import seal
from ._store import UNREADABLE, check_version

_DUE = """phase = ?1 AND length(record) > 0 AND (?2 IS NULL OR ordinal IN
    (SELECT ordinal FROM groups WHERE phase = ?1 AND settled < ?2))"""
_COUNT = f"SELECT count(*), coalesce(sum(length(record)), 0) FROM trajectories WHERE {_DUE}"
_EMPTY = f"""UPDATE trajectories SET record = X'', seal = seal(phase,ordinal,sample,life,env,task,
    split,"end",reward,turns,tokens,version,seconds,X'') WHERE {_DUE}"""


def drop_records(
    path: Path, phases: Mapping[str, int | None], *, dry_run: bool = False
) -> dict[str, tuple[int, int]]:
    """Empty the records of whole phases, or of the groups settled before a step; how many, and how
    many bytes, of each phase. Then the file is made smaller, which needs room for a copy of it.

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
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_EMPTY, phases.items())
                connection.execute("COMMIT")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except UNREADABLE as error:
        raise StoreError(f"cannot prune the run store {path}: {error}") from error
    return {phase: (count, size) for phase, (count, size) in due.items() if count}
