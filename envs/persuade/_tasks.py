"""Tasks: claims of our own with what speaks against them, or the official statements unmodified.

A task's data is a claim, the argument that its holder starts with, and the considerations that
could change that mind. The official statements have the first two only: what moves their holders
is drawn from general considerations by the text of the claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import OFFICIAL, check_row, json_records, parquet_rows
from ._claims import Against, claims
from ._considerations import THEMES, Consideration, general
from ._stance import LAST


class Opinion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A claim that someone strongly agrees with, and what could change their mind."""

    claim: Annotated[str, Meta(min_length=1)]
    argument: str = ""
    considerations: tuple[Consideration, ...] = ()
    prompt: tuple[Message, ...] = ()
    """The opening messages of an official row."""


class _Row(Struct):
    id: Annotated[str, Meta(min_length=1)]
    claim: Annotated[str, Meta(min_length=1)]
    argument: str


def opinion(task: Task) -> Opinion:
    """The task's data, checked; `UsageError` says what is wrong with it.

    An opinion without considerations comes back with the general ones that its claim draws.
    """
    try:
        held = msgspec.convert(task.data, Opinion)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the persuade gym: {error}") from error
    if not held.considerations:
        return msgspec.structs.replace(held, considerations=general(held.claim))
    levels = sum(consideration.levels for consideration in held.considerations)
    if levels != LAST:
        raise UsageError(
            f"task {task.id!r}: the considerations' levels sum to {levels}, not {LAST}: "
            "together they are to move from one end to the other"
        )
    return held


# ---- our own

SPLITS = ("train", "test")

_SHARES = ((3, 2, 1), (2, 2, 2), (3, 1, 1, 1), (2, 2, 1, 1))
"""How many levels each of the considerations that count is worth; the sums are all `LAST`."""


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed.

    Drawn are the claim, one of its arguments, and which considerations count for how much. A
    claim belongs to one split: no claim, argument or consideration of one is ever in the other.
    """
    return _generate(_known(split), seed)


def generate_general(split: str, seed: Seed) -> Iterator[Task]:
    """The same, but what counts are general considerations: cost, health, fairness and so on.

    They are the same in both splits: what is learned of one claim's holder holds for another's.
    """
    return _generate(_known(split), seed / "general", shared=True)


def _known(split: str) -> str:
    if split not in SPLITS:
        raise UsageError(f"the persuade gym has no split {split!r}; use one of {list(SPLITS)}")
    return split


_GENERAL = tuple(Against(hint, point, words) for hint, point, words in THEMES)


def _generate(split: str, seed: Seed, *, shared: bool = False) -> Iterator[Task]:
    rng = (seed / "persuade" / split).random()
    while True:
        written = rng.choice(claims(split))
        shares = rng.choice(_SHARES)
        held = Opinion(
            claim=written.text,
            argument=rng.choice(written.arguments),
            considerations=tuple(
                Consideration(against.point, against.hint, levels, against.words)
                for against, levels in zip(
                    rng.sample(_GENERAL if shared else written.against, len(shares)),
                    shares,
                    strict=True,
                )
            ),
        )
        raw = msgspec.json.encode(held)
        name = f"{split}-{blake2b(raw, digest_size=8).hexdigest()}"
        yield Task(env="persuade", id=name, split=split, data=msgspec.json.decode(raw))


# ---- official


def read(path: Path) -> list[Task]:
    """The tasks of a file in the official layout, in its order, with their own ids.

    A JSON file is a list of `{id, claim, argument}`; its split is `test` when the file's name says
    so, else `train`. The rows of a parquet file bring claim, argument, split and prompt. Raises
    `UsageError`, which names the file, the row (from 0), the field and what is wrong with it.

    Of the official rows every test claim is in train too: see `shared_claims`.
    """
    if path.suffix == ".parquet":
        return _read_rows(path)
    split = "test" if "test" in path.stem.lower() else "train"
    return [
        Task(
            env="persuade",
            id=row.id,
            split=split,
            data={"claim": row.claim, "argument": row.argument},
        )
        for row, _ in json_records(path, _Row)
    ]


def _read_rows(path: Path) -> list[Task]:
    tasks: list[Task] = []
    for row in parquet_rows(path, OFFICIAL["persuade"]):
        with check_row(path, row.index):
            found = msgspec.convert(row.kwargs, _Row)
        data = {
            "claim": found.claim,
            "argument": found.argument,
            "prompt": msgspec.to_builtins(row.prompt),
        }
        tasks.append(Task(env="persuade", id=row.id, split=row.split, data=data))
    return tasks


def shared_claims(tasks: Iterable[Task]) -> set[str]:
    """The claims that occur in more than one split: leave them out of one for an honest test."""
    splits: dict[str, set[str]] = {}
    for task in tasks:
        splits.setdefault(opinion(task).claim, set()).add(task.split)
    return {claim for claim, found in splits.items() if len(found) > 1}
