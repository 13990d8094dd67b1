"""The tau gym. Its episodes are over tau-bench's own database: name a checkout of
sierra-research/tau-bench (commit 59a200c) in the environment variable TAU_BENCH."""

from __future__ import annotations

import os

from compare import Case, Skip, same
from episodes import configured, play, speaker

from duologue.envs.tau import TauEnv, TauGymConfig
from duologue.envs.tau._calls import is_valid, read_released
from duologue.envs.tau._tasks import official


def parse_case(case: Case) -> None:
    same("valid prefix", is_valid(case["action"]), case["valid_prefix"])
    move = read_released(case["action"])
    same("name", move.name, case["expected"]["name"])
    same("kwargs", move.kwargs, case["expected"]["kwargs"])


def tau_episode(case: Case) -> None:
    checkout = os.environ.get("TAU_BENCH")
    if not checkout:
        raise Skip("no checkout of tau-bench is named in TAU_BENCH")
    if "task_data" not in case:
        raise Skip("tau_train.json and tau_test.json are absent")
    config = configured(TauGymConfig(behaviour="official"), case["config"])
    config.tau_bench = checkout
    env = TauEnv(config, user=speaker(iter(case["user_script"])))
    play(env, official(case["task_data"]), case, extra=said_by_a_tool)


def said_by_a_tool(i: int, step: Case, observation: Case, info: Case) -> None:
    """A record that a tool shows is tau-bench's, to the letter; other lines are ours."""
    said = str(observation["feedback"])
    if step["feedback"].startswith("{"):
        same(f"step {i} feedback", said[: len(step["feedback"])], step["feedback"])
        same(f"step {i} length", len(said), step.get("feedback_len", len(said)))


CHECKS = {"tau_parse": parse_case, "tau_episodes": tau_episode}
