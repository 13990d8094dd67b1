"""The words that the rule-based user knows, in tables: silent, faint, related, cues, weather."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that carry a question and not its subject.
SILENT = _set(
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
FAINT = _set(
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
FAMILIES = """
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
CUES = {
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
LONE_CUES = {"when": "when", "where": "where", "who": "people", "whom": "people", "why": "purpose"}
# A lone cue asks at the head of a question or after one of these; elsewhere it only joins clauses.
HEADS = _set("and or but so from to by for with about exactly")

WEATHER = _set("weather rain raining rainy sun sunny snow snowing snowy forecast")
IDLE = WEATHER | _set(
    "outside today tonight tomorrow now right moment morning week weekend current currently where "
    "going nice good bad hot cold warm wet dry cloudy windy lovely temperature how how's day area "
    "city town region place local near around live condition conditions"
)
IDLE_OPENINGS = frozenset({("how", "is"), ("is", "it"), ("is", "the"), ("will", "it")})
