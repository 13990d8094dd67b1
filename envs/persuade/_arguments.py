"""Which of the considerations that move someone an argument is about, by the meaning of its words.

A consideration is a set of keys: the stems, synonyms folded, of how it would be put. A sentence
speaks for the one consideration it has most keys of, if it is a sentence at all: a list of
keywords is none, and one that denies what the consideration says is about it but not for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import fsum
from typing import NamedTuple

from .._hearing import HEARD_CHARS, stem, words
from ._considerations import Consideration
from ._words import FUNCTION_WORDS, NEGATORS, SYNONYMS

FULL = 2.5
"""The weight of keys that makes a point whole; a key of that one consideration alone weighs 1."""

_RELEVANT = 1.5
_SENTENCE = re.compile(r"[.!?;\n]+")
_CLAUSE = re.compile(r"[.!?;,\n]+")
_FEWEST_WORDS = 4
_LIST_WORDS = 8
_FEWEST_FUNCTION_WORDS = 0.15
_DENSITY = 0.28
"""The share of what a sentence says beside the subject that must be the consideration's."""

_TO_THE_POINT = 3
"""Of so many sentences one must speak for something, or the hearer loses the thread."""

_FOCUS = 0.5
"""The same for the weight of all that it says of any consideration."""

_REACH = 3
"""How many words that carry something a negator turns round, within a clause."""


class Heard(NamedTuple):
    """What an argument says: keys by the number of the consideration.

    denied: a sentence said the opposite of a consideration.
    """

    points: dict[int, set[str]]
    denied: bool


class Arguments:
    """The considerations of one persuadee, compiled for hearing."""

    def __init__(self, claim: str, argument: str, considerations: Sequence[Consideration]) -> None:
        # What the claim is about speaks neither for nor against it, and what its holder says
        # anyway, before or when asked, is no reason to give it up.
        stated = f"{claim} {argument}"
        self._subject: set[str] = set(_keys_of(stated))
        self._keys: list[Mapping[str, bool | None]] = []
        for consideration in considerations:
            about, keys = _put(stated, consideration.hint, consideration.words, consideration.point)
            self._subject |= about
            self._keys.append(keys)
        self._owners: dict[str, list[int]] = {}
        for i, keys in enumerate(self._keys):
            for key in keys:
                owners = self._owners.get(key)
                if owners is None:
                    self._owners[key] = [i]
                else:
                    owners.append(i)
        self._subject -= self._owners.keys()

    def weight(self, keys: set[str]) -> float:
        """How much of a whole point the keys are, from 0; above 1 is more than enough."""
        # A plain sum depends on the order of the set, which is another one in every process.
        return fsum(1.0 / len(self._owners[key]) for key in keys) / FULL

    def hear(self, text: str) -> Heard:
        """The points that a text makes. Never raises; bounded by `HEARD_CHARS`."""
        points: dict[int, set[str]] = {}
        denied = False
        sentences = speaking = 0
        for found in _sentences(text[:HEARD_CHARS]):
            sentences += 1
            best = self._most(found)
            if best is None:
                continue
            speaking += 1
            keys = self._keys[best]
            if _denies(found, keys):
                denied = True
            else:
                points.setdefault(best, set()).update(key for key, _ in found if key in keys)
        if sentences > _TO_THE_POINT * speaking:
            return Heard({}, False)
        return Heard(points, denied)

    def _most(self, found: Sequence[tuple[str, bool]]) -> int | None:
        """The consideration that a sentence has most keys of; None where it has hardly any."""
        hits: dict[int, int] = {}
        worth: dict[int, float] = {}
        distinct = dict(found)
        # Most words are nobody's: what is left is little, however long the sentence was.
        for key in distinct:
            owners = self._owners.get(key)
            if owners is None:
                continue
            share = 1.0 / len(owners)
            for i in owners:
                hits[i] = hits.get(i, 0) + 1
                worth[i] = worth.get(i, 0.0) + share
        if not worth:
            return None
        best = max(sorted(worth), key=worth.__getitem__)
        if hits[best] < 2 or worth[best] < _RELEVANT:
            return None
        # Words thrown together hit something, too, but much else beside it.
        if worth[best] < _FOCUS * sum(worth.values()):
            return None
        beside = len(distinct.keys() - self._subject)
        return best if hits[best] >= _DENSITY * beside else None


@lru_cache(maxsize=1024)
def arguments(claim: str, argument: str, considerations: tuple[Consideration, ...]) -> Arguments:
    """The compiled considerations of a claim."""
    # The samples of a group, and the epochs of a run, meet the same task again and again.
    return Arguments(claim, argument, considerations)


@lru_cache(maxsize=4096)
def _said(text: str) -> list[tuple[str, bool]]:
    """`_keyed` for the texts of tasks: generated ones draw from the same few hundred."""
    return _keyed(words(text))


@lru_cache(maxsize=4096)
def _keys_of(text: str) -> frozenset[str]:
    return frozenset([key for key, _ in _said(text)])


@lru_cache(maxsize=4096)
def _put(
    stated: str, hint: str, more: str, point: str
) -> tuple[frozenset[str], Mapping[str, bool | None]]:
    """What its holder says of a consideration, and its keys beside that, each with whether its
    point negates it, if the point says it."""
    about = _keys_of(stated) | _keys_of(hint)
    keys: dict[str, bool | None] = {key: None for key, _ in _said(more) if key not in about}
    for clause in _CLAUSE.split(point):
        keys |= {key: negated for key, negated in _said(clause) if key not in about}
    return about, keys


@lru_cache(maxsize=1024)
def _sentences(text: str) -> tuple[list[tuple[str, bool]], ...]:
    """The sentences of a text that are any, each as its keys."""
    # A good argument is made in many dialogues.
    sentences: list[list[tuple[str, bool]]] = []
    for sentence in _SENTENCE.split(text):
        said = 0
        found: list[tuple[str, bool]] = []
        for clause in sentence.split(","):
            spoken = words(clause)
            said += len(spoken)
            found += _keyed(spoken)
        if _is_sentence(said, len(found)):
            sentences.append(found)
    return tuple(sentences)


def _keyed(said: Sequence[str]) -> list[tuple[str, bool]]:
    """The keys of some words in order, each with whether it is negated."""
    found: list[tuple[str, bool]] = []
    reach = 0
    for key in map(_key, said):
        if key:
            found.append((key, reach > 0))
            reach -= 1
        elif key is None:
            reach = _REACH
    return found


@lru_cache(maxsize=1 << 14)
def _key(word: str) -> str | None:
    """What a word counts as; nothing for a function word, None for one that negates."""
    if word in NEGATORS or word.endswith("n't"):
        return None
    if word in FUNCTION_WORDS:
        return ""
    root = stem(word.removesuffix("'s"))
    return SYNONYMS.get(root, root)


def _is_sentence(said: int, carrying: int) -> bool:
    """By how many words were said, and how many of them carry something."""
    if said < _FEWEST_WORDS:
        return False
    return said < _LIST_WORDS or said - carrying >= _FEWEST_FUNCTION_WORDS * said


def _denies(found: Sequence[tuple[str, bool]], keys: Mapping[str, bool | None]) -> bool:
    """Whether most of the keys whose direction is known point the other way."""
    known = [negated == keys[key] for key, negated in found if keys.get(key) is not None]
    return 2 * sum(known) < len(known)
