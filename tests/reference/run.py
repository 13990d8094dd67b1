"""Run recorded cases of UserRL's released code against ours.

    python tests/reference/run.py DIR

DIR holds one JSON file a computation, `{"_meta": ..., "cases": [...]}`. A line for each file and a
total; exit code 1 when a case fails. A file about something that does not exist here yet is
skipped, and the line says why. Data files are looked for in DIR/../data/userrl.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import anyio

from duologue.engine import Message, Task
from duologue.envs import names
from duologue.envs._official import (
    OfficialEnv,
    decode_arguments,
    tool_input,
    tool_response,
)
from duologue.envs._rows import OFFICIAL, parquet_rows
from duologue.envs.function import FunctionEnv, FunctionGymConfig
from duologue.envs.function._expression import ExpressionError
from duologue.envs.function._numbers import answers_match, evaluate, parse_numbers
from duologue.envs.intention import IntentionEnv, IntentionGymConfig
from duologue.envs.intention._pay import coverage_reward
from duologue.envs.intention._voices import read_coverage, read_reply
from duologue.train._shaping import (
    official_outcome_advantages,
    official_token_advantages,
    official_turn_credits,
    turn_credits,
)

Case = dict[str, Any]


class Differs(Exception):
    """Ours came to something else; says what was expected and what came."""


class Skip(Exception):
    """A case that cannot be run here; says why."""


def same(what: str, got: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Raise `Differs` unless the two are equal, numbers within `tolerance` (absolute or relative).

    The strings inf, -inf and nan stand for those floats.
    """
    if isinstance(expected, list) and isinstance(got, list | tuple):
        ours, wanted = list(cast("Sequence[Any]", got)), list(cast("Sequence[Any]", expected))
        if len(ours) != len(wanted):
            raise Differs(f"{what} has {len(ours)} items, not {len(wanted)}: {ours!r}")
        for i, (mine, theirs) in enumerate(zip(ours, wanted, strict=True)):
            same(f"{what}[{i}]", mine, theirs, tolerance)
        return
    if expected in ("inf", "-inf", "nan") and not isinstance(got, str):
        expected = float(expected)
    if isinstance(got, int | float) and isinstance(expected, int | float):
        if math.isnan(got) and math.isnan(expected):
            return
        close = tolerance and math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
        if got == expected or close:
            return
    elif got == expected:
        return
    raise Differs(f"{what} is {got!r}, not {expected!r}")


# ---- function


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
    play(env, Task(env="function", id=puzzle.pop("id", "case"), data=puzzle), case)


# ---- intention


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
    play(env, Task(env="intention", id="case", data=data), case)


Voice = Callable[[Sequence[Message]], Awaitable[str]]


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


def speaker(lines: Iterator[Any]) -> Voice:
    async def speak(messages: Sequence[Message]) -> str:
        line = next(lines, "RuntimeError('the script is over')")
        if isinstance(line, str) and re.fullmatch(r"\w+(Error|Exception)\(.*\)", line, re.DOTALL):
            raise RuntimeError(line)
        return line if isinstance(line, str) else json.dumps(line)

    return speak


# ---- episodes

_STATE = {"remaining": "remaining_missing_details", "coverage": "coverage_ratio"}


def configured(config: Any, settings: Case) -> Any:
    known = {setting.name for setting in fields(config)}
    for name, value in settings.items():
        if name not in known:
            raise Skip(f"our configuration has no {name!r}")
        setattr(config, name, value)
    return config


def play(env: OfficialEnv, task: Task, case: Case) -> None:
    """The case's steps, each compared; then what the episode came to."""
    if case.get("mode", "async") == "sync":
        asynchronously = env.step
        observation, info = env.reset(options={"task": task})
        for i, step in enumerate(case["steps"]):
            try:
                result = asynchronously(step["action"])
            except ValueError:
                result = None
            observation, info = compare_step(i, step, result) or (observation, info)
    else:
        observation, info = anyio.run(play_async, env, task, case["steps"])
    final = case.get("final", {})
    covered = observation.get("coverage_ratio", 0.0) * observation.get("total_missing_details", 0)
    came = observation | info | {"covered": round(covered)}
    for name, expected in final.items():
        if name in came:
            same(f"final {name}", came[name], expected)


async def play_async(env: OfficialEnv, task: Task, steps: Sequence[Case]) -> Any:
    observation, info = env.reset(options={"task": task})
    for i, step in enumerate(steps):
        try:
            result = await env.step_async(step["action"])
        except ValueError:
            result = None
        observation, info = compare_step(i, step, result) or (observation, info)
    return observation, info


