"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from duologue.agents.models.local._folder import load_model, save_weights
from duologue.cli import app
from duologue.engine import End, Fate, open_reader

Duologue = Callable[..., Any]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


EVERY = list(commands(typer.main.get_command(app)))


# ---------------------------------------------------------------- asking


def test_these_are_the_commands() -> None:
    assert {" ".join(path) for path in EVERY if path} >= {
        "demo", "env", "env list", "env show", "eval", "model", "model init", "report", "rollout",
        "sft", "train",
    }  # fmt: skip


@pytest.mark.parametrize("path", EVERY, ids=lambda path: " ".join(path) or "duologue")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(
    duologue: Duologue, path: tuple[str, ...], flag: str
) -> None:
    done = duologue(*path, flag)
    assert done.code == 0 and done.err == ""
    assert "Usage: " in done.out and " ".join(path) in done.out
    assert "--help" in done.out


def test_environments_are_listed_and_shown(duologue: Duologue) -> None:
    listed = duologue("env", "list", "--json")
    assert {row["name"] for row in listed.json} >= {"intention"}
    assert "intention" in duologue("env", "list").out
    shown = duologue("env", "show", "intention", "--json").json
    assert shown["name"] == "intention" and "expert" in shown["scripts"]
    assert shown["options"] == {"instructions": True} or "instructions" in shown["options"]
    text = duologue("env", "show", "intention")
    assert text.code == 0 and "scripted agents" in text.out and "random-topic" in text.out


# ---------------------------------------------------------------- working


def rollout(*more: object, count: int = 6, run: Path) -> list[object]:
    return ["rollout", "--env", "intention", "--count", count, "--run", run, *more]


def test_rollout_is_one_json_object_and_progress_goes_elsewhere(
    duologue: Duologue, tmp_path: Path
) -> None:
    done = duologue(*rollout("--samples", 2, "--json", run=tmp_path / "run"))
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    assert (done.json["tasks"], done.json["dialogues"]) == (6, 12)
    assert sum(done.json["ends"].values()) == 12 == sum(done.json["fates"].values())
    assert done.json["run"] == str(tmp_path / "run")
    assert "dialogues: 12/12" in done.err
    with open_reader(tmp_path / "run" / "run.db") as reader:
        assert reader.count() == 12
        assert reader.fates() == {Fate.READY: 12}


def test_rollout_for_a_person_is_a_table(duologue: Duologue, tmp_path: Path) -> None:
    done = duologue(*rollout("--loop", "trio", run=tmp_path / "run"))
    assert done.code == 0
    assert "6 dialogues on 6 tasks" in done.out and "fates: ready 100.0%" in done.out
    assert str(tmp_path / "run") in done.out


