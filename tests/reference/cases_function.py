"""The function gym."""

from __future__ import annotations

import re
from typing import Any

from compare import Case, Differs, same
from episodes import configured, play

from duologue.engine import Task
from duologue.envs.function import FunctionEnv, FunctionGymConfig
from duologue.envs.function._expression import ExpressionError
from duologue.envs.function._numbers import answers_match, evaluate, parse_numbers


def parse_numbers_case(case: Case) -> None:
    same("numbers", parse_numbers(case["input"]), case["expected"])


def evaluate_case(case: Case) -> None:
    expected = case["expected"]
    try:
        value: float | None = evaluate(case["rule"], [float(n) for n in case["numbers"]])
    except ExpressionError:
        value = None
    real = "value" in expected and not isinstance(expected["value"], list | dict)
    if "raises" in expected or not real or expected.get("rounded4") is None:
        # Where the released code ends up with no number, ours says so at once.
        same("value", value, None)
        return
    if value is None:
        raise Differs(f"there is no value, but should be {expected['value']!r}")
    same("value", value, expected["value"])
    same("rounded", round(value, 4), expected["rounded4"])


def compare_case(case: Case) -> None:
    same("match", answers_match(case["submitted"], case["correct"]), case["expected"])


def function_episode(case: Case) -> None:
    env = FunctionEnv(configured(FunctionGymConfig(behaviour="official"), case["config"]))
    puzzle = dict(case["function"])
    play(
        env,
        Task(env="function", id=puzzle.pop("id", "case"), data=puzzle),
        case,
        extra=same_numbers,
    )


def same_numbers(i: int, step: Case, observation: dict[str, Any], info: dict[str, Any]) -> None:
    """The words are ours; the numbers in them are not."""
    if "feedback" in step:
        same(f"step {i} numbers", numbers(observation["feedback"]), numbers(step["feedback"]))


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|\binf\b|\bnan\b)", text)]


CHECKS = {
    "function_parse_numbers": parse_numbers_case,
    "function_evaluate": evaluate_case,
    "function_compare_answers": compare_case,
    "function_episodes": function_episode,
}
