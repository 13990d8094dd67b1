"""What the user of a task has promised: facts, what moves it, and when it is over."""

from __future__ import annotations

from typing import Any

from ...engine import Task
from ._stance import STANCES
from ._tasks import opinion


def contract(task: Task) -> dict[str, Any]:
    """A plain structure that any dialogue on `task` can be checked against.

    facts: what the user may tell, each with when (`opening`, or `asked`: to a question about what
           matters, in this order, one a question).
    goals: what moves it, with the levels of stance that each is worth; they sum to 6.
    never: what it does not say before the agent did.
    end:   the stance that ends the dialogue; a persona's patience and `finish` end it before.
    """
    held = opinion(task)
    # The order in which it answers: what matters most first, ties as the task lists them.
    ordered = sorted(held.considerations, key=lambda one: -one.levels)
    return {
        "facts": [
            {"text": held.claim, "reveal": "opening"},
            {"text": held.argument, "reveal": "opening"},
            *({"text": one.hint, "reveal": "asked"} for one in ordered),
        ],
        "goals": [{"point": one.point, "levels": one.levels} for one in held.considerations],
        "never": [one.point for one in held.considerations],
        "end": {"stance": STANCES[-1]},
    }
