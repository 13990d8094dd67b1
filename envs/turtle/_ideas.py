"""Which facts a text speaks of, by the ideas that they are known by.

A fact is a few groups of stems, the first of which is its key. A text says the whole of a fact when
it has a stem of every group. A stem of a lexicon is a number whose bits are the groups that it
stands for, so a text is one number too, and hearing it costs a look-up a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import count

from msgspec import Struct

from .._hearing import stem
from ._words import SMALL, denies

STORY_CHARS = 6000
"""How much of a story a judge reads. Bounds the work that any text can cause."""

_PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_END = re.compile(r"[.!?;\n]")
_TURNS = frozenset(["but", "yet"])
"""Where what was denied ends, and with its sentence."""

_SCOPE = 5
"""How many words after a "not" it denies."""

Groups = Sequence[frozenset[str]]


class Fact(Struct, frozen=True, gc=False):
    """The bits of a fact's groups, and of its key alone."""

    bits: int
    key: int

    def hits(self, heard: int) -> int:
        """How many of its groups were heard."""
        return (self.bits & heard).bit_count()

    def share(self, heard: int) -> float:
        """How much of it was heard, from 0 to 1."""
        return (self.bits & heard).bit_count() / self.bits.bit_count()


class Lexicon:
    """What the words of one situation mean. Immutable: dialogues share it.

    points:  for each point of the rubric the facts that could fill it.
    plain:   stems that are known, and stand for no fact.
    yes, no: stems of questions whose answer is the same in all its stories.
    """

    def __init__(
        self,
        points: Sequence[Sequence[Groups]],
        *,
        plain: Collection[str] = (),
        yes: Collection[str] = (),
        no: Collection[str] = (),
    ) -> None:
        self.bits: dict[str, int] = {}
        free = count()
        self.points: list[list[Fact]] = [
            [self._fact(groups, free) for groups in facts] for facts in points
        ]
        self.plain: frozenset[str] = frozenset(plain) | SMALL
        self.yes: frozenset[str] = frozenset(yes)
        self.no: frozenset[str] = frozenset(no)

    def _fact(self, groups: Groups, free: count[int]) -> Fact:
        bits = [1 << next(free) for _ in groups]
        for bit, group in zip(bits, groups, strict=True):
            for one in group:
                self.bits[one] = self.bits.get(one, 0) | bit
        return Fact(sum(bits), bits[0])

    def told(self, story: str) -> int:
        """The groups that a story speaks of, without what it denies."""
        told = 0
        # A denial ends with its sentence.
        for sentence in _END.split(story[:STORY_CHARS].casefold().replace("\u2019", "'")):
            told |= _told(self, sentence)
        return told


@lru_cache(maxsize=1024)
def _told(known: Lexicon, sentence: str) -> int:
    # The stories of a situation are made of the same sentences, and so is what is told of them.
    told = denied = 0
    for piece in _PIECE.findall(sentence):
        if piece in _TURNS:
            denied = 0
        elif denies(piece):
            denied = _SCOPE
        elif denied:
            denied -= 1
        else:
            told |= known.bits.get(stem(piece.removesuffix("'s")), 0)
    return told
