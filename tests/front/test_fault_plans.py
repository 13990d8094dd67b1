"""`--faults`: a plan in, what was injected and what became of it out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Duologue

from duologue.config import load_config
from duologue.engine import End, open_reader
from duologue.engine.faults import FaultReport, check_invariants
from duologue.plans import KINDS, PRESETS, injectable, preset, read_plan

QUICK = """
deadline_s = 1.0
[[faults]]
kind = "server_error"
at = 2
tries = 1
where = {group = 0}
[[faults]]
kind = "reset"
at = 2
where = {group = 1, attempt = 0}
[[faults]]
kind = "bad_json"
at = 2
where = {group = 2}
[[faults]]
kind = "drop"
at = 4
where = {group = 3}
[[faults]]
kind = "tool_error"
at = 2
where = {group = 4}
"""
"""Five dialogues, each struck by a fault of its own; nobody waits longer than a second."""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(QUICK)
    return path


def test_a_rollout_says_what_was_injected_and_what_became_of_it(
    duologue: Duologue, plan: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = duologue(
        "rollout", "--env", "function", "--count", 7, "--faults", plan, "--run", run, "--json"
    )
    assert done.code == 0, done.err
    report = done.json["faults"]
    by_kind = {tally["kind"]: tally for tally in report["tallies"]}
    assert {kind: tally["ends"] for kind, tally in by_kind.items()} == {
        "server_error": {"done": 1},
        "reset": {"done": 1},
        "bad_json": {"no_action": 1},
        "drop": {"timeout": 1},
        "tool_error": {"env_error": 1},
    }
    assert by_kind["tool_error"]["injected"] == 3  # in each of its attempts
    assert (report["struck"], report["dialogues"], report["surprises"]) == (5, 7, 0)
    assert report["recovered"] == 3
    lines = [json.loads(line) for line in (run / "faults.jsonl").read_text().splitlines()]
    assert len(lines) == report["injected"] == 7
    assert {line["group"] for line in lines} == {0, 1, 2, 3, 4}
    with open_reader(run / "run.db") as reader:
        check_invariants(reader=reader)
        assert reader.ends()[End.TIMEOUT] == 1
    # The same plan, as it was stored with the run, does the same again.
    again = duologue(
        "rollout", "-c", run / "config.toml", "--count", 7, "--run", tmp_path / "b", "--json"
    )
    assert again.json["faults"] == report
    with open_reader(run / "run.db") as one, open_reader(tmp_path / "b" / "run.db") as other:
        assert one.records("rollout") == other.records("rollout")


def test_a_person_reads_the_same(duologue: Duologue, plan: Path, tmp_path: Path) -> None:
    done = duologue(
        "rollout", "--env", "function", "--count", 5, "--faults", plan, "--run", tmp_path / "run"
    )
    assert "7 faults struck 5 of 5 dialogues; 3 of those came to an end that counts" in done.out
    rows = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert rows["drop"].split()[1:] == ["1", "1", "0", "1", "timeout"]


def test_agents_are_compared_under_the_same_faults(
    duologue: Duologue, plan: Path, tmp_path: Path
) -> None:
    done = duologue(
        "eval", "--env", "function", "--model", "scripted:imperfect", "--count", 8,
        "--faults", plan, "--run", tmp_path / "run", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = done.json["faults"]
    assert report["dialogues"] == 16 and report["surprises"] == 0
    trace = (tmp_path / "run" / "faults.jsonl").read_text().splitlines()
    assert {json.loads(line)["phase"] for line in trace} == {"eval/expert", "eval/imperfect"}
    assert (
        "faults struck"
        in duologue(
            "eval", "--env", "function", "--count", 8, "--faults", plan, "--run", tmp_path / "two"
        ).out
    )


def test_a_run_without_a_plan_has_no_faults(duologue: Duologue, tmp_path: Path) -> None:
    done = duologue("rollout", "--count", 2, "--run", tmp_path / "run", "--json")
    assert done.json["faults"] is None
    assert not (tmp_path / "run" / "faults.jsonl").exists()


def test_the_storm_is_survived(duologue: Duologue, tmp_path: Path) -> None:
    """The preset with its waits cut to a tenth, so that the test is not one."""
    text = (
        preset("storm").replace("for_s = 5.0", "for_s = 0.5").replace("for_s = 2.0", "for_s = 0.2")
    )
    plan = tmp_path / "storm.toml"
    plan.write_text(text.replace("for_s = 1.0", "for_s = 0.1"))
    done = duologue(
        "rollout", "--env", "intention", "--count", 150, "--samples", 2, "--faults", plan,
        "-s", "faults.deadline_s=3", "--run", tmp_path / "run", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = done.json["faults"]
    assert report["surprises"] == 0 and report["struck"] > 30
    assert report["recovered"] / report["struck"] > 0.9
    with open_reader(tmp_path / "run" / "run.db") as reader:
        check_invariants(reader=reader)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[faults]]\nkind = 'timeuot'", "no fault is called 'timeuot'; did you mean 'timeout'?"),
        ("[[faults]]\nkind = 'drop'\nrat = 1", "unknown key 'faults.faults[0].rat'; did you"),
        ("[[faults]]\nkind = 'drop'\nwhere = {tsk = 1}", "did you mean 'task'?"),
        ("[[faults]]\nkind = 'drop'\nrate = 2.0", "rate is 2.0; it is a share"),
        ("[[fault]]\nkind = 'drop'", "did you mean 'faults'?"),
        ("[[faults]]\nkind = 'reorder'", "strikes a link, and nothing of that sort is wrapped"),
        ("[[faults]]\nkind = 'slow_learner'", "strikes a consumer"),
        ("[[faults]]\nkind = 'clock_jump'", "needs a virtual clock"),
        ("[[faults]]\nrate = 0.5", "missing required field `kind`"),
        ("[[faults", "is not valid TOML"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_anything_is_begun(
    duologue: Duologue, tmp_path: Path, text: str, words: str
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    done = duologue("rollout", "--faults", plan, "--run", tmp_path / "run")
    assert done.code == 2 and words in done.err and str(plan) in done.err
    assert not (tmp_path / "run").exists()


def test_a_plan_that_is_not_there_is_said_to_be(duologue: Duologue, tmp_path: Path) -> None:
    done = duologue("rollout", "--faults", "strom", "--run", tmp_path / "run")
    assert done.code == 2 and "no plan of faults is called 'strom'" in done.err
    assert "there is: storm" in done.err


def test_settings_may_hold_a_plan_and_are_checked_alike(duologue: Duologue, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[[faults.faults]]\nkind = 'dorp'\n")
    for command in ("rollout", "eval"):
        done = duologue(command, "-c", settings, "--run", tmp_path / "run")
        assert done.code == 2 and "did you mean 'drop'" in done.err
    settings.write_text("[[faults.faults]]\nkind = 'drop'\nrate = 0.5\n")
    assert load_config(settings).faults.faults[0].rate == 0.5
    done = duologue("sft", "-c", settings, "--model", "local:none", "--run", tmp_path / "run")
    assert done.code == 2 and "faults are for `rollout`, `eval` and `train`" in done.err


def test_a_full_disk_is_named_and_what_was_durable_stays(
    duologue: Duologue, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[faults]]\nkind = 'disk_full'\nat = 3")
    done = duologue(
        "rollout", "--count", 40, "--live", 4, "--faults", plan, "--run", tmp_path / "run"
    )
    assert done.code == 1
    assert "disk is full" in done.err and "Traceback" not in done.err
    with open_reader(tmp_path / "run" / "run.db") as reader:
        check_invariants(reader=reader)
        assert reader.count() < 40


def test_a_run_that_is_killed_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[faults]]\nkind = 'worker_killed'\nat = 3")
    words = ["rollout", "--count", 40, "--live", 4, "--faults", plan, "--run", tmp_path / "run"]
    died = subprocess.run(
        [sys.executable, "-m", "duologue", *map(str, words)], capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL
    with open_reader(tmp_path / "run" / "run.db") as reader:
        check_invariants(reader=reader)
        assert reader.count() < 40
    # The trace says what the process died of: it is written before the fault strikes.
    assert '"worker_killed"' in (tmp_path / "run" / "faults.jsonl").read_text()


def test_the_kinds_and_the_plans_that_ship_are_listed(duologue: Duologue) -> None:
    text = duologue("faults", "list").out
    listed = duologue("faults", "list", "--json").json
    names = [kind["name"] for kind in listed]
    assert names == [kind.name for kind in injectable()]
    assert {"timeout", "drop", "tool_error", "disk_full"} <= set(names) <= {k.name for k in KINDS}
    assert all(name in text for name in names) and "[[faults]]" in text
    for name in PRESETS:
        shown = duologue("faults", "show", name)
        assert shown.out.rstrip() == preset(name).rstrip()
        assert duologue("faults", "show", name, "--json").json == read_plan(name)
    assert duologue("faults", "show", "strom").code == 2


def test_a_surprise_is_shown() -> None:
    from duologue.engine.faults import Surprise
    from duologue.show import _faults

    one = Surprise(phase="p", group=1, sample=2, attempt=0, end=End.DONE, kinds=("drop", "hang"))
    report = FaultReport(
        injected=1, dialogues=9, struck=1, recovered=1, surprises=1, tallies=(), surprised=(one,)
    )
    assert "p:1/2 ended as done after drop and hang" in _faults(report)
