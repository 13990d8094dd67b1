"""What a word means to the rule-based user: stems, families of meaning, question cues.

A `Term` is one meaningful word of a text. It can be recognised by its own stem or, less surely,
by the family of meaning it belongs to ("budget", "cost" and "how much" are one family). Words
that only carry a question ("could you tell me") are no terms at all, and words that fit any
question ("type", "specific", "preferred") weigh little.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from .._hearing import stem
from ._lexicon import (
    CUES,
    FAINT,
    FAMILIES,
    HEADS,
    IDLE,
    IDLE_OPENINGS,
    LONE_CUES,
    SILENT,
    WEATHER,
)


class Term(Struct, frozen=True, gc=False):
    """A meaningful word: its stem ("" for a cue like "how much"), its family ("" for none), and
    how much it says about what a question is about."""

    stem: str
    family: str
    weight: float = 1.0


_CUE = 0.85
_FAINTLY = 0.2


def mentions_weather(spoken: list[str]) -> bool:
    return not WEATHER.isdisjoint(spoken)


def is_small_talk(spoken: list[str]) -> bool:
    """Whether the words only chat about the weather, here and now.

    "What is the weather like in your city today?" is what strangers say, whatever the task is
    about. Who means the task says more: the conditions expected, the source of the data.
    """
    if not mentions_weather(spoken):
        return False
    if not all(word in IDLE or word in SILENT for word in spoken):
        return False
    # "Which city is the weather for?" is made of the same words and yet is no chat.
    chatty = tuple(spoken[:2]) in IDLE_OPENINGS or spoken[0] == "how's" or "like" in spoken
    return chatty or not any(_FAMILY_OF.get(stem(word)) == "where" for word in spoken)


def terms(spoken: list[str]) -> list[Term]:
    """The meaningful words among `spoken`, each once, in order."""
    found: dict[Term, None] = {}
    before = ""
    for i, word in enumerate(spoken):
        if (before, word) in CUES:
            # "How much" asks for money unless it says of what: "how much time".
            if word != "much" or i + 1 == len(spoken) or not _term(spoken[i + 1]):
                found[Term("", CUES[before, word])] = None
        elif word in LONE_CUES:
            if i == 0 or before in HEADS:
                found[Term("", LONE_CUES[word], _CUE)] = None
        elif term := _term(word):
            found[term] = None
        before = word
    return list(found)


@lru_cache(maxsize=1 << 14)
def _term(word: str) -> Term | None:
    word = word.removesuffix("'s")
    if word in SILENT or word == "how" or (len(word) == 1 and not word.isdigit()):
        return None
    root = stem(word)
    faint = word in FAINT or root in _FAINT_ROOTS
    return Term(root, _FAMILY_OF.get(root, ""), _FAINTLY if faint else 1.0)


_FAINT_ROOTS = frozenset(map(stem, FAINT))


def _families() -> dict[str, str]:
    known: dict[str, str] = {}
    name = ""
    for part in FAMILIES.split():
        if part.endswith(":"):
            name = part[:-1]
        else:
            known.setdefault(stem(part), name)
    return known


_FAMILY_OF = _families()


def family_of(word: str) -> str:
    """The family of meaning that a word belongs to; "" for none."""
    return _FAMILY_OF.get(stem(word), "")
