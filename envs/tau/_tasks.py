"""Tasks: a customer, what it wants, and what should then be in the database.

Ours are a customer of one of our worlds with goals as a plain structure. An official one is a text
of instructions, and its database lies in a checkout of tau-bench.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Task, UsageError
from .._rows import OFFICIAL, Row, check_row, json_records, official_file, parquet_rows
from ._air import airline
from ._checkout import checkout_domain
from ._shop import shop
from ._tools import Domain

WORLDS = 12
"""Worlds of each split and domain."""

Text = Annotated[str, Meta(min_length=1)]


class Call(Struct, frozen=True):
    """A tool call, as the official records write it."""

    name: Text
    kwargs: dict[str, Any] = {}


class Goal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a customer of ours wants.

    ask:      what it says of it unasked, one way of several.
    facts:    what it says when it is asked: by topic (see `_ears`).
    looks:    what an agent has to look at, and `calls` what it has to do.
    outputs:  numbers that the agent has to say.
    right, wrong: words that a proposal must have, when it has one of the others.
    why:      what the rules have against it; "" when they have nothing.
    fallback: what the customer wants when it is refused; "" when it leaves it at that.
    """

    kind: Text
    ask: Annotated[tuple[Text, ...], Meta(min_length=1)]
    facts: dict[str, str] = {}
    looks: tuple[Call, ...] = ()
    calls: tuple[Call, ...] = ()
    outputs: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    why: str = ""
    fallback: str = ""


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of a task.

    world:       the number of one of our worlds; None is the database of tau-bench.
    opening:     the customer's first line.
    instruction: the customer's part in words, for a user that is a model.
    facts:       what it says of itself when it is asked.
    actions:     what the database should have been through in the end.
    outputs:     what the agent should have said.
    """

    domain: Literal["retail", "airline"]
    user_id: Text
    opening: Text
    instruction: Text
    world: Annotated[int, Meta(ge=0, lt=WORLDS)] | None = None
    split: Literal["train", "test"] = "train"
    facts: dict[str, str] = {}
    goals: tuple[Goal, ...] = ()
    actions: tuple[Call, ...] = ()
    outputs: tuple[str, ...] = ()
    prompt: tuple[Message, ...] = ()
    """The opening messages of an official row."""


def case(task: Task) -> Case:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        found = msgspec.convert(task.data, Case)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the tau gym: {error}") from error
    if found.world is not None and not found.goals:
        raise UsageError(f"task {task.id!r}: a customer of ours needs goals")
    return found


def domain_of(found: Case, tau_bench: str | Path | None) -> Domain:
    """The tables, tools and policy that a task is about. Raises `UsageError`."""
    if found.world is not None:
        make = shop if found.domain == "retail" else airline
        return make(found.split, found.world)
    if not tau_bench:
        raise UsageError(
            "this task is tau-bench's, and so is its database; name a checkout of "
            "sierra-research/tau-bench (option tau_bench, of the official class too)"
        )
    return checkout_domain(tau_bench, found.domain)


# ---- official files


class _Official(Struct):
    user_id: Text
    instruction: Text
    actions: tuple[Call, ...]
    outputs: tuple[str, ...]


class _Info(Struct):
    task: _Official


class _Record(Struct):
    id: Text
    obs: Text
    info: _Info


def read(path: Path) -> Iterator[Task]:
    """Tasks of an official file: `tau_train.json`, `tau_test.json`, or parquet rows, which name
    records of those. Raises `UsageError` that names the file, the row and the field."""
    if path.suffix == ".parquet":
        yield from _read_rows(path)
        return
    for i, (record, _) in enumerate(json_records(path, _Record)):
        with check_row(path, i):
            yield _task(record)


def official(record: dict[str, Any]) -> Task:
    """The task of one official record. Raises `UsageError`."""
    try:
        return _task(msgspec.convert(record, _Record))
    except msgspec.ValidationError as error:
        raise UsageError(f"that is no record of the tau gym: {error}") from error


def _read_rows(path: Path) -> Iterator[Task]:
    known: dict[str, dict[str, _Record]] = {}
    for row in parquet_rows(path, OFFICIAL["tau"]):
        split = "train" if "train" in row.id else "test"
        if split not in known:
            source = official_file(path, f"tau_{split}.json")
            known[split] = {record.id: record for record, _ in json_records(source, _Record)}
        with check_row(path, row.index):
            yield _task(_named(known[split], row), row)


def _named(known: Mapping[str, _Record], row: Row) -> _Record:
    if row.id not in known:
        raise ValueError(f"id: no record is called {row.id!r}")
    return known[row.id]


def _task(record: _Record, row: Row | None = None) -> Task:
    # As released, an id says which domain and which split it is of.
    split: Literal["train", "test"] = "train" if "train" in record.id else "test"
    official = record.info.task
    found = Case(
        domain="retail" if "retail" in record.id else "airline",
        user_id=official.user_id,
        opening=record.obs,
        instruction=official.instruction,
        split=split,
        actions=official.actions,
        outputs=official.outputs,
        prompt=row.prompt if row else (),
    )
    return Task(env="tau", id=record.id, split=split, data=msgspec.to_builtins(found))
