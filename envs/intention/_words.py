"""What a word means to the rule-based user: stems, families of meaning, question cues.

A `Term` is one meaningful word of a text. It can be recognised by its own stem or, less surely,
by the family of meaning it belongs to ("budget", "cost" and "how much" are one family). Words
that only carry a question ("could you tell me") are no terms at all, and words that fit any
question ("type", "specific", "preferred") weigh little.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

HEARD_CHARS = 2000
"""How much of a line the user takes in. Bounds the work that any text can cause."""


class Term(Struct, frozen=True, gc=False):
    """A meaningful word: its stem ("" for a cue like "how much"), its family ("" for none), and
    how much it says about what a question is about."""

    stem: str
    family: str
    weight: float = 1.0


_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?[+#]*")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that carry a question and not its subject.
_SILENT = _set(
    """
    a about above according after again ahead all also am among an and any anything are aren't as
    ask asking at be because been before being both but by can can't could couldn't d did didn't
    do does doesn't doing don't during each either else especially etc even ever every everything
    example for from get give given go going got had has have haven't having he hear hello help
    here hers hey hi him his i i'd i'll i'm i've if in into is isn't it it's its just know let let's
    like ll look looking m make makes may maybe me mean might mind more most much must my need needed
    no nor not now of off ok okay on one ones only or other our out over own perhaps please
    possible quite re really s same say see settle shall she should so some something sorry
    still such sure t take tell than thank thanks that that's the their them then there there's
    these they thing think this those though thus to too try up us use used using very via want
    wanted wants was we we'd we'll we're well were what what's when where which while who whose
    whom why will wish with within without won't would wouldn't yes yet you you'd you'll you're
    you've your yours
    """
)

# Words that ask for a choice without saying of what.
_FAINT = _set(
    """
    additional answer aspect available basic certain choice choose consider consideration
    constraint current currently describe description desired detail details determine exact
    exactly expect favorite favourite find focus general generally good idea important include
    inform information intend intended interest interested involve item kind main matter mode name
    nature necessary needs new option particular particularly personal plan prefer preference
    preferred primary provide question regarding relate related require required requirement
    restrict restriction select selection set share special specific specifically specification
    specified specify suggest suggestion suitable task today tomorrow tonight type types user
    usual usually variety various way work would
    """
)

# Families of meaning: any word of a line may stand for any other word of it.
_FAMILIES = """
    kind: type kind variety
    money: budget cost price pricing expense expensive spend spending afford affordable cheap
        pay payment fee fund money dollar financial
    free: free paid subscription
    income: income salary earnings
    when: date deadline schedule calendar day month
    clock: time hour
    period: period timeframe era year decade timespan recent recency latest span window
    lasting: duration length long minutes weeks
    often: frequency often regularly interval daily weekly
    where: location place city town country region area address venue destination spot state
        neighborhood neighbourhood geographic geographical geography locale path
    people: guest people person attendee participant audience reader viewer recipient group party
        member crowd
    child: child children kid toddler
    animal: pet dog cat animal
    genre: genre category style flavor flavour
    eating: food cuisine meal dish eat eating
    diet: diet dietary vegan vegetarian allergy allergies allergic gluten intolerance
    size: size dimension big large measurement scale
    amount: number amount quantity count many
    level: level proficiency expertise skill experience experienced beginner advanced fluency
        familiarity familiar background knowledge ability
    depth: depth thorough granularity
    hard: difficulty complexity challenging complex difficult challenge intensity
    purpose: purpose goal objective aim use usage reason why intention motive outcome achieve
        accomplish
    format: format layout structure presentation
    output: output result
    source: source origin provider
    tool: tool equipment gear apparatus appliance device hardware utensil
    program: software app application program
    site: website site platform page channel
    system: system os
    car: car vehicle automobile
    travel: transport transportation travel commute
    lodging: hotel accommodation lodging hostel
    home: home house apartment flat residence
    job: job career profession occupation industry field
    firm: company business organization organisation brand maker manufacturer
    climate: climate season
    illness: health medical condition illness injury injuries disease
    limit: limitation limit restriction constraint
    rule: criterion criteria standard measure metric yardstick
    feature: feature function functionality functionalities characteristic amenity amenities
        capability
    topic: topic subject theme matter
    color: color colour shade hue
    stuff: material fabric substance
    method: method approach technique strategy strategies way manner procedure
    meaning: definition define meaning meant
    part: part section component element chapter portion
    symptom: symptom complaint
    document: document report paper article
    picture: image photo picture photograph
    clip: video film movie footage
    song: song music track playlist
    copy: backup copy
    folder: directory folder
    order: order sequence sorting sort ranking arrange
    label: title label called naming
    tongue: language dialect
    lesson: course class lesson tutorial training
    past: history previous prior past existing already earlier
    mood: mood atmosphere vibe ambience tone
    event: event occasion celebration
    activity: activity activities hobby hobbies pastime exercise
    safety: safety security secure protection
    trouble: error issue problem trouble concern worry
    gender: gender sex
    age: age old aged
    weight: weight heavy mass
    speed: speed fast pace
    change: change modification adjust adjustment
    compare: comparison compare comparing
    goods: product item goods
    author: author writer
    artist: artist performer singer
    risk: risk tolerance
    version: version edition release
    exclude: avoid exclude exclusion omit
    commitment: commitment dedicate devote availability
    space: space room
    look: design decor aesthetic appearance
