"""What a dialogue with a customer can be checked against: facts, when they are said, goals, the end."""

from __future__ import annotations

from msgspec import Struct

from ...engine import Task
from ._tasks import Call, case


class Fact(Struct, frozen=True, kw_only=True):
    """Something that the customer says when it is asked for its topic, and not before. An evasive
    customer may dodge once, and every customer says it in its own manner.

    wish: the number of the wish to which it belongs, while that is the one talked about; None is of
          the customer itself, at any time.
    """

    topic: str
    text: str
    wish: int | None = None


class Wish(Struct, frozen=True, kw_only=True):
    """What the customer wants: stated after the one before is done or refused.

    calls:    what has to be done for it; outputs: what has to be said.
    refused:  the policy forbids it; then `instead` is what the customer says, "" when nothing.
    """

    ask: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]
    refused: bool
    instead: str


class Contract(Struct, frozen=True, kw_only=True):
    """Facts with their reveal rules, wishes in order, and what ends the dialogue."""

    facts: tuple[Fact, ...]
    wishes: tuple[Wish, ...]
    ends: tuple[str, ...] = (
        "no wish left",
        "handed over",
        "finish",
        "customer out of patience",
    )


def contract(task: Task) -> Contract:
    """The contract of a task. Of an official one the wishes are not known one by one: it has the
    calls and outputs alone. Raises `UsageError` when the task is not of this gym."""
    found = case(task)
    if not found.goals:
        whole = Wish(
            ask=(found.opening,),
            calls=found.actions,
            outputs=found.outputs,
            refused=False,
            instead="",
        )
        return Contract(facts=(), wishes=(whole,))
    own = [Fact(topic=topic, text=text) for topic, text in found.facts.items()]
    theirs = [
        Fact(topic=topic, text=text, wish=number)
        for number, goal in enumerate(found.goals)
        for topic, text in goal.facts.items()
    ]
    wishes = [
        Wish(
            ask=goal.ask,
            calls=goal.calls,
            outputs=goal.outputs,
            refused=bool(goal.why),
            instead=goal.fallback,
        )
        for goal in found.goals
    ]
    return Contract(facts=(*own, *theirs), wishes=tuple(wishes))
