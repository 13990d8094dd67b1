"""Scripted agents: the expert is a ceiling, the simple ones stay well below it."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from duologue.engine import Action, Message, Seed, Task
from duologue.envs import Step
from duologue.envs.intention import gym
from duologue.envs.intention._paraphrase import paraphrase
from duologue.envs.intention._world import DOMAINS

GYMS = "data/userrl/gyms"


def now(step: Coroutine[Any, Any, Step]) -> Step:
    """The result of a step that waits for nobody, without a loop."""
    try:
        step.send(None)
    except StopIteration as finished:
        result: Step = finished.value
        return result
    raise AssertionError("the intention gym's own user never waits")


def play(task: Task, name: str, seed: int, turns: int) -> list[tuple[Action, Step]]:
    env = gym.make(task, Seed(seed))
    script = gym.scripts[name](task, Random(seed))
    messages = list(env.prompt())
    record: list[tuple[Action, Step]] = []
    for _ in range(turns):
        action = script(messages)
        step = now(env.step(action))
        messages += [Message("assistant", action.content), Message("user", step.feedback)]
        record.append((action, step))
        if step.done:
            break
    return record


def mean(name: str, tasks: list[Task]) -> float:
    games = (play(task, name, i, gym.max_turns) for i, task in enumerate(tasks))
    return sum(step.reward for game in games for _, step in game) / len(tasks)


@pytest.mark.parametrize("split", ["train", "test"])
def test_simple_agents_stay_below_the_expert(split: str) -> None:
    tasks = list(islice(gym.tasks(split, Seed(11)), 2000))
    expert = mean("expert", tasks)
    possible = [{"3": 1.0, "2": 0.7, "1": 0.4}[d["importance"]] for t in tasks for d in _details(t)]
    assert expert > 0.88 * sum(possible) / len(tasks)
    assert mean("random-topic", tasks) < 0.70 * expert
    assert mean("fixed-order", tasks) < 0.76 * expert
    assert 0.3 * expert < mean("imperfect", tasks) < 0.55 * expert


def _details(task: Task) -> list[dict[str, str]]:
    details: list[dict[str, str]] = task.data["missing_details"]
    return details


@pytest.mark.parametrize("name", ["weather", "silent"])
def test_probes_earn_nothing(name: str) -> None:
    assert mean(name, list(islice(gym.tasks("train", Seed(0)), 100))) == 0.0


def test_the_expert_never_asks_for_what_it_knows_and_leaves_when_nothing_is_left() -> None:
    for i, task in enumerate(islice(gym.tasks("train", Seed(2)), 50)):
        script = gym.scripts["expert"](task, Random(i))
        asked = [script([]) for _ in range(9)]
        topics = [w for a in asked for w in re.findall("[a-z]+", a.content) if w in _world(task)]
        assert len(topics) == len(set(topics)) == 8 - len(task.data["shown"])
        assert asked[-1].choice == "finish"


def _world(task: Task) -> set[str]:
    return set(DOMAINS[task.data["domain"]].topics)


def test_the_expert_does_not_know_what_a_generated_task_hides() -> None:
    """With another hidden set and the same opening it asks the same questions."""
    for task in islice(gym.tasks("train", Seed(3)), 20):
        first = {"missing_details": task.data["missing_details"][:1]}
        fewer = Task(env=task.env, id="fewer", data=task.data | first)
        one, two = (gym.scripts["expert"](t, Random(0)) for t in (task, fewer))
        assert [one([]) for _ in range(5)] == [two([]) for _ in range(5)]


# ---- the official tasks


@pytest.fixture(scope="module")
def official(shared: Path) -> Iterator[list[Task]]:
    assert gym.read is not None
    names = ("all_intentions_train.json", "all_intentions_test.json")
    yield [task for name in names for task in gym.read(shared / GYMS / name)]


def test_the_expert_covers_the_official_details_within_16_turns(official: list[Task]) -> None:
    total = sum(len(_details(task)) for task in official)
    games = [play(task, "expert", i, 16) for i, task in enumerate(official)]
    assert sum(step.reward > 0 for game in games for _, step in game) >= 0.98 * total
    assert sum(len(game) for game in games) < 1.25 * total


def test_the_expert_copies_no_official_inquiry(official: list[Task]) -> None:
    for i, task in enumerate(official):
        inquiries = {words(d["inquiry"]) for d in _details(task)}
        for action, _ in play(task, "expert", i, 16):
            assert not action.content or not any(words(action.content) in q for q in inquiries)


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_a_paraphrase_uses_other_words_in_another_order() -> None:
    assert paraphrase("Size of the home") == "the house dimensions"
    assert paraphrase("Budget constraints") == "the spending limits"
    assert paraphrase("Preferred") == "the usual preference"


@pytest.mark.parametrize("name", ["weather", "silent"])
def test_probes_cover_no_official_detail(official: list[Task], name: str) -> None:
    for i, task in enumerate(official):
        assert not any(step.reward for _, step in play(task, name, i, 3))


@pytest.mark.parametrize("name", ["imperfect", "random-topic", "fixed-order"])
def test_scripts_of_the_small_world_play_official_tasks_too(
    official: list[Task], name: str
) -> None:
    for i, task in enumerate(official[:20]):
        assert play(task, name, i, 16)
