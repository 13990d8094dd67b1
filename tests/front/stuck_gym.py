"""Two gyms that go wrong: one whose user never answers again, one that holds up the event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import anyio

from duologue.engine import Action, Message, Seed, Task
from duologue.envs import Gym, Script, Step

HOLD_S = 0.08
"""How long one step holds the loop up."""


class Stuck:
    def __init__(self, task: Task, seed: Seed, **options: Any) -> None:
        self.task = task

    def prompt(self) -> Sequence[Message]:
        return [Message("user", "hello")]

    async def step(self, action: Action) -> Step:
        if self.task.id == "t1":
            await anyio.sleep_forever()
        return Step(feedback="well done", reward=1.0, done=True)


class Slow(Stuck):
    async def step(self, action: Action) -> Step:
        think_hard()
        return Step(feedback="well done", reward=1.0, done=True)


def think_hard() -> None:
    until = time.perf_counter() + HOLD_S
    while time.perf_counter() < until:
        pass


def tasks(split: str, seed: Seed) -> Iterator[Task]:
    number = 0
    while True:
        yield Task(env="stuck", id=f"t{number}", split=split)
        number += 1


def expert(task: Task, random: Random) -> Script:
    def go_on(messages: Sequence[Message]) -> Action:
        return Action("action", "go on")

    return go_on


def make_gym(name: str, kind: type[Stuck]) -> Gym:
    return Gym(name=name, tasks=tasks, make=kind, scripts={"expert": expert})


stuck: Gym = make_gym("stuck", Stuck)
slow: Gym = make_gym("slow", Slow)