def compare_step(i: int, step: Case, result: Any) -> Any:
    """Compare a step's five-tuple (None: it raised ValueError); its observation and info."""
    if result is None or "raises" in step:
        same(f"step {i} raises", result is None, "raises" in step)
        return None
    observation, reward, terminated, truncated, info = result
    same(f"step {i} reward", reward, step["reward"])
    same(f"step {i} terminated", terminated, step["terminated"])
    same(f"step {i} truncated", truncated, step["truncated"])
    for name, key in _STATE.items():
        if name in step:
            same(f"step {i} {name}", observation[key], step[name])
    if "answered_correctly" in observation and "feedback" in step:
        # The words are ours; the numbers in them are not.
        same(f"step {i} numbers", numbers(observation["feedback"]), numbers(step["feedback"]))
    return observation, info


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|\binf\b|\bnan\b)", text)]


# ---- the tool


def tool_case(case: Case) -> None:
    expected = case["expected"]
    reward = case.get("env_reward", 0.0)
    if "env_action" in expected:
        sent = tool_input(case.get("choice", ""), case.get("content", ""))
        same("input", sent, expected["env_action"])
    if "response_text" in expected:
        same("response", tool_response("fb", reward), expected["response_text"])


def arguments_case(case: Case) -> None:
    arguments, unreadable = decode_arguments(case["arguments_text"])
    expected = case["expected"]
    same("arguments", json.dumps(arguments), json.dumps(expected["arguments"]))
    same("decode_error", unreadable, expected["decode_error"])


# ---- shaping and losses


def credits_case(case: Case) -> None:
    given = {name: value for name, value in case.items() if name != "expected"}
    expected = case["expected"]
    try:
        credits, score = official_turn_credits(**given)
    except ValueError:
        same("raises", True, "raises" in expected)
        return
    same("raises", False, "raises" in expected)
    same("credits", credits, expected["turn_credits"])
    same("score", score, expected["trajectory_score"])


def em_case(case: Case) -> None:
    same("credit", turn_credits([case["r"]], "em", k=2.0, digits=4)[0], case["expected"])


def advantages_case(case: Case) -> None:
    left_out = ("name", "batch", "seq_len", "expected_advantages", "returns_equal_advantages")
    given = {name: value for name, value in case.items() if name not in left_out}
    # Equal scores leave float noise over epsilon in the released code; ours gives exactly 0.
    tolerance = 1e-3 if "all_same" in case["name"] else 1e-5
    same("advantages", official_token_advantages(**given), case["expected_advantages"], tolerance)


def outcome_case(case: Case) -> None:
    given = {name: value for name, value in case.items() if name != "expected_advantages"}
    same("advantages", official_outcome_advantages(**given), case["expected_advantages"], 1e-5)


def loss_case(case: Case) -> None:
    try:
        import torch

        from duologue.train._losses import KL, official_policy_loss
    except ModuleNotFoundError as error:
        raise Skip(f"{error.name} is not installed") from error
    given = {k: v for k, v in case.items() if k not in ("expected", "ref_log_prob")}
    expected = dict(case["expected"])
    divergences = expected.pop("kl_penalty", {})
    got = official_policy_loss(**given)._asdict()
    for name, value in expected.items():
        same(name, got[name], value, 1e-5)
    logp, reference = torch.tensor(case["log_prob"]), torch.tensor(case["ref_log_prob"])
    for name, value in divergences.items():
        rows: list[list[float]] = KL[name](logp, reference).tolist()  # pyright: ignore
        same(f"kl {name}", rows, value, 1e-5)


# ---- data files


def data_cases(whole: Case) -> list[Case]:
    """The manifest has three lists of its own in place of `cases`."""
    return [
        *({"kind": "parquet", **entry} for entry in whole["parquet"]),
        *({"kind": "json", **entry} for entry in whole["gym_json"]),
        *({"kind": "split", **entry} for entry in whole["split_reproduction_seed42"]),
    ]


def data_case(case: Case, data: Path) -> None:
    match case["kind"]:
        case "parquet":
            rows_case(case, present(data / "rows" / case["file"].removeprefix("data/")))
        case "json":
            path = present(data / "gyms" / Path(case["file"]).name)
            same("sha256", sha256(path.read_bytes()).hexdigest(), case["sha256"])
            same("records", len(json.loads(path.read_bytes())), case["records"])
        case _:
            split_case(case, data)


