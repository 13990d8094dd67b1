"""How relations between things are asked for, and how chains of them are put into one question."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from ._world import Thing, World


class Relation(Struct, frozen=True, kw_only=True):
    """A relation of a kind of thing to another kind, in words. `{}` is the thing.

    gives: the kind of the value: a kind of thing, `year`, or `word` for what has no article.
    asks:  whole questions for the value.
    calls: noun phrases for the value; none where nothing further can be asked about it.
    """

    name: str
    of: str
    gives: str
    asks: tuple[str, ...]
    calls: tuple[str, ...] = ()


def _year(name: str, of: str, did: str) -> Relation:
    return Relation(
        name=name,
        of=of,
        gives="year",
        asks=(f"In what year {did}?", f"When {did}?"),
        calls=(f"the year in which {_told(did)}",),
    )


def _told(did: str) -> str:
    """A question's order of words turned into a clause's: "was {} founded", "{} was founded"."""
    helper, _, rest = did.partition(" ")
    return rest if helper == "did" else rest.replace("{}", f"{{}} {helper}", 1)


RELATIONS: tuple[Relation, ...] = (
    # A company.
    Relation(
        name="founder",
        of="company",
        gives="person",
        asks=("Who founded {}?", "Who was the founder of {}?"),
        calls=("the founder of {}", "the person who founded {}"),
    ),
    _year("founded", "company", "was {} founded"),
    Relation(
        name="seat",
        of="company",
        gives="town",
        asks=("In which town does {} have its seat?", "Where is the seat of {}?"),
        calls=("the town where {} has its seat", "the seat of {}"),
    ),
    # A work.
    Relation(
        name="maker",
        of="work",
        gives="person",
        asks=("Who is the {maker} of {}?", "Who was the {maker} of {}?"),
        calls=("the {maker} of {}",),
    ),
    _year("finished", "work", "was {} finished"),
    Relation(
        name="home",
        of="work",
        gives="town",
        asks=("Which town is the home of {}?",),
        calls=("the home town of {}", "the town that is home to {}"),
    ),
    # A voyage and a ship.
    Relation(
        name="leader",
        of="voyage",
        gives="person",
        asks=("Who led {}?", "Who was the leader of {}?"),
        calls=("the leader of {}", "the person who led {}"),
    ),
    Relation(
        name="ship",
        of="voyage",
        gives="ship",
        asks=("Which ship carried {}?", "What was the ship of {}?"),
        calls=("the ship of {}", "the ship that carried {}"),
    ),
    _year("departed", "voyage", "did {} set out"),
    Relation(
        name="harbour",
        of="voyage",
        gives="town",
        asks=("From which town did {} set out?",),
        calls=("the town from which {} set out",),
    ),
    Relation(
        name="builder",
        of="ship",
        gives="company",
        asks=("Which shipyard built {}?", "By which yard was {} built?"),
        calls=("the shipyard that built {}", "the builder of {}"),
    ),
    _year("launched", "ship", "was {} launched"),
    # A person.
    _year("born", "person", "was {} born"),
    Relation(
        name="birthplace",
        of="person",
        gives="town",
        asks=("In which town was {} born?", "What is the birthplace of {}?"),
        calls=("the birthplace of {}", "the town where {} was born"),
    ),
    Relation(
        name="teacher",
        of="person",
        gives="person",
        asks=("Who was the teacher of {}?", "Who taught {}?"),
        calls=("the teacher of {}", "the person who taught {}"),
    ),
    Relation(
        name="spouse",
        of="person",
        gives="person",
        asks=("Who was {} married to?", "Who was the spouse of {}?"),
        calls=("the spouse of {}", "the person whom {} married"),
    ),
    # A town.
    Relation(
        name="region",
        of="town",
        gives="region",
        asks=("In which region does {} lie?", "Which region does {} belong to?"),
        calls=("the region of {}", "the region in which {} lies"),
    ),
    Relation(
        name="river",
        of="town",
        gives="word",
        asks=("Which river flows through {}?", "On which river does {} lie?"),
    ),
    Relation(
        name="mayor",
        of="town",
        gives="person",
        asks=("Who was the first mayor of {}?",),
        calls=("the first mayor of {}",),
    ),
    _year("charter", "town", "was {} granted its charter"),
    # A region.
    Relation(
        name="capital",
        of="region",
        gives="town",
        asks=("What is the capital of {}?",),
        calls=("the capital of {}",),
    ),
    Relation(
        name="currency",
        of="region",
        gives="word",
        asks=("What is the currency of {}?", "With which coin does one pay in {}?"),
    ),
    Relation(
        name="emblem",
        of="region",
        gives="word",
        asks=("Which animal is the emblem of {}?",),
    ),
    Relation(
        name="composer",
        of="region",
        gives="person",
        asks=("Who composed the anthem of {}?",),
        calls=("the composer of the anthem of {}", "the person who composed the anthem of {}"),
    ),
)

BY_KIND: dict[str, tuple[Relation, ...]] = {
    kind: tuple(relation for relation in RELATIONS if relation.of == kind)
    for kind in ("company", "work", "voyage", "ship", "person", "town", "region")
}

MAKERS = {"novel": "author", "opera": "composer", "painting": "painter", "bridge": "engineer"}


def prize_relation(prize: str) -> Relation:
    """Who won a prize, asked of a year."""
    return Relation(
        name=prize,
        of="year",
        gives="person",
        asks=(f"Who won the {prize} in {{}}?", f"Who was the winner of the {prize} in {{}}?"),
        calls=(f"the winner of the {prize} in {{}}",),
    )


def relations_of(here: World, kind: str, name: str) -> list[tuple[Relation, str]]:
    """What is known of a thing or a year, with the values, in a fixed order."""
    if kind == "year":
        return [
            (prize_relation(prize), years[name])
            for prize, years in here.winners.items()
            if name in years
        ]
    facts = here.things[name].facts if name in here.things else {}
    return [
        (relation, facts[relation.name])
        for relation in BY_KIND.get(kind, ())
        if relation.name in facts
    ]


def called(thing: Thing) -> str:
    """A thing as one speaks of it to somebody who has not heard of it."""
    match thing.kind:
        case "work":
            return f"the {thing.noun} '{thing.name}'"
        case "company" | "voyage":
            return f"the {thing.name}"
        case "ship":
            return f"the ship '{thing.name}'"
        case _:
            return thing.name


def wording(relation: Relation, pattern: str, phrase: str, thing: Thing | None) -> str:
    """A pattern of a relation filled in. `thing` is what `phrase` stands for, where it is a thing."""
    maker = MAKERS.get(thing.noun, "maker") if thing is not None else "maker"
    return pattern.replace("{maker}", maker).replace("{}", phrase)


def chained(start: Thing, chain: Sequence[Relation], rng: Random) -> str:
    """One question for what the chain leads to from `start`."""
    phrase = called(start)
    thing: Thing | None = start
    for relation in chain[:-1]:
        phrase = wording(relation, rng.choice(relation.calls), phrase, thing)
        thing = None
    return wording(chain[-1], rng.choice(chain[-1].asks), phrase, thing)
