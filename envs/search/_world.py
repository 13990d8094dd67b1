"""Two invented worlds, one a split: regions, towns, people, what they founded, made and led.

A fact is a relation of one thing to another or to a year: each thing has at most one value of a
relation, so that a question which follows relations has one answer. Facts agree with each other: a
teacher is older than the pupil, nobody founds anything before growing up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from random import Random

from msgspec import Struct, field

from ...engine import Seed
from ._names import NAMES, Names

SPLITS = ("train", "test")

FIRST_YEAR, LAST_YEAR = 1820, 1919
"""Prizes are given in these years."""


class Thing(Struct, frozen=True, kw_only=True):
    """Something with a name and an article.

    noun:  what it is, in a word: `novel`, `shipyard`, `town`.
    facts: relation to name, or to a year in digits. Relations are those of `_relations`.
    """

    name: str
    kind: str
    noun: str
    facts: dict[str, str] = field(default_factory=dict[str, str])


class World(Struct, frozen=True, kw_only=True):
    """All the things of a split by name, and who won each prize in which year."""

    split: str
    things: dict[str, Thing]
    winners: dict[str, dict[str, str]]

    def of(self, kind: str) -> list[Thing]:
        """The things of a kind, in the order they were made."""
        return [thing for thing in self.things.values() if thing.kind == kind]


@cache
def world(split: str) -> World:
    """The world of a split: always the same one."""
    return _Maker(split, NAMES[split], (Seed(1905) / "search" / split).random()).world()


_COMPANIES = ("shipyard", "newspaper", "university", "bank", "observatory", "brewery", "museum")
_WORKS = {"novel": "novelist", "opera": "composer", "painting": "painter", "bridge": "engineer"}
_TRADES = (*_WORKS.values(), "captain", "merchant", "physician", "astronomer")


class _Maker:
    def __init__(self, split: str, names: Names, rng: Random) -> None:
        self._split = split
        self._names = names
        self._rng = rng
        self._things: dict[str, Thing] = {}

    def world(self) -> World:
        self._people()
        self._land()
        self._kin()
        self._companies()
        self._works()
        self._voyages()
        return World(split=self._split, things=self._things, winners=self._prizes())

    # ---- making

    def _add(self, name: str, kind: str, noun: str, **facts: str) -> Thing:
        if name in self._things:
            raise ValueError(f"two things are called {name!r}")
        thing = self._things[name] = Thing(name=name, kind=kind, noun=noun, facts=facts)
        return thing

    def _drawn(self, *words: Sequence[str]) -> Iterator[str]:
        """Each combination of the words once, in an order of chance."""
        every = [" ".join(each) for each in product(*words)]
        return iter(self._rng.sample(every, len(every)))

    def _people(self) -> None:
        people = self._drawn(self._names.given, self._names.family)
        for _ in range(12 * len(self._names.family)):
            trade = self._rng.choice(_TRADES)
            self._add(next(people), "person", trade, born=str(self._rng.randint(1760, 1889)))
        self._persons = list(self._things.values())
        self._by_trade = {
            trade: [person for person in self._persons if person.noun == trade] for trade in _TRADES
        }

    def _land(self) -> None:
        rng, names = self._rng, self._names
        towns = list(self._drawn(names.towns))
        rivers = list(names.rivers)
        everywhere = [towns[i :: len(names.regions)] for i in range(len(names.regions))]
        coins, animals = self._drawn(names.coins), self._drawn(names.animals)
        mayors = iter(rng.sample(self._persons, len(towns)))
        for region, here in zip(names.regions, everywhere, strict=True):
            self._add(
                region,
                "region",
                "region",
                capital=here[0],
                currency=next(coins),
                emblem=next(animals),
                composer=self._someone("composer").name,
            )
            for town in here:
                mayor = next(mayors)
                charter = self._year_of(mayor, 30, 60)
                river = f"River {rng.choice(rivers)}"
                self._add(
                    town,
                    "town",
                    "town",
                    region=region,
                    river=river,
                    mayor=mayor.name,
                    charter=charter,
                )
        for person in self._persons:
            person.facts["birthplace"] = rng.choice(towns)
        self._towns = towns

    def _kin(self) -> None:
        rng = self._rng
        by_age = sorted(self._persons, key=_born)
        for i, person in enumerate(by_age):
            elders = [
                each for each in by_age[max(0, i - 120) : i] if 15 <= _born(person) - _born(each)
            ]
            if elders and rng.random() < 0.7:
                person.facts["teacher"] = rng.choice(elders).name
        # Neighbours in age marry, two by two.
        for one, other in zip(by_age[::2], by_age[1::2], strict=False):
            if rng.random() < 0.7:
                one.facts["spouse"], other.facts["spouse"] = other.name, one.name

    def _companies(self) -> None:
        rng = self._rng
        founders = iter(rng.sample(self._persons, len(self._persons)))
        for house in self._drawn(self._names.houses):
            # Two by one house, of different trades: a name has to be read to its end.
            for noun in rng.sample(_COMPANIES, 2):
                founder = next(founders)
                self._add(
                    f"{house} {noun.title()}",
                    "company",
                    noun,
                    founder=founder.name,
                    founded=self._year_of(founder, 25, 55),
                    seat=rng.choice(self._towns),
                )
        self._yards = [each for each in self._things.values() if each.noun == "shipyard"]

    def _works(self) -> None:
        for title in self._drawn(*self._names.titles):
            noun = self._rng.choice(list(_WORKS))
            maker = self._someone(_WORKS[noun])
            town = self._rng.choice(self._towns)
            self._add(
                f"The {title}",
                "work",
                noun,
                maker=maker.name,
                finished=self._year_of(maker, 22, 65),
                home=town,
            )

    def _voyages(self) -> None:
        rng = self._rng
        houses = self._drawn(self._names.houses)
        for name in self._drawn(*self._names.ships):
            yard = rng.choice(self._yards)
            launched = str(int(yard.facts["founded"]) + rng.randint(2, 40))
            self._add(name, "ship", "ship", builder=yard.name, launched=launched)
            # By no means all ships were led anywhere.
            house = next(houses, None)
            leaders = [p for p in self._persons if 25 <= int(launched) - _born(p) <= 45]
            if house is None or not leaders:
                continue
            leader = rng.choice(leaders)
            self._add(
                f"{house} Expedition",
                "voyage",
                "expedition",
                leader=leader.name,
                ship=name,
                departed=str(int(launched) + rng.randint(1, 10)),
                harbour=rng.choice(self._towns),
            )

    def _prizes(self) -> dict[str, dict[str, str]]:
        born = [(_born(person), person.name) for person in self._persons]
        won: dict[str, dict[str, str]] = {f"{name} Prize": {} for name in self._names.prizes}
        for year in range(FIRST_YEAR, LAST_YEAR + 1):
            alive = [name for birth, name in born if 25 <= year - birth <= 70]
            for winners in won.values():
                winners[str(year)] = self._rng.choice(alive)
        return won

    # ---- drawing

    def _someone(self, trade: str) -> Thing:
        return self._rng.choice(self._by_trade[trade])

    def _year_of(self, person: Thing, youngest: int, oldest: int) -> str:
        return str(_born(person) + self._rng.randint(youngest, oldest))


def _born(person: Thing) -> int:
    return int(person.facts["born"])
