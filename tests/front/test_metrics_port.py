"""`duologue rollout --metrics-port`: what a scrape sees while the command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import anyio
import pytest
from prometheus_client import generate_latest

from duologue.engine import Action, Message, Seed, Task
from duologue.envs import Gym, Script, Step
from duologue.metrics import Metrics
from duologue.progress import _Lines

Duologue = Callable[..., Any]


class Looked:
    """An environment that goes and looks at the metrics, from outside the loop."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def prompt(self) -> Sequence[Message]:
        return [Message("user", "Go and see.")]

    async def step(self, action: Action) -> Step:
        await anyio.to_thread.run_sync(self.look)
        return Step(feedback="seen", reward=1.0, done=True)


def test_the_command_line_serves_them_while_it_runs(
    duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    said: list[str] = []
    say = _Lines.say

    def hear(self: _Lines, text: str) -> None:
        said.append(text)
        say(self, text)

    def look() -> None:
        (url,) = [text.partition(" ")[2] for text in said if text.startswith("metrics: ")]
        with urlopen(url) as page:
            pages.append(page.read().decode())

    def make(task: Task, seed: Seed) -> Looked:
        return Looked(look)

    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        return (Task(env="looked", id=str(number)) for number in count())

    def speak(task: Task, rng: Random) -> Script:
        return lambda messages: Action("action", "look")

    gym = Gym(name="looked", tasks=tasks, make=make, scripts={"expert": speak})
    module = ModuleType("looked_gym")
    monkeypatch.setattr(module, "gym", gym, raising=False)
    monkeypatch.setitem(sys.modules, "looked_gym", module)
    monkeypatch.setattr(_Lines, "say", hear)
    words = ("rollout", "--env", "looked_gym:gym", "--count", 2, "--live", 1, "--metrics-port", 0)
    done = duologue(*words, "--run", tmp_path / "run", "--json")
    assert done.code == 0 and done.json["dialogues"] == 2
    assert 'duologue_dialogues_total{end="done",env="looked"} 1.0' in pages[1]
    assert 'duologue_dialogues_live{env="looked"} 1.0' in pages[1]
    refused = duologue("rollout", "--count", 1, "--metrics-port", 70_000)
    assert refused.code == 2


@pytest.mark.slow
def test_training_shows_its_steps(
    duologue: Duologue, started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    told: list[tuple[int, int]] = []
    urls: list[str] = []
    say = _Lines.say

    def hear(self: _Lines, text: str) -> None:
        if text.startswith("metrics: "):
            urls.append(text.partition(" ")[2])
        say(self, text)

    def shown(self: Metrics, step: int, version: int, values: Mapping[str, float]) -> None:
        tell(self, step, version, values)
        told.append((step, version))
        pages.append(generate_latest(self.registry).decode())

    tell = Metrics.step_ended
    monkeypatch.setattr(_Lines, "say", hear)
    monkeypatch.setattr(Metrics, "step_ended", shown)
    settings = ("tiny.hidden=32", "model.context=160", "model.max_tokens=24", "rollout.samples=2",
                "train.groups_per_step=2", "env.options={instructions = false}")  # fmt: skip
    words = [word for setting in settings for word in ("-s", setting)]
    done = duologue(
        "train", "--model", f"local:{started}", "--steps", 2, "--run", tmp_path / "run",
        "--metrics-port", 0, *words,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(urls) == 1 and len(pages) == 2
    (step, version), (last, newest) = told
    assert last == step + 1 and newest >= version  # a step may find nothing to learn
    assert f"duologue_step {float(last)}\n" in pages[1]
    assert f"duologue_policy_version {float(newest)}\n" in pages[1]
    assert 'duologue_step_value{name="staleness_max"}' in pages[1]
    assert "duologue_sampled_tokens_total" in pages[1]
