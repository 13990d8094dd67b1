"""The run directory: made once, never written over, everything about a run in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duologue.config import Config, load_config
from duologue.engine import Seed, UsageError, open_reader
from duologue.rundir import describe_machine, open_run

pytestmark = pytest.mark.anyio

CONFIG = Config(seed=7)


async def test_run_holds_its_settings_and_says_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    async with open_run(folder, "rollout", CONFIG) as run:
        assert run.seed == Seed(7)
        assert run.weights.is_dir() and run.weights.parent == folder
        assert run.model("trained") == folder / "models" / "trained"
    assert load_config(folder / "config.toml") == CONFIG
    with open_reader(folder / "run.db") as reader:
        name, config, facts = reader.run()
    assert name == "run"
    assert config == (folder / "config.toml").read_text(encoding="utf-8")
    assert facts["command"] == "rollout" and facts["seed"] == "7"
    assert describe_machine().keys() <= facts.keys()


async def test_machine_is_described_by_its_versions() -> None:
    facts = describe_machine()
    assert {"machine", "python", "duologue", "anyio", "trio", "msgspec", "started"} <= facts.keys()
    assert all(facts.values())


async def test_directory_with_a_run_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with open_run(tmp_path, "rollout", CONFIG):
        pass
    before = (tmp_path / "config.toml").read_bytes()
    with pytest.raises(UsageError, match=f"{tmp_path} already holds a run"):
        async with open_run(tmp_path, "rollout", Config(seed=8)):
            raise AssertionError("it must not open")
    assert (tmp_path / "config.toml").read_bytes() == before


async def test_directory_that_somebody_made_beforehand_is_fine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    async with open_run(tmp_path, "rollout", CONFIG):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


async def test_place_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=f"cannot make the run directory {path}"):
            async with open_run(path, "rollout", CONFIG):
                raise AssertionError("it must not open")


async def test_runs_without_a_name_get_directories_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders: set[Path] = set()
    for _ in range(3):
        async with open_run(None, "rollout", CONFIG) as run:
            folders.add(run.path)
    assert len(folders) == 3
    assert all(f.parent == Path("runs") and "-rollout" in f.name for f in folders)


async def test_metrics_are_one_line_a_step(tmp_path: Path) -> None:
    async with open_run(tmp_path, "train", CONFIG) as run:
        run.log_metrics("train", 0, {"reward": 0.5})
        run.log_metrics("train", 1, {"reward": float("nan"), "note": "a\nb"})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [
        {"kind": "train", "step": 0, "reward": 0.5},
        {"kind": "train", "step": 1, "reward": None, "note": "a\nb"},
    ]


async def test_what_fails_inside_comes_out_as_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside"):
        async with open_run(tmp_path, "rollout", CONFIG):
            raise UsageError("inside")
