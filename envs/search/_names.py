"""What things of the two invented worlds are called: no word of a name is in both."""

from __future__ import annotations

from msgspec import Struct


class Names(Struct, frozen=True, kw_only=True):
    """The words that a world's names are made of. Whoever draws from them draws each name once."""

    given: tuple[str, ...]
    family: tuple[str, ...]
    towns: tuple[str, ...]
    regions: tuple[str, ...]
    rivers: tuple[str, ...]
    coins: tuple[str, ...]
    animals: tuple[str, ...]
    houses: tuple[str, ...]
    """First words of organisations and expeditions."""
    ships: tuple[tuple[str, ...], tuple[str, ...]]
    """First and second words of ships."""
    titles: tuple[tuple[str, ...], tuple[str, ...]]
    """First and second words of works."""
    prizes: tuple[str, ...]


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TRAIN = Names(
    given=_split(
        "Adela Anselm Bertil Brenna Casimir Clodagh Dario Dunya Edvin Elspeth Fabio Fenna Gerrit "
        "Griselda Hjalmar Ilse Ivo Jorinde Kasper Ludmila Maarten Mirela Nestor Odile Osric Petra "
        "Quillon Rosalba Ruben Sunniva Tadeus Thora Ulrik Valeska Wendel Ysolde"
    ),
    family=_split(
        "Abernoth Arkwell Belmonde Birkenau Brasker Calloway Corvane Dalgrim Drostel Eikholt "
        "Falkner Farrow Garsinde Grindal Halvard Hexter Ingram Jessup Kallberg Kestrow Lindqvist "
        "Lormand Marchetti Merrow Nyland Oakhurst Ostrander Pellworm Quarrie Rastall Rosmund "
        "Sandoval Selkirk Tarrant Thornby Ulverton Vandrey Wexcombe Yarrow Zeller"
    ),
    towns=_split(
        "Aldmere Ashwick Barholm Brackford Carrowstad Clunbury Dornhaven Eastmarsh Elverum Fenbridge "
        "Foxholt Glimstad Greywater Harrowgate Hollbeck Inverlyn Kelmscar Kingsmoor Larkhaven "
        "Lindesby Marrowick Millbarrow Netherby Norholm Oldcastor Ormsund Pennywell Quarndon "
        "Ravensey Redbourne Saltmarsh Skarholt Stonnick Tarnmouth Thistledale Tollerby Umberleigh "
        "Valsted Wetherham Winterbeck Wolvesey Yewbridge"
    ),
    regions=_split("Arlenmark Borrovia Caldessa Dunmarch Estrellia Fjordane Galwynn Hestria"),
    rivers=_split(
        "Ambler Bryne Corrow Dresk Ewen Fallow Garne Hask Isker Jorve Kennet Lorrin Mird Nethe "
        "Orrin Pelle Quell Rhosk Sarn Tavel"
    ),
    coins=_split("florint krosan markel dukat perrin sollar talden veric"),
    animals=_split("heron badger otter stag raven lynx salmon hedgehog"),
    houses=_split(
        "Adamant Beacon Camberline Dovetail Everard Fairwind Gryphon Hartley Ironmoor Juniper "
        "Kingfisher Lanternway Meridian Northgate Orchard Paragon Quicksilver Rowan Sterling "
        "Tideway Unicorn Vanguard Whitestone Zephyr Amberly Brightwell Cobalt Driftwood Emberly "
        "Foundry Glasswright Highfield Ivory Jasper Keystone Linden Moorland Nightjar Oaken Pinnacle"
    ),
    ships=(
        _split("Patient Gallant Silent Merry Northern Stubborn Wandering Golden Bold Honest"),
        _split("Cormorant Duchess Swallow Pilgrim Comet Shepherd Tempest Harvest"),
    ),
    titles=(
        _split(
            "Salt Crooked Last Hollow Borrowed Winter Crimson Broken Secret Paper Wooden Distant"
        ),
        _split(
            "Ladder Garden Clock Orchard Mirror Staircase Lantern Harbour Violin Ferry Letter Crown"
        ),
    ),
    prizes=_split("Lyrebird Compass Hawthorn Millstone"),
)

_TEST = Names(
    given=_split(
        "Alaric Beatrix Cornelis Dagny Emeric Florian Gudrun Henrike Isidor Jadwiga Kilian Leonor "
        "Magnus Noemi Ottilie Pascal Radegund Sorrel Tiberius Ursel Viggo Wilma Xenia Zoltan"
    ),
    family=_split(
        "Ackerby Bramwell Cattermole Dovrefell Ellingsen Fothergill Gainsworth Hawkmoor Ibsworth "
        "Jarnholm Kittering Lovelace Mossgrave Northrup Oldenberg Prewett Ravnsborg Stroud Trelawn "
        "Underhill Vosper Wainfleet Yelverton Zimmerdal"
    ),
    towns=_split(
        "Appledore Bexmouth Coldharbor Dunwater Eskdale Frostholm Gallowick Hythestad Ivelbridge "
        "Jarrowby Kirkmarsh Lowestrand Mickleford Nordwick Ottermouth Polgarth Rimebury Stavholt "
        "Trowmere Upperlyn Vexholm Whitcastor Yarmstead Zennick"
    ),
    regions=_split("Jutharra Kelmoria Lusatine Morvenna Nordlund"),
    rivers=_split("Axe Brule Calder Dovey Erme Fowey Gwent Hodder Irt Jedder Kyle Lydd Medlock"),
    coins=_split("groten lirasse obol plack reyal"),
    animals=_split("falcon wolf beaver crane pike"),
    houses=_split(
        "Argent Bellflower Cedarwood Dunlin Elmsworth Falcontree Greenhaugh Hazelmere Inkwell "
        "Jackdaw Kelpstone Larchmont Marigold Nettlecombe Osprey Primrose Quayside Redstart "
        "Saffron Thornfield Umbra Verity Wayfarer Yardarm"
    ),
    ships=(
        _split("Faithful Roaring Southern Quiet Lucky Iron"),
        _split("Albatross Baroness Petrel Wanderer Meteor Drover"),
    ),
    titles=(
        _split("Burning Seventh Sleeping Marble Narrow Forgotten Velvet Drowned"),
        _split("Causeway Kingdom Piano Window Feather Tower Island Banquet"),
    ),
    prizes=_split("Sundial Nightingale"),
)

NAMES = {"train": _TRAIN, "test": _TEST}
