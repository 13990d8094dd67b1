"""Playing a recorded episode through the official API, step by step."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import anyio
from compare import Case, Skip, same

from duologue.engine import Message, Task
from duologue.envs import OfficialEnv

Voice = Callable[[Sequence[Message]], Awaitable[str]]

Extra = Callable[[int, Case, dict[str, Any], dict[str, Any]], None]
"""Compares what else a step shows: (number, recorded step, our observation, our info)."""


def nothing_else(i: int, step: Case, observation: dict[str, Any], info: dict[str, Any]) -> None:
    pass


def speaker(lines: Iterator[Any]) -> Voice:
    async def speak(messages: Sequence[Message]) -> str:
        line = next(lines, "RuntimeError('the script is over')")
        if isinstance(line, str) and re.fullmatch(r"\w+(Error|Exception)\(.*\)", line, re.DOTALL):
            raise RuntimeError(line)
        return line if isinstance(line, str) else json.dumps(line)

    return speak


def configured(config: Any, settings: Case) -> Any:
    known = {setting.name for setting in fields(config)}
    for name, value in settings.items():
        if name not in known:
            raise Skip(f"our configuration has no {name!r}")
        setattr(config, name, value)
    return config


def play(
    env: OfficialEnv,
    task: Task,
    case: Case,
    *,
    state: Mapping[str, str] | None = None,
    extra: Extra = nothing_else,
) -> dict[str, Any]:
    """The case's steps, each compared; then what the episode came to, which is also returned.

    state: keys of a recorded step, and what our observation calls the same.
    extra: compares what else a step shows.
    """
    state = state or {}
    if case.get("mode", "async") == "sync":
        asynchronously = env.step
        observation, info = env.reset(options={"task": task})
        for i, step in enumerate(case["steps"]):
            try:
                result = asynchronously(step["action"])
            except ValueError:
                result = None
            observation, info = compare_step(i, step, result, state, extra) or (observation, info)
    else:
        observation, info = anyio.run(play_async, env, task, case["steps"], state, extra)
    final = case.get("final", {})
    came: dict[str, Any] = observation | info
    for name, expected in final.items():
        if name in came:
            same(f"final {name}", came[name], expected)
    return came


async def play_async(
    env: OfficialEnv, task: Task, steps: Sequence[Case], state: Mapping[str, str], extra: Extra
) -> Any:
    observation, info = env.reset(options={"task": task})
    for i, step in enumerate(steps):
        try:
            result = await env.step_async(step["action"])
        except ValueError:
            result = None
        observation, info = compare_step(i, step, result, state, extra) or (observation, info)
    return observation, info


def compare_step(i: int, step: Case, result: Any, state: Mapping[str, str], extra: Extra) -> Any:
    """Compare a step's five-tuple (None: it raised ValueError); its observation and info."""
    if result is None or "raises" in step:
        same(f"step {i} raises", result is None, "raises" in step)
        return None
    observation, reward, terminated, truncated, info = result
    same(f"step {i} reward", reward, step["reward"])
    same(f"step {i} terminated", terminated, step["terminated"])
    same(f"step {i} truncated", truncated, step["truncated"])
    for name, key in state.items():
        if name in step:
            same(f"step {i} {name}", observation[key], step[name])
    extra(i, step, observation, info)
    return observation, info
