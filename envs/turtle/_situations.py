"""The situations that stories are made of: a surface, and the facts that may lie behind it.

One surface has many stories (`train.toml`, `test.toml`), so that it cannot be solved without
asking, nor learnt by heart. What a fact is known by is compiled once for all dialogues.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from .._hearing import stems
from ._ideas import Lexicon

Slot = Annotated[tuple[tuple[str, str], ...], Meta(min_length=1)]
"""The facts of which a story has one: a clause each, and the ideas that it is known by."""


class Situation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may lie behind one surface.

    weights: what each slot's fact is worth; they sum to 1.
    yes, no: questions that every story of the situation answers alike, as words.
    fixed:   there is one story: the first fact of each slot.
    """

    name: str
    title: str
    surface: str
    weights: tuple[float, ...]
    slots: tuple[Slot, ...]
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    fixed: bool = False

    def truths(self) -> Iterator[tuple[int, ...]]:
        """The stories that there are, each by the number of its fact in every slot."""
        choices = [range(1 if self.fixed else len(slot)) for slot in self.slots]
        return product(*choices)

    def has(self, truth: Sequence[int]) -> bool:
        """Whether that is one of `truths`."""
        return len(truth) == len(self.slots) and all(
            0 <= fact < (1 if self.fixed else len(slot))
            for fact, slot in zip(truth, self.slots, strict=True)
        )

    def clause(self, slot: int, fact: int) -> str:
        return self.slots[slot][fact][0]


@cache
def situations(split: str) -> Mapping[str, Situation]:
    """The situations of a split, by name."""
    text = Path(__file__).with_name(f"{split}.toml").read_text(encoding="utf-8")
    found = msgspec.convert(tomllib.loads(text)["situation"], list[Situation])
    return {one.name: one for one in found}


def situation(name: str) -> Situation | None:
    """The situation of that name, whatever its split."""
    return situations("train").get(name) or situations("test").get(name)


@cache
def lexicon(name: str) -> Lexicon:
    """What the words of a situation mean. Immutable: its dialogues share it."""
    here = situation(name)
    assert here is not None, name
    points = [[_groups(ideas) for _, ideas in slot] for slot in here.slots]
    clauses = " ".join(clause for slot in here.slots for clause, _ in slot)
    return Lexicon(
        points,
        plain=stems(f"{here.title} {here.surface} {clauses}"),
        yes=_stems(here.yes),
        no=_stems((*here.no, _NEVER)),
    )


_NEVER = "ghost magic magical supernatural curse alien dream dreaming zombie vampire spirit demon"
"""What explains none of our stories."""


def _groups(ideas: str) -> Sequence[frozenset[str]]:
    return [frozenset(stems(group)) for group in ideas.split(";")]


def _stems(lines: Sequence[str]) -> frozenset[str]:
    return frozenset(stem for line in lines for stem in stems(line))
