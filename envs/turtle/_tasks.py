"""Tasks: composed of our own situations, or read from the official files unmodified.

Both have the layout of an official record. One of ours adds its situation and which facts are true.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import Row, read_rows
from ._situations import Situation, situation, situations

Text = Annotated[str, Meta(min_length=1)]


class Point(Struct, frozen=True):
    """What a retold story is graded for, and its weight."""

    statement: Text
    score: Annotated[float, Meta(ge=0.0, le=1.0)]


class Story(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A strange surface, the story behind it, and what the retelling earns: the data of a task."""

    new_title: Text
    new_surface: str
    new_bottom: Text
    evaluation: Annotated[tuple[Point, ...], Meta(min_length=1)]
    situation: str = ""
    truth: tuple[int, ...] = ()
    """Of one of our own: for each slot of the situation the number of its true fact."""
    prompt: tuple[Message, ...] = ()
    """The opening messages of an official row."""

    def clauses(self) -> list[str]:
        """The true facts of one of our own; none of an official story."""
        here = situation(self.situation)
        if here is None:
            return []
        return [here.clause(slot, fact) for slot, fact in enumerate(self.truth)]


def story(task: Task) -> Story:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        told = msgspec.convert(task.data, Story)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the turtle gym: {error}") from error
    if told.situation:
        here = situation(told.situation)
        if here is None:
            raise UsageError(f"task {task.id!r}: there is no situation {told.situation!r}")
        if not here.has(told.truth) or len(told.evaluation) != len(here.slots):
            raise UsageError(f"task {task.id!r}: {told.situation!r} has no story {told.truth}")
    return told


# ---- composed

SPLITS = ("train", "test")


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed: each story of the split once, in an order
    that the seed draws, then all again in another. The splits share no situation and no fact."""
    if split not in SPLITS:
        raise UsageError(f"the turtle gym has no split {split!r}; use one of {list(SPLITS)}")
    return _generate(split, seed)


def _generate(split: str, seed: Seed) -> Iterator[Task]:
    rng = (seed / "turtle" / split).random()
    contents = [(here, truth) for here in situations(split).values() for truth in here.truths()]
    while True:
        rng.shuffle(contents)
        for here, truth in contents:
            yield compose(split, here, truth)


def compose(split: str, here: Situation, truth: tuple[int, ...]) -> Task:
    """The task of one story. Its id is its content: the situation and the numbers of its facts."""
    clauses = [here.clause(slot, fact) for slot, fact in enumerate(truth)]
    told = Story(
        new_title=here.title,
        new_surface=here.surface,
        new_bottom=" ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses),
        evaluation=tuple(
            Point(f"The story says that {clause}.", weight)
            for clause, weight in zip(clauses, here.weights, strict=True)
        ),
        situation=here.name,
        truth=truth,
    )
    name = f"{here.name}-{''.join(map(str, truth))}"
    return Task(
        env="turtle", id=name, split=split, data=msgspec.json.decode(msgspec.json.encode(told))
    )


# ---- official


FILE = "all_stories_refined.json"


def read(path: Path) -> list[Task]:
    """The tasks of a file in the official layout, in its order, named by their titles.

    A JSON file holds the stories; its split is `test` when the file's name says so, else `train`.
    The rows of a parquet file name stories of the JSON file, which is looked for beside the file
    and above it, and bring their own splits and prompts. `UsageError` names the file, the row
    (from 0), the field and what is wrong with it.
    """
    if path.suffix == ".parquet":
        return read_rows(path, "turtle", [FILE], _records, _check, named_by="title")
    split = "test" if "test" in path.stem.lower() else "train"
    return [
        Task(env="turtle", id=name, split=split, data=data) for name, data in _records(path).items()
    ]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a JSON object of stories by title, as they stand."""
    try:
        raws = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON object of stories: {error}") from error
    records: dict[str, dict[str, Any]] = {}
    for i, raw in enumerate(raws.values()):
        try:
            told = msgspec.json.decode(raw, type=Story)
            records_before = len(records)
            records[told.new_title] = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{path}, row {i}: {error}") from error
        if len(records) == records_before:
            raise UsageError(f"{path}, row {i}: there are two stories {told.new_title!r}")
    return records


def _check(row: Row, data: dict[str, Any], source: str) -> None:
    for name in ("surface", "bottom"):
        if row.kwargs.get(name, data[f"new_{name}"]) != data[f"new_{name}"]:
            raise ValueError(f"create_kwargs.{name}: not that of {row.id!r} in {source}")
