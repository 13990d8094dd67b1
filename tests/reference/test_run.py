"""The case runner: passes the recorded cases, names what differs, skips what is not here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).with_name("run.py")


def run(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(RUN), str(folder)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def cases(folder: Path, name: str, *made: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"_meta": {}, "cases": made}))


def test_every_recorded_case_passes(shared: Path) -> None:
    code, said = run(shared / "reference")
    assert code == 0, said
    lines = said.splitlines()
    for name in ("function_episodes", "intention_episodes", "turn_credits", "policy_loss"):
        [line] = [line for line in lines if line.startswith(f"{name}.json: ")]
        assert " 0 failed, 0 skipped" in line
    assert lines[-1].startswith("total: ")


def test_a_case_that_differs_is_named_and_fails_the_run(tmp_path: Path) -> None:
    cases(
        tmp_path,
        "function_parse_numbers",
        {"input": "1 2", "expected": [1.0, 2.0]},
        {"input": "1 2", "expected": [1.0, 3.0]},
    )
    code, said = run(tmp_path)
    assert code == 1
    assert "function_parse_numbers.json: 1 passed, 1 failed, 0 skipped" in said
    assert "case 1 : numbers[1] is 2.0, not 3.0" in said


def test_a_file_about_what_is_not_here_is_skipped_with_the_reason(tmp_path: Path) -> None:
    cases(tmp_path, "chess_episodes", {}, {})
    cases(tmp_path, "checkers_rules", {})
    code, said = run(tmp_path)
    assert code == 0
    assert "chess_episodes.json: 0 passed, 0 failed, 2 skipped" in said
    assert "skipped: nothing here computes this" in said
    assert "total: 0 passed, 0 failed, 3 skipped" in said


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    (tmp_path / "em_mapping.json").write_text("{")
    cases(tmp_path, "tool_args_parse", {"nonsense": 1})
    code, said = run(tmp_path)
    assert code == 1
    assert "cannot be read: JSONDecodeError" in said
    assert "KeyError" in said


@pytest.mark.parametrize(
    ("script", "rewards"),
    [
        (['{"response": "r"}', '{"covered_detail_indices": [0]}'], [1.0, 0.0]),
        (["RuntimeError('down')", '{"covered_detail_indices": [0]}'], [1.0, 0.0]),
        (["r", "RuntimeError('down')", "r", '{"covered_detail_indices": [1]}'], [0.0, 0.7]),
    ],
)
def test_simulators_may_be_one_script_with_failures_in_it(
    tmp_path: Path, script: list[str], rewards: list[float]
) -> None:
    steps = [
        {"action": "q", "reward": reward, "terminated": False, "truncated": False}
        for reward in rewards
    ]
    for mode in ("sync", "async"):
        cases(
            tmp_path,
            "intention_episodes",
            {
                "importances": ["3", "2", "1"],
                "simulator_script": script,
                "config": {},
                "mode": mode,
                "steps": steps,
            },
        )
        assert run(tmp_path)[0] == 0


def test_a_wrong_call_says_how_to_call() -> None:
    done = subprocess.run([sys.executable, str(RUN)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: python tests/reference/run.py DIR" in done.stderr
