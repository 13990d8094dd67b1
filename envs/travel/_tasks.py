"""Tasks: generated in the official layout, or read from the official files unmodified.

A trip has two to four aspects (`dimensions`). Of each the traveller has so many preferences, and
there is a list of options: those that fit (the cheapest of them is the best), and those that do
not, or are of another day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ...engine import Message, Task, UsageError
from .._rows import OFFICIAL, check_row, join_rows, official_file, parquet_rows
from ._world import INITIALS

SHAPES = ("22", "33", "44", "233", "333", "334", "444", "2222")
"""How many preferences each aspect of a trip has: the official levels of difficulty."""


class Preference(Struct, frozen=True, kw_only=True):
    """What the traveller wants and does not say outright.

    text: the preference in plain words; no agent sees it.
    hint: what the traveller says instead.
    """

    id: str
    aspect: str
    topic: str
    text: str
    hint: str


class Options(Struct, frozen=True):
    """What the database holds on an aspect."""

    correct: tuple[dict[str, Any], ...] = ()
    wrong: tuple[dict[str, Any], ...] = ()
    noise: tuple[dict[str, Any], ...] = ()


class Part(Struct, frozen=True, kw_only=True):
    """One aspect of a trip: a record of the official files."""

    preferences: tuple[tuple[Any, ...], ...]
    options: Options
    arguments: dict[str, Any]
    best_id: str
    correct_ids: tuple[str, ...]


class _Head(Struct, frozen=True, kw_only=True):
    dimensions: tuple[str, ...]
    initial_description: str
    scenario: str = ""
    wanted_num: tuple[int, ...] = ()
    generated: bool = False
    prompt: tuple[Message, ...] = ()


class Trip(Struct, frozen=True, kw_only=True):
    """A task's data, checked.

    preferences: of all aspects in order, called P1, P2 and so on.
    generated:   the topics are those of our own world.
    prompt:      the opening messages of an official row.
    """

    scenario: str
    opening: str
    parts: dict[str, Part]
    preferences: tuple[Preference, ...]
    generated: bool
    prompt: tuple[Message, ...]


def trip(task: Task) -> Trip:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        return _trip(task.data)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"task {task.id!r} is no task of the travel gym: {error}") from error


def _trip(data: Any) -> Trip:
    head = msgspec.convert(data, _Head)
    if not head.dimensions or len(set(head.dimensions)) < len(head.dimensions):
        raise ValueError(f"dimensions: {list(head.dimensions)} are not some different aspects")
    parts: dict[str, Part] = {}
    wanted: list[Preference] = []
    for aspect in head.dimensions:
        if aspect not in INITIALS:
            raise ValueError(f"dimensions: {aspect!r} is not one of {list(INITIALS)}")
        if aspect not in data:
            raise ValueError(f"{aspect}: it is missing")
        part = parts[aspect] = msgspec.convert(data[aspect], Part)
        _check_options(aspect, part)
        for row in part.preferences:
            # As released: shorter rows are no preferences, longer ones have notes.
            if len(row) >= 4:
                owner, topic, text, hint = map(str, row[:4])
                wanted.append(
                    Preference(
                        id=f"P{len(wanted) + 1}", aspect=owner, topic=topic, text=text, hint=hint
                    )
                )
    return Trip(
        scenario=head.scenario,
        opening=head.initial_description,
        parts=parts,
        preferences=tuple(wanted),
        generated=head.generated,
        prompt=head.prompt,
    )


def _check_options(aspect: str, part: Part) -> None:
    if part.best_id not in part.correct_ids:
        raise ValueError(f"{aspect}: best_id {part.best_id!r} is not among the correct ids")
    for option in listed(part):
        if not str(option.get("id", "")):
            raise ValueError(f"{aspect}: an option has no id")


def listed(part: Part) -> list[dict[str, Any]]:
    """All the options of an aspect, right ones first."""
    options = part.options
    return [*options.correct, *options.wrong, *options.noise]


# ---- official


def shape_of(name: str) -> str:
    """The shape of an official id: `flight:3-124|hotel:2-37` is 23."""
    counts: list[str] = []
    for part in name.split("|"):
        aspect, colon, rest = part.partition(":")
        count, dash, _ = rest.partition("-")
        if aspect not in INITIALS or not colon or not dash or not count.isdecimal():
            raise ValueError(f"id: {name!r} does not read aspect:count-number|...")
        counts.append(count)
    return "".join(sorted(counts))


def read(path: Path) -> list[Task]:
    """The tasks of a file in the official layout, in its order, with their own ids.

    A JSON file is an object of records by id; its split is `test` when its name says so, else
    `train`. The rows of a parquet file name tasks of the files `travelgym_data_<shape>.json`, which
    are looked for beside the file and above it, and bring their own splits and prompts.
    `UsageError` names the file, the row and what is wrong with it.
    """
    if path.suffix == ".parquet":
        return _read_rows(path)
    split = "test" if "test" in path.stem.lower() else "train"
    tasks: list[Task] = []
    for i, (name, data) in enumerate(_records(path).items()):
        task = Task(env="travel", id=name, split=split, data=data)
        with check_row(path, i):
            _trip(data)
        tasks.append(task)
    return tasks


def _records(path: Path) -> Mapping[str, dict[str, Any]]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON object of travel tasks: {error}") from error


def _read_rows(path: Path) -> list[Task]:
    rows = parquet_rows(path, OFFICIAL["travel"])
    shapes: dict[str, None] = {}
    for row in rows:
        with check_row(path, row.index):
            shapes[shape_of(row.id)] = None
    records: dict[str, dict[str, Any]] = {}
    for source in _sources(path, shapes):
        records.update(_records(source))
    absent = "is in no travelgym_data file"
    return join_rows(path, "travel", rows, records, lambda _, data: _trip(data), absent=absent)


def _sources(path: Path, shapes: Mapping[str, None]) -> Iterator[Path]:
    for shape in shapes:
        yield official_file(path, f"travelgym_data_{shape}.json")
