"""What a trip is worth where results are reported: its bookings, not the questions on the way."""

from __future__ import annotations

from ...engine import Task, Trajectory
from ._tasks import trip


def metric(task: Task, trajectory: Trajectory) -> float:
    """The best booking of each part of the trip, summed and divided by the number of parts: the
    paper's number, at most 1 by the rules of `fixed`.

    As released, an answer of several ids counts whole for the first one's part.
    """
    best: dict[str, float] = {}
    for turn in trajectory.turns:
        booked = turn.parts.get("booking", 0.0)
        if booked > 0.0:
            # A turn of several calls holds the sum of their bookings.
            answers = [action.content for action in turn.actions if action.choice == "answer"]
            part = "".join(_initial(content) for content in answers)
            best[part] = max(best.get(part, 0.0), booked)
    return sum(best.values()) / len(trip(task).parts)


def _initial(content: str) -> str:
    return content.removeprefix("[answer]").strip(" \t\r\n\"'`([")[:1].upper()
