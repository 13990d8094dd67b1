"""Environments by name, found through the entry-point group `duologue.environments`."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ..engine import UsageError
from ._env import Gym

GROUP = "duologue.environments"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Every environment that is installed, ours and anyone's."""
    return sorted(_installed())


def find(name: str) -> Gym:
    """The environment of that name; `UsageError` names the near misses when there is none."""
    point = _installed().get(name)
    if point is None:
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(names())}"
        raise UsageError(f"no environment is called {name!r}; {hint}")
    gym = point.load()
    if not isinstance(gym, Gym):
        raise UsageError(f"entry point {point.value!r} of environment {name!r} is not a Gym")
    return gym
