"""What a rule-based user hears in a question: which attributes it asks about, and how.

A question is understood when every word that matters in it is: half understood, it would be
answered wrongly. Several attributes in one question are fine ("Is it a large animal that flies?"):
the answer is still one yes or no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from .._hearing import HEARD_CHARS, stem, words
from ._base import (
    MAYBE,
    NEGATIONS,
    NO,
    YES,
    Domain,
    compare,
    domains,
    elsewhere,
    is_filler,
    names,
    tokens,
)
from ._common import BIG, BIGGER, FITS, LARGE_AT, REFERENCES, SMALL, SMALL_AT, SMALLER


class Asked(NamedTuple):
    """One thing asked: the place of an attribute, or how the size compares when it is -1."""

    attribute: int
    negated: bool = False
    above: float = 0.0
    below: float = 0.0
    """For a size: between `below` and `above` the answer is maybe; bigger is yes."""


Kind = Literal["asked", "elsewhere", "guess", "name", "open", "many", "lost"]


class Heard(Struct, frozen=True):
    """What was made of a question.

    kind:    `asked` is understood; `elsewhere` asks what does not apply to such a thing; `guess`
             names a thing; `name` is after the spelling; `open` is no yes/no question; `many` asks
             too much; `lost` is everything else.
    asked:   what is asked, for `asked`.
    any:     one of them is enough.
    named:   the thing that a `guess` names; of a question about a text, its words.
    """

    kind: Kind
    asked: tuple[Asked, ...] = ()
    any: bool = False
    named: str = ""

    def verdict(self, facts: Sequence[int], size: float) -> int:
        """NO, MAYBE or YES for a thing with these facts."""
        held = [_holds(one, facts, size) for one in self.asked]
        return max(held) if self.any else min(held)

    @property
    def subject(self) -> str:
        """The same for every way of asking the same."""
        if self.asked:
            return f"{self.any}{sorted(self.asked)}"
        return f"{self.kind} {self.named}"


_MANY = 6
"""More attributes than this in one question are too much."""

_LONGEST = 5
"""Words in a phrase of the lexicon."""

_OPENERS = frozenset(words("""what which who where when why how tell name give reveal describe"""))
_SPELLING = frozenset(
    words(
        """spell spelled spelling spells syllable syllables rhyme rhymes vowel vowels alphabet letters
    initial initials hint clue"""
    )
)
_STARTS = frozenset(words("""start starts begin begins end ends starting beginning ending"""))


@lru_cache(maxsize=1 << 12)
def _hear(domain: str, question: str) -> Heard:
    # Dialogues of a group, and the epochs of a run, ask the same questions again and again.
    said = _asking(words(question))
    if not said:
        return Heard("lost")
    plain = set(said)
    if plain & _SPELLING or (plain & _STARTS and "with" in plain) or "letter" in plain:
        return Heard("name")
    world = domains()[domain]
    key = tokens(" ".join(said))
    if (whole := world.whole.get(key)) is not None:
        return Heard("asked", (Asked(whole),))
    bare = _bare(key)
    if bare not in elsewhere() and (named := names().get(bare)) is not None:
        return Heard("guess", named=named)
    found = _scan(world, said)
    asked = tuple(dict.fromkeys(found.asked))
    if said[0] in _OPENERS:
        return Heard("open")
    if found.lost:
        return Heard("guess" if found.named else "lost")
    if found.foreign or not asked:
        return Heard("elsewhere" if found.foreign else "lost")
    return Heard("many") if len(asked) > _MANY else Heard("asked", asked, "or" in plain)


_LEADS = frozenset(
    words(
        """let me ask tell i wonder if whether please ok okay first next question my now well so i'd
    like to know say then great thanks thank hmm hm alright sure"""
    )
)


def _asking(said: list[str]) -> list[str]:
    """The words of a question without what is said before it: "Tell me, is it ..."."""
    at = next((i for i, word in enumerate(said) if word not in _LEADS), len(said))
    return said[at:]


def hear(domain: Domain, question: str) -> Heard:
    """What is made of `question` by someone who thinks of a thing of the domain. Bounded in the
    length of the question, and never raises."""
    return _hear(domain.name, question[:HEARD_CHARS])


def _holds(asked: Asked, facts: Sequence[int], size: float) -> int:
    if asked.attribute >= 0:
        held = facts[asked.attribute]
    elif asked.below < size < asked.above:
        held = MAYBE
    elif asked.below == asked.above:
        held = compare(size, asked.above)
    else:
        held = YES if size >= asked.above else NO
    return YES - held if asked.negated else held


def _bare(key: tuple[str, ...]) -> tuple[str, ...]:
    """The key without what can be left out: what a plain guess consists of."""
    return tuple(token for token in key if not is_filler(token)) or key


class _Found:
    """What a walk over the words comes to."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.foreign = self.lost = self.named = False


def _scan(world: Domain, said: Sequence[str]) -> _Found:
    found = _Found()
    if world.sized and _hear_size(said, found):
        # A comparison has words of its own, which are no attributes: "bigger than a house".
        return found
    key = list(tokens(" ".join(said)))
    at, negated = 0, False
    while at < len(key):
        for length in range(min(_LONGEST, len(key) - at), 0, -1):
            run = tuple(key[at : at + length])
            if (place := world.lexicon.get(run)) is not None:
                opposite = place < 0
                found.asked.append(Asked(~place if opposite else place, negated != opposite))
                break
            if (size := _size_word(world, run)) is not None:
                found.asked.append(_negated(size, negated))
                break
            if length == 1 and is_filler(run[0], world.name):
                break
            if run in elsewhere():
                found.foreign = True
                break
            if run in names():
                found.named = found.lost = True
                break
        else:
            length = 1
            if key[at] in NEGATIONS:
                negated = True
                at += 1
                continue
            found.lost = True
        negated = False
        at += length
    return found


def _size_word(world: Domain, run: tuple[str, ...]) -> Asked | None:
    if not world.sized or len(run) != 1:
        return None
    return _sizes().get(run[0])


@cache
def _sizes() -> Mapping[str, Asked]:
    """Sizes without a comparison."""
    big = Asked(-1, above=LARGE_AT[1], below=LARGE_AT[0])
    small = Asked(-1, True, above=SMALL_AT[1], below=SMALL_AT[0])
    return {stem(word): big for word in BIG} | {stem(word): small for word in SMALL}


def _negated(asked: Asked, negated: bool) -> Asked:
    if not negated:
        return asked
    return Asked(asked.attribute, not asked.negated, asked.above, asked.below)


@cache
def _references() -> Mapping[tuple[str, ...], float]:
    return {tokens(name): size for name, size in REFERENCES.items()}


def _hear_size(said: Sequence[str], found: _Found) -> bool:
    """Whether the whole question compares the size with something known: "Would it fit in a car?",
    "Is it smaller than a dog?". Only the first comparison is looked at."""
    at = next((i for i, word in enumerate(said) if word in _COMPARING), None)
    if at is None:
        return False
    word, rest = said[at], said[at + 1 :]
    if word not in FITS and rest[:1] != ["than"]:
        return False
    reference = _references().get(_bare(tokens(" ".join(rest[word not in FITS :]))))
    if reference is None or any(not is_filler(t) for t in tokens(" ".join(said[:at]))):
        return False
    found.asked.append(Asked(-1, word not in BIGGER, above=reference, below=reference))
    return True


_COMPARING = BIGGER | SMALLER | FITS
