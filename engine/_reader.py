"""Reading a run store: beside the writer, or long after the run."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ._errors import StoreError
from ._messages import End, Fate, Task, Trajectory

_decode_trajectory = msgspec.msgpack.Decoder(Trajectory).decode


class Stored(Struct, frozen=True, kw_only=True):
    """A trajectory as it was read back, with what is kept beside the record."""

    phase: str
    trajectory: Trajectory
    seconds: float
    fate: Fate | None
    life: int
    """Which life of the run it belongs to: 0 until the run is first resumed."""


class OpenGroup(Struct, frozen=True, kw_only=True):
    """A group whose books are not closed, and what there is of it."""

    ordinal: int
    task: Task
    stored: tuple[Stored, ...]


class Reader:
    """A run store, read-only. Reads nothing until asked; each call sees one moment."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def run(self) -> tuple[str, str, dict[str, str]]:
        """(name, configuration, facts) of the run."""
        name, config, facts = self._one("SELECT name, config, facts FROM run")
        return name, config, msgspec.json.decode(facts, type=dict[str, str])

    def phases(self) -> list[str]:
        """The phases that have trajectories, in the order they began."""
        rows = self._all("SELECT phase FROM trajectories GROUP BY phase ORDER BY min(rowid)")
        return [phase for (phase,) in rows]

    def trajectories(self, phase: str | None = None) -> Iterator[Stored]:
        """Trajectories sorted by phase, group and sample."""
        for row in self._all(
            """SELECT t.phase, t.record, t.seconds, f.fate, t.life FROM trajectories t
               LEFT JOIN fates f USING (phase, ordinal, sample, life)
               WHERE ?1 IS NULL OR t.phase = ?1 ORDER BY t.phase, t.ordinal, t.sample, t.life""",
            (phase,),
        ):
            yield Stored(
                phase=row[0],
                trajectory=_decode_trajectory(row[1]),
                seconds=row[2],
                fate=None if row[3] is None else Fate(row[3]),
                life=row[4],
            )

    def records(self, phase: str) -> list[bytes]:
        """The packed records of a phase sorted by group and sample: what two runs compare."""
        rows = self._all(
            "SELECT record FROM trajectories WHERE phase = ? ORDER BY ordinal, sample, life",
            (phase,),
        )
        return [record for (record,) in rows]

    def tasks(self, phase: str) -> list[Task]:
        """The tasks of a phase in group order."""
        rows = self._all(
            "SELECT env, task, split, data FROM groups WHERE phase = ? ORDER BY ordinal", (phase,)
        )
        return [
            Task(env=env, id=task, split=split, data=msgspec.msgpack.decode(data))
            for env, task, split, data in rows
        ]

    def count(self, phase: str | None = None) -> int:
        (count,) = self._one(
            "SELECT count(*) FROM trajectories WHERE ?1 IS NULL OR phase = ?1", (phase,)
        )
        return int(count)

    def fates(self, phase: str | None = None) -> dict[Fate, int]:
        rows = self._all(
            "SELECT fate, count(*) FROM fates WHERE ?1 IS NULL OR phase = ?1 GROUP BY fate",
            (phase,),
        )
        return {Fate(fate): count for fate, count in rows}

    def ends(self, phase: str | None = None) -> dict[End, int]:
        rows = self._all(
            'SELECT "end", count(*) FROM trajectories WHERE ?1 IS NULL OR phase = ?1 GROUP BY "end"',
            (phase,),
        )
        return {End(end): count for end, count in rows}

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        """The lines of one curve, oldest first; each has its `step`."""
        rows = self._all("SELECT step, data FROM metrics WHERE kind = ? ORDER BY rowid", (kind,))
        return [{"step": step, **msgspec.json.decode(data)} for step, data in rows]

    def curve(self, kind: str) -> list[dict[str, Any]]:
        """The same with one line a step, by step: where a run went back and took a step again,
        the later one stands."""
        lines = {line["step"]: line for line in self.metrics(kind)}
        return [lines[step] for step in sorted(lines)]

    def open_groups(self, phase: str, step: int) -> list[OpenGroup]:
        """The groups that were not settled before `step`, by ordinal, with the latest life's
        trajectory of each sample that has one."""
        groups = self._all(
            """SELECT ordinal, env, task, split, data FROM groups
               WHERE phase = ? AND (settled IS NULL OR settled >= ?) ORDER BY ordinal""",
            (phase, step),
        )
        latest: dict[tuple[int, int], Stored] = {}
        for stored in self.trajectories(phase):
            key = stored.trajectory.key
            latest[key.group, key.sample] = stored
        found: dict[int, list[Stored]] = {}
        for (ordinal, _), stored in latest.items():
            found.setdefault(ordinal, []).append(stored)
        return [
            OpenGroup(
                ordinal=ordinal,
                task=Task(env=env, id=task, split=split, data=msgspec.msgpack.decode(data)),
                stored=tuple(found.get(ordinal, ())),
            )
            for ordinal, env, task, split, data in groups
        ]

    def next_group(self, phase: str) -> int:
        """The first ordinal that no group of the phase has."""
        (last,) = self._one("SELECT max(ordinal) FROM groups WHERE phase = ?", (phase,))
        return 0 if last is None else last + 1

    def versions(self) -> list[tuple[int, int | None, int]]:
        """(version, parent, step) of every policy version."""
        return self._all("SELECT version, parent, step FROM versions ORDER BY version")

    def _one(self, sql: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...]:
        rows = self._all(sql, parameters)
        if not rows:
            raise StoreError(f"{self.path} is a run store without a run in it")
        row: tuple[Any, ...] = rows[0]
        return row

    def _all(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        # Fetched at once: a read transaction left open would keep the WAL from shrinking.
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the run store {self.path}: {error}") from error


@contextmanager
def open_reader(path: Path) -> Generator[Reader]:
    """Read a run store, also while it is being written."""
    if not path.exists():
        raise StoreError(f"there is no run store at {path}; is this a run directory?")
    try:
        # As a URI the path is quoted; by hand, a "?" or "#" in it would name another file.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the run store {path}: {error}") from error
    try:
        yield Reader(path, connection)
    finally:
        connection.close()
