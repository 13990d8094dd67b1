"""The articles of a world: what the search engine finds, each fact in the article of its subject.

No article tells a fact of another thing, so that a question of several steps takes several searches.
"""

from __future__ import annotations

from functools import cache
from random import Random

from msgspec import Struct

from ...engine import Seed
from ._relations import MAKERS, called
from ._world import Thing, World, world


class Article(Struct, frozen=True, gc=False):
    """A document."""

    title: str
    text: str


_FACTS: dict[str, tuple[str, ...]] = {
    "founder": ("It was founded by {}.", "Its founder was {}.", "{} founded it."),
    "founded": ("It was founded in {}.", "The year of its foundation is {}."),
    "seat": ("It has its seat in {}.", "Its seat is the town of {}."),
    "maker": ("It is the work of {}.", "Its {maker} is {}.", "{} made it and was its {maker}."),
    "finished": ("It was finished in {}.", "Work on it ended in {}."),
    "home": ("Its home is the town of {}.", "The town of {} is its home."),
    "leader": ("It was led by {}.", "Its leader was {}.", "{} led it."),
    "ship": ("Its ship was the {}.", "It was carried by the ship {}."),
    "departed": ("It set out in {}.", "The year in which it set out was {}."),
    "harbour": ("It set out from {}.", "The town from which it set out was {}."),
    "builder": ("It was built by the {}.", "The {} built it."),
    "launched": ("It was launched in {}.", "The launch was in {}."),
    "born": ("{they} was born in {}.", "The year of birth is {}."),
    "birthplace": ("{they} was born in the town of {}.", "The birthplace is {}."),
    "teacher": ("{they} was taught by {}.", "The teacher of {they} was {}."),
    "spouse": ("{they} was married to {}.", "The spouse of {they} was {}."),
    "region": ("It lies in the region of {}.", "It belongs to the region of {}."),
    "river": ("The {} flows through it.", "It lies on the {}."),
    "mayor": ("Its first mayor was {}.", "{} was its first mayor."),
    "charter": ("It was granted its charter in {}.", "Its charter dates from {}."),
    "capital": ("Its capital is {}.", "The capital is {}."),
    "currency": ("Its currency is the {}.", "One pays with a coin called the {}."),
    "emblem": ("Its emblem is the {}.", "The animal on its emblem is the {}."),
    "composer": ("Its anthem was composed by {}.", "{} composed its anthem."),
}

_REMARKS: dict[str, tuple[str, ...]] = {
    "person": (
        "Letters from later years are kept in several archives.",
        "A street bears the name.",
        "A portrait survives in a private collection.",
        "Little is known about the early years.",
    ),
    "town": (
        "The market is held twice a week.",
        "Its old walls were taken down for the railway.",
        "Visitors come for the bells and the smoked fish.",
    ),
    "region": (
        "Most people live from trade and fishing.",
        "The winters are mild and the roads are bad.",
    ),
    "company": (
        "A fire destroyed its first building.",
        "At its height several hundred people worked there.",
        "Its records were lost in a flood.",
    ),
    "work": (
        "It was received coldly at first.",
        "Critics have argued about its meaning ever since.",
        "It was restored more than once.",
    ),
    "ship": (
        "The crew thought well of it.",
        "It was scrapped after a long career.",
    ),
    "voyage": (
        "It came back with fewer people than had left.",
        "Its maps were in use for decades.",
    ),
}


@cache
def articles(split: str) -> tuple[Article, ...]:
    """All the articles of a split's world, always in the same order."""
    here = world(split)
    rng = (Seed(1905) / "search" / "articles" / split).random()
    written = [_about(thing, rng) for thing in here.things.values()]
    return (*written, *_prizes(here))


def _about(thing: Thing, rng: Random) -> Article:
    name = called(thing)
    article = "an" if thing.noun[0] in "aeo" else "a"
    lines = [f"{name[0].upper()}{name[1:]} is {article} {thing.noun}."]
    if thing.kind == "person":
        lines = [f"{name} was {article} {thing.noun}."]
    told = [
        rng.choice(_FACTS[relation])
        .replace("{maker}", MAKERS.get(thing.noun, ""))
        .replace("{they}", thing.name)
        .replace("{}", value)
        for relation, value in thing.facts.items()
    ]
    told.append(rng.choice(_REMARKS[thing.kind]))
    rng.shuffle(told)
    return Article(f"{thing.name} ({thing.noun})", " ".join(lines + told))


def _prizes(here: World) -> list[Article]:
    written: list[Article] = []
    for prize, winners in here.winners.items():
        years = list(winners)
        for first in range(0, len(years), 10):
            decade = years[first : first + 10]
            listed = "; ".join(f"{year}: {winners[year]}" for year in decade)
            title = f"{prize}, winners from {decade[0]} to {decade[-1]}"
            written.append(Article(title, f"Winners of the {prize} by year. {listed}."))
    return written
