"""Generated trips, in the official layout.

What must not help an agent that asks nothing: in every list each value of a preferred topic occurs
equally often, in six combinations of which one fits the traveller, each with as many options at
prices from one pool. So neither the commonest value nor the lowest price tells what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from ...engine import Seed, Task, UsageError
from ._content import CITIES, NAMES
from ._requests import MONTHS
from ._tasks import SHAPES
from ._world import INITIALS, TOPICS

SPLITS = ("train", "test")
_TEST_SHARE = 4
"""One combination of an aspect's preferences in so many belongs to the test split."""

_CITIES = {split: tuple(text.split()) for split, text in CITIES.items()}
_NAMES = {split: tuple(text.split()) for split, text in NAMES.items()}
_FIRMS = {
    "flight": ("Air", "Airways", "Wings"),
    "hotel": ("Hotel", "Inn", "Palace"),
    "apartment": ("Lofts", "Homes", "Court"),
    "rental_car": ("Cars", "Rentals", "Drive"),
    "restaurant": ("Kitchen", "Table", "Room"),
}
_PRICES = {
    "flight": (90, 900),
    "hotel": (200, 1500),
    "apartment": (250, 1600),
    "rental_car": (80, 700),
    "restaurant": (15, 160),
}
_MONTHS = [month.capitalize() for month in MONTHS]

_OPENINGS = ("I am planning a trip from {a} to {b}.", "I want to go from {a} to {b}.",
             "Please help me with a trip from {a} to {b}.")  # fmt: skip
_ASKS = {
    "flight": ("I need a flight on {date}.", "I fly there on {date}, one way.",
               "My flight should be on {date}."),
    "hotel": ("I need a hotel there from {start} to {end}.", "I stay in a hotel, {start} to {end}.",
              "From {start} to {end} I want to stay in a hotel."),
    "apartment": ("I need an apartment there from {start} to {end}.",
                  "I want to rent an apartment, {start} to {end}.",
                  "From {start} to {end} I want an apartment of my own."),
    "rental_car": ("I also need a rental car there from {start} to {end}.",
                   "I want to rent a car, {start} to {end}.",
                   "From {start} to {end} I need a car."),
    "restaurant": ("On {date} I want to eat in a restaurant there.",
                   "I need a restaurant for {date}.", "Find me a restaurant there for {date}."),
}  # fmt: skip
_CLOSINGS = (
    "Whatever suits me, I want the cheapest that does.",
    "Of what I like, take the cheapest, please.",
    "My budget is small: the cheapest one that fits, each time.",
)


def generate(split: str, seed: Seed, *, shapes: Sequence[str] = SHAPES) -> Iterator[Task]:
    """Trips without end, the same ones for the same seed, of the `shapes` alike.

    A combination of an aspect's preferences belongs to one split for good, and so do the cities,
    the names and the wording of every hint: the splits share no content whatever the seeds.
    """
    if split not in SPLITS:
        raise UsageError(f"the travel gym has no split {split!r}; use one of {list(SPLITS)}")
    for shape in shapes:
        if shape not in SHAPES:
            raise UsageError(f"the travel gym has no shape {shape!r}; use some of {list(SHAPES)}")
    if not shapes:
        raise UsageError(f"no shape of trip is left; use some of {list(SHAPES)}")
    return _generate(split, seed, tuple(shapes))


def _generate(split: str, seed: Seed, shapes: Sequence[str]) -> Iterator[Task]:
    rng = (seed / "travel" / split).random()
    while True:
        data = _draw_trip(rng, split, rng.choice(shapes))
        name = "|".join(
            f"{aspect}:{count}-{_digest(data[aspect])[:8]}"
            for aspect, count in zip(data["dimensions"], data["wanted_num"], strict=True)
        )
        yield Task(env="travel", id=name, split=split, data=data)


def _draw_trip(rng: Random, split: str, shape: str) -> dict[str, Any]:
    pool = ["flight", rng.choice(("hotel", "apartment")), "rental_car", "restaurant"]
    aspects = [pool[i] for i in sorted(rng.sample(range(len(pool)), len(shape)))]
    counts = rng.sample([int(digit) for digit in shape], len(shape))
    home, there = rng.sample(_CITIES[split], 2)
    month, first = rng.choice(_MONTHS), rng.randint(1, 18)
    days = [f"{month} {day}" for day in (first, first + 1, first + rng.randint(3, 9))]
    trip: dict[str, Any] = {
        "generated": True,
        "scenario": f"A trip from {home} to {there}, {days[0]} to {days[2]}.",
        "dimensions": aspects,
        "wanted_num": counts,
    }
    said = [rng.choice(_OPENINGS).format(a=home, b=there)]
    for aspect, count in zip(aspects, counts, strict=True):
        match aspect:
            case "flight":
                arguments = {"from": home, "to": there, "date": days[0]}
            case "restaurant":
                arguments = {"city": there, "date": days[1]}
            case "rental_car":
                arguments = {"city": there, "pick_up": days[0], "drop_off": days[2]}
            case _:
                arguments = {"city": there, "check_in": days[0], "check_out": days[2]}
        dates = [value for key, value in arguments.items() if key not in ("from", "to", "city")]
        line = rng.choice(_ASKS[aspect]).format(date=dates[0], start=dates[0], end=dates[-1])
        said.append(line)
        trip[aspect] = _draw_part(rng, split, aspect, count, arguments)
    trip["initial_description"] = " ".join([*said, rng.choice(_CLOSINGS)])
    return trip


