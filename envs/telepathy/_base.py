"""What is known about all the things that can be guessed, compiled from the written tables.

A domain (animals, foods, objects, places, professions) is closed: whatever its tables do not say of
a thing is not so, and so every question of the domain has an answer, yes, no or maybe, for every
thing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import blake2b
from types import ModuleType

from msgspec import Struct

from .._hearing import stem, words
from . import _animals, _foods, _objects, _people, _places
from ._common import COLOURS, LADDER, REFERENCES, SORTS, SORTS_OF

NO, MAYBE, YES = 0, 1, 2
"""What holds of a thing. Ordered: `and` is the least, `or` the most, `not` is 2 minus it."""

NEGATIONS = frozenset(("not", "never", "without", "no", "non", "lack", "lacks", "unable"))

_STOP = frozenset(
    words(
        """a an the my me is it its it's are was were be been being am do does did has have had having
    can could would will shall should may might must of in on at to for from by with as into
    onto and or either both any some this that these those there they them their you your i i'm
    we our he she his her one ones thing's so then if but also really actually please okay ok
    well just very quite more most much many lot lots isn't aren't doesn't don't can't couldn't
    wouldn't hasn't haven't won't wasn't what's that's which who whose something anything"""
    )
)
# Said around a question without changing what is asked.
_FILLERS = frozenset(
    stem(word)
    for word in words(
        """kind type sort form typically usually generally normally often commonly mostly mainly
    primarily largely frequently sometimes ever always naturally originally tend tends consider
    considered classified class categorized category called live lives living found find located
    location use used using useful make makes made get gets come comes comprised known famous
    associate associated belong belongs related thing entity object item stuff think thinking
    guess wonder tell me know see seen say like part member related main typical common people
    person human humans someone everyday life daily world place going go exist exists own
    possess feature features characteristic color colour colored coloured primary native habitat
    need needs require requires continent about wild natural specific particular contain contains include includes involve involves
    taste tastes flavor flavour serve served work works working job profession able capable
    answer question yes keep keeps kept body shape shaped material region regions area areas
    part parts anywhere somewhere environment environments look looks appearance size"""
    )
)
# In some domains that is more: that a food is eaten is no question, what an animal eats is one.
_FILLERS_OF = {
    "food": frozenset(map(stem, ["eat", "eaten", "eats", "eating", "consume", "consumed"])),
    "profession": frozenset(map(stem, ["wear", "wears", "wearing", "do", "doing", "day"])),
}


class Attribute(Struct, frozen=True, gc=False):
    """One thing that can be asked: its tag, and the question that asks it in plain words."""

    tag: str
    question: str


class Entity(Struct, frozen=True):
    """One thing that can be guessed. `names` are all it goes by, the first its own."""

    names: tuple[str, ...]
    size: float
    facts: tuple[int, ...]
    """NO, MAYBE or YES for each attribute of the domain, in the domain's order."""

    @property
    def name(self) -> str:
        return self.names[0]


class Domain(Struct, frozen=True):
    """A closed world of things of one sort."""

    name: str
    attributes: tuple[Attribute, ...]
    entities: tuple[Entity, ...]
    lexicon: Mapping[tuple[str, ...], int]
    """What a run of words asks: the attribute's place, or its complement (`~`) for the opposite."""
    whole: Mapping[tuple[str, ...], int]
    """The same for whole questions, as the tables word them."""
    sized: bool
    by_name: Mapping[str, Entity]

    def called(self, name: str) -> Entity | None:
        """The thing of that very name."""
        return self.by_name.get(name)


def tokens(text: str) -> tuple[str, ...]:
    """The stems of the words that matter in `text`, in order."""
    return tuple(
        stem(word.removesuffix("'s")) if word not in NEGATIONS else word
        for word in words(text)
        if word not in _STOP
    )


def is_filler(token: str, domain: str = "") -> bool:
    """Whether the word can be left out of a question and it asks the same."""
    return token in _FILLERS or token in _FILLERS_OF.get(domain, ())


@cache
def domains() -> Mapping[str, Domain]:
    """The domains by name; read from the tables once."""
    return {
        name: _compile(name, tables)
        for name, tables in (
            ("animal", _animals),
            ("food", _foods),
            ("object", _objects),
            ("place", _places),
            ("profession", _people),
        )
    }


