"""Tasks: generated in a small world of our own, or read from the official files unmodified.

Both have one layout, the official one. A generated task adds its domain, what the opening line
gave away, and the value behind each missing detail.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import Row, json_records, read_rows
from ._world import DOMAINS, INQUIRIES, TIERS, USUAL_DOMAINS, VALUES

Importance = Literal["1", "2", "3"]


class Detail(Struct, frozen=True):
    """Something that the vague wish leaves open. `value` is what a generated task's user wants;
    of an official detail the user wants one of the `options`."""

    description: Annotated[str, Meta(min_length=1)]
    importance: Importance
    inquiry: str
    options: Annotated[tuple[str, ...], Meta(min_length=1)]
    value: str = ""


class Wish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A vague wish and what it leaves open: the data of a task."""

    category: str
    task: Annotated[str, Meta(min_length=1)]
    missing_details: Annotated[tuple[Detail, ...], Meta(min_length=1)]
    domain: str = ""
    shown: tuple[tuple[str, str], ...] = ()
    """Topics that the opening line gives away, with their values."""
    prompt: tuple[Message, ...] = ()
    """The opening messages of an official row."""


class _Row(Wish, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1)]


def wish(task: Task) -> Wish:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        wanted = msgspec.convert(task.data, Wish)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the intention gym: {error}") from error
    if wanted.domain:
        _check_generated(task.id, wanted)
    return wanted


def _check_generated(name: str, wanted: Wish) -> None:
    if wanted.domain not in DOMAINS:
        raise UsageError(f"task {name!r}: domain {wanted.domain!r} is not in {list(DOMAINS)}")
    for topic in [d.description for d in wanted.missing_details] + [t for t, _ in wanted.shown]:
        if topic not in DOMAINS[wanted.domain].topics:
            raise UsageError(f"task {name!r}: {topic!r} is no topic of domain {wanted.domain!r}")


# ---- generated

SPLITS = ("train", "test")
_TEST_SHARE = 8
"""One content in so many belongs to the test split."""

_HIDE = (3, 4)
_REVEAL = (1, 2)
_HIDE_WEIGHT = {3: 16.0, 2: 2.5, 1: 0.2}
_REVEAL_WEIGHT = {3: 30.0, 2: 1.0, 1: 0.2}
_TYPICAL = 0.8
"""How often a detail matters exactly as much as its topic usually does."""

_OPENINGS = (
    "I need {}.",
    "Help me find {}.",
    "I am looking for {}.",
    "Can you find me {}?",
)
_REVEALS = (" The {t} is {v}.", " {v} for the {t}.", " About the {t}: {v}.")


def generate(split: str, seed: Seed, *, domains: int = USUAL_DOMAINS) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed.

    A task belongs to a split by its content: the domain, what is shown and what is missing, the
    values and how much each matters. So the splits share no content whatever the seeds, and a
    task that differs only in its wording stays in its split. `domains` widens the world (of 8).
    """
    if split not in SPLITS:
        raise UsageError(f"the intention gym has no split {split!r}; use one of {list(SPLITS)}")
    if not 1 <= domains <= len(DOMAINS):
        raise UsageError(f"domains is {domains}; the world has 1 to {len(DOMAINS)}")
    return _generate(split, seed, list(DOMAINS)[:domains])


def _generate(split: str, seed: Seed, domains: Sequence[str]) -> Iterator[Task]:
    rng = (seed / "intention" / split).random()
    while True:
        made = _draw_wish(rng, domains)
        if _split_of(made) == split:
            raw = msgspec.json.encode(made)
            name = f"{made.domain}-{blake2b(raw, digest_size=8).hexdigest()}"
            yield Task(env="intention", id=name, split=split, data=msgspec.json.decode(raw))


def _draw_wish(rng: Random, domains: Sequence[str]) -> Wish:
    domain = rng.choice(domains)
    topics = DOMAINS[domain].topics
    tiers = dict(zip(topics, TIERS, strict=True))
    value = {topic: rng.choice(VALUES[topic]) for topic in topics}
    shown = _draw(rng, topics, rng.randint(*_REVEAL), tiers, _REVEAL_WEIGHT)
    unsaid = [topic for topic in topics if topic not in shown]
    missing = _draw(rng, unsaid, rng.randint(*_HIDE), tiers, _HIDE_WEIGHT)
    opening = rng.choice(_OPENINGS).format(rng.choice(DOMAINS[domain].nouns))
    return Wish(
        category=domain,
        task=opening + "".join(rng.choice(_REVEALS).format(t=t, v=value[t]) for t in shown),
        missing_details=tuple(
            Detail(t, _importance(rng, tiers[t]), INQUIRIES[t], VALUES[t], value[t])
            for t in missing
        ),
        domain=domain,
        shown=tuple((t, value[t]) for t in shown),
    )


def _draw(
    rng: Random,
    pool: Collection[str],
    count: int,
    tiers: Mapping[str, int],
    weight: Mapping[int, float],
) -> list[str]:
    """`count` different topics, likelier the more their tier weighs."""
    left = list(pool)
    drawn: list[str] = []
    for _ in range(count):
        topic = rng.choices(left, [weight[tiers[t]] for t in left])[0]
        left.remove(topic)
        drawn.append(topic)
    return drawn


_NEAR: dict[int, tuple[Importance, ...]] = {1: ("2",), 2: ("1", "3"), 3: ("2",)}
_EXACT: dict[int, Importance] = {1: "1", 2: "2", 3: "3"}


def _importance(rng: Random, tier: int) -> Importance:
    return _EXACT[tier] if rng.random() < _TYPICAL else rng.choice(_NEAR[tier])


def _split_of(made: Wish) -> str:
    content = (
        made.domain,
        sorted(made.shown),
        sorted((d.description, d.value, d.importance) for d in made.missing_details),
    )
    digest = blake2b(repr(content).encode(), digest_size=8).digest()
    return "train" if int.from_bytes(digest, "little") % _TEST_SHARE else "test"


# ---- official


FILES = ("all_intentions_train.json", "all_intentions_test.json")


def read(path: Path) -> list[Task]:
    """The tasks of a file in the official layout, in its order, with their own ids.

    A JSON file holds the details; its split is `test` when the file's name says so, else `train`.
    The rows of a parquet file name tasks of the two JSON files, which are looked for beside the
    file and above it, and bring their own splits and prompts. `UsageError` names the file, the row
    (from 0), the field and what is wrong with it.
    """
    if path.suffix == ".parquet":
        # The two files share no id, and where one did, a row of the test set would mean the test's.
        return read_rows(path, "intention", FILES, _records, _check)
    split = "test" if "test" in path.stem.lower() else "train"
    return [
        Task(env="intention", id=name, split=split, data=data)
        for name, data in _records(path).items()
    ]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a JSON file by id, as they stand but for the id."""
    records: dict[str, dict[str, Any]] = {}
    for row, plain in json_records(path, _Row):
        del plain["id"]
        records[row.id] = plain
    return records


def _check(row: Row, data: dict[str, Any], _: str) -> None:
    if row.kwargs.get("task", data["task"]) != data["task"]:
        raise ValueError(f"create_kwargs.task: not the task of {row.id!r} in the JSON file")
