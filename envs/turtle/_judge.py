"""The rule-based judge: how much of each point of the rubric a retold story says.

A point of our own stories is one of several facts, so a story that tells two of them for one point
hedges, and gets nothing for it. Of an official story only its text is known: there the words of the
statement that the surface does not give away are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from .._hearing import stems
from ._ideas import STORY_CHARS, Fact, Lexicon
from ._situations import lexicon
from ._tasks import Point, Story
from ._words import SMALL

_LEAD = re.compile(
    r"^the (?:story|narrative)\s+(?:also\s+)?\w+s\s+(?:that\s+|how\s+)?", re.IGNORECASE
)
_HEDGE = 0.5
"""The share of a fact that counts as half of it."""

_WHOLE, _HALF = 0.7, 0.4
"""The shares of an official statement's words that count as all and as half of it."""


def rubric_score(weights: Sequence[float], scores: Sequence[float]) -> float:
    """The weighted sum, added from left to right: for some weights all ones come to a little less
    than 1, or more."""
    total = 0.0
    for weight, score in zip(weights, scores, strict=True):
        total += weight * score
    return total


def weights(told: Story) -> list[float]:
    """What each point of the rubric is worth."""
    return [point.score for point in told.evaluation]


def grade(told: Story, retold: str) -> list[float]:
    """0, 0.5 or 1 for each point of the rubric. Any text is fine, and only its first part is read."""
    if told.situation:
        return _grade_own(lexicon(told.situation), told.truth, retold)
    statements = _statements(told.new_surface, told.evaluation)
    heard = frozenset(stem for part in _parts(retold) for stem in stems(part))
    return [_grade_words(words, heard) for words in statements]


def _grade_own(known: Lexicon, truth: Sequence[int], retold: str) -> list[float]:
    heard = known.told(retold)
    return [
        _grade_point(facts, true, heard) for facts, true in zip(known.points, truth, strict=True)
    ]


def _grade_point(facts: Sequence[Fact], true: int, heard: int) -> float:
    if not facts[true].key & heard:
        return 0.0
    # Half of another fact is enough for a hedge: else naming the keys of all facts would pay
    # wherever the true one is known by its key alone.
    for i, fact in enumerate(facts):
        if i != true and fact.key & heard and fact.share(heard) >= _HEDGE:
            return 0.0
    share = facts[true].share(heard)
    return 1.0 if share == 1.0 else 0.5 if share >= _HEDGE else 0.0


def _grade_words(words: frozenset[str], heard: frozenset[str]) -> float:
    share = len(words & heard) / len(words) if words else 0.0
    return 1.0 if share >= _WHOLE else 0.5 if share >= _HALF else 0.0


@lru_cache(maxsize=4096)
def _statements(surface: str, evaluation: tuple[Point, ...]) -> list[frozenset[str]]:
    given = frozenset(stems(surface))
    found: list[frozenset[str]] = []
    for point in evaluation:
        said = frozenset(stems(_LEAD.sub("", point.statement))) - SMALL
        # A statement that says no more than the surface is graded by all of its words.
        found.append(said - given if len(said - given) > 1 else said)
    return found


def _parts(retold: str) -> list[str]:
    """The story in pieces that are each heard whole."""
    return [retold[i : i + 1500] for i in range(0, min(len(retold), STORY_CHARS), 1500)]
