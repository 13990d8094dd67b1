"""`duologue eval` prints the paper's table, and it says what the stored dialogues say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Duologue

from duologue.engine import open_reader

MODELS = ["--model", "scripted:imperfect"]


def test_several_gyms_are_measured_in_one_command_each_by_its_own_tasks(
    duologue: Duologue, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    both = ["--env", "function", "--env", "intention", "--count", 6, "--samples", 2]
    done = duologue("eval", *both, *MODELS, "--run", run, "--json")
    assert done.code == 0, done.err
    sheet = done.json
    assert sheet["tasks"] == 12
    assert [row["agent"] for row in sheet["paper"]["agents"]] == ["expert", "imperfect"]
    assert sheet["paper"]["missing"] == [
        "travel", "turtle", "tau", "persuade", "telepathy", "search"
    ]  # fmt: skip
    with open_reader(run / "run.db") as reader:
        for row in sheet["paper"]["agents"]:
            stored = [s.trajectory for s in reader.trajectories(f"eval/{row['agent']}")]
            for gym in row["gyms"]:
                means: dict[str, list[float]] = {}
                for trajectory in stored:
                    if trajectory.env == gym["gym"]:
                        means.setdefault(trajectory.task, []).append(sum(trajectory.rewards))
                assert len(means) == gym["score"]["tasks"] == 6
                slow = sum(sum(of) / len(of) for of in means.values()) / 6
                assert gym["score"]["mean"] == pytest.approx(slow)
                assert len(gym["pass_k"]) == 2
    alone = duologue("eval", "--env", "intention", "--count", 6, "--run", tmp_path / "b", "--json")
    assert alone.json["paper"]["agents"][0]["gyms"][0]["gym"] == "intention"
    with open_reader(run / "run.db") as several, open_reader(tmp_path / "b" / "run.db") as one:
        tasks = {s.trajectory.task for s in one.trajectories("eval/expert")}
        met = {s.trajectory.task: s.trajectory.env for s in several.trajectories("eval/expert")}
    assert tasks == {task for task, env in met.items() if env == "intention"}


def test_the_table_stands_beside_the_published_rows_on_the_terminal_and_the_page(
    duologue: Duologue, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = duologue("eval", "--env", "mixture", "--count", 2, *MODELS, "--run", run)
    assert done.code == 0, done.err
    for words in ("paper: Qwen3-8B Equalized/R2G", "pass^1", "time-weighted", "micro"):
        assert words in done.out
    assert done.out.count("paper: ") == 16, "a row that does not fit is broken in two"
    assert duologue("report", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Beside the published rows" in page and "paper: GPT-4o-mini" in page


def test_a_gym_that_is_no_paper_gym_has_a_row_and_no_published_ones(
    duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ninth.py").write_text(NINTH)
    monkeypatch.chdir(tmp_path)
    done = duologue("eval", "--env", "ninth:gym", "--count", 3, "--run", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    paper: dict[str, Any] = done.json["paper"]
    assert paper["published"] == [] and paper["agents"][0]["micro"] is None
    assert paper["agents"][0]["gyms"][0]["score"]["mean"] == 1.0
    text = duologue("eval", "--env", "ninth:gym", "--count", 3, "--run", tmp_path / "again").out
    assert "ninth" in text and "paper:" not in text


NINTH = """
from duologue.engine import Action, Message, Task
from duologue.envs import Gym, Step


class Echo:
    def __init__(self, task, seed):
        self.word = task.data

    def prompt(self):
        return [Message("user", self.word)]

    async def step(self, action):
        right = action.content == self.word
        return Step(feedback="So it is.", reward=float(right), done=right)


def tasks(split, seed):
    number = 0
    while True:
        number += 1
        word = f"{split}{number}"
        yield Task(env="ninth", id=word, split=split, data=word)


def expert(task, rng):
    return lambda messages: Action("answer", task.data)


gym = Gym(name="ninth", tasks=tasks, make=Echo, scripts={"expert": expert})
"""
