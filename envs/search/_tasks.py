"""Tasks: questions of several steps about our invented worlds, or the official ones, unmodified.

Both have the layout of an official record. One of ours adds its world and the steps that lead to the
answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import Row, json_records, read_rows
from ._relations import Relation, called, chained, relations_of, wording
from ._world import SPLITS, Thing, World, world

Text = Annotated[str, Meta(min_length=1)]

LONGEST = 4
"""Steps of a question at most; two at least."""


class Hop(Struct, frozen=True):
    """One step towards the answer: a question that one article answers."""

    ask: Text
    value: Text


class Question(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of a task: a question and its answer.

    world:  of our own questions the split whose articles answer it.
    hops:   the steps of one of our own; the last one's value is the answer.
    prompt: the opening messages of an official row.
    """

    question: Text
    answer: Text
    id: str = ""
    world: Literal["", "train", "test"] = ""
    hops: tuple[Hop, ...] = ()
    prompt: tuple[Message, ...] = ()


def question(task: Task) -> Question:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        return msgspec.convert(task.data, Question)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the search gym: {error}") from error


# ---- generated


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed. The splits are about different worlds,
    which share no name."""
    if split not in SPLITS:
        raise UsageError(f"the search gym has no split {split!r}; use one of {list(SPLITS)}")
    return _generate(world(split), seed / "search" / split)


_STARTS = ("company", "work", "work", "voyage", "ship", "region")


def _generate(here: World, seed: Seed) -> Iterator[Task]:
    rng = seed.random()
    things = {kind: here.of(kind) for kind in dict.fromkeys(_STARTS)}
    while True:
        start = rng.choice(things[rng.choice(_STARTS)])
        walk = walked(here, start, rng.randint(2, LONGEST), rng)
        if walk is not None:
            yield compose(here, start, walk)


Walk = tuple[tuple[Relation, str], ...]


def walked(here: World, start: Thing, length: int, rng: Random) -> Walk | None:
    """Relations to follow from `start`, with their values; None where the way ends too early.

    No value comes twice, so that nothing in a question is a detour back.
    """
    kind, name = start.kind, start.name
    seen = {name}
    walk: list[tuple[Relation, str]] = []
    while len(walk) < length:
        last = len(walk) == length - 1
        ways = [
            (relation, value)
            for relation, value in relations_of(here, kind, name)
            if value not in seen and (last or _goes_on(here, relation, value))
        ]
        if not ways:
            return None
        relation, value = rng.choice(ways)
        walk.append((relation, value))
        seen.add(value)
        kind, name = relation.gives, value
    return tuple(walk)


def _goes_on(here: World, relation: Relation, value: str) -> bool:
    return bool(relation.calls) and bool(relations_of(here, relation.gives, value))


def compose(here: World, start: Thing, walk: Walk) -> Task:
    """The task of a walk. Its id is its content; its wording is always the same."""
    names = [relation.name for relation, _ in walk]
    name = "-".join([here.split, start.name, *names]).lower().replace(" ", "-")
    rng = (Seed(7) / "search" / name).random()
    hops: list[Hop] = []
    thing: Thing | None = start
    phrase = called(start)
    for relation, value in walk:
        hops.append(Hop(wording(relation, relation.asks[0], phrase, thing), value))
        thing = here.things.get(value)
        phrase = value if thing is None else called(thing)
    made = Question(
        question=chained(start, [relation for relation, _ in walk], rng),
        answer=walk[-1][1],
        world="train" if here.split == "train" else "test",
        hops=tuple(hops),
    )
    data = msgspec.json.decode(msgspec.json.encode(made))
    return Task(env="search", id=name, split=here.split, data=data)


# ---- official

FILE = "questions.json"


class _Record(Struct):
    id: Text
    question: Text
    answer: Text


def read(path: Path) -> list[Task]:
    """The tasks of a file in the official layout, in its order.

    A JSON file is a list of questions, all of them for testing. The rows of a parquet file name
    questions of the JSON file, which is looked for beside the file and above it, and bring their own
    prompts. `UsageError` names the file, the row (from 0), the field and what is wrong with it.
    """
    if path.suffix == ".parquet":
        return read_rows(path, "search", [FILE], _records, _check)
    return [
        Task(env="search", id=name, split="test", data=data)
        for name, data in _records(path).items()
    ]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    return {record.id: data for record, data in json_records(path, _Record)}


def _check(row: Row, data: dict[str, Any], source: str) -> None:
    if row.ground_truth != data["answer"]:
        raise ValueError(f"ground_truth: not that of {row.id!r} in {source}")
