"""Evaluation: an agent on held-out tasks, with intervals.

Every agent meets the same tasks with the same users (seeds are by path), so agents are compared
in pairs, task by task; the bootstrap draws whole tasks, because dialogues on one task are not
independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """How an agent is evaluated: `tasks` held-out tasks, `samples` dialogues each, at
    `temperature`."""

    tasks: int = 200
    samples: int = 1
    temperature: float = 1.0
    split: str = "test"

    def __post_init__(self) -> None:
        if self.tasks < 1 or self.samples < 1:
            raise ValueError(f"tasks={self.tasks} and samples={self.samples} must be at least 1")
        if self.temperature < 0.0:
            raise ValueError(f"temperature is {self.temperature}; it must not be negative")


class Evaluation(Struct, frozen=True, kw_only=True):
    """One agent's dialogues: rewards by task, and what did not count."""

    agent: str
    rewards: dict[str, list[float]]
    turns: float
    ends: dict[End, int]

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
) -> Evaluation:
    """Run `agent` on the tasks and summarise; trajectories are stored as phase `eval/<agent>`.

    may_retry, observer, board: as in `open_rollouts`.
    report: told the number of dialogues ended so far, group by group.
    """
    trajectories: list[Trajectory] = []
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
            trajectories.extend(group.trajectories)
            report(rollouts.stats.ended)
    return summarise(agent, trajectories)


def summarise(agent: str, trajectories: Sequence[Trajectory]) -> Evaluation:
    """Rewards by task, in key order; failed dialogues are counted by their end, never as 0."""
    rewards: dict[str, list[float]] = {}
    ends: dict[End, int] = {}
    turns = counted = 0
    for trajectory in sorted(trajectories, key=lambda t: t.key):
        ends[trajectory.end] = ends.get(trajectory.end, 0) + 1
        if trajectory.end.finished or trajectory.end.cut_short:
            rewards.setdefault(trajectory.task, []).append(trajectory.reward)
            turns += len(trajectory.turns)
            counted += 1
    return Evaluation(
        agent=agent, rewards=rewards, turns=turns / counted if counted else 0.0, ends=ends
    )
