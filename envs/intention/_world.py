"""The small world of the generated tasks: domains, their topics, and what may be wanted of each.

The vocabulary is kept small on purpose: a model of a few hundred thousand parameters has to learn
it from a few hundred dialogues.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from ._matcher import Matcher, Subject
from ._words import family_of


class Domain(Struct, frozen=True):
    """What a vague wish can be about.

    nouns:  how the opening line may call it.
    topics: in the order of how much they usually matter: three of tier 3, three of 2, two of 1.
    """

    nouns: tuple[str, ...]
    topics: tuple[str, ...]


TIERS = (3, 3, 3, 2, 2, 2, 1, 1)

USUAL_DOMAINS = 4
"""How many of the domains tasks are about unless told otherwise; five learn slower than four."""

DOMAINS: dict[str, Domain] = {
    name: Domain(tuple(nouns.split(", ")), tuple(topics.split()))
    for name, nouns, topics in (
        (
            "restaurant",
            "a restaurant, a place to eat, a table for dinner",
            "cuisine budget place time guests diet mood parking",
        ),
        (
            "trip",
            "a trip, a holiday, a journey",
            "destination date budget transport hotel guests food activity",
        ),
        ("gift", "a gift, a present", "person occasion hobby budget date size color wrapping"),
        (
            "flat",
            "a flat, an apartment, a new home",
            "place rooms budget date pets floor parking garden",
        ),
        (
            "laptop",
            "a laptop, a notebook, a computer",
            "purpose screen budget weight system brand battery color",
        ),
        (
            "party",
            "a party, a celebration",
            "guests date place occasion music food budget theme",
        ),
        ("bike", "a bike, a bicycle", "size purpose brand budget gears weight color lights"),
        (
            "course",
            "a course, a class, some lessons",
            "subject level time budget goal teacher place language",
        ),
    )
}

# Topic: how one would ask for it, and what may be wanted.
_TOPICS: dict[str, tuple[str, str]] = {
    "activity": ("What would you like to do?", "hiking museums swimming"),
    "battery": ("How long must the battery last?", "long middle short"),
    "brand": ("Which maker do you trust?", "cheap known any"),
    "budget": ("How much can you spend?", "low medium high"),
    "color": ("Which shade do you like?", "red blue black"),
    "cuisine": ("What kind of food do you like to eat?", "thai italian indian"),
    "date": ("When is it? On which day?", "monday friday sunday"),
    "destination": ("Where do you want to go?", "sea mountains city"),
    "diet": ("Are you vegetarian? Any allergies?", "vegan halal none"),
    "floor": ("How high up?", "ground second top"),
    "food": ("What do you want to eat?", "pizza salad cake"),
    "garden": ("Do you need something green outside?", "yes shared no"),
    "gears": ("How many speeds do you need?", "few many one"),
    "goal": ("Why do you want to learn it?", "exam job fun"),
    "guests": ("How many people are coming? Who comes?", "two four ten"),
    "hobby": ("What do they do for fun?", "cooking reading tennis"),
    "hotel": ("What kind of bed for the night?", "simple fancy hostel"),
    "language": ("Which language shall we speak?", "english german french"),
    "level": ("How good are you already?", "beginner middle expert"),
    "lights": ("Which lamps do you need?", "front both none"),
    "mood": ("Which atmosphere do you like?", "quiet lively romantic"),
    "music": ("Which songs do you like?", "jazz rock pop"),
    "occasion": ("What do you celebrate?", "birthday wedding christmas"),
    "parking": ("Do you come by car?", "street garage none"),
    "person": ("Who is it for?", "mother friend colleague"),
    "pets": ("Do you have animals?", "cat dog none"),
    "place": ("Where should it be?", "center north south"),
    "purpose": ("What will you use it for?", "work games school"),
    "rooms": ("How many bedrooms?", "one two three"),
    "screen": ("How big a display?", "small middle large"),
    "size": ("How big should it be?", "small middle large"),
    "subject": ("What do you want to learn?", "math physics history"),
    "system": ("Which operating system?", "linux windows mac"),
    "teacher": ("Who should teach you?", "strict kind young"),
    "theme": ("Which motto?", "retro disco jungle"),
    "time": ("When? At what hour?", "morning noon evening"),
    "transport": ("How do you want to travel?", "train plane car"),
    "weight": ("How heavy may it be?", "light middle heavy"),
    "wrapping": ("How shall I pack it?", "paper box ribbon"),
}

VALUES: dict[str, tuple[str, ...]] = {t: tuple(v.split()) for t, (_, v) in _TOPICS.items()}
INQUIRIES: dict[str, str] = {t: inquiry for t, (inquiry, _) in _TOPICS.items()}


class World(Struct, frozen=True):
    """What the user of one domain can understand: the domain's topics first, then the others."""

    topics: tuple[str, ...]
    matcher: Matcher


@lru_cache(maxsize=len(DOMAINS))
def world(domain: str) -> World:
    """The world of a domain, compiled once for all its dialogues."""
    near = DOMAINS[domain].topics
    # The topics of other domains are understood too, by name. Otherwise naming one topic of
    # every domain would be a question about one topic, and pay without reading the opening.
    # But who says "food" to a restaurant's guest means the cuisine: that is no topic apart.
    said = {family_of(topic) for topic in near} - {""}
    far = tuple(t for t in VALUES if t not in near and family_of(t) not in said)
    subjects = [Subject(t, INQUIRIES[t], VALUES[t]) for t in near]
    subjects += [Subject(t, remote=True) for t in far]
    return World(near + far, Matcher(subjects))
