"""The telepathy gym."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from compare import Case, same
from episodes import Voice, configured, play, speaker

from duologue.engine import Task
from duologue.envs.telepathy import TelepathyEnv, TelepathyGymConfig

_STATE = {"current_score": "current_score", "best_score": "best_score"}

_THING = {
    "title": "Nothing in particular",
    "description": "I am thinking of something.",
    "target_entity": "Nothing in particular - a thing for cases",
}


def telepathy_episode(case: Case) -> None:
    voice = simulator(case)
    config = configured(TelepathyGymConfig(behaviour="official"), case["config"])
    env = TelepathyEnv(config, user=voice, judge=voice)
    play(env, Task(env="telepathy", id="case", data=_THING), case, state=_STATE, extra=clues)


def clues(i: int, step: Case, observation: dict[str, Any], info: dict[str, Any]) -> None:
    if "clues" in step:
        same(f"step {i} clues", len(info["clues"]), step["clues"])


def simulator(case: Case) -> Voice:
    """The case's answers, one after the other: whoever plays the user is the judge too."""
    return speaker(_lines(case))


def _lines(case: Case) -> Iterator[Any]:
    for kind, said in case["items"]:
        match kind:
            case "q":
                yield json.dumps({"thought": "", "response": said})
            case "a":
                yield json.dumps({"thought": "", "judgment": said, "feedback": "fb"})
            case _:
                yield from said[1]


CHECKS = {"telepathy_episodes": telepathy_episode}
