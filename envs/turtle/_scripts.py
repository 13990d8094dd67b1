"""Scripted agents: an expert that knows the story, one that finds it out, and lesser ones.

The expert sees the whole task. The investigator and the imperfect one know what could lie behind a
situation of ours, as who has played it before would, and learn which of it is so by asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ...engine import Action, Message, Task
from .._env import Script
from .._hearing import words
from ._contract import ASK
from ._situations import Situation, situation, situations
from ._tasks import Story, story

_GIVE_UP = Action("finish", "")

# The cold start's habits: how often it looks into a point at all, and wastes a turn.
_LOOKS = 0.7
_WASTES = 0.2


def expert(task: Task, rng: Random) -> Script:
    """The ceiling: asks whether what it knows is so, again where it is dodged, and tells it all."""
    told = story(task)
    facts = told.clauses() or [point.statement for point in told.evaluation]
    plan = [ask(fact, rng) for fact in facts[:3]]
    points = [] if told.situation else [point.statement for point in told.evaluation]
    plan.append(Action("answer", " ".join([*points, told.new_bottom])))
    last: Action | None = None
    dodged = False

    def script(messages: Sequence[Message]) -> Action:
        nonlocal last, dodged
        if last is not None and not dodged and not plain_answer(messages):
            dodged = True
            return last
        dodged = False
        last = plan.pop(0) if plan else _GIVE_UP
        return last

    return script


def investigator(task: Task, rng: Random) -> Script:
    """Asks for what may be so, point by point, and tells what was affirmed."""
    told = story(task)
    return _asker(told, rng, looks=1.0, wastes=0.0)


def imperfect(task: Task, rng: Random) -> Script:
    """What a cold start learns from: the right tool, some points never looked into, some turns
    wasted. Of an official story, whose possibilities it cannot know, it tells a part."""
    return _asker(story(task), rng, looks=_LOOKS, wastes=_WASTES)


def random_moves(task: Task, rng: Random) -> Script:
    """Knows the tool and nothing else: asks about words of the scene, answers with another tale."""
    told = story(task)
    seen = words(told.new_surface) or ["this"]
    others = [one for one in situations("train").values() if one.name != told.situation]

    def script(messages: Sequence[Message]) -> Action:
        if rng.random() < 0.75:
            some = " ".join(rng.choices(seen, k=3))
            return Action("action", f"Is it about the {some}?")
        return Action("answer", guessed(rng.choice(others), rng))

    return script


def _asker(told: Story, rng: Random, *, looks: float, wastes: float) -> Script:
    here = situation(told.situation)
    if here is None:
        return _teller(told, rng, share=looks)
    # For each point what is still possible, in the order in which it is asked for. A point that is
    # not looked into is a guess.
    left = [rng.sample(range(len(slot)), len(slot)) for slot in here.slots]
    open_points = [point for point in range(len(left)) if rng.random() < looks]
    asked: Action | None = None
    answered = False

    def script(messages: Sequence[Message]) -> Action:
        nonlocal asked, answered
        if asked is not None and open_points:
            point = open_points[0]
            match plain_answer(messages):
                case "yes":
                    left[point] = left[point][:1]
                case "no" | "maybe":
                    left[point].pop(0)
                case _:
                    again, asked = asked, None
                    return again
        while open_points and len(left[open_points[0]]) == 1:
            open_points.pop(0)
        if answered:
            return _GIVE_UP
        if not open_points:
            answered = True
            return Action("answer", tale(here, [facts[0] for facts in left]))
        if rng.random() < wastes:
            asked = None
            return Action("action", rng.choice(_WASTED))
        asked = ask(here.clause(open_points[0], left[open_points[0]][0]), rng)
        return asked

    return script


_WASTED = ("Why did it happen?", "What is the story?", "Is the weather important?")


def _teller(told: Story, rng: Random, *, share: float) -> Script:
    """Asks for one point of an official story, and tells some of them."""
    points = [point.statement for point in told.evaluation]
    some = [point for point in points if rng.random() < share] or points[:1]
    plan = iter([ask(rng.choice(points), rng), Action("answer", " ".join(some))])
    return lambda messages: next(plan, _GIVE_UP)


def ask(clause: str, rng: Random) -> Action:
    """The question whether something is so."""
    return Action("action", rng.choice(ASK).format(clause.rstrip(".")))


def tale(here: Situation, facts: Sequence[int]) -> str:
    """A story with one fact for each point."""
    return ". ".join(here.clause(point, fact) for point, fact in enumerate(facts)) + "."


def guessed(here: Situation, rng: Random) -> str:
    """A story with a fact for each point that is as good as any."""
    return tale(here, [rng.randrange(len(slot)) for slot in here.slots])


def plain_answer(messages: Sequence[Message]) -> str:
    """`yes`, `no` or `maybe`, whichever the last line says first; else nothing: it was a dodge."""
    heard = words(messages[-1].content) if messages else []
    return next((word for word in heard if word in ("yes", "no", "maybe")), "")
