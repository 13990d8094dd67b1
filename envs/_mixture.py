"""Several gyms as one: each task comes from one of them, by weight.

`function+intention` draws from both alike, `3*function+intention` three times as often from the
first. `mixture` is every gym of UserRL that is installed, `mixture-paper` the paper's training set:
its five training gyms by their numbers of tasks, three held out for testing.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Any

from ..engine import Seed, Task, UsageError
from ._env import Env, Gym, MakeScript, Script

PAPER: Mapping[str, float] = {
    "travel": 925,
    "turtle": 423,
    "function": 200,
    "tau": 500,
    "persuade": 378,
}
"""Rows of the released training file; `intention`, `telepathy` and `search` are held out."""

SHARED = ("behaviour", "instructions", "persona")
"""Options that are said once for all the gyms that have them."""


def mixture(name: str, parts: Sequence[tuple[Gym, float]], summary: str = "") -> Gym:
    """A gym that draws its tasks from `parts`, each with its weight.

    A task goes by its own gym's rules, limits and scripts. Options under a gym's name are that
    gym's own; those of `SHARED` reach all that have them.
    """
    gyms = {gym.name: gym for gym, _ in parts}
    if len(gyms) != len(parts):
        raise UsageError(f"{name!r} names an environment twice; give it one weight")
    edges = list(accumulate(weight for _, weight in parts))

    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        sources = [gym.tasks(split, seed / gym.name) for gym, _ in parts]
        rng = (seed / "mixture").random()
        while True:
            task = next(sources[bisect(edges, rng.random() * edges[-1])], None)
            if task is None:
                return  # a gym whose tasks have an end: the weights cannot be kept any longer
            yield task

    def of(task: Task) -> Gym:
        try:
            return gyms[task.env]
        except KeyError:
            raise UsageError(
                f"task {task.id!r} is of environment {task.env!r}, which is no part of {name!r}"
            ) from None

    def make(task: Task, seed: Seed, **options: Any) -> Env:
        gym = of(task)
        voices = {key: options[key] for key in gym.voices if key in options}
        return gym.make(task, seed, **_options(gym, options), **voices)

    def script(which: str) -> MakeScript:
        def make_script(task: Task, rng: Random) -> Script:
            return of(task).scripts[which](task, rng)

        return make_script

    def hidden(task: Task) -> Iterable[str]:
        find_hidden = of(task).hidden
        return () if find_hidden is None else find_hidden(task)

    first, *others = gyms.values()
    known = [which for which in first.scripts if all(which in gym.scripts for gym in others)]
    shared = [key for key in SHARED if any(key in gym.options for gym in gyms.values())]
    return Gym(
        name=name,
        tasks=tasks,
        make=make,
        scripts={which: script(which) for which in known},
        max_turns=max(gym.max_turns for gym in gyms.values()),
        turns=lambda task: of(task).limit(task),
        options={**{key: None for key in shared}, **{key: {} for key in gyms}},
        voices=tuple(sorted({voice for gym in gyms.values() for voice in gym.voices})),
        hidden=hidden,
        parts=gyms,
        summary=summary or f"Tasks of {', '.join(gyms)}, by weight.",
    )


def _options(gym: Gym, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `gym` is told of a mixture's options."""
    own: dict[str, Any] = given.get(gym.name) or {}
    unknown = sorted(set(own) - set(gym.options))
    if unknown:
        raise UsageError(
            f"environment {gym.name!r} has no option {unknown[0]!r}; "
            f"it has: {', '.join(sorted(gym.options)) or 'none'}"
        )
    shared = {
        key: given[key] for key in SHARED if key in gym.options and given.get(key) is not None
    }
    return {**gym.options, **shared, **own}


def parts_of(name: str) -> list[tuple[str, float]]:
    """The environments and weights in a name like `3*function+intention`. Raises `UsageError`."""
    parts: list[tuple[str, float]] = []
    for term in name.split("+"):
        weight, star, env = term.rpartition("*")
        try:
            number = float(weight) if star else 1.0
        except ValueError:
            number = 0.0
        if not (env.strip() and 0.0 < number < float("inf")):
            raise UsageError(
                f"{name!r} is no mixture of environments: {term!r} is neither NAME nor WEIGHT*NAME"
            )
        parts.append((env.strip(), number))
    return parts
