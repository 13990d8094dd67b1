"""Evaluation: an agent on held-out tasks, with intervals.

Every agent meets the same tasks with the same users (seeds are by path), so agents are compared
in pairs, task by task; the bootstrap draws whole tasks, because dialogues on one task are not
independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from ..engine import (
    Board,
    End,
    MakeDialogue,
    MayRetry,
    Observer,
    RolloutConfig,
    Seed,
    Store,
    Task,
    Trajectory,
    open_rollouts,
)


class EvalConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an agent is evaluated: `tasks` held-out tasks (of each gym of a mixture), `samples`
    dialogues each, at `temperature`."""

    tasks: int = 200
    samples: int = 1
    temperature: float = 1.0
    split: str = "test"

    def __post_init__(self) -> None:
        if self.tasks < 1 or self.samples < 1:
            raise ValueError(f"tasks={self.tasks} and samples={self.samples} must be at least 1")
        if self.temperature < 0.0:
            raise ValueError(f"temperature is {self.temperature}; it must not be negative")


class Measured(NamedTuple):
    """A dialogue that counts, by its gym's own measure: `score` of at most `best`, and the rewards
    of its turns."""

    task: str
    score: float
    best: float
    rewards: tuple[float, ...]


Measure = Callable[[Task, Trajectory], Measured]


class Evaluation(Struct, frozen=True, kw_only=True):
    """One agent's dialogues: rewards by task, and what did not count.

    measured:  by gym, each dialogue that counts.
    uncounted: by gym, how many do not.
    """

    agent: str
    rewards: dict[str, list[float]]
    turns: float
    ends: dict[End, int]
    measured: dict[str, list[Measured]] = {}
    uncounted: dict[str, int] = {}

    @property
    def dialogues(self) -> int:
        return sum(len(rewards) for rewards in self.rewards.values())

    @property
    def mean(self) -> float:
        """Mean reward of the dialogues that count; nan when there is none."""
        every = [reward for rewards in self.rewards.values() for reward in rewards]
        return sum(every) / len(every) if every else float("nan")


async def evaluate(
    agent: str,
    tasks: Sequence[Task],
    make: MakeDialogue,
    *,
    seed: Seed,
    store: Store,
    rollout: RolloutConfig,
    may_retry: MayRetry | None = None,
    observer: Observer | None = None,
    board: Board | None = None,
    report: Callable[[int], None] = lambda ended: None,
    measure: Measure | None = None,
) -> Evaluation:
    """Run `agent` on the tasks and summarise; trajectories are stored as phase `eval/<agent>`.

    measure: what a dialogue is worth by its gym's measure; by default the sum of its rewards.
    may_retry, observer, board: as in `open_rollouts`.
    report: told the number of dialogues ended so far, group by group.
    """
    played: list[tuple[Task, Trajectory]] = []
    async with open_rollouts(
        tasks,
        make,
        seed=seed,
        config=rollout,
        store=store,
        phase=f"eval/{agent}",
        may_retry=may_retry,
        observer=observer,
        board=board,
    ) as rollouts:
        async for group in rollouts:
            played.extend((group.task, trajectory) for trajectory in group.trajectories)
            report(rollouts.stats.ended)
    return summarise(agent, played, measure or reward_measure)


def summarise(
    agent: str, played: Iterable[tuple[Task, Trajectory]], measure: Measure
) -> Evaluation:
    """Rewards by task, in key order; failed dialogues are counted by their end, never as 0."""
    rewards: dict[str, list[float]] = {}
    ends: dict[End, int] = {}
    measured: dict[str, list[Measured]] = {}
    uncounted: dict[str, int] = {}
    turns = counted = 0
    for task, trajectory in sorted(played, key=lambda each: each[1].key):
        ends[trajectory.end] = ends.get(trajectory.end, 0) + 1
        if trajectory.end.finished or trajectory.end.cut_short:
            rewards.setdefault(trajectory.task, []).append(trajectory.reward)
            measured.setdefault(task.env, []).append(measure(task, trajectory))
            turns += len(trajectory.turns)
            counted += 1
        else:
            uncounted[task.env] = uncounted.get(task.env, 0) + 1
    return Evaluation(
        agent=agent,
        rewards=rewards,
        turns=turns / counted if counted else 0.0,
        ends=ends,
        measured=measured,
        uncounted=uncounted,
    )


def reward_measure(task: Task, trajectory: Trajectory) -> Measured:
    """The sum of a dialogue's rewards, of at most 1."""
    return Measured(task.id, trajectory.reward, 1.0, trajectory.rewards)
