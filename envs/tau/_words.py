"""Names, places and goods of our worlds. The splits share none, so that what is learnt is not they.

Written for this gym.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

TODAY = "2031-03-10"
"""The day on which every dialogue of ours takes place. Worlds stand still."""


class Words(Struct, frozen=True, kw_only=True):
    """What one split's worlds are made of.

    goods:  a product, and its options with their values.
    places: towns, with the first digits of their postcodes.
    prefix: two letters before a flight's number.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    streets: tuple[str, ...]
    places: Mapping[str, str]
    airports: tuple[str, ...]
    goods: Mapping[str, Mapping[str, tuple[str, ...]]]
    prefix: str


def _of(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WORDS: Mapping[str, Words] = {
    "train": Words(
        first=_of(
            "Ilse Marek Joana Tobias Renata Viggo Salma Anders Paloma Dario Noemi Florian "
            "Greta Ismael Lotte Bruno Petra Yannick Carla Mirko"
        ),
        last=_of(
            "Achterberg Bellini Carvalho Dombrowski Eklund Fontaine Grabowski Haugen Iversen "
            "Jansky Kowalczyk Lindqvist Marchetti Novotny Okonkwo Pereira Quist Rosenthal"
        ),
        streets=("Mill Lane", "Orchard Road", "Harbour Street", "Chapel Row", "Station Walk"),
        places={"Brackwater": "31", "Elmstead": "47", "Norvale": "52", "Pinchbeck": "68"},
        airports=("Norvale", "Elmstead", "Sundmark", "Lagos Bay", "Vesterby"),
        goods={
            "desk lamp": {"colour": ("green", "black", "white"), "bulb": ("warm", "cold")},
            "rain jacket": {
                "colour": ("yellow", "navy", "red"),
                "size": ("small", "medium", "large"),
            },
            "teapot": {
                "material": ("glass", "porcelain", "iron"),
                "volume": ("half-litre", "litre"),
            },
            "backpack": {
                "colour": ("grey", "olive", "orange"),
                "volume": ("twenty-litre", "thirty-litre"),
            },
            "wall clock": {"frame": ("oak", "steel", "brass"), "numerals": ("roman", "arabic")},
            "bicycle helmet": {"colour": ("blue", "silver", "pink"), "size": ("narrow", "wide")},
            "notebook set": {"paper": ("lined", "dotted", "blank"), "cover": ("leather", "linen")},
            "blanket": {"fabric": ("wool", "cotton", "fleece"), "pattern": ("striped", "plain")},
            "office chair": {"seat": ("mesh", "velvet", "suede"), "castors": ("soft", "hard")},
            "coffee grinder": {"drive": ("manual", "electric"), "burr": ("ceramic", "tungsten")},
        },
        prefix="NV",
    ),
    "test": Words(
        first=_of(
            "Hamid Oriana Jasper Thandi Ludovic Beatriz Sven Amara Kaspar Ottilie Rashid Vera "
            "Emrys Solveig Nadir Philippa"
        ),
        last=_of(
            "Abernathy Brandvold Castellano Drummond Espinoza Farquhar Gunderson Halloran "
            "Ibarra Juhasz Kettering Lombardi Mwangi Niemeyer"
        ),
        streets=("Quarry Hill", "Linden Avenue", "Bishop's Gate", "Weaver Court"),
        places={"Castlebury": "14", "Dunmorrow": "29", "Westhaven": "83"},
        airports=("Castlebury", "Westhaven", "Oldenfjord", "San Rocco"),
        goods={
            "garden hose": {
                "length": ("ten-metre", "twenty-metre"),
                "nozzle": ("plastic", "copper", "rubber"),
            },
            "hiking boots": {
                "colour": ("brown", "charcoal", "khaki"),
                "sole": ("stiff", "flexible"),
            },
            "alarm clock": {
                "display": ("analogue", "digital"),
                "finish": ("matt", "glossy", "wooden"),
            },
            "picture frame": {
                "format": ("square", "portrait", "panorama"),
                "rim": ("golden", "dark"),
            },
            "kitchen scale": {
                "plate": ("bamboo", "slate", "marble"),
                "power": ("battery", "solar"),
            },
            "yoga mat": {"thickness": ("thin", "thick"), "shade": ("violet", "teal", "beige")},
            "headphones": {"fit": ("over-ear", "in-ear"), "tone": ("ivory", "graphite", "coral")},
        },
        prefix="OF",
    ),
}