def _draw_part(
    rng: Random, split: str, aspect: str, count: int, arguments: dict[str, str]
) -> dict[str, Any]:
    topics = TOPICS[aspect]
    while True:
        wanted = {
            name: rng.choice(list(topics[name].values)) for name in rng.sample(list(topics), count)
        }
        if split_of(aspect, wanted) == split:
            break
    preferences: list[list[str]] = []
    for name, value in wanted.items():
        hints = topics[name].values[value]
        hint = hints[-1] if split == "test" else rng.choice(hints[:-1])
        preferences.append([aspect, name, f"The {name} has to be: {value}.", hint, value])
    return {
        "preferences": preferences,
        "arguments": arguments,
        **_draw_options(rng, split, aspect, wanted, arguments),
    }


def split_of(aspect: str, wanted: dict[str, str]) -> str:
    """The split that an aspect with these preferences (topic to value) belongs to."""
    digest = blake2b(repr((aspect, sorted(wanted.items()))).encode(), digest_size=8).digest()
    return "train" if int.from_bytes(digest, "little") % _TEST_SHARE else "test"


_NOISE = 4


def _draw_options(
    rng: Random, split: str, aspect: str, wanted: dict[str, str], arguments: dict[str, str]
) -> dict[str, Any]:
    rows = _combinations(rng, aspect, wanted)
    each = rng.choice((2, 3))
    total = len(rows) * each
    spare = {
        name: _evenly(rng, list(topic.values), total + _NOISE)
        for name, topic in TOPICS[aspect].items()
        if name not in wanted
    }
    initial, (low, high) = INITIALS[aspect], _PRICES[aspect]
    numbers = rng.sample(range(1, total + _NOISE + 1), total + _NOISE)
    costs = rng.sample(range(low, high), total + _NOISE)
    names = _evenly(rng, _NAMES[split], total + _NOISE)
    options: dict[str, list[dict[str, Any]]] = {"correct": [], "wrong": [], "noise": []}
    for i in range(total + _NOISE):
        noise = i >= total
        row = rng.choice(rows) if noise else rows[i // each]
        kind = "noise" if noise else "correct" if i < each else "wrong"
        there = _elsewhere(rng, arguments) if noise else arguments
        fields = {name: row.get(name) or spare[name][i] for name in TOPICS[aspect]}
        options[kind].append(
            {
                "id": f"{initial}{numbers[i]}",
                "name": f"{names[i]} {rng.choice(_FIRMS[aspect])}",
                **there,
                **fields,
                "cost": costs[i],
                "type": kind,
                "reason": _REASONS[kind],
            }
        )
    right = options["correct"]
    return {
        "options": options,
        "best_id": min(right, key=lambda option: option["cost"])["id"],
        "correct_ids": [option["id"] for option in right],
    }


_REASONS = {
    "correct": "as the traveller wants it",
    "wrong": "not as the traveller wants it",
    "noise": "on another day",
}


def _combinations(rng: Random, aspect: str, wanted: dict[str, str]) -> list[dict[str, str]]:
    """Six different combinations of values, the wanted one first, each value in two of them."""
    columns = [list(TOPICS[aspect][name].values) for name in wanted]
    while True:
        shifts = [[0, *rng.sample((0, 1, 1, 2, 2), 5)] for _ in columns]
        rows = list(zip(*shifts, strict=True))
        if len(set(rows)) == len(rows):
            break
    return [
        {
            name: column[(column.index(value) + shift) % len(column)]
            for (name, value), column, shift in zip(wanted.items(), columns, row, strict=True)
        }
        for row in rows
    ]


def _evenly(rng: Random, values: Sequence[str], count: int) -> list[str]:
    """`count` of the values, each about as often, in any order."""
    filled = (list(values) * (count // len(values) + 1))[:count]
    rng.shuffle(filled)
    return filled


def _elsewhere(rng: Random, arguments: dict[str, str]) -> dict[str, str]:
    """The arguments with one date moved: what the database throws in and nobody asked for."""
    moved = dict(arguments)
    key = rng.choice([name for name in arguments if name not in ("from", "to", "city")])
    month, _, day = moved[key].partition(" ")
    moved[key] = f"{month} {int(day) + rng.choice((1, 2))}"
    return moved


def _digest(part: dict[str, Any]) -> str:
    return blake2b(msgspec.json.encode(part), digest_size=8).hexdigest()
