"""Environments that meet faults: tools that fail, reads of what was, replies that get lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from ..engine import Action, End, Message, Seed, Task, checkpoint
from ..engine.faults import GOES_ON, Attempt, Faults, Injected, Kind, Site
from ._env import Env, Gym, Step

_FAILS = frozenset({End.ENV_ERROR})

ENV_KINDS: tuple[Kind, ...] = (
    Kind(
        name="tool_error",
        sites=(Site.ENVIRONMENT,),
        what="a tool fails before it does anything",
        expected="env_error; the dialogue is tried again, with a fresh environment",
        ends=_FAILS,
    ),
    Kind(
        name="stale_state",
        sites=(Site.ENVIRONMENT,),
        what="the action is taken, and what comes back is what came back before",
        expected="the dialogue goes on with its true rewards and ends",
        ends=GOES_ON,
    ),
    Kind(
        name="lost_result",
        sites=(Site.ENVIRONMENT,),
        what="the action is taken, and the word of it is lost",
        expected="env_error; the action is not taken again: a retry starts from a fresh environment",
        ends=_FAILS,
    ),
)


def faulty_gym(gym: Gym, faults: Faults) -> Gym:
    """The gym with environments that meet faults, in dialogues made by `FaultyDialogues`."""
    if not faults.at(Site.ENVIRONMENT):
        return gym

    def make(task: Task, seed: Seed, **options: Any) -> Env:
        env = gym.make(task, seed, **options)
        attempt = faults.setting_up
        return env if attempt is None else FaultyEnv(env, attempt, faults)

    return replace(gym, make=make)


class FaultyEnv:
    """An `Env` whose actions meet faults."""

    def __init__(self, env: Env, attempt: Attempt, faults: Faults) -> None:
        self._env = env
        self._attempt = attempt
        self._faults = faults
        self._actions = 0
        self._shown = ""

    def prompt(self) -> Sequence[Message]:
        messages = self._env.prompt()
        self._shown = messages[-1].content if messages else ""
        return messages

    async def step(self, action: Action) -> Step:
        self._actions += 1
        hit = self._faults.strike(Site.ENVIRONMENT, self._actions, attempt=self._attempt)
        if hit is not None and hit.name == "tool_error":
            await checkpoint()
            raise Injected("injected: the tool failed")
        step = await self._env.step(action)
        if hit is None:
            self._shown = step.feedback
            return step
        if hit.name == "lost_result":
            raise Injected("injected: the tool's result was lost")
        return structs.replace(step, feedback=self._shown)
