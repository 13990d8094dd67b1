"""Evaluation: every agent on the same footing, failures counted apart."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from duologue.engine import (
    End,
    Key,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    Tokens,
    Trajectory,
    Turn,
    open_reader,
    open_store,
)
from duologue.envs import find, make_dialogues, scripted_agent
from duologue.train import EvalConfig, Evaluation, evaluate
from duologue.train._evaluate import reward_measure, summarise

gym = find("intention")
TASKS = list(islice(gym.tasks("test", Seed(3)), 20))


async def run(path: Path, agent: Any, name: str = "expert", samples: int = 2) -> Evaluation:
    told: list[int] = []
    async with open_store(path / "run.db") as store:
        result = await evaluate(
            name,
            TASKS,
            make_dialogues(gym, agent, phase=f"eval/{name}"),
            seed=Seed(0),
            store=store,
            rollout=RolloutConfig(samples=samples, attempts=1),
            report=told.append,
        )
    assert told == sorted(told) and told[-1] == len(TASKS) * samples
    return result


@pytest.mark.anyio
async def test_every_task_has_its_rewards_and_every_dialogue_is_stored(tmp_path: Path) -> None:
    result = await run(tmp_path, scripted_agent(gym, "expert"))
    assert set(result.rewards) == {task.id for task in TASKS}
    assert all(len(rewards) == 2 for rewards in result.rewards.values())
    assert result.dialogues == 40 == sum(result.ends.values())
    with open_reader(tmp_path / "run.db") as reader:
        assert reader.phases() == ["eval/expert"]
        stored = [s.trajectory for s in reader.trajectories("eval/expert")]
    assert result.mean == pytest.approx(sum(t.reward for t in stored) / 40)
    assert result.turns == pytest.approx(sum(len(t.turns) for t in stored) / 40)


@pytest.mark.anyio
async def test_every_agent_meets_the_same_users(tmp_path: Path) -> None:
    """The same questions get the same words back, whatever the agent is called."""
    first = await run(tmp_path, scripted_agent(gym, "fixed-order"), "a")
    again = await run(tmp_path, scripted_agent(gym, "fixed-order"), "b")
    assert first.rewards == again.rewards
    with open_reader(tmp_path / "run.db") as reader:
        assert reader.records("eval/a") == reader.records("eval/b")


@pytest.mark.anyio
async def test_failed_dialogues_are_counted_by_their_end_and_never_as_zero(tmp_path: Path) -> None:
    inner = scripted_agent(gym, "expert")

    class Broken:
        async def receive(self, observation: Observation) -> Reply:
            raise ModelError("gone")

        def tokens(self) -> Tokens | None:
            return None

        def close(self) -> None:
            pass

    def agent(task: Task, session: str, seed: Seed) -> Any:
        return Broken() if task.id == TASKS[0].id else inner(task, session, seed)

    result = await run(tmp_path, agent)
    assert TASKS[0].id not in result.rewards
    assert result.ends[End.MODEL_ERROR] == 2
    assert result.dialogues == 38


def test_what_ran_out_of_room_counts_and_what_was_stopped_does_not() -> None:
    trajectories = [
        Trajectory(
            key=Key(0, sample), task="t", env="e", split="test", end=end,
            turns=(Turn(text="", reward=float(sample)),),
        )
        for sample, end in enumerate([End.TIMEOUT, End.TRUNCATED, End.CANCELLED, End.DONE])
    ]  # fmt: skip
    task = Task(env="e", id="t", split="test")
    result = summarise("x", [(task, each) for each in trajectories[::-1]], reward_measure)
    assert result.rewards == {"t": [1.0, 3.0]}
    assert result.mean == 2.0
    assert sum(result.ends.values()) == 4
    assert result.measured == {"e": [("t", 1.0, 1.0, (1.0,)), ("t", 3.0, 1.0, (3.0,))]}
    assert result.uncounted == {"e": 2}


def test_nothing_that_counts_has_no_mean() -> None:
    result = summarise("x", [], reward_measure)
    assert math.isnan(result.mean)
    assert (result.dialogues, result.turns, result.ends) == (0, 0.0, {})


@pytest.mark.parametrize("settings", [{"tasks": 0}, {"samples": 0}, {"temperature": -1.0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        EvalConfig(**settings)