def rows_case(case: Case, path: Path) -> None:
    same("sha256", sha256(path.read_bytes()).hexdigest(), case["sha256"])
    owner = case["first_id"][0]
    if len(case["data_sources"]) > 1:
        raise Skip("a file of several gyms is read one gym at a time")
    rows = parquet_rows(path, owner)
    same("rows", len(rows), case["rows"])
    ids = [[owner, row.id] for row in rows]
    same("ids", sha256(json.dumps(ids).encode()).hexdigest(), case["ids_sha256"])


_SHUFFLED = {
    "function": ("functions.json", "id"),
    "telepathy": ("all_entities_refined.json", "title"),
    "turtle": ("all_stories_refined.json", "new_title"),
}


def split_case(case: Case, data: Path) -> None:
    """The published rows are the gym's records, shuffled by numpy's old generator and cut."""
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise Skip("numpy is not installed") from error
    file, key = _SHUFFLED[case["name"]]
    records = json.loads(present(data / "gyms" / file).read_bytes())
    ids = [record[key] for record in (records.values() if case["name"] == "turtle" else records)]
    numpy.random.RandomState(42).shuffle(ids)
    cut = case["n"][0]
    for split, expected in (("train", ids[:cut]), ("test", ids[cut:])):
        path = present(data / "rows" / f"{case['name']}_multiturn" / f"{split}.parquet")
        same(
            f"{split} ids", [row.id for row in parquet_rows(path, OFFICIAL[case["name"]])], expected
        )


def present(path: Path) -> Path:
    if not path.is_file():
        raise Skip(f"{path} is absent")
    return path


# ---- files

CHECKS: dict[str, Callable[[Case], None]] = {
    "function_parse_numbers": parse_numbers_case,
    "function_evaluate": evaluate_case,
    "function_compare_answers": compare_case,
    "function_episodes": function_episode,
    "intention_reward": reward_case,
    "intention_parse": coverage_case,
    "intention_parse_response": reply_case,
    "intention_episodes": intention_episode,
    "interact_tool": tool_case,
    "tool_args_parse": arguments_case,
    "turn_credits": credits_case,
    "em_mapping": em_case,
    "group_advantages": advantages_case,
    "grpo_outcome": outcome_case,
    "policy_loss": loss_case,
}

NOT_YET = {
    "rollout_loop": "the released rollout loop is not repeated yet",
    "eval_metrics": "the released evaluation metrics are not here yet",
    "analyze_scores": "the released evaluation metrics are not here yet",
    "paper_efficiency_metrics": "the paper's efficiency metrics are not here yet",
}


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list[str])

    def line(self, name: str) -> str:
        return f"{name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run_file(path: Path, data: Path) -> Tally:
    """Every case of a file. A case that raises what it should not has failed."""
    tally = Tally()
    try:
        whole = json.loads(path.read_bytes())
        cases = data_cases(whole) if path.stem == "data_manifest" else whole.get("cases", [])
    except (ValueError, KeyError, AttributeError, OSError) as error:
        tally.failed = 1
        tally.notes.append(f"cannot be read: {type(error).__name__}: {error}")
        return tally
    check = CHECKS.get(path.stem)
    if path.stem == "data_manifest":
        check = partial(data_case, data=data)
    if check is None:
        tally.skipped = max(1, len(cases))
        tally.notes.append(f"skipped: {why_not(path.stem)}")
        return tally
    reasons: dict[str, int] = {}
    for i, case in enumerate(cases):
        try:
            check(case)
            tally.passed += 1
        except Skip as reason:
            tally.skipped += 1
            reasons[str(reason)] = reasons.get(str(reason), 0) + 1
        except Exception as error:  # noqa: BLE001, whatever it is, the case has failed
            tally.failed += 1
            words = str(error) if isinstance(error, Differs) else f"{type(error).__name__}: {error}"
            label = case.get("name", case.get("file", ""))
            tally.notes.append(f"case {i} {label}: {words}")
    tally.notes += [f"{count} skipped: {reason}" for reason, count in reasons.items()]
    return tally


def why_not(stem: str) -> str:
    if stem in NOT_YET:
        return NOT_YET[stem]
    gym = stem.partition("_")[0]
    if gym in OFFICIAL and gym not in names():
        return f"there is no environment {gym!r} yet"
    return "nothing here computes this"


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python tests/reference/run.py DIR (a folder of case files)", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    data = folder.resolve().parent / "data" / "userrl"
    total = Tally()
    for path in sorted(folder.glob("*.json")):
        tally = run_file(path, data)
        print(tally.line(path.name))
        for note in tally.notes:
            print(f"    {note}")
        total.passed += tally.passed
        total.failed += tally.failed
        total.skipped += tally.skipped
    print(total.line("total"))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
