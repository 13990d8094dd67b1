"""The intention gym."""

from __future__ import annotations

import json

from compare import Case, same
from episodes import Voice, configured, play, speaker

from duologue.engine import Task
from duologue.envs.intention import IntentionEnv, IntentionGymConfig
from duologue.envs.intention._pay import coverage_reward
from duologue.envs.intention._voices import read_coverage, read_reply

_STATE = {"remaining": "remaining_missing_details", "coverage": "coverage_ratio"}


def reward_case(case: Case) -> None:
    extra, scale = case["multi_detail_penalty"], case["reward_scale"]
    same("reward", coverage_reward(case["importances"], extra=extra, scale=scale), case["expected"])


def coverage_case(case: Case) -> None:
    indices, method = read_coverage(case["text"])
    same("indices", indices, case["expected"]["indices"])
    if "method" in case["expected"]:
        same("method", method, case["expected"]["method"])


def reply_case(case: Case) -> None:
    same("reply", read_reply(case["text"]), case["expected"])


def intention_episode(case: Case) -> None:
    details = [
        {"description": f"detail {i}", "importance": str(tier), "inquiry": "?", "options": ["x"]}
        for i, tier in enumerate(case["importances"])
    ]
    data = {"category": "none", "task": "a task", "missing_details": details}
    user, judge = simulators(case)
    config = configured(IntentionGymConfig(behaviour="official"), case["config"])
    env = IntentionEnv(config, user=user, judge=judge)
    came = play(env, Task(env="intention", id="case", data=data), case, state=_STATE)
    if "covered" in case.get("final", {}):
        covered = came.get("coverage_ratio", 0.0) * came.get("total_missing_details", 0)
        same("final covered", round(covered), case["final"]["covered"])


def simulators(case: Case) -> tuple[Voice, Voice]:
    """The case's user and judge: answers a step (`covers`), or one script that both draw from."""
    if "covers" in case:
        replies = [
            "RuntimeError('e')" if c is None else json.dumps({"covered_detail_indices": c})
            for c in case["covers"]
        ]
        return speaker(iter(['{"response": "r"}'] * len(replies))), speaker(iter(replies))
    if "simulator_script" in case:
        script = speaker(iter(case["simulator_script"]))
    else:
        script = speaker(line for item in case["items"] for line in item[1][1])
    return script, script


CHECKS = {
    "intention_reward": reward_case,
    "intention_parse": coverage_case,
    "intention_parse_response": reply_case,
    "intention_episodes": intention_episode,
}
