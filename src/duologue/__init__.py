"""Duologue: agent-user dialogues by the thousand, and a learner that trains on them.

The rooms are `duologue.engine`, `duologue.agents`, `duologue.envs` and `duologue.train`; the names
here are the ones most programs start from.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .embed import SharedAgent as SharedAgent
    from .embed import Trajectories as Trajectories
    from .embed import open_agent as open_agent
    from .embed import open_rollouts as open_rollouts
    from .engine import Board as Board
    from .engine import DuologueError as DuologueError
    from .engine import End as End
    from .engine import Fate as Fate
    from .engine import Observer as Observer
    from .engine import Seed as Seed
    from .engine import Task as Task
    from .engine import Trajectory as Trajectory
    from .engine import Turn as Turn
    from .engine import UsageError as UsageError
    from .engine import Watch as Watch
    from .engine import open_reader as open_reader
    from .engine import relaxed_collector as relaxed_collector
    from .envs import Env as Env
    from .envs import Gym as Gym
    from .envs import Step as Step
    from .train import group_advantages as group_advantages
    from .train import trajectory_score as trajectory_score
    from .train import turn_credits as turn_credits

# Looked up on use, so that `import duologue.engine` pays for the engine only.
_HOMES = {
    "embed": ("SharedAgent", "Trajectories", "open_agent", "open_rollouts"),
    "engine": (
        "Board",
        "DuologueError",
        "End",
        "Fate",
        "Observer",
        "Seed",
        "Task",
        "Trajectory",
        "Turn",
        "UsageError",
        "Watch",
        "open_reader",
        "relaxed_collector",
    ),
    "envs": ("Env", "Gym", "Step"),
    "train": ("group_advantages", "trajectory_score", "turn_credits"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
