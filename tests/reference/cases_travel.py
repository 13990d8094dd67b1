"""The travel gym."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from compare import Case, same
from episodes import configured, play

from duologue.engine import Message, Task
from duologue.envs.travel import TravelEnv, TravelGymConfig
from duologue.envs.travel._answers import parse_output
from duologue.envs.travel._official import OfficialTravel
from duologue.envs.travel._tasks import trip

_STATE = {
    "remaining_preferences": "remaining_preferences",
    "total_preferences": "total_preferences",
    "elicitation_ratio": "elicitation_ratio",
    "active": "active_elicited_preferences",
    "passive": "passive_elicited_preferences",
}


def parse_case(case: Case) -> None:
    try:
        parsed = parse_output(case["text"])
    except RecursionError:
        parsed = None
    same("parsed", parsed, case["expected"])


def travel_episode(case: Case) -> None:
    simulator = Simulator(case["steps"])
    config = configured(TravelGymConfig(behaviour="official"), case["config"])
    env = Watched(simulator, config, user=simulator.user, judge=simulator.judge)
    task = Task(env="travel", id=case["task"], data=case["task_data"])
    came = play(env, task, case, state=_STATE, extra=env.compare)
    if "history_len" in case.get("final", {}):
        same("final history", len(came["conversation_history"]), case["final"]["history_len"])


class Watched(TravelEnv):
    """The official environment that tells the simulator which step it is in."""

    def __init__(self, simulator: Simulator, config: TravelGymConfig, **voices: Any) -> None:
        super().__init__(config, **voices)
        self._simulator = simulator

    def _action(self, text: str) -> Any:
        self._simulator.begin()
        return super()._action(text)

    def compare(self, i: int, step: Case, observation: Any, info: Any) -> None:
        env = self._env
        assert isinstance(env, OfficialTravel)
        same(f"step {i} best left", env.best_left, step.get("best_left", env.best_left))
        same(f"step {i} initials", env.initials, step.get("choice_initials", env.initials))
        same(f"step {i} idle", env.idle, step.get("nonpref", env.idle))
        fresh = len(info["newly_elicited_preferences"])
        same(f"step {i} elicited", fresh, step.get("n_elicited_now", fresh))
        if "n_options" in step:
            same(f"step {i} options", observation["feedback"].count('{"id"'), step["n_options"])


class Simulator:
    """The scripted model behind a case: each step brings its own answers."""

    def __init__(self, steps: Sequence[Case]) -> None:
        self._items: Iterator[list[Any]] = iter([step.get("item", []) for step in steps])
        self._lines: list[Any] = []

    def begin(self) -> None:
        """The next step."""
        self._lines = _script(next(self._items))

    async def judge(self, messages: Sequence[Message]) -> str:
        return self._speak()

    async def user(self, messages: Sequence[Message]) -> str:
        return self._speak()

    def _speak(self) -> str:
        if not self._lines:
            raise RuntimeError("the script is over")
        line = self._lines.pop(0)
        if isinstance(line, str) and line.startswith("RuntimeError("):
            raise RuntimeError(line)
        return line if isinstance(line, str) else json.dumps(line)


def _script(item: Sequence[Any]) -> list[Any]:
    match list(item):
        case ["search", "raw", lines]:
            return list(lines)
        case ["search", "True" | "False" | "N/A" as word, *_]:
            return [{"alignment_judgement": word}]
        case ["search", aspect, *_]:
            return [{"alignment_judgement": "True", "alignment_aspect": aspect}]
        case ["ask", name, *_]:
            return [{"type": "2", "preference_id": name}, {"response": "hint"}]
        case ["type", kind, *_]:
            return [{"type": kind}, {"response": "ok"}]
        case ["raw", _, lines]:
            return list(lines)
        case _:
            return []


def task_case(case: Case) -> None:
    planned = trip(Task(env="travel", id=case["id"], data=case["data"]))
    same("aspects", list(planned.parts), case["data"]["dimensions"])
    same("preferences", len(planned.preferences), sum(case["data"]["wanted_num"]))


CHECKS = {
    "travel_parse_json": parse_case,
    "travel_episodes": travel_episode,
    "travel_synthetic_data": task_case,
}
