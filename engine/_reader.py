"""Reading a run store: beside the writer, or long after the run."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ._errors import StoreError
from ._messages import End, Fate, Key, Task, Trajectory
from ._records import DamagedRecord, RecordReader
from ._schema import UNREADABLE, check_version
from ._seal import seal

T = TypeVar("T")

PAGE = 256
"""Rows read at once. A read transaction left open would keep the WAL from shrinking, and a whole
phase in memory could be larger than the machine's. Records are read one at a time."""

_TABLES = {
    "run": "rowid",
    "trajectories": "rowid",
    "metrics": "rowid",
    "versions": "rowid",
    "groups": "phase, ordinal",
    "fates": "phase, ordinal, sample, life",
}
"""Every table, and what its rows are found by."""

_SECONDS, _FILE, _SIZE = 12, 13, 15
"""Columns of `trajectories`; from `_FILE` on they are a record's place."""

_decode_trajectory = msgspec.msgpack.Decoder(Trajectory).decode
_decode_data = msgspec.msgpack.Decoder().decode
_decode_json = msgspec.json.Decoder().decode
_decode_facts = msgspec.json.Decoder(dict[str, str]).decode


class Stored(Struct, frozen=True, kw_only=True):
    """A trajectory as it was read back, with what is kept beside the record."""

    phase: str
    trajectory: Trajectory
    seconds: float
    fate: Fate | None
    life: int
    """Which life of the run it belongs to: 0 until the run is first resumed."""
    step: int | None = None
    """The optimiser step that decided its fate; None when none has."""


class Entry(Struct, frozen=True, kw_only=True):
    """What there is to know of a trajectory without its record: for lists and counts, which need
    not unpack texts and tokens.

    reward:  None for a dialogue that failed. tokens: how many; 0 for an agent without.
    version: the oldest that sampled any of them. fate, life, step: as in `Stored`.
    bytes:   of its record; 0 once it was pruned.
    """

    phase: str
    key: Key
    life: int
    env: str
    task: str
    split: str
    end: End
    reward: float | None
    turns: int
    tokens: int
    version: int | None
    seconds: float
    fate: Fate
    step: int | None
    bytes: int


class OpenGroup(Struct, frozen=True, kw_only=True):
    """A group whose books are not closed, and what there is of it."""

    ordinal: int
    task: Task
    stored: tuple[Stored, ...]