def test_settings_come_from_file_options_and_overrides(duologue: Duologue, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('seed = 5\n[model]\nspec = "scripted:silent"\n[rollout]\nsamples = 3\n')
    done = duologue(
        "rollout", "-c", config, "--seed", 6, "--count", 2, "-s", "rollout.samples=4",
        "--run", tmp_path / "run", "--json",
    )  # fmt: skip
    assert done.json["dialogues"] == 8 and done.json["turns"] == 8
    stored = (tmp_path / "run" / "config.toml").read_text()
    assert "seed = 6" in stored and 'spec = "scripted:silent"' in stored


def test_deterministic_mode_makes_room_for_one_group_at_least(
    duologue: Duologue, tmp_path: Path
) -> None:
    words = ["--deterministic", "--live", 2, "--samples", 4, "--json"]
    done = duologue(*rollout(*words, run=tmp_path / "run"))
    assert done.code == 0 and done.json["dialogues"] == 24


def test_report_of_a_rollout_is_one_file(duologue: Duologue, tmp_path: Path) -> None:
    duologue(*rollout(run=tmp_path / "run"))
    done = duologue("report", tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    assert (done.code, done.out) == (0, f"{page}\n")
    assert "<html" in page.read_text(encoding="utf-8")
    assert duologue("report", tmp_path / "run", "--json").json["report"] == str(page)


def test_agents_are_compared_with_the_expert_on_the_same_tasks(
    duologue: Duologue, tmp_path: Path
) -> None:
    words = ["eval", "--model", "scripted:weather", "--model", "scripted:random-topic"]
    done = duologue(*words, "--count", 20, "--samples", 2, "--run", tmp_path / "run", "--json")
    assert done.code == 0
    scores = {row["agent"]: row for row in done.json["scores"]}
    assert list(scores) == ["expert", "weather", "random-topic"]
    assert scores["expert"]["fraction"]["mean"] == 1.0
    assert scores["weather"]["reward"]["mean"] == 0.0
    assert 0 < scores["random-topic"]["fraction"]["mean"] < 1
    assert all(row["dialogues"] == 40 for row in scores.values())
    table = duologue(*words, "--count", 20, "--run", tmp_path / "again")
    assert "of the expert" in table.out and "random-topic" in table.out


def test_an_agent_named_twice_is_measured_once(duologue: Duologue, tmp_path: Path) -> None:
    twice = ["--model", "scripted:silent"] * 2 + ["--model", "scripted:expert"]
    done = duologue("eval", *twice, "--count", 3, "--run", tmp_path / "run", "--json")
    assert done.code == 0
    assert [row["agent"] for row in done.json["scores"]] == ["expert", "silent"]


def test_evaluation_has_its_own_samples_whatever_the_waves(
    duologue: Duologue, tmp_path: Path
) -> None:
    waves = ["-s", "rollout.wave=4", "-s", "rollout.live=4"]
    done = duologue("eval", "--count", 3, "--samples", 2, *waves, "--run", tmp_path, "--json")
    assert done.code == 0 and done.json["scores"][0]["dialogues"] == 6


# ---------------------------------------------------------------- models


def test_a_model_is_made_started_trained_and_reported(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    """The whole path through the command line, a few steps each."""
    tiny = ["-s", "env.options={instructions = false}", "-s", "model.context=160"]
    tiny += ["-s", "model.max_tokens=24"]
    model = f"local:{started}"
    done = duologue(
        "train", "--model", model, "--steps", 2, "--run", tmp_path / "run", "--json", *tiny,
        "-s", "rollout.samples=4", "-s", "train.groups_per_step=4",
        "-s", "train.schedule.peak=1e-3", "--loop", "trio",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (done.json["steps"], done.json["version"]) == (2, 2)
    load_model(done.json["model"])
    assert "training: 2/2" in done.err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
    assert (tmp_path / "run" / "learner.log").read_text() == ""
    assert duologue("report", tmp_path / "run").code == 0
    held = duologue(
        "eval", "--model", f"local:{done.json['model']}", "--count", 5, "--json", *tiny,
        "--run", tmp_path / "eval",
    )  # fmt: skip
    assert held.code == 0 and len(held.json["scores"]) == 2
    again = duologue("train", "--resume", "--run", tmp_path / "run", "--json")
    assert again.code == 0, again.err


def test_made_model_says_its_size(duologue: Duologue, tmp_path: Path, small_corpus: None) -> None:
    words = ["model", "init", tmp_path / "m", "-s", "tiny.layers=1", "-s", "tiny.vocab=400"]
    done = duologue(*words)
    assert done.code == 0 and "400 tokens" in done.out
    refused = duologue(*words)
    assert refused.code == 2 and f"{tmp_path / 'm'} exists already" in refused.err


def test_agent_of_which_no_dialogue_counts_is_a_failure_with_its_reason(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(started, broken)
    model = load_model(broken)
    for weight in model.parameters():
        weight.data.fill_(float("nan"))
    save_weights(model, broken / "model.safetensors")
    done = duologue("eval", "--model", f"local:{broken}", "--count", 3, "--run", tmp_path / "run")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert f"no dialogue of 'local:{broken}' counts" in done.err
    assert "3 x model_error" in done.err
    with open_reader(tmp_path / "run" / "run.db") as reader:
        (first, *_) = reader.trajectories(f"eval/local:{broken}")
        assert "nan or inf" in first.trajectory.detail
        assert reader.ends(f"eval/local:{broken}") == {End.MODEL_ERROR: 3}


# ---------------------------------------------------------------- refusing

MISUSES: list[tuple[list[object], str]] = [
    (["rollout", "--env", "intension"], "did you mean 'intention'"),
    (["rollout", "--model", "scripted:expart"], "no scripted agent 'expart'"),
    (["rollout", "--model", "gpt"], "no model is written 'gpt'"),
    (["rollout", "--model", "scripted:"], "no model is written 'scripted:'"),
    (["rollout", "--model", "local:nowhere"], "there is no model folder at nowhere"),
    (["rollout", "--loop", "twisted"], "--loop is 'twisted'; it is 'asyncio' or 'trio'"),
    (["rollout", "--count", "0"], "--count is 0; it must be at least 1"),
    (["rollout", "--samples", "0"], "samples is 0; it must be at least 1"),
    (["rollout", "--tasks", "nowhere.json"], "cannot read nowhere.json"),
    (["rollout", "--config", "nowhere.toml"], "cannot read the configuration nowhere.toml"),
    (["rollout", "-s", "train.step=3"], "did you mean 'steps'"),
    (["rollout", "-s", "oops"], "is not of the form key.path=value"),
    (["rollout", "-s", "env.split=tset"], "no split is called 'tset'"),
    (["rollout", "-s", "env.options.loud=true"], "has no option 'loud'"),
    (["eval", "--samples", "0"], "samples=0"),
    (["eval", "--model", "nothing"], "no model is written 'nothing'"),
    (["sft"], "'scripted:expert' cannot be trained"),
    (["sft", "--model", "local:nowhere"], "there is no model folder at nowhere"),
    (["train"], "'scripted:expert' cannot be trained"),
    (["train", "--resume"], "--resume needs --run"),
    (["train", "--resume", "--run", "nowhere"], "nowhere holds no run to resume"),
    (["report", "nowhere"], "there is no run directory nowhere"),
    (["env", "show", "tellepathy"], "no environment is called 'tellepathy'"),
]


@pytest.mark.parametrize(
    ("words", "reason"), MISUSES, ids=[" ".join(map(str, words)) for words, _ in MISUSES]
)
def test_what_cannot_be_is_one_line_and_exit_code_2(
    duologue: Duologue,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[object],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = duologue(*words)
    assert (done.code, done.out) == (2, "")
    said = [line for line in done.err.splitlines() if not line.startswith("evaluating expert:")]
    assert len(said) == 1 and said[0].startswith("duologue: ")
    assert reason in said[0]


@pytest.mark.parametrize("words", [["rollout", "--nonsense"], ["dance"], ["report"], []])
def test_words_that_are_no_command_are_exit_code_2(duologue: Duologue, words: list[object]) -> None:
    done = duologue(*words)
    assert done.code == 2 and "Traceback" not in done.err


def test_directory_that_holds_a_run_is_refused(duologue: Duologue, tmp_path: Path) -> None:
    assert duologue(*rollout(run=tmp_path)).code == 0
    again = duologue(*rollout(run=tmp_path))
    assert again.code == 2 and f"{tmp_path} already holds a run" in again.err
    with open_reader(tmp_path / "run.db") as reader:
        assert reader.count() == 6


def test_a_misspelt_model_does_not_use_up_the_run_directory(
    duologue: Duologue, tmp_path: Path
) -> None:
    for model in ("scripted:expart", "local:nowhere"):
        assert duologue(*rollout("--model", model, run=tmp_path / "run")).code == 2
    assert duologue(*rollout("--model", "scripted:expert", run=tmp_path / "run")).code == 0


def test_failure_of_ours_is_exit_code_1(duologue: Duologue, tmp_path: Path) -> None:
    empty = duologue("report", tmp_path)
    assert empty.code == 1 and "there is no run store" in empty.err
    (tmp_path / "run.db").write_bytes(b"this is no database at all" * 100)
    corrupt = duologue("report", tmp_path)
    assert corrupt.code == 1 and "cannot read the run store" in corrupt.err


def test_learner_that_cannot_start_is_exit_code_1_and_names_its_log(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    shutil.copytree(started, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = duologue(
        "sft", "--model", f"local:{tmp_path / 'm'}", "--run", tmp_path / "run",
        "-s", "coldstart.dialogues=5", "-s", "env.options={instructions = false}",
    )  # fmt: skip
    assert done.code == 1 and "Traceback" not in done.err
    assert "not a whole safetensors file" in done.err
    assert str(tmp_path / "run" / "learner.log") in done.err


def test_interruption_is_exit_code_130(duologue: Duologue, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("duologue.envs.names", interrupted)
    done = duologue("env", "list")
    assert done.code == 130 and "Traceback" not in done.err


def test_console_script_and_module_are_the_same_command(tmp_path: Path) -> None:
    """Real processes: exit codes, and results apart from progress, as a shell sees them."""
    script = Path(sys.executable).with_name("duologue")
    words = ["rollout", "--count", "3", "--json", "--run"]
    env = {**os.environ, "TTY_COMPATIBLE": "0"}
    outputs: list[dict[str, Any]] = []
    for number, start in enumerate(([str(script)], [sys.executable, "-m", "duologue"])):
        done = subprocess.run(
            [*start, *words, f"run{number}"],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.append(json.loads(done.stdout))
        assert done.stderr == "dialogues: 3/3, 0 s, " + done.stderr.partition("0 s, ")[2]
    assert outputs[0]["ends"] == outputs[1]["ends"]
    refused = subprocess.run(
        [str(script), "rollout", "--env", "nothing"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr.startswith("duologue: no environment is called 'nothing'")
