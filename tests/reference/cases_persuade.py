"""The persuade gym."""

from __future__ import annotations

import json

from compare import Case, same
from episodes import configured, play, speaker

from duologue.engine import Task
from duologue.envs.persuade import PersuadeEnv, PersuadeGymConfig
from duologue.envs.persuade._stance import STANCES, levels_moved, persuasion_reward

_STATE = {
    "stance": "current_stance",
    "current_score": "current_score",
    "best_score": "best_score",
}


def reward_case(case: Case) -> None:
    previous, current = case["previous"], case["current"]
    same("levels", levels_moved(previous, current), case["expected"]["levels"])
    same("reward", persuasion_reward(previous, current), case["expected"]["reward"])


def persuade_episode(case: Case) -> None:
    voice = speaker(map(answer, case["simulator_script"]))
    config = configured(PersuadeGymConfig(behaviour="official"), case["config"])
    env = PersuadeEnv(config, judge=voice)
    # The statements themselves may not be shared; a case has their ids at most.
    data = {"claim": "a claim", "argument": "an argument"}
    task = Task(env="persuade", id="case", data=data)
    came = play(env, task, case, state=_STATE, extra=judged)
    if "history" in case.get("final", {}):
        same("final history", len(came["conversation_history"]), case["final"]["history"])


def judged(i: int, step: Case, observation: Case, info: Case) -> None:
    for name in ("judge_success", "levels_changed"):
        if name in step:
            same(f"step {i} {name}", info[name], step[name])


def answer(line: str) -> str:
    """A recorded stance as the simulator wrote it; `!` marks one that is none, and what is neither
    was its whole answer."""
    if line in STANCES or line.startswith("!"):
        said = {"thought": "t", "response": "resp", "stance": line.removeprefix("!")}
        return json.dumps(said)
    return line


CHECKS = {"persuade_reward": reward_case, "persuade_episodes": persuade_episode}
