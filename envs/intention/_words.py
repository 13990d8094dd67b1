"""What a word means to the rule-based user: stems, families of meaning, question cues.

A `Term` is one meaningful word of a text. It can be recognised by its own stem or, less surely,
by the family of meaning it belongs to ("budget", "cost" and "how much" are one family). Words
that only carry a question ("could you tell me") are no terms at all, and words that fit any
question ("type", "specific", "preferred") weigh little.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

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

HEARD_CHARS = 2000
"""How much of a line the user takes in. Bounds the work that any text can cause."""


class Term(Struct, frozen=True, gc=False):
    """A meaningful word: its stem ("" for a cue like "how much"), its family ("" for none), and
    how much it says about what a question is about."""

    stem: str
    family: str
    weight: float = 1.0


_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?[+#]*")

_CUE = 0.85
_FAINTLY = 0.2


def words(text: str) -> list[str]:
    """The words of the part of `text` that the user takes in, folded to one case."""
    return _WORD.findall(text[:HEARD_CHARS].casefold().replace("\u2019", "'"))


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


_ENDINGS = (
    ("ations", "at"),
    ("ation", "at"),
    ("ities", "ity"),
    ("nesses", ""),
    ("ness", ""),
    ("ments", ""),
    ("ment", ""),
    ("ions", ""),
    ("ion", ""),
    ("ings", ""),
    ("ing", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ers", ""),
    ("ences", "ent"),
    ("ence", "ent"),
    ("ally", ""),
    ("ly", ""),
    ("ed", ""),
    ("er", ""),
    ("es", ""),
    ("s", ""),
)


def stem(word: str) -> str:
    """What `word` has in common with its inflections; rough, and the same for all of them."""
    if len(word) > 3 and not word.endswith("ss"):
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                word = word[: -len(ending)] + instead
                break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    # "analyze" and "analysis", "criteria" and "criterion" are too short or odd for the rules.
    return _ODD.get(word, word)


_ODD = {
    "analys": "analyz",
    "analysi": "analyz",
    "criteri": "criterion",
    "criteria": "criterion",
    "childr": "child",
    "children": "child",
    "allergic": "allergy",
    "geographical": "geographic",
    "dietary": "diet",
    "favourit": "favorit",
    "colour": "color",
    "financial": "financ",
    "loc": "locat",
    "durat": "dur",
}

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
