"""Several gyms as one."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    End,
    Key,
    RolloutConfig,
    Seed,
    Task,
    Trajectory,
    UsageError,
    open_rollouts,
)
from duologue.envs import find, make_dialogues, scripted_agent
from duologue.envs._mixture import parts_of

pytestmark = pytest.mark.anyio


def test_tasks_come_by_weight_and_are_the_gyms_own() -> None:
    gym = find("3*function+intention")
    tasks = list(islice(gym.tasks("train", Seed(0)), 2000))
    share = Counter(task.env for task in tasks)
    assert 0.72 < share["function"] / 2000 < 0.78
    assert tasks == list(islice(gym.tasks("train", Seed(0)), 2000))
    own = islice(find("function").tasks("train", Seed(0) / "function"), share["function"])
    assert [task for task in tasks if task.env == "function"] == list(own)
    other = {task.id for task in islice(gym.tasks("test", Seed(0)), 2000)}
    assert other.isdisjoint(task.id for task in tasks)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0.1, 9.0), min_size=1))
def test_names_say_weights(weights: dict[str, float]) -> None:
    name = "+".join(f"{weight}*{env}" for env, weight in weights.items())
    assert dict(parts_of(name)) == weights


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("function+", "neither NAME nor WEIGHT"),
        ("0*function+intention", "neither NAME nor WEIGHT"),
        ("many*function", "neither NAME nor WEIGHT"),
        ("inf*function", "neither NAME nor WEIGHT"),
        ("function+functoin", "did you mean 'function'"),
        ("function+function", "twice"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find(name)


async def trajectories(live: int) -> list[Trajectory]:
    gym = find("function+intention")
    make = make_dialogues(
        gym,
        scripted_agent(gym, "expert"),
        options={"instructions": False, "function": {"guesses": 1}},
    )
    found: list[Trajectory] = []
    config = RolloutConfig(live=live)
    tasks = islice(gym.tasks("train", Seed(3)), 60)
    async with open_rollouts(tasks, make, seed=Seed(3), config=config) as rollouts:
        async for group in rollouts:
            found.extend(group.trajectories)
    return sorted(found, key=lambda one: one.key)


async def test_every_dialogue_goes_by_its_own_gym() -> None:
    found = await trajectories(live=1)
    assert {one.env for one in found} == {"function", "intention"}
    assert {one.end for one in found} <= {End.DONE, End.MAX_TURNS}
    assert all(one.reward > 0 for one in found)
    assert all(message.role != "system" for one in found for message in one.opening)
    assert await trajectories(live=60) == found


def test_a_task_has_its_own_gyms_limit_of_turns() -> None:
    gym = find("function+intention")
    make = make_dialogues(gym, scripted_agent(gym, "expert"))
    limits = {
        t.env: make(t, Key(0, 0), Seed(0)).max_turns
        for t in islice(gym.tasks("train", Seed(0)), 20)
    }
    assert limits == {name: find(name).max_turns for name in ("function", "intention")}
    make = make_dialogues(gym, scripted_agent(gym, "expert"), max_turns=2)
    assert make(next(gym.tasks("train", Seed(0))), Key(0, 0), Seed(0)).max_turns == 2


def test_options_of_a_part_are_checked_by_name() -> None:
    gym = find("function+intention")
    make = make_dialogues(gym, scripted_agent(gym, "expert"), options={"function": {"gueses": 1}})
    task = next(t for t in gym.tasks("train", Seed(0)) if t.env == "function")
    with pytest.raises(UsageError, match=r"'function' has no option 'gueses'.*guesses"):
        make(task, Key(0, 0), Seed(0))
    with pytest.raises(UsageError, match=r"no part of 'function\+intention'"):
        gym.make(Task(env="chess", id="1", data={}), Seed(0))


def test_named_mixtures_are_of_what_is_installed() -> None:
    assert {task.env for task in islice(find("mixture").tasks("train", Seed(0)), 100)} >= {
        "function",
        "intention",
    }
    paper = {task.env for task in islice(find("mixture-paper").tasks("train", Seed(0)), 100)}
    assert "function" in paper and paper.isdisjoint({"intention", "telepathy", "search"})
