"""`duologue runs` tells every state apart, and no broken run breaks it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue import show
from duologue.cli import main
from duologue.config import Config, resolve
from duologue.engine import End, Key, StoreError, Trajectory, UsageError
from duologue.jobs._runs import RunState, find_runs
from duologue.rundir import OUTCOME, open_run, reopen_run
from duologue.train._checkpoint import State, checkpoint_path, commit


def make(
    folder: Path, command: str = "rollout", *, error: Exception | None = None, steps: int = 0
) -> Path:
    """A run that ended well, or with `error`."""

    async def work() -> None:
        config = resolve({"train": {"steps": 9}}, "here")
        async with open_run(folder, command, config) as run:
            one = Trajectory(key=Key(0, 0), task="t", env="e", split="train", end=End.DONE)
            await run.store.append(command, one, seconds=1)
            for step in range(steps):
                await run.store.add_metrics("train", step, {"reward": 1.0})
            if error:
                raise error

    try:
        anyio.run(work)
    except StoreError as raised:
        assert raised is error
    return folder


def checkpoint(run: Path, step: int) -> Path:
    draft = run / "checkpoints" / ".draft"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(b"weights")
    target = checkpoint_path(run / "checkpoints", step)
    commit(draft, target, State(step=step, version=step), b"")
    return target


def only(folder: Path) -> RunState:
    [found] = find_runs(folder)
    return found


def test_a_finished_run_is_described(tmp_path: Path) -> None:
    make(tmp_path / "a", "train", steps=9)
    checkpoint(tmp_path / "a", 9)
    found = only(tmp_path)
    assert (found.run, found.command, found.state) == (str(tmp_path / "a"), "train", "finished")
    assert (found.step, found.steps, found.checkpoint, found.lives) == (9, 9, 9, 1)
    assert found.phases == {"train": 1} and found.started.startswith("20")
    assert found.bytes > 4096
    assert only(tmp_path / "a") == found  # the run itself can be named


def test_a_run_that_trains_can_go_on_however_it_ended(tmp_path: Path) -> None:
    run = make(tmp_path / "a", "train", error=StoreError("disk full"), steps=2)
    found = only(tmp_path)
    assert (found.state, found.step, found.steps) == ("resumable", 2, 9)
    assert found.detail == f"duologue train --resume --run {run}"
    (run / OUTCOME).unlink()  # killed: it never said
    assert only(tmp_path).state == "resumable"


def test_what_cannot_go_on_says_why_it_stopped(tmp_path: Path) -> None:
    run = make(tmp_path / "a", error=StoreError("disk full"))
    assert (only(tmp_path).state, only(tmp_path).detail) == ("stopped", "disk full")
    (run / OUTCOME).unlink()
    assert (only(tmp_path).state, only(tmp_path).detail) == ("stopped", "killed")


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        with anyio.CancelScope() as scope:
            async with open_run(tmp_path / "a", "rollout", Config()):
                scope.cancel()
                await anyio.sleep(1)

    anyio.run(work)
    assert (only(tmp_path).state, only(tmp_path).detail) == ("stopped", "interrupted")


def test_a_living_run_is_in_use_and_looking_does_not_disturb_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_run(tmp_path / "a", "train", Config()):
            assert only(tmp_path).state == "in use"
            assert only(tmp_path).lives == 1
        async with reopen_run(tmp_path / "a"):
            assert (only(tmp_path).state, only(tmp_path).lives) == ("in use", 2)
        assert (only(tmp_path).state, only(tmp_path).lives) == ("finished", 2)

    anyio.run(work)


@pytest.mark.parametrize("damage", ["garbage", "empty", "gone", "folder", "state", "file", "half"])
def test_a_broken_run_is_a_line_like_any_other(tmp_path: Path, damage: str) -> None:
    run = make(tmp_path / "b", "train", error=StoreError("x"))
    at = checkpoint(run, 1)
    match damage:
        case "garbage":
            (run / "run.db").write_bytes(b"no database" * 100)
        case "empty":
            (run / "run.db").write_bytes(b"")
        case "gone":
            (run / "run.db").unlink()
        case "folder":
            (run / "run.db").unlink()
            (run / "run.db").mkdir()
        case "state":
            (at / "state.json").write_bytes(b"{")
        case "file":
            (at / "model.safetensors").unlink()
        case _:
            os.truncate(run / "run.db", 5000)
    make(tmp_path / "a")
    first, broken = find_runs(tmp_path)
    assert first.state == "finished"
    assert broken.state == "broken" and str(run) in broken.detail
    assert show.runs([first, broken])


def test_what_is_no_run_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    assert find_runs(tmp_path) == []
    assert show.runs([]) == "no runs"
    with pytest.raises(UsageError, match=r"no directory .*/none"):
        find_runs(tmp_path / "none")


def call(monkeypatch: pytest.MonkeyPatch, *argv: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["duologue", *argv])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_prints_a_table_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "runs" / "one")
    make(tmp_path / "runs" / "two", "train", error=StoreError("x"))
    monkeypatch.chdir(tmp_path)
    assert not call(monkeypatch, "runs")
    text = capsys.readouterr().out
    assert "runs/one" in text and "finished" in text and "0/9" in text
    assert not call(monkeypatch, "runs", "runs", "--json")
    states = [row["state"] for row in json.loads(capsys.readouterr().out)]
    assert states == ["finished", "resumable"]
    assert call(monkeypatch, "runs", "nowhere") == 2
    assert "no directory nowhere" in capsys.readouterr().err
