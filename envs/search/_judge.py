"""The rule-based judge: whether an answer names the answer, and nothing beside it.

What an answer may say in passing is small talk and words of the question; any other word that the
right answer lacks is a second opinion, or somebody else, and makes it wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from .._hearing import numbers_said, words
from ._index import folded
from ._tasks import Question

ANSWER_CHARS = 200
ANSWER_WORDS = 25
"""What is longer is no short answer, and is not judged."""

_SEVERAL = re.compile(r"[;|\n]|\bor\b|(?:,[^,]*){3}", re.IGNORECASE)
_ARTICLES = frozenset({"a", "an", "the"})
_PASSING = frozenset(
    words(
        "answer as at believe by called final i in is it its my name named of on should sure that "
        "think this to was with year"
    )
)
_ORDINAL = re.compile(r"^([0-9]+)(?:st|nd|rd|th)$")


def normalised(text: str) -> str:
    """An answer as the released code compares it: letters and digits of any script, in lower case."""
    return "".join(each for each in text if each.isalnum()).lower()


def same_answer(submitted: str, correct: str) -> bool:
    """The released code's comparison, without reading more of an endless text than could match."""
    wanted = normalised(correct)
    # A letter in lower case is one letter or more.
    some = islice(filter(str.isalnum, submitted), len(wanted) + 1)
    return "".join(some).lower() == wanted


def refused(text: str) -> str | None:
    """Why a text is no answer to be judged; None when it is one."""
    if len(text) > ANSWER_CHARS or len(words(text)) > ANSWER_WORDS:
        return "An answer is short: the name or number that was asked for, no more."
    if _SEVERAL.search(text.strip()):
        return "Give one answer, not several."
    return None


def fits(asked: Question, text: str) -> bool:
    """Whether a short text names the answer to a question. Any text is fine."""
    if same_answer(text, asked.answer):
        return True
    heard = text[:ANSWER_CHARS]
    if asked.answer.isascii() and asked.answer.isdigit():
        return _fits_number(asked, heard)
    wanted = Counter(_parts(asked.answer))
    said = Counter(_parts(heard))
    # To "which river?" one may leave the river out.
    given = {word for word in asked.question.split() if word.islower()}
    needed = {word for word in wanted if word not in given} or set(wanted)
    if not needed or any(said[word] < wanted[word] for word in needed):
        return False
    return _in_passing(asked, (said - wanted).elements())


def _fits_number(asked: Question, text: str) -> bool:
    numbers = numbers_said(_plain_years(text))
    if numbers != [int(asked.answer)]:
        return False
    rest = [word for word in _parts(text) if not word.isdigit() and not numbers_said(word)]
    return _in_passing(asked, (word for word in rest if word not in ("hundred", "and")))


def _plain_years(text: str) -> str:
    """Years as they are spoken, "eighteen seventy-four", as one number."""
    pair = numbers_said(text)
    if (
        len(pair) == 2
        and 10 <= pair[0] <= 20
        and 10 <= pair[1] < 100
        and not re.search(r"\d", text)
    ):
        return str(100 * pair[0] + pair[1])
    return text


def _in_passing(asked: Question, rest: Iterable[str]) -> bool:
    spoken = set(_parts(asked.question)) | _PASSING
    return all(word in spoken for word in rest)


def _parts(text: str) -> list[str]:
    """The words of a text without articles and endings that change nothing."""
    found: list[str] = []
    for word in words(folded(text)):
        ordinal = _ORDINAL.match(word)
        plain = ordinal[1] if ordinal else word.removesuffix("'s")
        if plain not in _ARTICLES:
            found.append(plain)
    return found