class Reader:
    """A run store, read-only. Reads nothing until asked.

    Every row that is handed out is checked against its seal: what comes back is what was written,
    or a `StoreError` that names the row. Counts are SQLite's; `check` answers for those.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path: Path = path
        self._connection = connection
        self._records = RecordReader(path)
        self._known = False

    def check(self) -> None:
        """Read everything there is. Raises `StoreError` for the first thing that is damaged."""
        (verdict,) = self._one("PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise self._damaged(verdict)
        for table, key in _TABLES.items():
            where, after = "", ()
            while rows := self._rows(
                table,
                f"SELECT {key}, * FROM {table} {where} ORDER BY {key} LIMIT {PAGE}",
                after,
                skip=key.count(",") + 1,
            ):
                if table == "trajectories":
                    for row in rows:
                        self._record(row[1:])
                after = rows[-1][: key.count(",") + 1]
                where = f"WHERE ({key}) > ({','.join('?' * len(after))})"

    def run(self) -> tuple[str, str, dict[str, str]]:
        """(name, configuration, facts) of the run."""
        name, config, facts, _ = self._run()
        return name, config, self._decoded(_decode_facts, facts, "run")

    def lives(self) -> int:
        """How often the run was started or resumed."""
        return int(self._run()[3])

    def phases(self) -> list[str]:
        """The phases that have trajectories, in the order they began."""
        rows = self._all("SELECT phase FROM trajectories GROUP BY phase ORDER BY min(rowid)")
        return [phase for (phase,) in rows]

    def trajectories(self, phase: str | None = None) -> Iterator[Stored]:
        """Trajectories sorted by phase, group and sample: those that were there when the first was
        asked for, and whose records have not been pruned. Only one of them is in memory."""
        for row in self._listed(phase):
            if row[_SIZE]:
                yield self._stored(row)

    def entries(self, phase: str | None = None) -> Iterator[Entry]:
        """What there is to know of every trajectory without its record, in the same order; the
        pruned ones too. Only a page of them is in memory."""
        return map(self._entry, self._listed(phase))

    def stored(self, phase: str, key: Key, life: int | None = None) -> Stored | None:
        """One trajectory: that of the life, or of the latest life that has one. None when there is
        no such dialogue, or its record was pruned."""
        found = self._with_fates(
            phase,
            """SELECT * FROM trajectories WHERE phase = ?1 AND (ordinal, sample) = (?2, ?3)
               AND (?4 IS NULL OR life = ?4) ORDER BY life""",
            (phase, key.group, key.sample, life),
        )
        return self._stored(found[-1]) if found and found[-1][_SIZE] else None

    def pruned(self, phase: str | None = None) -> int:
        """How many trajectories have only their row left, and no record."""
        (count,) = self._one(
            """SELECT count(*) FROM trajectories
               WHERE size = 0 AND (?1 IS NULL OR phase = ?1)""",
            (phase,),
        )
        return int(count)

    def _listed(self, phase: str | None) -> Iterator[Any]:
        (last,) = self._one("SELECT max(rowid) FROM trajectories")
        for name in sorted(self.phases()) if phase is None else [phase]:
            after = (-1, -1, -1)
            while rows := self._with_fates(
                name,
                """SELECT * FROM trajectories
                   WHERE phase = ?1 AND (ordinal, sample, life) > (?2,?3,?4)
                   AND rowid <= ?5 ORDER BY ordinal, sample, life LIMIT ?6""",
                (name, *after, last, PAGE),
            ):
                after = rows[-1][1:4]
                yield from rows

    def _with_fates(self, phase: str, sql: str, parameters: tuple[object, ...]) -> list[Any]:
        """Trajectories' rows sorted by key and life, each with the row of its fate at its end."""
        rows = self._rows("trajectories", sql, parameters)
        if not rows:
            return []
        fates = {
            row[1:4]: row
            for row in self._rows(
                "fates",
                """SELECT * FROM fates WHERE phase = ?1
                   AND (ordinal, sample, life) BETWEEN (?2,?3,?4) AND (?5,?6,?7)""",
                (phase, *rows[0][1:4], *rows[-1][1:4]),
            )
        }
        for row in rows:
            if row[1:4] not in fates:
                raise self._damaged(f"{_place(row)} has no fate")
        return [(*row, fates[row[1:4]]) for row in rows]

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        fate, place = row[-1], _place(row)
        return Stored(
            phase=row[0],
            trajectory=self._decoded(_decode_trajectory, self._record(row), place),
            seconds=row[_SECONDS],
            fate=self._decoded(Fate, fate[4], place),
            life=row[3],
            step=fate[5],
        )

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        phase, group, sample, life, env, task, split, end, *numbers, fate = row
        reward, turns, tokens, version, seconds, _, _, size, _ = numbers
        return Entry(
            phase=phase,
            key=Key(group, sample),
            life=life,
            env=env,
            task=task,
            split=split,
            end=self._decoded(End, end, _place(row)),
            reward=reward,
            turns=turns,
            tokens=tokens,
            version=version,
            seconds=seconds,
            fate=self._decoded(Fate, fate[4], _place(row)),
            step=fate[5],
            bytes=size,
        )

    def _record(self, row: tuple[Any, ...]) -> bytes:
        """The packed record that a row of `trajectories` names."""
        if not row[_SIZE]:
            return b""
        try:
            return self._records.read(row[_FILE : _FILE + 4])
        except DamagedRecord as error:
            raise self._damaged(f"{_place(row)}: {error}") from error

    def records(self, phase: str) -> list[bytes]:
        """The packed records of a phase sorted by group and sample: what two runs compare."""
        rows = self._rows(
            "trajectories",
            "SELECT * FROM trajectories WHERE phase = ? ORDER BY ordinal, sample, life",
            (phase,),
        )
        return [self._record(row) for row in rows if row[_SIZE]]

    def tasks(self, phase: str) -> list[Task]:
        """The tasks of a phase in group order."""
        rows = self._rows(
            "groups", "SELECT * FROM groups WHERE phase = ? ORDER BY ordinal", (phase,)
        )
        return [self._task(row) for row in rows]

    def task(self, phase: str, ordinal: int) -> Task | None:
        """The task of one group; None when the group was never opened."""
        rows = self._rows(
            "groups", "SELECT * FROM groups WHERE phase = ? AND ordinal = ?", (phase, ordinal)
        )
        return self._task(rows[0]) if rows else None

    def _task(self, row: tuple[Any, ...]) -> Task:
        phase, ordinal, env, task, split, data, _ = row
        content = self._decoded(_decode_data, data, f"group {phase}/{ordinal}")
        return Task(env=env, id=task, split=split, data=content)

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
        return {self._decoded(Fate, fate, "a fate"): count for fate, count in rows}

    def ends(self, phase: str | None = None) -> dict[End, int]:
        rows = self._all(
            'SELECT "end", count(*) FROM trajectories WHERE ?1 IS NULL OR phase = ?1 GROUP BY "end"',
            (phase,),
        )
        return {self._decoded(End, end, "an end"): count for end, count in rows}

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        """The lines of one curve, oldest first; each has its `step`."""
        rows = self._rows("metrics", "SELECT * FROM metrics WHERE kind = ? ORDER BY rowid", (kind,))
        return [
            {"step": step, **self._decoded(_decode_json, data, f"metrics {kind}/{step}")}
            for _, step, data in rows
        ]

    def last_step(self, kind: str) -> int | None:
        """The highest step of a curve; None when it has no line."""
        (step,) = self._one("SELECT max(step) FROM metrics WHERE kind = ?", (kind,))
        return None if step is None else int(step)

    def curve(self, kind: str) -> list[dict[str, Any]]:
        """The same with one line a step, by step: where a run went back and took a step again,
        the later one stands."""
        lines = {line["step"]: line for line in self.metrics(kind)}
        return [lines[step] for step in sorted(lines)]

    def open_groups(self, phase: str, step: int) -> Iterator[OpenGroup]:
        """The groups that were not settled before `step`, by ordinal, with the latest life's
        trajectory of each sample that has one. Only one group is in memory."""
        after = -1
        while groups := self._rows(
            "groups",
            """SELECT * FROM groups WHERE phase = ? AND ordinal > ?
               AND (settled IS NULL OR settled >= ?) ORDER BY ordinal LIMIT ?""",
            (phase, after, step, PAGE),
        ):
            after = groups[-1][1]
            for row in groups:
                yield OpenGroup(ordinal=row[1], task=self._task(row), stored=self._latest(row))

    def _latest(self, group: tuple[Any, ...]) -> tuple[Stored, ...]:
        phase, ordinal = group[:2]
        rows = self._with_fates(
            phase,
            """SELECT * FROM trajectories WHERE phase = ? AND ordinal = ? AND size > 0
               ORDER BY sample, life""",
            (phase, ordinal),
        )
        latest = {row[2]: row for row in rows}
        return tuple(map(self._stored, latest.values()))

    def next_group(self, phase: str) -> int:
        """The first ordinal that no group of the phase has."""
        (last,) = self._one("SELECT max(ordinal) FROM groups WHERE phase = ?", (phase,))
        return 0 if last is None else last + 1

    def versions(self) -> list[tuple[int, int | None, int]]:
        """(version, parent, step) of every policy version."""
        return self._rows("versions", "SELECT * FROM versions ORDER BY version")

    def _run(self) -> tuple[str, str, str, int]:
        rows = self._rows("run", "SELECT * FROM run")
        if not rows:
            raise StoreError(f"{self.path} is a run store without a run in it")
        row: tuple[str, str, str, int] = rows[0]
        return row

    def _one(self, sql: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._all(sql, parameters)[0]
        return row

    def _rows(
        self, table: str, sql: str, parameters: tuple[object, ...] = (), *, skip: int = 0
    ) -> list[Any]:
        """Whole rows of a table, checked and without their seals; `skip` columns come before."""
        rows = self._all(sql, parameters)
        for row in rows:
            if seal(*row[skip:-1]) != row[-1]:
                name = "/".join(str(value) for value in row[skip : skip + 3])[:80]
                raise self._damaged(f"the row {name} of {table} is not what was written")
        return [row[:-1] for row in rows]

    def _all(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        try:
            if not self._known:
                check_version(self._connection, self.path, may_be_empty=False)
                self._known = True
            return self._connection.execute(sql, parameters).fetchall()
        except UNREADABLE as error:
            raise StoreError(f"cannot read the run store {self.path}: {error}") from error

    def _decoded(self, decode: Callable[[Any], T], value: Any, place: str) -> T:
        try:
            return decode(value)
        except (ValueError, TypeError, msgspec.MsgspecError, RecursionError) as error:
            raise self._damaged(f"{place}: {error}") from error

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"the run store {self.path} is damaged: {what}. Put it back from a copy; "
            f"`sqlite3 {self.path.name} .recover` saves what is whole"
        )


@contextmanager
def open_reader(path: Path) -> Generator[Reader]:
    """Read a run store, also while it is being written."""
    if not path.exists():
        raise StoreError(f"there is no run store at {path}; is this a run directory?")
    try:
        # As a URI the path is quoted; by hand, a "?" or "#" in it would name another file.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{_mode(path)}", uri=True)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the run store {path}: {error}") from error
    try:
        reader = Reader(path, connection)
        try:
            yield reader
        finally:
            reader._records.close()
    finally:
        connection.close()


def _place(row: tuple[Any, ...]) -> str:
    phase, ordinal, sample = row[:3]
    return f"trajectory {phase}/{ordinal}/{sample}"


def _mode(path: Path) -> str:
    """How to open the file. A store in WAL mode wants to make two files beside it even to be read;
    on a read-only disk it cannot, but nobody can write there either."""
    log = path.with_name(f"{path.name}-wal")
    quiet = not log.exists() or log.stat().st_size == 0
    return "immutable=1" if quiet and not os.access(path.parent, os.W_OK) else "mode=ro"
