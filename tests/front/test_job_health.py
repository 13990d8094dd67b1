"""Jobs that watch themselves: a stall ends the run and says why, a late loop is spoken of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import structs

from duologue.config import Config, HealthConfig, ModelConfig
from duologue.engine import Lateness, Snapshot, Wait
from duologue.jobs import _health
from duologue.jobs._health import Health, describe, late_words, patience_s, troubles, waits_for
from duologue.rundir import read_outcome
from duologue.train import RemoteLearner
from duologue.train._wire import PolicyBatch, Trained

Duologue = Callable[..., Any]

STUCK_S = 0.6


@pytest.fixture
def gyms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line find the gyms that are beside this file."""
    monkeypatch.chdir(Path(__file__).parent)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_run_that_stands_still_ends_with_who_waits_for_what(
    duologue: Duologue, tmp_path: Path, gyms: None, loop: str
) -> None:
    run = tmp_path / "run"
    done = duologue(
        *("rollout", "--env", "stuck_gym:stuck", "--count", 3, "--run", run, "--loop", loop),
        *("-s", f"health.watchdog_s={STUCK_S}", "-s", "rollout.deadline_s=inf"),
    )
    assert done.code == 1
    assert "nothing progressed for" in done.err
    assert "The run waits for: environment: 1 of 1 dialogues" in done.err
    assert "rollout:1/0 waits for the environment since" in done.err
    assert str(run / "stall.json") in done.err
    stall = json.loads((run / "stall.json").read_text())
    assert stall["cause"] == "environment"
    [waiting] = stall["waiting"]
    assert (waiting["key"], waiting["waits"], waiting["turn"]) == ([1, 0], "environment", 1)
    outcome = read_outcome(run)
    assert outcome is not None and outcome.outcome == "failed"
    assert "nothing progressed" in outcome.detail
    assert duologue("report", run).code == 0
    assert "waits for the environment since" in (run / "report.html").read_text()


def test_a_dialogue_under_its_deadline_is_waited_for(
    duologue: Duologue, tmp_path: Path, gyms: None
) -> None:
    done = duologue(
        *("rollout", "--env", "stuck_gym:stuck", "--count", 3, "--run", tmp_path / "run"),
        *("-s", "health.watchdog_s=0.1", "-s", "rollout.deadline_s=2", "--json"),
    )
    assert done.code == 0
    assert done.json["ends"] == {"done": 2, "timeout": 1}
    assert not (tmp_path / "run" / "stall.json").exists()


def test_progress_says_what_is_waited_for_while_nothing_ends(
    duologue: Duologue, tmp_path: Path, gyms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.progress.EVERY_S", 0.1)
    monkeypatch.setattr(_health, "SHOWN_S", 0.2)
    done = duologue(
        *("rollout", "--env", "stuck_gym:stuck", "--count", 3, "--run", tmp_path / "run"),
        *("-s", "health.watchdog_s=2", "-s", "rollout.deadline_s=inf"),
    )
    [line, *_] = [line for line in done.err.splitlines() if line.startswith("dialogues: 2/3")]
    assert re.search(r"1 live, .* turns/s, .*, waits for environment: 1 of 1 dialogues$", line)


def test_a_loop_that_was_held_up_is_spoken_of_with_who_held_it(
    duologue: Duologue, tmp_path: Path, gyms: None
) -> None:
    run = tmp_path / "run"
    done = duologue(
        *("rollout", "--env", "stuck_gym:slow", "--count", 40, "--live", 2, "--run", run),
    )
    assert done.code == 0
    assert "the event loop was late: p99" in done.err
    assert "think_hard (front/stuck_gym.py:" in done.err
    health = json.loads((run / "health.json").read_text())
    assert health["late_p99_ms"] > 20
    [culprit, *_] = [one for one in health["offenders"] if "think_hard" in one["where"]]
    assert re.fullmatch(r"dialogue \d+/0", culprit["task"])
    assert duologue("report", run).code == 0
    assert "the event loop was late" in (run / "report.html").read_text()


def test_blame_can_be_left_out(duologue: Duologue, tmp_path: Path, gyms: None) -> None:
    run = tmp_path / "run"
    done = duologue(
        *("rollout", "--env", "stuck_gym:slow", "--count", 4, "--run", run),
        *("-s", "health.blame=false"),
    )
    assert done.code == 0
    assert json.loads((run / "health.json").read_text())["offenders"] == []


def test_what_is_said_of_a_late_loop_names_the_three_worst() -> None:
    lateness = Lateness(window=10)
    for late_s in (0.01, 0.02, 0.5):
        lateness.note(late_s)
    health = describe(lateness)
    assert health == Health(late_p50_ms=20.0, late_p99_ms=500.0, late_worst_ms=500.0)
    assert late_words(health) == "the event loop was late: p99 500 ms, worst 500 ms"


def test_a_progress_line_says_only_what_holds_something_up() -> None:
    idle = Snapshot(at_s=0, idle_s=0, beats=0, turns=0)
    assert idle.why[0] is Wait.NOTHING
    assert waits_for(idle) == ""


def test_files_that_are_damaged_or_not_there_warn_of_nothing(tmp_path: Path) -> None:
    assert troubles(tmp_path) == []
    (tmp_path / "health.json").write_text("{")
    (tmp_path / "stall.json").write_text('{"idle_s": "long"}')
    assert troubles(tmp_path) == []


@pytest.mark.parametrize(
    ("spec", "watchdog_s", "waits"),
    [
        ("scripted:expert", 300.0, 300.0),
        ("vllm:http://127.0.0.1:8000", 300.0, 300.0),
        # A server of ours has `ready_s` to come up again, in which nobody can progress.
        ("vllm:models/tiny", 300.0, 630.0),
        ("vllm:models/tiny", 3600.0, 3600.0),
        ("vllm:models/tiny", 0.0, 0.0),
    ],
)
def test_a_server_of_ours_is_given_the_time_it_has_to_come_up(
    spec: str, watchdog_s: float, waits: float
) -> None:
    config = structs.replace(
        Config(), model=ModelConfig(spec=spec), health=HealthConfig(watchdog_s=watchdog_s)
    )
    assert patience_s(config) == waits


def test_a_watchdog_that_cannot_be_is_refused(duologue: Duologue) -> None:
    done = duologue("rollout", "-s", "health.watchdog_s=-1")
    assert done.code == 2
    assert "watchdog_s is -1" in done.err


@pytest.mark.soak
def test_a_learner_that_falls_silent_ends_the_run_which_can_go_on(
    duologue: Duologue, started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    improve = RemoteLearner.improve

    async def fall_silent(learner: RemoteLearner, batch: PolicyBatch) -> Trained:
        if batch.step == 2:
            await anyio.sleep_forever()
        return await improve(learner, batch)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteLearner, "improve", fall_silent)
        done = duologue(
            *("train", "--model", f"local:{started}", "--run", run, "--steps", 4),
            *("-s", "train.groups_per_step=2", "-s", "rollout.samples=2"),
            *("-s", "model.context=160", "-s", "model.max_tokens=24"),
            *("-s", "env.options={instructions = false}", "-s", "health.watchdog_s=2"),
        )
    assert done.code == 1
    assert "the learner is behind (learning, step 2)" in done.err
    assert f"to go on: duologue train --resume --run {run}" in done.err
    assert json.loads((run / "stall.json").read_text())["cause"] == "credits"
    again = duologue("train", "--resume", "--run", run, "--json")
    assert (again.code, again.json["steps"]) == (0, 4)
    assert not (run / "stall.json").exists()
