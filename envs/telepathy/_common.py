"""What can be asked about any of the things: colours, sizes, and what sort of thing it is."""

COLOURS = """
black | Is it black? | black coloured; dark
white | Is it white? | pale
brown | Is it brown? | brownish
grey | Is it grey? | gray; greyish; grayish; silver
yellow | Is it yellow? | yellowish; golden; gold
orange | Is it orange? | orange coloured
red | Is it red? | reddish
green | Is it green? | greenish
blue | Is it blue? | bluish
pink | Is it pink? | pinkish
purple | Is it purple? | violet; purplish
"""

# Whole sorts of things, by what they are in each domain: yes, maybe or no.
SORTS = """
is_animal | Is it an animal? | animals; creature; beast; living creature
is_food | Is it something to eat or drink? | food; edible; eat; eaten; eat drink; consumable
is_object | Is it an object? | =thing; =item; artifact; objects; inanimate object; physical object
is_place | Is it a place? | location; places; geographical; geography
is_profession | Is it a profession? | job; occupation; professions; =work; career; trade
is_person | Is it a person? | =human; =person; =people; somebody; someone; human being
alive | Is it alive? | living thing; organism; living creature
manmade | Is it made by people? | man made; manmade; artificial; human made; made by humans; invention; manufactured; made by man
"""

SORTS_OF = {
    "animal": "is_animal alive",
    "food": "is_food ~manmade ~alive",
    "object": "is_object manmade",
    "place": "is_place ~manmade",
    "profession": "is_profession is_person alive",
}

# What sizes are compared with. The six that have a whole number are those the expert asks about.
REFERENCES = {
    "coin": 1.0,
    "thumb": 1.0,
    "finger": 1.0,
    "fingernail": 0.6,
    "ant": 0.5,
    "egg": 1.7,
    "apple": 2.0,
    "hand": 2.0,
    "fist": 2.0,
    "mouse": 1.8,
    "phone": 2.0,
    "smartphone": 2.0,
    "book": 2.3,
    "football": 2.5,
    "basketball": 2.6,
    "head": 2.5,
    "cat": 3.0,
    "shoebox": 3.0,
    "shoe box": 3.0,
    "breadbox": 3.0,
    "bread box": 3.0,
    "box": 3.0,
    "backpack": 3.3,
    "microwave": 3.5,
    "dog": 3.5,
    "child": 3.7,
    "suitcase": 3.7,
    "person": 4.0,
    "human": 4.0,
    "human being": 4.0,
    "man": 4.0,
    "adult": 4.0,
    "chair": 4.0,
    "table": 4.5,
    "fridge": 4.7,
    "refrigerator": 4.7,
    "horse": 5.0,
    "cow": 5.0,
    "car": 5.0,
    "elephant": 5.5,
    "truck": 5.5,
    "bus": 5.6,
    "room": 5.5,
    "house": 6.0,
    "tree": 6.0,
    "building": 6.2,
    "skyscraper": 6.4,
    "city": 6.7,
    "mountain": 7.0,
    "country": 7.0,
}
LADDER = ("coin", "apple", "cat", "person", "car", "house")
"""The references that the expert's questions use, from small to large."""

BIGGER = frozenset(("bigger", "larger", "taller", "heavier"))
SMALLER = frozenset(("smaller", "shorter", "lighter", "tinier"))
BIG = frozenset(("big", "large", "huge", "tall", "heavy", "enormous", "giant", "massive"))
SMALL = frozenset(("small", "little", "tiny", "miniature"))
FITS = frozenset(("fit", "fits"))
LARGE_AT, SMALL_AT = (3.4, 4.2), (2.8, 3.6)
"""Below the first not large, from the second on large, between them it depends; likewise for not
small any more."""
