"""What the rule-based user hears in a line: which topic of which aspect it asks for, if any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from .._hearing import HEARD_CHARS, stem, stems
from ._world import ASPECT_STEMS, IDLE, TOPICS, meaning

Sense = Literal["topic", "several", "vague", "absent", "chat"]


class Heard(Struct, frozen=True, gc=False):
    """What a line is about.

    sense: `topic`, one topic of one aspect; `several` of them; `vague`, preferences and no topic;
           `absent`, an aspect that is no part of the trip; `chat`, none of that.
    """

    sense: Sense
    topics: tuple[tuple[str, str], ...] = ()


_CHAT = Heard("chat")
_VAGUE = Heard("vague")
_ABSENT = Heard("absent")
_WISHES = "prefer preference like want need wish require requirement specific look importance matter expect"
_ASKS = frozenset(map(stem, _WISHES.split()))
_HEADS = frozenset({"what", "which", "how", "when", "where", "who", "do", "would", "should", "any"})


class Ears:
    """Understands questions about the topics of one trip. Shared by all dialogues about it."""

    def __init__(self, topics: Iterable[tuple[str, str, str]]) -> None:
        """topics: (aspect, topic, words beside the topic's own that may be said for it)."""
        self._strong: dict[str, list[tuple[str, str]]] = {}
        self._weak: dict[str, list[tuple[str, str]]] = {}
        self.aspects: frozenset[str] = frozenset()
        for aspect, name, more in topics:
            self.aspects |= {aspect}
            known = TOPICS[aspect].get(name) if aspect in TOPICS else None
            asks = meaning(name.replace("_", " "))
            if known is not None:
                asks |= known.asks
            also = meaning(more)
            for value in known.values if known else ():
                also |= meaning(value)
            for one in asks:
                self._strong.setdefault(one, []).append((aspect, name))
            for one in also - asks - ASPECT_STEMS.keys():
                self._weak.setdefault(one, []).append((aspect, name))

    def hear(self, text: str, focus: str) -> Heard:
        """What `text` asks for. `focus` is the aspect that was last spoken of, or empty."""
        said = dict.fromkeys(stems(text))
        named = {ASPECT_STEMS[one] for one in said if one in ASPECT_STEMS}
        asking = bool(named) or "?" in text[:HEARD_CHARS] or not said.keys().isdisjoint(_ASKS)
        strong = self._count(self._strong, said)
        # "At your service" is not about the cleaning service: a word that only goes with a topic
        # has to stand in something like a question.
        weak = self._count(self._weak, said) if asking or next(iter(said), "") in _HEADS else {}
        found = _settle(strong, weak, named & self.aspects, focus)
        if len(found) == 1:
            return Heard("topic", tuple(found))
        if found:
            return Heard("several", tuple(found))
        if named and not named & self.aspects:
            return _ABSENT
        return _VAGUE if named or not said.keys().isdisjoint(_ASKS) else _CHAT

    @staticmethod
    def _count(
        index: dict[str, list[tuple[str, str]]], said: Iterable[str]
    ) -> dict[tuple[str, str], int]:
        hits: dict[tuple[str, str], int] = {}
        for one in said:
            if one in IDLE:
                continue
            for place in index.get(one, ()):
                hits[place] = hits.get(place, 0) + 1
        return hits


def _settle(
    strong: dict[tuple[str, str], int],
    weak: dict[tuple[str, str], int],
    named: set[str] | frozenset[str],
    focus: str,
) -> Sequence[tuple[str, str]]:
    """The topics a question is about, from what its words may mean.

    An aspect that is named, else the one spoken of, decides between topics that share a word.
    """
    found = list(strong) or _best(weak)
    for aspects in (named, {focus}):
        here = [place for place in found if place[0] in aspects]
        if here and len(found) > 1:
            found = here
    if len(found) == 2 and strong:
        # "A meal without meat" names the meal and, by the by, a diet: what is hit twice is meant.
        scores = {place: 2 * strong[place] + weak.get(place, 0) for place in found}
        top = max(scores.values())
        found = [place for place in found if 2 * scores[place] > top]
    return found


def _best(hits: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    top = max(hits.values(), default=0)
    return [place for place, count in hits.items() if count == top]


@lru_cache(maxsize=2048)
def ears(topics: tuple[tuple[str, str, str], ...]) -> Ears:
    """The ears for these topics: dialogues about the same ones share them."""
    return Ears(topics)
