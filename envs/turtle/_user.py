"""The rule-based user: it knows the story, and answers yes, no or maybe.

What it says depends on the story, the seed and the questions. A question is understood by the ideas
in it, in whatever words; one that asks for more than yes or no gets nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from ...engine import Seed
from .._hearing import HEARD_CHARS, stem, stems, words
from .._persona import Manner, Persona
from ._ideas import Fact, Lexicon
from ._situations import lexicon
from ._tasks import Story
from ._words import ASKING, LEADS, OPEN, ORDERS, SMALL, denies, flips

Verdict = Literal["yes", "no", "maybe", "open"]
"""`open`: that was no question for yes or no."""

_PHRASES: dict[Verdict, tuple[str, ...]] = {
    "yes": ("Yes.", "Yes, that is so.", "Yes, indeed.", "Yes, you could say that."),
    "no": ("No.", "No, not at all.", "No, it is not like that.", "No, that is wrong."),
    "maybe": (
        "Maybe.",
        "Maybe; it does not matter here.",
        "Maybe, the story does not say.",
        "Maybe. Ask me something closer to the point.",
    ),
    "open": (
        "Ask me something that I can answer with yes, no or maybe.",
        "I only say yes, no or maybe.",
        "That is for you to find out: I answer with yes, no or maybe.",
    ),
}

_SURE, _UNSURE = 0.75, 0.4
"""The shares of a question's words that one passage of an official story must have."""


class Reply(Struct, frozen=True, gc=False):
    """What the user says, what it means, and whether it leaves with it."""

    text: str
    verdict: Verdict
    left: bool = False


class User:
    """The user of one dialogue."""

    def __init__(self, told: Story, seed: Seed, persona: Persona) -> None:
        self._told = told
        self._rng = (seed / "phrases").random()
        self._manner = Manner(persona, seed)

    def hear(self, question: str) -> Reply:
        """The user's reply to any text at all."""
        verdict = verdict_on(self._told, question)
        dodged = None
        if verdict != "open":
            dodged = self._manner.dodge(" ".join(_read(question[:HEARD_CHARS]).spoken))
        text = dodged or self._manner.say(
            self._rng.choice(_PHRASES[verdict]), fact=verdict in ("yes", "no")
        )
        return self.parting(text, verdict, productive=verdict in ("yes", "no"))

    def parting(self, text: str, verdict: Verdict, *, productive: bool) -> Reply:
        """`text` as the reply of a turn; when that was one turn too many, with a goodbye."""
        goodbye = self._manner.leave(productive)
        if goodbye is None:
            return Reply(text, verdict)
        return Reply(f"{text} {goodbye}", verdict, left=True)


def verdict_on(told: Story, question: str) -> Verdict:
    """What is true of the story: the answer that a question gets, however it is worded."""
    read = _read(question[:HEARD_CHARS])
    if not read.closed:
        return "open"
    found = _own(told, read.spoken) if told.situation else _official(told, read.spoken)
    if found == "maybe" or not read.negative:
        return found
    return "no" if found == "yes" else "yes"


class _Read(NamedTuple):
    """The words of a question, whether it is one for yes or no, and asks if something is not so."""

    spoken: tuple[str, ...]
    closed: bool
    negative: bool


@lru_cache(maxsize=1024)
def _read(question: str) -> _Read:
    # Of the stories of a situation much is asked alike.
    spoken = tuple(words(question))
    closed = _closed(spoken)
    return _Read(spoken, closed, closed and _negative(spoken))


def _closed(spoken: Sequence[str]) -> bool:
    for word in spoken:
        if word not in LEADS:
            return word not in OPEN and word not in ORDERS
    return False


def _negative(spoken: tuple[str, ...]) -> bool:
    """Whether the question asks if something is not so.

    "Isn't it so?" and "is it not so?" ask whether it is.
    """
    polite = (0, 2) if spoken[0] in ASKING and spoken[2:3] == ("not",) else (0,)
    return sum(flips(word) for i, word in enumerate(spoken) if i not in polite) % 2 == 1


def _own(told: Story, spoken: tuple[str, ...]) -> Verdict:
    heard = _heard(told.situation, spoken)
    if heard is None:
        return "maybe"
    bits, either, flags = heard
    found = _points(lexicon(told.situation), told.truth, bits, either=either) or flags
    if not found:
        return "maybe"
    return "yes" if (any(found) if either else all(found)) else "no"


@lru_cache(maxsize=1024)
def _heard(situation: str, spoken: tuple[str, ...]) -> tuple[int, bool, frozenset[bool]] | None:
    """The ideas of a situation in a question, whether it offers a choice, and what is always so or
    never; None when it is mostly about something else."""
    known = lexicon(situation)
    heard = said = strange = 0
    flags: set[bool] = set()
    for word in spoken:
        root = stem(word.removesuffix("'s"))
        bits = known.bits.get(root, 0)
        if bits:
            heard |= bits
            said += 1
        elif root in known.yes or root in known.no:
            flags.add(root in known.yes)
            said += 1
        elif root not in known.plain and not denies(word):
            strange += 1
    # A whole fact may have more strange words beside it than a part.
    whole = any(fact.share(heard) == 1.0 for facts in known.points for fact in facts)
    if strange > (said if whole else said - 1):
        return None
    return heard, "or" in spoken, frozenset(flags)


def _points(known: Lexicon, truth: Sequence[int], heard: int, *, either: bool) -> Collection[bool]:
    """For each point that was named: whether its true fact fits what was said best.

    What names several points by one common word says nothing about those whose key is not in it.
    With `either`, several facts of a point are alternatives, of which one need be true.
    """
    found: set[bool] = set()
    for facts, true in zip(known.points, truth, strict=True):
        best = max([fact.hits(heard) for fact in facts])
        if not best:
            continue
        if either and facts[true].share(heard) == 1.0:
            found.add(True)
            continue
        fitting = [i for i, fact in enumerate(facts) if fact.hits(heard) == best]
        if any(_named(facts[i], heard) for i in fitting):
            whole = [i for i in fitting if facts[i].share(heard) == 1.0]
            found.add(true in (whole or fitting) and _named(facts[true], heard))
    return found


def _named(fact: Fact, heard: int) -> bool:
    return bool(fact.key & heard)


def _official(told: Story, spoken: Sequence[str]) -> Verdict:
    asked = {stem(word.removesuffix("'s")) for word in spoken if not denies(word)} - SMALL
    if not asked:
        return "maybe"
    passages = _passages(told.new_surface, told.new_bottom)
    share = max(len(asked & passage) for passage in passages) / len(asked)
    return "yes" if share >= _SURE else "maybe" if share >= _UNSURE else "no"


@lru_cache(maxsize=4096)
def _passages(surface: str, bottom: str) -> list[frozenset[str]]:
    """The sentences of a story, each with the one after it."""
    sentences = [frozenset(stems(one)) for one in f"{surface}. {bottom}".split(".")]
    return [a | b for a, b in zip(sentences, [*sentences[1:], frozenset[str]()], strict=True)]
