"""The rule-based traveller: understands what is asked, hints at what it wants, says no more."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal

from msgspec import Struct

from .._persona import Manner
from ._ears import Ears, ears
from ._tasks import Preference, Trip
from ._world import TOPICS

Kind = Literal["reveal", "told", "indifferent", "closed", "several", "vague", "absent", "chat"]


class Sense(Struct, frozen=True, gc=False):
    """What a line of the agent's is taken for.

    `reveal` and `told` ask for `wanted`, for the first time or again; `closed` asks about an aspect
    that is booked; `indifferent` is about a topic on which the traveller wants nothing.
    """

    kind: Kind
    wanted: Preference | None = None
    aspect: str = ""


def ears_of(trip: Trip) -> Ears:
    """The ears for a trip: of a generated one, for all topics of its aspects, wanted or not."""
    if trip.generated:
        return ears(tuple((aspect, name, "") for aspect in trip.parts for name in TOPICS[aspect]))
    # The traveller recognises an official preference by its name and its own words.
    listed = [(wanted.aspect, wanted.topic, wanted.text) for wanted in trip.preferences]
    listed += [
        (aspect, aspect, "") for aspect in trip.parts if all(aspect != a for a, _, _ in listed)
    ]
    return ears(tuple(listed))


class Traveller:
    """The user of one dialogue, and what it has said so far."""

    def __init__(self, trip: Trip, rng: Random, manner: Manner | None = None) -> None:
        self._rng = rng
        self._manner = manner
        self._ears = ears_of(trip)
        self._wanted: dict[tuple[str, str], list[Preference]] = {}
        for each in trip.preferences:
            self._wanted.setdefault((each.aspect, each.topic), []).append(each)
        self.left: dict[str, Preference] = {each.id: each for each in trip.preferences}
        self.booked: set[str] = set()
        self.focus: str = ""

    def sense(self, text: str, *, several: bool = False) -> Sense:
        """What `text` asks for; with `several`, the first of the topics that it names."""
        heard = self._ears.hear(text, self.focus)
        match heard.sense:
            case "vague" | "absent" | "chat":
                return Sense(heard.sense)
            case "several" if not several:
                return Sense("several")
            case _:
                pass
        senses = [self._sense_of(*topic) for topic in heard.topics]
        # A model that judges picks what there is to be had.
        return next((each for each in senses if each.kind == "reveal"), senses[0])

    def _sense_of(self, aspect: str, topic: str) -> Sense:
        self.focus = aspect
        if aspect in self.booked:
            return Sense("closed", None, aspect)
        here = self._wanted.get((aspect, topic), ())
        for each in here:
            if each.id in self.left:
                return Sense("reveal", each, aspect)
        return Sense("told", here[-1], aspect) if here else Sense("indifferent", None, aspect)

    def say(self, sense: Sense) -> str:
        """What the traveller answers."""
        if sense.wanted is not None and sense.kind in ("reveal", "told"):
            lines = _REVEALS if sense.kind == "reveal" else _TOLD
            return self._spoken(self._rng.choice(lines), sense.aspect, sense.wanted.hint, fact=True)
        return self._spoken(self._rng.choice(_SAYS[sense.kind]), sense.aspect)

    def offer(self, wanted: Preference) -> str:
        """What the traveller says of its own accord when nothing sensible is asked for long."""
        return self._spoken(self._rng.choice(_OFFERS), wanted.aspect, wanted.hint)

    def _spoken(self, line: str, aspect: str, hint: str = "", *, fact: bool = False) -> str:
        line = line.format(aspect=called(aspect), hint=_HINT)
        if self._manner is not None:
            # The manner wraps the hint and leaves its words alone: they are all there is to go by.
            line = self._manner.say(line, fact=fact)
        return line.replace(_HINT, hint)

    def pick(self) -> Preference | None:
        """One of what it has not said, of an aspect that is not booked."""
        open_ones = [each for each in self.left.values() if each.aspect not in self.booked]
        return self._rng.choice(open_ones) if open_ones else None


def called(aspect: str) -> str:
    """The aspect as one says it."""
    return "rental car" if aspect == "rental_car" else aspect or "trip"


_HINT = "\0"

_REVEALS = ("{hint}", "Well: {hint}", "{hint} So you know.", "How shall I put it? {hint}")
_TOLD = ("As I said: {hint}", "I told you already. {hint}", "Once more, then: {hint}")
_OFFERS = (
    "By the way, as to the {aspect}: {hint}",
    "May I say something about the {aspect}? {hint}",
    "What you should know for the {aspect}: {hint}",
)
_SAYS: Mapping[Kind, tuple[str, ...]] = {
    "reveal": ("Yes.",),
    "told": ("I told you already.",),
    "indifferent": (
        "I have no preference there.",
        "That is all the same to me.",
        "Nothing special on that. Ask me something else about the {aspect}.",
    ),
    "closed": ("The {aspect} is booked, is it not?", "You have settled the {aspect} already."),
    "several": ("One thing at a time, please.", "That is several questions. Which one first?"),
    "vague": (
        "That is too general for me. What exactly would you like to know?",
        "Ask me about something in particular.",
        "Hm, what about it in particular?",
    ),
    "absent": ("I do not need that on this trip.", "That is no part of my trip."),
    "chat": ("Right.", "I see.", "All right. Shall we get on with the trip?"),
}
