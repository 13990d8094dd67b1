"""Environments by name, found through the entry-point group `duologue.environments`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from ..engine import UsageError
from ._env import Gym
from ._mixture import PAPER, mixture, parts_of
from ._rows import OFFICIAL

GROUP = "duologue.environments"

_MIXTURES: Mapping[str, Mapping[str, float]] = {
    "mixture": dict.fromkeys(OFFICIAL, 1.0),
    "mixture-paper": PAPER,
}
_SUMMARIES = {
    "mixture": "Tasks of all the gyms of UserRL, each as often.",
    "mixture-paper": "The paper's training mixture: five gyms by their numbers of tasks.",
}


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Every environment that is installed, ours and anyone's."""
    return sorted(_installed())


def mixtures() -> list[str]:
    """The mixtures that have a name."""
    return sorted(_MIXTURES)


def find(name: str) -> Gym:
    """The environment of that name: an installed one, or `module:attribute` for one that is not.

    `A+B` is both of them as one, `3*A+B` with weights; `mixture` and `mixture-paper` are the gyms
    of UserRL. Raises `UsageError`, naming the near misses when there is none.
    """
    if "+" in name or "*" in name:
        return mixture(name, [(find(part), weight) for part, weight in parts_of(name)])
    if name in _MIXTURES:
        weights = _MIXTURES[name]
        there = [(find(part), weight) for part, weight in weights.items() if part in _installed()]
        return mixture(name, there, _SUMMARIES[name])
    module, colon, attribute = name.partition(":")
    if colon:
        return _checked(name, _load(name, module, attribute))
    point = _installed().get(name)
    if point is None:
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(names())}"
        raise UsageError(
            f"no environment is called {name!r}; {hint} "
            "(one of your own that is not installed is written module:attribute)"
        )
    return _checked(name, point.load())


def _load(name: str, module: str, attribute: str) -> object:
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # the environment's own import that failed: its author wants to see which
        raise UsageError(f"environment {name!r}: there is no module {error.name!r}") from error
    except AttributeError as error:
        raise UsageError(f"environment {name!r}: {module} has no {attribute!r}") from error


def _checked(name: str, found: object) -> Gym:
    if not isinstance(found, Gym):
        raise UsageError(f"environment {name!r} is a {type(found).__name__}, not a Gym")
    return found
