"""The travel world: aspects of a trip, the topics of each, and what may be wanted of a topic."""

from __future__ import annotations

from msgspec import Struct

from .._hearing import stem, words
from ._content import APARTMENT, FLIGHT, HOTEL, RENTAL_CAR, RESTAURANT

ASPECTS = ("flight", "hotel", "apartment", "rental_car", "restaurant")
INITIALS = {"flight": "F", "hotel": "H", "apartment": "A", "rental_car": "C", "restaurant": "R"}
ASPECT_OF = {initial: aspect for aspect, initial in INITIALS.items()}

CALLED = {
    "flight": "flight flights fly flying plane airline airfare airplane",
    "hotel": "hotel hotels inn",
    "apartment": "apartment apartments flat airbnb",
    "rental_car": "car cars vehicle automobile",
    "restaurant": "restaurant restaurants dinner dine dining lunch",
}
"""Words that name an aspect. No topic is asked for by one of them alone."""


class Topic(Struct, frozen=True):
    """One thing that may matter about an aspect.

    asks:   stems that ask for it.
    values: each value with its hints; the last hint is the test split's.
    """

    name: str
    asks: frozenset[str]
    values: dict[str, tuple[str, ...]]


def _topics(text: str) -> dict[str, Topic]:
    topics: dict[str, Topic] = {}
    name = ""
    for line in text.strip().splitlines():
        if line.startswith(" "):
            value, _, hints = line.strip().partition(" = ")
            topics[name].values[value] = tuple(hints.split(" / "))
        else:
            name, _, asks = line.partition(": ")
            topics[name] = Topic(name, frozenset(map(stem, asks.split())), {})
    return topics


TOPICS: dict[str, dict[str, Topic]] = {
    "flight": _topics(FLIGHT),
    "hotel": _topics(HOTEL),
    "apartment": _topics(APARTMENT),
    "rental_car": _topics(RENTAL_CAR),
    "restaurant": _topics(RESTAURANT),
}

ASPECT_STEMS: dict[str, str] = {
    stem(word): aspect for aspect, called in CALLED.items() for word in called.split()
}


def meaning(text: str) -> frozenset[str]:
    """The stems of the words of `text` that carry meaning."""
    return frozenset(stem(word.removesuffix("'s")) for word in words(text)) - IDLE


_IDLE = """
    a about after all also am an and any anything are aspect as at be because before being but by
    can could customer did do does else for from get give got had has have he her his how i if in
    into is it its just kind know let like look make may me might more most much must my need no
    not of ok on one only or other our out over own particular perhaps please possible prefer
    preference preferred preferences rather really right said same say see shall she should so some
    something still such sure take tell than that the their them then there they thing this those
    to too trip travel type up us very want was we were what which while who whom whose why will
    wish with within without would yes you your yours
"""
IDLE = frozenset(map(stem, _IDLE.split()))
"""Stems that carry a sentence and not its subject."""
