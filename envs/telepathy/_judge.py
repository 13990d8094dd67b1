"""Whether a guess names the thing: by rules, in any usual spelling, one name a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from .._hearing import HEARD_CHARS, words
from ._base import names, tokens

LONGEST = 12
"""More words than this are no name."""

_LEADS = frozenset(
    words(
        """i think guess my is it's it the a an answer final you your are thinking of that this must be
    has to probably maybe believe say would i'd so ok okay entity thing definitely surely sure
    perhaps could s are guessing going with called name named"""
    )
)
_IN_BRACKETS = re.compile(r"\([^()]{0,80}\)")


class Guess(Struct, frozen=True):
    """A guess as it is understood: its name, or why it is none."""

    name: tuple[str, ...]
    refused: str = ""


def read_guess(text: str) -> Guess:
    """The name in a guess. Several names, or a speech, are refused."""
    said = words(text[:HEARD_CHARS])
    while said and said[0] in _LEADS:
        said = said[1:]
    if not said:
        return Guess((), "Name one thing.")
    if len(said) > LONGEST:
        return Guess((), "That is too long for a name.")
    name = tokens(" ".join(said))
    if name not in names() and _several(name):
        return Guess((), "One guess at a time, please.")
    return Guess(name)


def is_named(guess: Sequence[str], called: Sequence[str]) -> bool:
    """Whether a guess's name is one of those that the thing is `called`, slips of the pen aside."""
    return any(_alike(tuple(guess), known) for name in called for known in _spellings(name))


@lru_cache(maxsize=4096)
def _spellings(name: str) -> tuple[tuple[str, ...], ...]:
    found = [tokens(name), tokens(_IN_BRACKETS.sub("", name))]
    return tuple(dict.fromkeys(one for one in found if one))


def _alike(guess: tuple[str, ...], known: tuple[str, ...]) -> bool:
    if guess == known or "".join(guess) == "".join(known):
        return True
    if guess in names() or len(guess) != len(known):
        return False  # another thing's name is no slip: a "moose" is no "mouse"
    return all(one == two or _slip(one, two) for one, two in zip(guess, known, strict=True))


def _slip(one: str, two: str) -> bool:
    """Whether two long words differ by one letter: changed, lost, or two of them swapped."""
    if min(len(one), len(two)) < 5 or abs(len(one) - len(two)) > 1:
        return False
    if len(one) == len(two):
        wrong = [i for i in range(len(one)) if one[i] != two[i]]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1
        return len(wrong) == 1 or (
            swapped and one[wrong[0]] == two[wrong[1]] and one[wrong[1]] == two[wrong[0]]
        )
    short, long = sorted((one, two), key=len)
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def _several(name: tuple[str, ...]) -> bool:
    """Whether two or more things of the tables are named one after the other."""
    found: set[str] = set()
    at = 0
    while at < len(name):
        for length in range(min(4, len(name) - at), 0, -1):
            thing = names().get(name[at : at + length])
            if thing is not None:
                found.add(thing)
                at += length - 1
                break
        at += 1
    return len(found) > 1
