"""Which tasks a job works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import structs

from ..config import Config
from ..engine import RolloutConfig, Seed, Task, UsageError
from ..envs import Gym

GENERATED = 1000
"""How many tasks are generated when nobody says."""


def take_tasks(
    gym: Gym, config: Config, *, count: int | None, seed: Seed, split: str | None = None
) -> Sequence[Task]:
    """The first `count` tasks of the file that the settings name, or generated ones."""
    if count is not None and count < 1:
        raise UsageError(f"--count is {count}; it must be at least 1")
    if config.env.tasks:
        tasks = list(islice(read_tasks(gym, Path(config.env.tasks)), count))
        if not tasks:
            raise UsageError(f"{config.env.tasks} holds no tasks")
        return tasks
    endless = generate(gym, split or config.env.split, seed)
    return list(islice(endless, GENERATED if count is None else count))


def take_of_each(gym: Gym, config: Config, *, count: int, seed: Seed, split: str) -> Sequence[Task]:
    """The first `count` tasks; of a mixture, of each of its gyms: the tasks that each has alone."""
    if not gym.parts or config.env.tasks:
        return take_tasks(gym, config, count=count, seed=seed, split=split)
    return [
        task
        for part in gym.parts.values()
        for task in take_tasks(part, config, count=count, seed=seed, split=split)
    ]


def endless_tasks(gym: Gym, config: Config, seed: Seed) -> Iterator[Task]:
    """Tasks to train on: generated without end, or the file's, pass after pass, each shuffled."""
    if not config.env.tasks:
        yield from generate(gym, config.env.split, seed)
        return
    tasks = list(read_tasks(gym, Path(config.env.tasks)))
    number = 0
    while tasks:
        (seed / "pass" / number).random().shuffle(tasks)
        yield from tasks
        number += 1


def check_tasks(gym: Gym, config: Config) -> None:
    """Raise `UsageError` when there is no task to train on, or a task file has a bad row."""
    if next(endless_tasks(gym, config, Seed(config.seed)), None) is None:
        raise UsageError(f"{config.env.tasks} holds no tasks")


def generate(gym: Gym, split: str, seed: Seed) -> Iterator[Task]:
    """The environment's own tasks of a split."""
    if split not in ("train", "test"):
        raise UsageError(f"no split is called {split!r}; there are 'train' and 'test'")
    return gym.tasks(split, seed.at("tasks", split))


def shared_tasks(trained_on: Iterable[Task], held_out: Iterable[Task]) -> int:
    """How many held-out tasks were also trained on, by content and not only by id."""
    seen = {_content(task) for task in trained_on}
    return sum(_content(task) in seen for task in held_out)


def lockstep(rollout: RolloutConfig, config: Config, groups: int | None = None) -> RolloutConfig:
    """The rollout settings; in deterministic mode, in waves as large as there is room for."""
    if not config.deterministic:
        return rollout
    wave = max(1, rollout.live // rollout.samples) if groups is None else groups
    return structs.replace(rollout, wave=wave, live=max(rollout.live, wave * rollout.samples))


def read_tasks(gym: Gym, path: Path) -> Iterable[Task]:
    """The tasks of a file in the gym's official layout. Raises `UsageError`."""
    if gym.read is None:
        raise UsageError(f"environment {gym.name!r} reads no task files; leave env.tasks empty")
    return gym.read(path)


def _content(task: Task) -> bytes:
    return msgspec.msgpack.encode(task.data, order="deterministic")
