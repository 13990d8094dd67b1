"""The expert of official tasks: sees the missing details, and asks for each in its own words."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from random import Random

from ...engine import Action, Message
from ._tasks import Detail, Wish

# How the expert would rather say it.
_RATHER = {
    "accommodation": "lodging",
    "amount": "quantity",
    "approach": "method",
    "area": "region",
    "areas": "regions",
    "audience": "readers",
    "brand": "maker",
    "budget": "spending",
    "car": "vehicle",
    "challenges": "difficulties",
    "color": "shade",
    "commitment": "dedication",
    "complexity": "difficulty",
    "concerns": "worries",
    "constraints": "limits",
    "criteria": "standards",
    "definition": "meaning",
    "depth": "thoroughness",
    "destination": "place",
    "dietary": "diet",
    "difficulty": "complexity",
    "directory": "folder",
    "duration": "length",
    "equipment": "gear",
    "experience": "background",
    "expertise": "proficiency",
    "features": "functions",
    "format": "layout",
    "frequency": "regularity",
    "genre": "category",
    "goal": "objective",
    "goals": "objectives",
    "home": "house",
    "industry": "profession",
    "issues": "problems",
    "kids": "children",
    "knowledge": "familiarity",
    "length": "duration",
    "level": "degree",
    "limitations": "restrictions",
    "location": "place",
    "materials": "stuff",
    "method": "approach",
    "methods": "techniques",
    "number": "count",
    "platform": "site",
    "price": "cost",
    "purpose": "reason",
    "range": "span",
    "restrictions": "limits",
    "size": "dimensions",
    "skill": "ability",
    "skills": "abilities",
    "software": "application",
    "source": "origin",
    "sources": "origins",
    "style": "flavor",
    "theme": "topic",
    "time": "hours",
    "timeframe": "period",
    "tools": "equipment",
    "topics": "subjects",
    "transportation": "travel",
    "type": "kind",
    "types": "kinds",
    "use": "usage",
    "website": "site",
}
_DROP = {
    *("a", "an", "any", "of", "s", "the"),
    *("desired", "needed", "particular", "preferred", "required", "specific", "user"),
}
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*[+#]*")
_JOINT = re.compile(r"\s+(?:of|for|about|in|on)\s+", re.IGNORECASE)

_ASK = (
    "How about {x}?",
    "Could we talk about {x}?",
    "And what shall I note down for {x}?",
    "I still wonder about {x}.",
    "Any thoughts on {x}?",
)
_AGAIN = (
    "Let me put that another way: {x}, say {o}?",
    "I mean {x}: {o}, perhaps?",
)


class Paraphraser:
    """A script that asks for every detail, the important ones first, until all are answered.

    A question that was not understood is asked again later, closer to the task's own words and
    with an example. The reply tells: it contains one of the detail's options or it does not.
    """

    def __init__(self, wanted: Wish, rng: Random) -> None:
        order = sorted(wanted.missing_details, key=lambda d: -int(d.importance))
        self._left = deque((detail, 0) for detail in order)
        self._asked: tuple[Detail, int] | None = None
        self._rng = rng

    def __call__(self, messages: Sequence[Message]) -> Action:
        if self._asked is not None:
            detail, tries = self._asked
            reply = messages[-1].content
            if not any(option.strip() in reply for option in detail.options):
                self._left.append((detail, tries + 1))
        if not self._left:
            return Action("finish", "")
        self._asked = self._left.popleft()
        return Action("action", self._question(*self._asked))

    def _question(self, detail: Detail, tries: int) -> str:
        if tries == 0:
            return self._rng.choice(_ASK).format(x=paraphrase(detail.description))
        plain = " ".join(_WORD.findall(detail.description)).lower()
        option = self._rng.choice(detail.options).strip()
        return self._rng.choice(_AGAIN).format(x=plain, o=option)


def paraphrase(description: str) -> str:
    """The same thing in other words and another order: "the house dimensions" for
    "Size of the home"."""
    joint = _JOINT.search(description)
    parts = [description]
    if joint:
        parts = [description[joint.end() :], description[: joint.start()]]
    said = [_reworded(part) for part in parts]
    return "the " + (" ".join(part for part in said if part) or "usual preference")


def _reworded(text: str) -> str:
    found: list[str] = _WORD.findall(text)
    words = [word.lower().removesuffix("'s") for word in found]
    return " ".join(_RATHER.get(w, w) for w in words if w not in _DROP)
