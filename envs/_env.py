"""What an environment is: the rules of one task, one object per dialogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from msgspec import Struct

from ..engine import Action, Message, Seed, Task, Trajectory


class Step(Struct, frozen=True, kw_only=True, gc=False):
    """What came back for one action.

    reward:     this action's reward; `parts` says what it is made of (the parts sum to it).
    done:       the task is over by the environment's rules.
    user_ended: the user left, by its own rules (impatience, say).
    """

    feedback: str
    reward: float = 0.0
    parts: dict[str, float] = {}
    done: bool = False
    user_ended: bool = False


class Env(Protocol):
    """The rules of one task.

    A failed user or judge raises `UserError` or `JudgeError`; any other exception is attributed
    to the environment. A step that may have run is never run again.
    """

    def prompt(self) -> Sequence[Message]:
        """The opening messages the agent sees. Called once, first."""
        ...

    async def step(self, action: Action) -> Step: ...


class Script(Protocol):
    """A scripted agent in one dialogue: sees what an agent sees, says what to do next.

    Called once a turn with the conversation so far, the newest line last.
    """

    def __call__(self, messages: Sequence[Message]) -> Action: ...


MakeScript = Callable[[Task, Random], Script]
"""Scripts get the whole task, hidden part included: an expert is a ceiling, not a contestant."""


Voice = Callable[[Sequence[Message]], Awaitable[str]]
"""Someone who answers a conversation in text: a simulated user or a judge that is a model or a
script. A gym that takes one says what it asks it, and reads the answer by its own rules."""


@dataclass(frozen=True, kw_only=True)
class Gym:
    """An environment as it is registered: its tasks, its rules, its scripted agents.

    tasks:   generated tasks of our own, endless, deterministic in the seed; no task of one split
             (`train`, `test`) is ever produced by another split, whatever the seed.
    read:    tasks from a file in the environment's official layout; raises `UsageError`.
    make:    an environment for one dialogue, from a task and a seed. Keyword options are the gym's
             own (`options` names them with their defaults). A gym whose user or judge may be a
             `Voice` takes them as the keywords `user` and `judge`; None is the rule-based one.
    scripts: agents by name: at least `expert`; `imperfect` is what a cold start learns from.
    turns:   a task's own limit of turns, where they differ.
    voices:  which of `user` and `judge` may be a `Voice`.
    hidden:  strings of a task that no agent may get to see, whatever it does, unless it said them
             itself. Leave out what an honest question may be answered with.
    metric:  what a finished dialogue is worth where results are reported, if that is not the sum
             of its rewards.
    best:    the most that `metric` allows on a task; 1 when left out.
    parts:   the gyms of a mixture, by name.
    """

    name: str
    tasks: Callable[[str, Seed], Iterator[Task]]
    make: Callable[..., Env]
    scripts: Mapping[str, MakeScript]
    read: Callable[[Path], Iterable[Task]] | None = None
    max_turns: int = 16
    turns: Callable[[Task], int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    voices: tuple[str, ...] = ()
    hidden: Callable[[Task], Iterable[str]] | None = None
    metric: Callable[[Task, Trajectory], float] | None = None
    best: Callable[[Task], float] | None = None
    parts: Mapping[str, Gym] = field(default_factory=dict[str, "Gym"])
    summary: str = ""

    def limit(self, task: Task) -> int:
        """How many turns a dialogue on `task` may have."""
        return self.max_turns if self.turns is None else self.turns(task)

    def score(self, task: Task, trajectory: Trajectory) -> tuple[float, float]:
        """What a dialogue on `task` is worth by its gym's metric, and the most it could be."""
        gym = self.parts.get(task.env, self)
        worth = trajectory.reward if gym.metric is None else gym.metric(task, trajectory)
        return worth, 1.0 if gym.best is None else gym.best(task)