"""

# What two words ask together, by the family they ask for.
_CUES = {
    ("how", "much"): "money",
    ("how", "many"): "amount",
    ("how", "often"): "often",
    ("how", "frequently"): "often",
    ("how", "long"): "lasting",
    ("how", "old"): "age",
    ("how", "big"): "size",
    ("how", "large"): "size",
    ("how", "small"): "size",
    ("how", "heavy"): "weight",
    ("how", "detailed"): "depth",
    ("how", "deep"): "depth",
    ("how", "experienced"): "level",
    ("how", "difficult"): "hard",
    ("how", "far"): "where",
    ("what", "time"): "clock",
}
_LONE_CUES = {"when": "when", "where": "where", "who": "people", "whom": "people", "why": "purpose"}
# A lone cue asks at the head of a question or after one of these; elsewhere it only joins clauses.
_HEADS = _set("and or but so from to by for with about exactly")
_CUE = 0.85
_FAINTLY = 0.2

_WEATHER = _set("weather rain raining rainy sun sunny snow snowing snowy forecast")
_IDLE = _WEATHER | _set(
    "outside today tonight tomorrow now right moment morning week weekend current currently where "
    "going nice good bad hot cold warm wet dry cloudy windy lovely temperature how how's day area "
    "city town region place local near around live condition conditions"
)
_IDLE_OPENINGS = frozenset({("how", "is"), ("is", "it"), ("is", "the"), ("will", "it")})


def words(text: str) -> list[str]:
    """The words of the part of `text` that the user takes in, folded to one case."""
    return _WORD.findall(text[:HEARD_CHARS].casefold().replace("\u2019", "'"))


def mentions_weather(spoken: list[str]) -> bool:
    return not _WEATHER.isdisjoint(spoken)


def is_small_talk(spoken: list[str]) -> bool:
    """Whether the words only chat about the weather, here and now.

    "What is the weather like in your city today?" is what strangers say, whatever the task is
    about. Who means the task says more: the conditions expected, the source of the data.
    """
    if not mentions_weather(spoken):
        return False
    if not all(word in _IDLE or word in _SILENT for word in spoken):
        return False
    # "Which city is the weather for?" is made of the same words and yet is no chat.
    chatty = tuple(spoken[:2]) in _IDLE_OPENINGS or spoken[0] == "how's" or "like" in spoken
    return chatty or not any(_FAMILY_OF.get(stem(word)) == "where" for word in spoken)


def terms(spoken: list[str]) -> list[Term]:
    """The meaningful words among `spoken`, each once, in order."""
    found: dict[Term, None] = {}
    before = ""
    for i, word in enumerate(spoken):
        if (before, word) in _CUES:
            # "How much" asks for money unless it says of what: "how much time".
            if word != "much" or i + 1 == len(spoken) or not _term(spoken[i + 1]):
                found[Term("", _CUES[before, word])] = None
        elif word in _LONE_CUES:
            if i == 0 or before in _HEADS:
                found[Term("", _LONE_CUES[word], _CUE)] = None
        elif term := _term(word):
            found[term] = None
        before = word
    return list(found)


@lru_cache(maxsize=1 << 14)
def _term(word: str) -> Term | None:
    word = word.removesuffix("'s")
    if word in _SILENT or word == "how" or (len(word) == 1 and not word.isdigit()):
        return None
    root = stem(word)
    faint = word in _FAINT or root in _FAINT_ROOTS
    return Term(root, _FAMILY_OF.get(root, ""), _FAINTLY if faint else 1.0)


_ENDINGS = (
    ("ations", "at"),
    ("ation", "at"),
    ("ities", "ity"),
    ("nesses", ""),
    ("ness", ""),
    ("ments", ""),
    ("ment", ""),
    ("ions", ""),
    ("ion", ""),
    ("ings", ""),
    ("ing", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ers", ""),
    ("ences", "ent"),
    ("ence", "ent"),
    ("ally", ""),
    ("ly", ""),
    ("ed", ""),
    ("er", ""),
    ("es", ""),
    ("s", ""),
)


def stem(word: str) -> str:
    """What `word` has in common with its inflections; rough, and the same for all of them."""
    if len(word) > 3 and not word.endswith("ss"):
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                word = word[: -len(ending)] + instead
                break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    # "analyze" and "analysis", "criteria" and "criterion" are too short or odd for the rules.
    return _ODD.get(word, word)


_ODD = {
    "analys": "analyz",
    "analysi": "analyz",
    "criteri": "criterion",
    "criteria": "criterion",
    "childr": "child",
    "children": "child",
    "allergic": "allergy",
    "geographical": "geographic",
    "dietary": "diet",
    "favourit": "favorit",
    "colour": "color",
    "financial": "financ",
    "loc": "locat",
    "durat": "dur",
}

_FAINT_ROOTS = frozenset(map(stem, _FAINT))


def _families() -> dict[str, str]:
    known: dict[str, str] = {}
    name = ""
    for part in _FAMILIES.split():
        if part.endswith(":"):
            name = part[:-1]
        else:
            known.setdefault(stem(part), name)
    return known


_FAMILY_OF = _families()


def family_of(word: str) -> str:
    """The family of meaning that a word belongs to; "" for none."""
    return _FAMILY_OF.get(stem(word), "")
