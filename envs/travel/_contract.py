"""What a dialogue about a trip has to keep to: facts and when they may be said, goals, the end."""

from __future__ import annotations

from msgspec import Struct

from ...engine import Task
from ._tasks import trip


class Fact(Struct, frozen=True, kw_only=True):
    """Something that the traveller knows.

    says:    what it says of it, whole, wrapped in whatever manner.
    never:   how it never puts it.
    reveals: `asked`, when one line asks for this topic of this aspect and of nothing else, or
             `idle`, unasked after some lines in a row that ask for nothing it has.
    """

    id: str
    aspect: str
    topic: str
    says: str
    never: str
    reveals: tuple[str, ...] = ("asked", "idle")


class Goal(Struct, frozen=True, kw_only=True):
    """Something to reach: the options of an aspect looked up, a fact asked for, the best booked."""

    kind: str
    aspect: str
    target: str = ""


class Contract(Struct, frozen=True, kw_only=True):
    """A task as a plain structure.

    ends: what ends the dialogue, short of its limit of turns: every aspect booked, the agent's
          `finish`, a traveller whose patience (a persona's) is over.
    """

    opening: str
    facts: tuple[Fact, ...]
    goals: tuple[Goal, ...]
    ends: tuple[str, ...] = ("booked", "finish", "patience")


def contract(task: Task) -> Contract:
    """The contract of a task. Raises `UsageError` when it is none of this gym."""
    planned = trip(task)
    goals: list[Goal] = []
    for aspect, part in planned.parts.items():
        goals.append(Goal(kind="searched", aspect=aspect))
        goals += [
            Goal(kind="asked", aspect=aspect, target=each.id)
            for each in planned.preferences
            if each.aspect == aspect
        ]
        goals.append(Goal(kind="booked", aspect=aspect, target=part.best_id))
    return Contract(
        opening=planned.opening,
        facts=tuple(
            Fact(id=p.id, aspect=p.aspect, topic=p.topic, says=p.hint, never=p.text)
            for p in planned.preferences
        ),
        goals=tuple(goals),
    )
