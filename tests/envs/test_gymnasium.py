"""Gymnasium's own checker on our environments, and the one loop behind them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import anyio.lowlevel
import pytest

from duologue.engine import Message, UsageError
from duologue.envs import register_gymnasium

gymnasium: Any = pytest.importorskip("gymnasium")

NAMES = (
    "duologue/Function-v0",
    "duologue/Intention-v0",
    "duologue/Persuade-v0",
    "duologue/Search-v0",
    "duologue/Tau-v0",
    "duologue/Turtle-v0",
)


@pytest.fixture(autouse=True)
def registered() -> None:
    register_gymnasium()


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
@pytest.mark.parametrize("name", NAMES)
def test_the_checker_finds_nothing(name: str, behaviour: str) -> None:
    from gymnasium.utils.env_checker import check_env

    env = gymnasium.make(name, behaviour=behaviour)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_registering_again_changes_nothing() -> None:
    before = gymnasium.spec(NAMES[0])
    register_gymnasium()
    assert gymnasium.spec(NAMES[0]) is before


def test_an_episode_is_the_official_one_and_stays_in_its_space() -> None:
    env = gymnasium.make(NAMES[0])
    observation, info = env.reset(seed=5)
    again, _ = env.reset(seed=5)
    assert observation == again
    assert info["prompt"][0]["role"] == "system"
    for text in ("[action] 1 2 3 4", "\u00e9\u4e2d", "[search] test", "[finish]"):
        observation, reward, terminated, truncated, info = env.step(text)
        assert observation in env.observation_space
        assert reward == 0.0
    assert (terminated, truncated) == (True, False)
    assert len(info["action_history"]) == 4
    env.close()


def test_one_thread_runs_the_loop_until_close() -> None:
    before = threading.active_count()
    env = gymnasium.make(NAMES[1]).unwrapped
    env.reset(seed=1)
    assert threading.active_count() == before
    for _ in range(3):
        env.step("[action] Where?")
    assert before < threading.active_count() <= before + 2
    env.close()
    env.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_users_that_wait_are_waited_for(loop: str) -> None:
    async def slow(messages: Sequence[Message]) -> str:
        await anyio.lowlevel.checkpoint()
        return '{"response": "later"}'

    env = gymnasium.make(NAMES[1], user=slow, loop=loop)
    env.reset(seed=1)
    assert env.step("[action] Where?")[0]["feedback"] == "later"
    env.close()


def test_any_environment_can_be_made() -> None:
    from duologue.envs._gymnasium import make_env

    env = make_env("function")
    env.reset(seed=0)
    env.close()
    with pytest.raises(UsageError, match="no environment is called 'chess'"):
        make_env("chess")
    with pytest.raises(UsageError, match="max_steps is 0"):
        make_env("intention", max_steps=0)
