"""What a rule-based user hears in a line: words, their stems, the numbers said in them.

Shared by the gyms; what a gym's own words mean is the gym's. All of it is bounded in the length of
the text, and none of it raises, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

HEARD_CHARS = 2000
"""How much of a line a user takes in. Bounds the work that any text can cause."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?[+#]*")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?[+#]*")
"""The same for what most lines are, ASCII in lower case: twice as fast."""


def words(text: str) -> list[str]:
    """The words of the part of `text` that a user takes in, folded to one case."""
    heard = text[:HEARD_CHARS]
    if heard.isascii():
        return _ASCII_WORD.findall(heard.lower())
    return _WORD.findall(heard.casefold().replace("\u2019", "'"))


def stems(text: str) -> list[str]:
    """The stems of the words of `text`, in order, possessives without their ending."""
    return [stem(word.removesuffix("'s")) for word in words(text)]


def canonical(text: str, synonyms: Mapping[str, str]) -> list[str]:
    """The stems of `text`, each replaced by what `synonyms` (stem to stem) says it means."""
    return [synonyms.get(one, one) for one in stems(text)]


def synonym_table(families: Iterable[Iterable[str]]) -> dict[str, str]:
    """A table for `canonical`: every word of a family means the family's first word."""
    table: dict[str, str] = {}
    for family in families:
        roots = [stem(word) for word in family]
        for root in roots:
            table.setdefault(root, roots[0])
    return table


_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_DIGITS = 15


def numbers_said(text: str) -> list[int]:
    """The whole numbers in `text`, in digits ("1,200") or in words ("twenty-one hundred")."""
    found: list[int] = []
    total = part = 0
    running = False

    def close() -> None:
        nonlocal total, part, running
        if running:
            found.append(total + part)
        total = part = 0
        running = False

    for word in words(re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", text[:HEARD_CHARS])):
        if word.isascii() and word.isdigit():
            close()
            if len(word) <= _DIGITS:
                found.append(int(word))
        elif word in _VALUES:
            value = _VALUES[word]
            # "Two hundred five" and "twenty five" go on, "five twenty" is two numbers.
            rounded = part % 100 == 0 and part + total > 0
            tens = part % 10 == 0 and part % 100 >= 20 and value < 10
            if not (rounded or tens):
                close()
            part += value
            running = True
        elif word in _SCALES:
            scale = _SCALES[word]
            if not running:
                part, running = 1, True  # "a hundred"
            if scale == 100:
                part *= 100
            else:
                total, part = total + part * scale, 0
            # Words without end would make numbers without end.
            if total + part > 10**_DIGITS:
                total = part = 0
                running = False
        elif word != "and" or not running:
            close()
    close()
    return found


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


@lru_cache(maxsize=1 << 14)
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
