"""The rule-based database: does a search request name one aspect, and all it takes to look it up?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, cast

from msgspec import Struct

from .._hearing import HEARD_CHARS, stem, words
from ._world import ASPECT_STEMS, IDLE

Verdict = Literal["aligned", "several", "unclear", "elsewhere", "incomplete"]


class Request(Struct, frozen=True, gc=False):
    """What a search request came to; `aspect` is the one it names."""

    verdict: Verdict
    aspect: str = ""


_YEAR_ROUND = (
    "january february march april may june july august september october november december"
)
MONTHS = tuple(_YEAR_ROUND.split())
_MONTHS = {name: f"month{i}" for i, long in enumerate(MONTHS, 1) for name in (long, long[:3])} | {
    "sept": "month9"
}
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_YEAR = re.compile(r"(?:19|20)\d\d")
_ORDINAL = re.compile(r"0*(\d{1,9})(?:st|nd|rd|th)?")
_DEPTH = 4


def tokens(text: str) -> list[str]:
    """The words of `text` with its dates in one form: `May 3rd`, `3 May` and `2026-05-03` are the
    same two words in some order. Years are left out: a trip has none."""
    text = _ISO.sub(lambda date: f" month{int(date[2]) % 100} {int(date[3])} ", text[:HEARD_CHARS])
    said: list[str] = []
    for word in words(text.replace("_", " ")):
        if _YEAR.fullmatch(word):
            continue
        number = _ORDINAL.fullmatch(word)
        if number:
            said.append(number[1])
        elif word[-1].isdigit():
            said.append(word)  # month11 has no ending to lose
        else:
            said.append(_MONTHS.get(word) or stem(word.removesuffix("'s")))
    return said


def values(arguments: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each value of a search's arguments with its key, as the tokens that name it."""
    pending: list[tuple[str, object, int]] = [(key, each, 0) for key, each in arguments.items()]
    while pending:
        key, value, depth = pending.pop()
        if isinstance(value, dict) and depth < _DEPTH:
            inner = cast("dict[str, object]", value)
            pending += [(name, each, depth + 1) for name, each in inner.items()]
        elif isinstance(value, list) and depth < _DEPTH:
            pending += [(key, each, depth + 1) for each in cast("list[object]", value)]
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield key, _naming(str(value))


@lru_cache(maxsize=4096)
def _naming(value: str) -> frozenset[str]:
    """The words that name an argument: the samples of a group have the same ones."""
    return frozenset(tokens(value)) - IDLE


class Lookup:
    """Judges requests about one trip."""

    def __init__(self, arguments: Mapping[str, Mapping[str, Any]]) -> None:
        """arguments: of each aspect of the trip."""
        self._needed = {aspect: list(values(each)) for aspect, each in arguments.items()}

    def judge(self, text: str) -> Request:
        """One aspect, all of its arguments, a way that runs from where it starts to its end."""
        said = tokens(text)
        named = {ASPECT_STEMS[word] for word in said if word in ASPECT_STEMS}
        if len(named) > 1:
            return Request("several")
        if not named:
            return Request("unclear")
        aspect = named.pop()
        needed = self._needed.get(aspect)
        if needed is None:
            return Request("elsewhere", aspect)
        spoken = set(said)
        for key, value in needed:
            if not value <= spoken or (key in _WAYS and _reversed(said, value, _WAYS[key])):
                return Request("incomplete", aspect)
        return Request("aligned", aspect)


_WAYS = {"from": "to", "to": "from"}


def _reversed(said: list[str], place: frozenset[str], wrong: str) -> bool:
    """Whether `place` is said right after the preposition of the other end of the way, and never
    after its own."""
    before = {said[i - 1] for i, word in enumerate(said) if i and word in place}
    return wrong in before and _WAYS[wrong] not in before
