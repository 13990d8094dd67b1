"""The conformance kit passes what keeps its promises, and names what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import pytest

from duologue.engine import Action, JudgeError, Message, Seed, Task, UsageError
from duologue.envs import Conformance, Env, Gym, Script, Step, check_gym, find

pytestmark = pytest.mark.anyio

SECRET = "the code word is walnut"


class Echo:
    """A small environment that keeps every promise; the tests break one at a time."""

    def __init__(self, task: Task) -> None:
        data: object = task.data
        if not isinstance(data, dict) or "word" not in data:
            raise UsageError(f"task {task.id!r} has no word")
        self.turns = 0

    def prompt(self) -> Sequence[Message]:
        return [Message("user", "Say something.")]

    async def step(self, action: Action) -> Step:
        self.turns += 1
        return Step(feedback=f"{action.content[:20]}, you say.", done=self.turns >= 3)


def make(task: Task, seed: Seed) -> Env:
    return Echo(task)


def tasks(split: str, seed: Seed) -> Iterator[Task]:
    for i in count():
        yield Task(env="echo", id=f"{split}-{i}", split=split, data={"word": f"{split} {i}"})


def talk(task: Task, rng: Random) -> Script:
    return lambda messages: Action("action", f"hello {rng.randrange(9)}")


ECHO = Gym(
    name="echo", tasks=tasks, make=make, scripts={"expert": talk}, hidden=lambda task: [SECRET]
)


async def check(gym: Gym, **more: Any) -> Conformance:
    return await check_gym(gym, seed=Seed(0), company=50, **more)


def failures(report: Conformance) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks if check.status == "failed"}


@pytest.mark.parametrize("name", ["function", "intention"])
async def test_our_gyms_keep_every_promise(name: str) -> None:
    report = await check_gym(find(name), seed=Seed(1))
    assert failures(report) == {}
    assert report.passed
    assert {check.status for check in report.checks} == {"passed"}
    assert report.checks[-1].detail.endswith("µs a step")


@pytest.mark.parametrize("name", ["function", "intention"])
async def test_official_behaviour_shows_hidden_state_in_info(name: str) -> None:
    report = await check(find(name), options={"behaviour": "official"})
    assert set(failures(report)) == {"hidden state"}
    assert "info shows" in failures(report)["hidden state"]


async def test_a_small_honest_environment_passes() -> None:
    report = await check(ECHO)
    assert failures(report) == {}
    given = await check(ECHO, tasks=[Task(env="echo", id="x", data={"word": "x"})])
    assert {check.name: check.status for check in given.checks}["tasks"] == "skipped"


def broken(**methods: Callable[..., Any]) -> Gym:
    kind: type[Echo] = type("Broken", (Echo,), methods)

    def make_broken(task: Task, seed: Seed) -> Env:
        return kind(task)

    return replace(ECHO, make=make_broken)


async def leak(self: Echo, action: Action) -> Step:
    return Step(feedback="By the way, THE code  word is walnut.")


async def repeat(self: Echo, action: Action) -> Step:
    return Step(feedback=action.content)


async def crash(self: Echo, action: Action) -> Step:
    return Step(feedback=str(float(action.content.removeprefix("hello"))))


async def explode(self: Echo, action: Action) -> Step:
    return Step(feedback="", reward=float("nan"))


async def miscount(self: Echo, action: Action) -> Step:
    return Step(feedback="", reward=1.0, parts={"a": 0.5})


async def flood(self: Echo, action: Action) -> Step:
    return Step(feedback="x" * 200_000)


async def judged(self: Echo, action: Action) -> Step:
    raise JudgeError("no judge today")


@pytest.mark.parametrize(
    ("step", "check_name", "words"),
    [
        (leak, "hidden state", "the feedback to 'action' shows"),
        (crash, "any text", "raises ValueError"),
        (explode, "bounds", "a reward of nan"),
        (miscount, "bounds", "do not sum to 1.0"),
        (flood, "bounds", "feedback of 200,000 characters"),
        (judged, "determinism", "JudgeError: no judge today"),
    ],
)
async def test_a_broken_step_is_named(
    step: Callable[..., Any], check_name: str, words: str
) -> None:
    found = failures(await check(broken(step=step)))
    assert words in found[check_name]


async def test_the_agents_own_words_are_no_leak() -> None:
    def gossip(task: Task, rng: Random) -> Script:
        return lambda messages: Action("action", f"I bet {SECRET}")

    gym = replace(broken(step=repeat), scripts={"expert": gossip})
    assert "hidden state" not in failures(await check(gym))


async def test_an_opening_that_tells_is_named() -> None:
    def tell(self: Echo) -> Sequence[Message]:
        return [Message("system", f"Psst: {SECRET}!")]

    assert "the opening shows" in failures(await check(broken(prompt=tell)))["hidden state"]


async def test_shared_state_between_dialogues_is_named() -> None:
    number = count()

    async def step(self: Echo, action: Action) -> Step:
        return Step(feedback=f"You are number {next(number)}.", done=True)

    found = failures(await check(broken(step=step)))
    assert {"determinism", "company"} <= set(found)


async def test_tasks_that_change_or_cross_splits_are_named() -> None:
    number = count()

    def moving(split: str, seed: Seed) -> Iterator[Task]:
        while True:
            yield Task(env="echo", id="x", split=split, data={"word": next(number)})

    def mixed(split: str, seed: Seed) -> Iterator[Task]:
        for i in count():
            yield Task(env="echo", id=f"{i}", split=split, data={"word": i})

    assert "other train tasks" in failures(await check(replace(ECHO, tasks=moving)))["tasks"]
    assert "in both splits" in failures(await check(replace(ECHO, tasks=mixed)))["tasks"]


async def test_a_bad_task_that_is_taken_or_raises_something_else_is_named() -> None:
    def careless(task: Task, seed: Seed) -> Env:
        return Echo(Task(env="echo", id="x", data={"word": "x"}))

    def raising(task: Task, seed: Seed) -> Env:
        return Echo(Task(env="echo", id="x", data={"word": task.data["word"]}))

    assert "is taken" in failures(await check(replace(ECHO, make=careless)))["bad tasks"]
    assert "raises TypeError" in failures(await check(replace(ECHO, make=raising)))["bad tasks"]


async def test_what_cannot_be_checked_is_skipped_aloud() -> None:
    report = await check(replace(ECHO, hidden=None, scripts={}))
    skipped = {check.name: check.detail for check in report.checks if check.status == "skipped"}
    assert set(skipped) == {"hidden state", "company"}
    assert report.passed
