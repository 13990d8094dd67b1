"""Tasks: things of our own tables, or the official ones, unmodified. Both have one layout."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import Row, check_row, json_records, read_rows
from ._base import YES, Domain, Entity, domains, split_of
from ._memory import known_entity


class Target(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be guessed: the data of a task.

    title:         its name.
    description:   what the agent is told.
    target_entity: its name and a sentence about it.
    domain:        the domain of our tables, for a task of our own.
    id:            the record's name in the official file.
    prompt:        the opening messages of an official row; the gym's own without one.
    """

    title: Annotated[str, Meta(min_length=1)]
    description: Annotated[str, Meta(min_length=1)]
    target_entity: Annotated[str, Meta(min_length=1)]
    goal: str = ""
    category: str = ""
    domain: str = ""
    id: str = ""
    prompt: tuple[Message, ...] = ()

    @property
    def about(self) -> str:
        """The sentence about it, without its name."""
        return self.target_entity.removeprefix(self.title).lstrip(" -:")


def target(task: Task) -> Target:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        made = msgspec.convert(task.data, Target)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the telepathy gym: {error}") from error
    if made.domain:
        known(task.id, made)
    return made


def known(name: str, made: Target) -> tuple[Domain, Entity] | None:
    """What our tables know of the target; None for an official one that they do not hold."""
    if not made.domain:
        found = known_entity(made.title, made.category)
        return None if found is None else (domains()[found[0]], found[1])
    if made.domain not in domains():
        raise UsageError(f"task {name!r}: domain {made.domain!r} is not in {list(domains())}")
    domain = domains()[made.domain]
    entity = domain.called(made.title)
    if entity is None:
        raise UsageError(f"task {name!r}: {made.title!r} is nothing of domain {made.domain!r}")
    return domain, entity


# ---- generated

SPLITS = ("train", "test")

_ARTICLE = {
    "animal": "an animal",
    "food": "something to eat or drink",
    "object": "an object",
    "place": "a place",
    "profession": "a profession",
}
_OPENINGS = (
    "I am thinking of {}. Find out which, by questions that I can answer with yes or no.",
    "I have {} in mind. Ask me yes-or-no questions until you know.",
    "Guess what I think of: it is {}. I answer with yes, no or maybe.",
    "There is {} on my mind. Which one? I only say yes, no or maybe.",
)


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed: everything once, then all over again.

    A thing belongs to one split by its name, so no thing of one split is ever met in the other.
    """
    if split not in SPLITS:
        raise UsageError(f"the telepathy gym has no split {split!r}; use one of {list(SPLITS)}")
    return _generate(split, seed)


def _generate(split: str, seed: Seed) -> Iterator[Task]:
    rng = (seed / "telepathy" / split).random()
    pool = [
        (domain, entity)
        for domain in domains().values()
        for entity in domain.entities
        if split_of(entity.name) == split
    ]
    while True:
        for domain, entity in rng.sample(pool, len(pool)):
            yield _task(split, domain, entity, rng.choice(_OPENINGS))


def _task(split: str, domain: Domain, entity: Entity, opening: str) -> Task:
    what = _ARTICLE[domain.name]
    true = [
        attribute.tag
        for attribute, held in zip(domain.attributes, entity.facts, strict=True)
        if held == YES and not attribute.tag.startswith(("is_", "over_"))
    ]
    made = Target(
        title=entity.name,
        description=opening.format(what),
        goal=f"Guess which it is: {what}.",
        target_entity=f"{entity.name} - {what} ({', '.join(true)})",
        category=domain.name,
        domain=domain.name,
    )
    raw = msgspec.json.encode(made)
    # The name of a task is seen by many, and must not tell what it is about.
    name = f"tp-{blake2b(raw, digest_size=8).hexdigest()}"
    return Task(env="telepathy", id=name, split=split, data=msgspec.json.decode(raw))


# ---- official

FILE = "all_entities_refined.json"


def read(path: Path) -> list[Task]:
    """The tasks of an official file, in its order. Their ids are the titles, as the official rows
    name them; in `fixed` behaviour nothing that an agent sees shows a task's id.

    A JSON file holds the things; its split is `test` when the file's name says so, else `train`. The
    rows of a parquet file name things of `all_entities_refined.json`, which is looked for beside
    the file and above it, and bring their own prompts. `UsageError` names the file, the row (from
    0) and the field.
    """
    if path.suffix == ".parquet":
        return read_rows(path, "telepathy", [FILE], _records, _check, named_by="title")
    split = "test" if "test" in path.stem.lower() else "train"
    return [
        Task(env="telepathy", id=title, split=split, data=data)
        for title, data in _records(path).items()
    ]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The records of the JSON file as they stand, by title."""
    records: dict[str, dict[str, Any]] = {}
    for i, (record, plain) in enumerate(json_records(path, Target)):
        with check_row(path, i):
            if not record.id:
                raise ValueError("id: there is none")
            if record.title in records:
                raise ValueError(f"title {record.title!r} is that of an earlier row too")
            if record.domain:
                raise ValueError(f"domain {record.domain!r}: an official record has none")
        records[record.title] = plain
    return records


def _check(row: Row, data: dict[str, Any], source: str) -> None:
    if row.ground_truth != data["target_entity"]:
        raise ValueError(
            f"reward_model.ground_truth: {row.ground_truth!r} is not the entity in {source}"
        )
