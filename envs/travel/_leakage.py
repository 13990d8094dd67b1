"""Which parts of official trips the splits share: `flight:3-124` in a test trip and a train trip."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Overlap(Struct, frozen=True, kw_only=True):
    """What a test split shares with a train split, counted.

    parts:       different parts of the test trips; `seen_parts` of them are in train trips too.
    trips:       test trips; `seen_trips` of them consist of nothing but parts seen in training.
    clean:       the ids of the test trips with no part that was seen, in order.
    """

    parts: int
    seen_parts: int
    trips: int
    seen_trips: int
    clean: tuple[str, ...]


def overlap(train: Iterable[str], test: Iterable[str]) -> Overlap:
    """The overlap of two splits, from the ids of their trips."""
    seen = {part for name in train for part in name.split("|")}
    tested = {name: set(name.split("|")) for name in test}
    parts = {part for each in tested.values() for part in each}
    return Overlap(
        parts=len(parts),
        seen_parts=len(parts & seen),
        trips=len(tested),
        seen_trips=sum(each <= seen for each in tested.values()),
        clean=tuple(name for name, each in tested.items() if each.isdisjoint(seen)),
    )
