"""What a dialogue about a question can be checked against: facts, how they are found, the end."""

from __future__ import annotations

from msgspec import Struct

from ...engine import Task
from ._tasks import question


class FoundFact(Struct, frozen=True, kw_only=True):
    """A step of the way: a search for `ask` shows an article that holds `value`."""

    ask: str
    value: str


class Contract(Struct, frozen=True, kw_only=True):
    """A task as a plain structure.

    facts: in their order; the last one's value is the answer.
    goal:  what an answer has to name, and nothing beside it.
    never: what no opening, feedback on an answer or `info` says in `fixed` behaviour.
    """

    facts: tuple[FoundFact, ...]
    goal: str
    never: tuple[str, ...]
    ends: tuple[str, ...] = ("right answer", "last answer", "finish")


def contract(task: Task) -> Contract:
    """The contract of a task. Of an official question the steps are not known. Raises `UsageError`
    when the task is not of this gym."""
    asked = question(task)
    return Contract(
        facts=tuple(FoundFact(ask=hop.ask, value=hop.value) for hop in asked.hops),
        goal=asked.answer,
        never=(asked.answer, *(hop.ask for hop in asked.hops[1:])),
    )