@cache
def names() -> Mapping[tuple[str, ...], str]:
    """Every name and alias of every thing, as tokens, and the thing's own name."""
    found: dict[tuple[str, ...], str] = {}
    for domain in domains().values():
        for entity in domain.entities:
            for name in entity.names:
                found.setdefault(tokens(name), entity.name)
    return found


@cache
def elsewhere() -> frozenset[tuple[str, ...]]:
    """What can be asked in any domain at all."""
    return frozenset(phrase for domain in domains().values() for phrase in domain.lexicon)


TEST_SHARE = 6
"""One thing in so many belongs to the test split."""


@lru_cache(maxsize=4096)
def split_of(name: str) -> str:
    """The split that a thing of this name belongs to, in whatever domain."""
    digest = blake2b(name.encode(), digest_size=8, person=b"telepathy").digest()
    return "train" if int.from_bytes(digest, "little") % TEST_SHARE else "test"


# ---- reading the tables


def _compile(name: str, tables: ModuleType) -> Domain:
    rows = list(_rows(tables.ATTRIBUTES))
    if name in ("animal", "food"):
        rows += _rows(COLOURS)
    rows += _rows(SORTS)
    order = {row[0]: i for i, row in enumerate(rows)}
    implied = {
        kind.strip(): tags.split()
        for kind, _, tags in (line.partition(":") for line in _lines(tables.IMPLIED))
    }
    sized = name != "profession"
    entities: list[Entity] = []
    for names, size, tags in _rows(tables.ENTITIES):
        facts = _facts(f"{SORTS_OF[name]} {tags}".split(), implied, order, names)
        known = [facts.get(tag, NO) for tag in order]
        if sized:
            known += [compare(float(size), REFERENCES[reference]) for reference in LADDER]
        parts = tuple(part.strip() for part in names.split(";"))
        entities.append(Entity(parts, float(size), tuple(known)))
    attributes = [Attribute(row[0], row[1]) for row in rows]
    if sized:
        attributes += [
            Attribute(f"over_{ref}", f"Is it bigger than {article(ref)} {ref}?") for ref in LADDER
        ]
    lexicon: dict[tuple[str, ...], int] = {}
    whole: dict[tuple[str, ...], int] = {}
    for tag, question, phrases in rows:
        whole.setdefault(tokens(question), order[tag])
        for phrase in (tag, *phrases.split(";")):
            mark = phrase.strip()[:1]
            if not (said := tokens(phrase)) or phrase.startswith("is_"):
                continue
            if mark == "=":
                whole.setdefault(said, order[tag])
            else:
                lexicon.setdefault(said, ~order[tag] if mark == "!" else order[tag])
    by_name = {entity.name: entity for entity in reversed(entities)}
    return Domain(name, tuple(attributes), tuple(entities), lexicon, whole, sized, by_name)


def article(word: str) -> str:
    """`a` or `an`."""
    return "an" if word[0] in "aeiou" else "a"


def compare(size: float, reference: float) -> int:
    """Whether what has the `size` is bigger than the reference; MAYBE when about as big."""
    return MAYBE if size == reference else YES if size > reference else NO


def _facts(
    tags: Iterable[str], implied: Mapping[str, Sequence[str]], order: Mapping[str, int], whose: str
) -> dict[str, int]:
    """What the tags of a thing come to. What it says itself goes before what its kind implies."""
    own: dict[str, int] = {}
    from_kind: dict[str, int] = {}
    kinds: list[str] = []
    for tag in tags:
        plain = tag.lstrip("~-")
        if plain in order:
            own[plain] = {"~": MAYBE, "-": NO}.get(tag[0], YES)
        elif plain not in implied:
            raise ValueError(f"{whose}: there is no attribute {plain!r}")
        if tag == plain:
            kinds.append(tag)
    for kind in kinds:  # grows while it is read: what a kind implies may be a kind itself
        for tag in implied.get(kind, ()):
            plain = tag.lstrip("~-")
            if plain in order:
                from_kind.setdefault(plain, {"~": MAYBE, "-": NO}.get(tag[0], YES))
            if tag == plain and own.get(tag, YES) == YES and tag not in kinds:
                kinds.append(tag)
    return from_kind | own


def _rows(table: str) -> Iterable[tuple[str, str, str]]:
    for line in _lines(table):
        first, second, third = (part.strip() for part in line.split("|"))
        yield first, second, third


def _lines(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.strip()]
