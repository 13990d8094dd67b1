"""Environments whose tools fail, whose reads are stale and whose results get lost."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from duologue.engine import End, RolloutConfig, RolloutStats, Seed, Trajectory, open_rollouts
from duologue.engine.faults import (
    Fault,
    FaultPlan,
    FaultReport,
    Faults,
    FaultyDialogues,
    Site,
    Where,
    check_invariants,
)
from duologue.envs import Gym, find, make_dialogues, scripted_agent
from duologue.envs._faulty import ENV_KINDS, faulty_gym

pytestmark = pytest.mark.anyio


async def play(
    *faults: Fault, number: int = 1, attempts: int = 1
) -> tuple[list[Trajectory], FaultReport, RolloutStats]:
    """The intention gym's expert under these faults."""
    gym = find("intention")
    meets = Faults(FaultPlan(faults=faults), ENV_KINDS)
    expert = scripted_agent(gym, "expert")
    dialogues = FaultyDialogues(make_dialogues(faulty_gym(gym, meets), expert), meets)
    trajectories: list[Trajectory] = []
    async with open_rollouts(
        islice(gym.tasks("train", Seed(0)), number),
        dialogues.make,
        seed=Seed(0),
        config=RolloutConfig(attempts=attempts, retry_budget=9.0),
        observer=dialogues,
    ) as rollouts:
        groups = [group async for group in rollouts]
        trajectories = [t for group in groups for t in group.trajectories]
    check_invariants(stats=rollouts.stats, groups=groups)
    return trajectories, dialogues.ledger.report(), rollouts.stats


async def test_a_tool_that_fails_is_the_environments_error() -> None:
    (one,), report, _ = await play(Fault(kind="tool_error", at=2))
    assert one.end is End.ENV_ERROR and len(one.turns) == 1
    assert "the tool failed" in one.detail
    assert report.surprises == 0


@pytest.mark.parametrize("kind", ["tool_error", "lost_result"])
async def test_a_dialogue_whose_tool_failed_is_played_again_from_the_start(kind: str) -> None:
    (calm,), _, _ = await play()
    (one,), report, stats = await play(Fault(kind=kind, at=2, where=Where(attempt=0)), attempts=2)
    assert (one.end, one.discarded) == (calm.end, (End.ENV_ERROR,))
    assert (stats.retried, report.recovered, report.surprises) == (1, 1, 0)
    # A fresh environment: the second attempt's record is as long as one that nothing struck.
    assert len(one.turns) == len(calm.turns)


async def test_a_result_that_is_lost_was_an_action_that_is_never_taken_again() -> None:
    gym = find("intention")
    taken: list[tuple[int, Any]] = []

    def counted(*place: Any, **options: Any) -> Any:
        env = gym.make(*place, **options)
        real = env.step

        async def step(action: Any) -> Any:
            taken.append((id(env), action))
            return await real(action)

        env.step = step  # type: ignore[method-assign]
        return env

    meets = Faults(FaultPlan(faults=(Fault(kind="lost_result", at=2),)), ENV_KINDS)
    spied = Gym(name=gym.name, tasks=gym.tasks, make=counted, scripts=gym.scripts,
                options=gym.options)  # fmt: skip
    dialogues = FaultyDialogues(
        make_dialogues(faulty_gym(spied, meets), scripted_agent(gym, "expert")), meets
    )
    async with open_rollouts(
        islice(gym.tasks("train", Seed(0)), 1),
        dialogues.make,
        seed=Seed(0),
        config=RolloutConfig(attempts=3),
        observer=dialogues,
    ) as rollouts:
        (group,) = [group async for group in rollouts]
    (one,) = group.trajectories
    assert (one.end, len(one.discarded)) == (End.ENV_ERROR, 2)
    # Two actions an attempt, the second of which was lost: each environment saw each but once.
    assert len(taken) == 6 and len({env for env, _ in taken}) == 3


async def test_a_stale_read_changes_what_is_seen_and_not_what_is_true() -> None:
    (one,), report, _ = await play(Fault(kind="stale_state", at=2))
    (calm,), _, _ = await play()
    assert one.turns[1].feedback == one.turns[0].feedback != calm.turns[1].feedback
    assert one.turns[1].reward == calm.turns[1].reward
    assert one.end in {End.DONE, End.MAX_TURNS, End.USER_ENDED} and report.surprises == 0
    (first,), _, _ = await play(Fault(kind="stale_state", at=1))
    assert first.turns[0].feedback == first.opening[-1].content


async def test_a_plan_without_environments_leaves_the_gym_alone() -> None:
    gym = find("function")
    assert faulty_gym(gym, Faults(FaultPlan(), ENV_KINDS)) is gym
    struck = Faults(FaultPlan(faults=(Fault(kind="tool_error"),)), ENV_KINDS)
    assert struck.at(Site.ENVIRONMENT)
    # Outside of `FaultyDialogues` there is no attempt to strike.
    task = next(iter(gym.tasks("train", Seed(0))))
    env = faulty_gym(gym, struck).make(task, Seed(0), **gym.options)
    assert type(env) is type(gym.make(task, Seed(0), **gym.options))


async def test_five_in_a_hundred_tools_may_fail_and_nobody_is_lost() -> None:
    trajectories, report, stats = await play(
        Fault(kind="tool_error", rate=0.05), Fault(kind="lost_result", rate=0.02),
        number=200, attempts=4,
    )  # fmt: skip
    assert len(trajectories) == 200 and report.struck > 20
    assert report.surprises == 0
    lost = stats.ends.get(End.ENV_ERROR, 0)
    assert report.recovered == report.struck - lost
    assert lost < 20
