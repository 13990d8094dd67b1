"""`duologue train --faults`: what goes wrong on plan is never a reward, and a resume comes to the
same policy all the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Duologue
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from duologue.engine import End, Fate, Key, open_reader
from duologue.engine.faults import check_invariants

PLAN = """
[[faults]]
kind = "server_error"
at = 1
tries = 1
where = {group = 0}
[[faults]]
kind = "reset"
at = 1
where = {group = 1, attempt = 0}
[[faults]]
kind = "bad_json"
at = 1
where = {group = 2, sample = 1}
[[faults]]
kind = "empty"
at = 1
where = {group = 2, sample = 2}
[[faults]]
kind = "tool_error"
at = 1
where = {group = 3}
[[faults]]
kind = "raise_before"
rate = 0.05
where = {party = "agent"}
"""
"""Nothing that takes its time: in lockstep everybody waits for whoever is late. Nor more failures
than the budget of retries has room for: it counts from the start of a process, not of the run."""

KILL = """
[[faults]]
kind = "worker_killed"
at = 20
"""
STEPS, GROUPS, SAMPLES = 4, 4, 4


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def words(model: Path, plan: Path | str, run: Path) -> list[str]:
    settings = (
        f"train.groups_per_step={GROUPS}", f"rollout.samples={SAMPLES}", "train.checkpoint_every=1",
        "rollout.retry_budget=1.0",
        "train.schedule.peak=1e-3", "train.train_cut_short=true", "env.max_turns=4",
        "env.options={instructions = false}", "model.context=160", "model.max_tokens=24",
    )  # fmt: skip
    return [
        *("train", "--model", f"local:{model}", "--deterministic", "--steps", str(STEPS)),
        *("--faults", str(plan), "--run", str(run), "--json"),
        *(word for setting in settings for word in ("-s", setting)),
    ]


def learned(run: Path) -> dict[Key, object]:
    """What was trained on, but for the numbers of versions, which a resume never uses twice."""
    found: dict[Key, object] = {}
    with open_reader(run / "run.db") as reader:
        check_invariants(reader=reader, phase="train")
        for stored in reader.trajectories("train"):
            if stored.fate is Fate.TRAINED:
                one = stored.trajectory
                assert one.tokens is not None
                told = (one.task, one.end, one.turns, one.discarded)
                found[one.key] = (told, one.tokens.ids, one.tokens.logps)
    return found


@pytest.mark.slow
def test_failures_on_plan_are_no_rewards_and_a_killed_run_comes_to_the_same_policy(
    duologue: Duologue, started: Path, plan: Path, tmp_path: Path
) -> None:
    done = duologue(*words(started, plan, tmp_path / "whole"))
    assert done.code == 0, done.err
    report = done.json["faults"]
    assert report["surprises"] == 0 and report["dialogues"] >= STEPS * GROUPS * SAMPLES
    ends = {tally["kind"]: tally["ends"] for tally in report["tallies"]}
    assert sum(ends["server_error"].values()) == sum(ends["reset"].values()) == SAMPLES
    assert not {*ends["server_error"], *ends["reset"]} & {"model_error"}  # tried again, and well
    assert ends["bad_json"] == ends["empty"] == {"no_action": 1}
    assert ends["tool_error"] == {"env_error": SAMPLES}
    lines = (tmp_path / "whole" / "faults.jsonl").read_text().splitlines()
    trace = [json.loads(line) for line in lines]
    assert len(trace) == report["injected"] and {line["phase"] for line in trace} == {"train"}

    taught = learned(tmp_path / "whole")
    assert taught and not {key for key in taught if key.group == 3}
    with open_reader(tmp_path / "whole" / "run.db") as reader:
        for stored in reader.trajectories("train"):
            if stored.trajectory.key.group == 3:
                assert (stored.trajectory.end, stored.fate) == (End.ENV_ERROR, Fate.FAILED)
            if stored.trajectory.key in (Key(2, 1), Key(2, 2)):
                assert stored.trajectory.reward == 0.0  # its own doing, as far as anybody saw

    # The same once more, but killed in its midst; resumed, it does not die of the same again.
    plan.write_text(PLAN + KILL)
    run = tmp_path / "killed"
    died = subprocess.run(
        [sys.executable, "-m", "duologue", *words(started, plan, run)],
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert '"worker_killed"' in (run / "faults.jsonl").read_text()
    again = duologue("train", "--resume", "--run", run, "--json")
    assert again.code == 0, again.err
    assert again.json["steps"] == STEPS and again.json["faults"]["surprises"] == 0
    assert learned(run) == taught
    one, two = (
        load_file(each / "models" / "trained" / "model.safetensors")
        for each in (tmp_path / "whole", run)
    )
    assert all((one[name] == two[name]).all() for name in one)


def test_a_person_reads_what_became_of_them(
    duologue: Duologue, started: Path, plan: Path, tmp_path: Path
) -> None:
    given = words(started, plan, tmp_path / "run")
    given.remove("--json")
    given[given.index("--steps") + 1] = "1"
    done = duologue(*given)
    assert done.code == 0, done.err
    assert "faults struck" in done.out and "env_error" in done.out


def test_a_plan_that_training_cannot_have_is_refused(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    plan, run = tmp_path / "plan.toml", tmp_path / "run"
    for kind, why in (
        ("weights_swapped", "which in training they do"),
        ("slow_learner", "strikes a consumer"),
        ("dorp", "did you mean 'drop'"),
    ):
        plan.write_text(f"[[faults]]\nkind = '{kind}'")
        done = duologue(*words(started, plan, run))
        assert done.code == 2 and why in done.err
        assert not run.exists()
    done = duologue("train", "--resume", "--run", run, "--faults", "storm")
    assert done.code == 2 and "give only --run" in done.err
    settings = tmp_path / "settings.toml"
    settings.write_text("[[faults.faults]]\nkind = 'drop'\n")
    done = duologue("sft", "-c", settings, "--model", f"local:{started}", "--run", run)
    assert done.code == 2 and "faults are for `rollout`, `eval` and `train`" in done.err
