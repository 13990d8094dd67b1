"""Gymnasium's face of our environments: one loop of its own, behind synchronous calls.

    import gymnasium
    from duologue.envs import register_gymnasium

    register_gymnasium()
    env = gymnasium.make("duologue/Function-v0")

The adapter owns one blocking portal, started by the first step and stopped by `close`: besides the
command line it is the only place that runs a loop.
"""

from __future__ import annotations

from contextlib import ExitStack
from string import printable
from typing import Any

import gymnasium
import numpy as np
from anyio.from_thread import BlockingPortal, start_blocking_portal
from gymnasium import spaces

from ._env import Voice
from ._official import OfficialConfig, OfficialEnv
from ._registry import find

_ACTION_CHARS = 4_096
_FEEDBACK_CHARS = 100_000
_MANY = 1_000_000


class Line(spaces.Text):
    """Text of any characters up to a length; `Text` wants to know them all beforehand. What is
    sampled is printable ASCII."""

    def __init__(self, max_length: int, sampled: int) -> None:
        super().__init__(max_length=sampled, min_length=0, charset=frozenset(printable))
        self._longest = max_length

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self._longest


class DialogueEnv(gymnasium.Env[dict[str, Any], str]):
    """An `OfficialEnv` as a Gymnasium environment: an action is a string "[choice] content".

    Close it: its loop's thread lives until then.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, the base class declares it so

    def __init__(
        self, official: OfficialEnv, *, render_mode: str | None = None, loop: str = "asyncio"
    ) -> None:
        self.render_mode = render_mode
        self.official = official
        self._loop = loop
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self.action_space = Line(_ACTION_CHARS, sampled=64)
        observation, _ = official.reset(seed=0)
        self.observation_space = spaces.Dict(
            {name: _space(value) for name, value in observation.items()}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        chosen = int(self.np_random.integers(2**62))
        observation, info = self.official.reset(seed=chosen, options=options)
        return _arrays(observation), info

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if self._portal is None:
            self._portal = self._stack.enter_context(start_blocking_portal(self._loop))
        observation, reward, terminated, truncated, info = self._portal.call(
            self.official.step_async, action
        )
        return _arrays(observation), float(reward), terminated, truncated, info

    def close(self) -> None:
        self._portal = None
        self._stack.close()
        self.official.close()


def make_env(
    name: str,
    *,
    user: Voice | None = None,
    judge: Voice | None = None,
    render_mode: str | None = None,
    loop: str = "asyncio",
    **settings: Any,
) -> DialogueEnv:
    """The environment `name` for Gymnasium; `settings` are fields of its official configuration.

    Raises `UsageError` for an unknown environment or a value that cannot be, TypeError for an
    unknown setting.
    """
    official: OfficialEnv
    match name:
        case "function":
            from .function import FunctionEnv, FunctionGymConfig

            official = FunctionEnv(FunctionGymConfig(**settings))
        case "intention":
            from .intention import IntentionEnv, IntentionGymConfig

            official = IntentionEnv(IntentionGymConfig(**settings), user=user, judge=judge)
        case "tau":
            from .tau import TauEnv, TauGymConfig

            official = TauEnv(TauGymConfig(**settings), user=user)
        case _:
            official = OfficialEnv(find(name), OfficialConfig(**settings), user=user, judge=judge)
    return DialogueEnv(official, render_mode=render_mode, loop=loop)


def _space(value: object) -> spaces.Space[Any]:
    match value:
        case str():
            return Line(_FEEDBACK_CHARS, sampled=256)
        case bool():
            return spaces.Discrete(2)
        case int():
            return spaces.Discrete(_MANY)
        case _:
            return spaces.Box(-_MANY, _MANY, shape=(), dtype=np.float64)


def _arrays(observation: dict[str, Any]) -> dict[str, Any]:
    """The observation as its space has it: no bare floats, no bools."""
    return {name: _array(value) for name, value in observation.items()}


def _array(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return np.asarray(value, dtype=np.float64) if isinstance(value, float) else value
