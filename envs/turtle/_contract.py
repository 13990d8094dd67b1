"""What a dialogue about a story can be checked against: facts, when they are told, goals, the end."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ...engine import Task
from ._situations import situation
from ._tasks import story


class AskedFact(Struct, frozen=True, kw_only=True):
    """Something that may be so, told only to who asks for it.

    point:  the place of the goal that it fills or would fill.
    answer: what the user says when `ask`, or a paraphrase of it, is asked. An evasive user may
            dodge once, and every user says it in its own manner.
    """

    point: int
    clause: str
    ask: str
    answer: Literal["yes", "no"]


class Goal(Struct, frozen=True, kw_only=True):
    """What the retold story must say, and what share of the reward that is."""

    statement: str
    weight: float


class Contract(Struct, frozen=True, kw_only=True):
    """Facts with their reveal rules, goals, and what ends the dialogue: the first answer by default
    (`guesses`), an answer that reaches all goals, `finish`, or a user without patience."""

    facts: tuple[AskedFact, ...]
    goals: tuple[Goal, ...]
    ends: tuple[str, ...] = ("last answer", "all goals reached", "finish", "user out of patience")


ASK = ("Is it true that {}?", "Would you say that {}?", "Is it the case that {}?")


def contract(task: Task) -> Contract:
    """The contract of a task. Of an official story the facts are not known one by one, so it has
    goals alone. Raises `UsageError` when the task is not of this gym."""
    told = story(task)
    goals = tuple(Goal(statement=p.statement, weight=p.score) for p in told.evaluation)
    here = situation(told.situation)
    if here is None:
        return Contract(facts=(), goals=goals)
    facts = [
        AskedFact(
            point=point,
            clause=clause,
            ask=ASK[0].format(clause),
            answer="yes" if number == told.truth[point] else "no",
        )
        for point, slot in enumerate(here.slots)
        for number, (clause, _) in enumerate(slot)
    ]
    return Contract(facts=tuple(facts), goals=goals)
