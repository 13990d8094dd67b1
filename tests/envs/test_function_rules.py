"""The rules of the function gym: what is refused, what pays, what is never said."""

from __future__ import annotations

import json
from itertools import combinations, islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    Action,
    End,
    Message,
    RolloutConfig,
    Seed,
    Task,
    UsageError,
    open_rollouts,
)
from duologue.envs import Step, make_dialogues, scripted_agent
from duologue.envs.function import gym
from duologue.envs.function._gym import Function
from duologue.envs.function._numbers import answers_match, evaluate
from duologue.envs.function._tasks import Puzzle, generate, split_of

pytestmark = pytest.mark.anyio

PUZZLE = Puzzle(rule="c * (a * b) * d", test_case=(3, 5, 6, 4), expected_result=360.0)
TASK = Task(
    env="function",
    id="t",
    data={"rule": PUZZLE.rule, "test_case": [3, 5, 6, 4], "expected_result": 360.0},
)


def official(shared: Path) -> list[Task]:
    assert gym.read is not None
    return list(gym.read(shared / "data/userrl/gyms/functions.json"))


async def say(env: Function, choice: str, content: str) -> Step:
    return await env.step(Action(choice, content))


async def play(task: Task, name: str, behaviour: str = "fixed") -> tuple[float, list[str]]:
    """The reward of one dialogue with a script, and all that it was told."""
    env = gym.make(task, Seed(0), behaviour=behaviour)
    script = gym.scripts[name](task, Seed(1).at(task.id).random())
    messages = list(env.prompt())
    reward = 0.0
    for _ in range(gym.max_turns):
        step = await env.step(script(messages))
        messages.append(Message("tool", step.feedback))
        reward += step.reward
        if step.done:
            break
    return reward, [message.content for message in messages]


# ---- the game


async def test_try_look_up_and_answer() -> None:
    env = Function(PUZZLE)
    trial = await say(env, "action", "1, 2, 3 and 4")
    assert trial.feedback == "For numbers [1.0, 2.0, 3.0, 4.0], the result is 24.0."
    assert (await say(env, "search", "Test")).feedback == "Test case: [3, 5, 6, 4]"
    right = await say(env, "answer", " 360.0000001 ")
    assert (right.reward, right.parts, right.done) == (1.0, {"correct": 1.0}, True)


@pytest.mark.parametrize(
    "content", ["", "1 2 3", "1 2 3 4 5", "four numbers", "9" * 400 + " 1 1 1"]
)
async def test_a_trial_needs_four_moderate_numbers(content: str) -> None:
    step = await say(Function(PUZZLE), "action", content)
    assert "result is" not in step.feedback
    assert (step.reward, step.done) == (0.0, False)


async def test_wrong_answers_run_out() -> None:
    env = Function(PUZZLE, guesses=2)
    assert not (await say(env, "answer", "no number")).done
    assert not (await say(env, "answer", "nan")).done
    last = await say(env, "answer", "359")
    assert last.done
    assert last.reward == 0.0


async def test_finishing_says_nothing_of_the_result() -> None:
    fixed = await say(Function(PUZZLE), "finish", "")
    assert fixed.done
    assert "360" not in fixed.feedback
    released = await gym.make(TASK, Seed(0), behaviour="official").step(Action("finish", ""))
    assert "360" in released.feedback


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="behaviour is 'strict'"):
        gym.make(TASK, Seed(0), behaviour="strict")
    with pytest.raises(UsageError, match="guesses is 0"):
        gym.make(TASK, Seed(0), guesses=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rule", "a +"), ("rule", ""), ("test_case", [1, 2, 3]), ("expected_result", "7")],
)
def test_a_bad_task_is_refused_by_name(field: str, value: object) -> None:
    bad = Task(env="function", id="bad-1", data={**TASK.data, field: value})
    with pytest.raises(UsageError, match=rf"'bad-1'.*{field}"):
        gym.make(bad, Seed(0))


# ---- the leak


async def test_the_leak_is_there_in_official_behaviour_for_every_official_rule(
    shared: Path,
) -> None:
    tasks = official(shared)
    assert len(tasks) == 538
    leaked = [(await play(task, "epsilon-leak", "official"))[0] for task in tasks]
    assert leaked == [1.0] * 538


async def test_the_leak_is_closed_in_fixed_behaviour_for_every_official_rule(
    shared: Path,
) -> None:
    for task in official(shared):
        reward, told = await play(task, "epsilon-leak")
        assert reward == 0.0
        assert not any("result is" in line for line in told[1:])


async def test_swapping_two_numbers_leaks_half_of_the_official_rules_and_is_closed(
    shared: Path,
) -> None:
    tasks = official(shared)
    assert sum([(await play(task, "swap-leak", "official"))[0] for task in tasks]) > 250
    assert sum([(await play(task, "swap-leak"))[0] for task in tasks]) == 0


@given(
    st.lists(st.floats(-1, 1, exclude_min=True, exclude_max=True), min_size=4, max_size=4),
    st.permutations([3, 5, 6, 4]),
)
async def test_nothing_within_one_step_of_the_test_case_is_tried(
    moves: list[float], order: list[int]
) -> None:
    near = " ".join(f"{n + move:.9f}" for n, move in zip(order, moves, strict=True))
    step = await say(Function(PUZZLE), "action", near)
    # Rounded to nine places, a move of almost one is one.
    if all(abs(move) < 0.999999999 for move in moves):
        assert "result is" not in step.feedback


async def test_whole_steps_from_the_test_case_are_tried() -> None:
    for i, move in [(i, move) for i in range(4) for move in (-1, 1)]:
        numbers = [n + move * (i == j) for j, n in enumerate(PUZZLE.test_case)]
        if sorted(numbers) == sorted(PUZZLE.test_case):
            continue  # one step up from 3 and one down from 4 can be the same four numbers
        step = await say(Function(PUZZLE), "action", " ".join(map(str, numbers)))
        assert "result is" in step.feedback, numbers


async def test_official_refuses_the_test_case_only_as_it_is() -> None:
    env = gym.make(TASK, Seed(0), behaviour="official")
    refused = await env.step(Action("action", "3 5 6 4"))
    assert "360" not in refused.feedback
    for near in ("3 5 6 4.000000001", "5 3 6 4"):
        assert "360.0" in (await env.step(Action("action", near))).feedback


# ---- tasks of our own


def test_tasks_are_the_same_for_the_same_seed_and_belong_to_one_split() -> None:
    tasks = {split: list(islice(generate(split, Seed(3)), 400)) for split in ("train", "test")}
    assert tasks["train"] == list(islice(generate("train", Seed(3)), 400))
    assert tasks["train"] != list(islice(generate("train", Seed(4)), 400))
    for split, made in tasks.items():
        assert all(split_of(task.data["rule"]) == split == task.split for task in made)
    with pytest.raises(UsageError, match="no split 'dev'"):
        generate("dev", Seed(0))


def test_a_split_goes_by_the_function_not_by_its_spelling() -> None:
    for one, other in combinations(["a * b + (c - d)", "b * a - d + c", "c - (d - b * a)"], 2):
        assert split_of(one) == split_of(other)


def test_generated_results_can_be_said_exactly() -> None:
    for task in islice(generate("train", Seed(5)), 500):
        value = evaluate(task.data["rule"], task.data["test_case"])
        assert answers_match(task.data["expected_result"], value)
        assert float(f"{task.data['expected_result']:.4f}") == task.data["expected_result"]


def test_there_are_thousands_of_different_rules() -> None:
    made = list(islice(generate("train", Seed(0)), 5_000))
    assert len({task.id for task in made}) > 4_990
    assert len({task.data["rule"] for task in made}) > 3_500


def test_official_results_follow_from_the_rules(shared: Path) -> None:
    for task in official(shared):
        value = evaluate(task.data["rule"], task.data["test_case"])
        assert answers_match(value, task.data["expected_result"]), task.id


# ---- scripted agents


async def test_experts_always_win_and_exploits_never_do() -> None:
    tasks = list(islice(gym.tasks("train", Seed(9)), 60))
    mean = {
        name: sum([(await play(task, name))[0] for task in tasks]) / len(tasks)
        for name in gym.scripts
    }
    assert mean["expert"] == mean["benchmark"] == 1.0
    assert 0.3 < mean["imperfect"] < 1.0
    assert mean["epsilon-leak"] == mean["swap-leak"] == 0.0
    assert mean["answer-spam"] < 0.1
    assert mean["random"] < 0.1


async def test_the_benchmark_takes_eight_turns_and_earns_in_the_last() -> None:
    make = make_dialogues(gym, scripted_agent(gym, "benchmark"))
    tasks = list(islice(gym.tasks("train", Seed(2)), 20))
    config = RolloutConfig(samples=2)
    async with open_rollouts(tasks, make, seed=Seed(0), config=config) as rollouts:
        groups = [group async for group in rollouts]
    for trajectory in [trajectory for group in groups for trajectory in group.trajectories]:
        assert trajectory.end is End.DONE
        choices = [turn.actions[0].choice for turn in trajectory.turns]
        assert choices == ["action"] * 4 + ["search"] + ["answer"] * 3
        assert trajectory.rewards == (0.0,) * 7 + (1.0,)


async def test_hidden_state_is_in_no_feedback(shared: Path) -> None:
    assert gym.hidden is not None
    for task in official(shared)[::20]:
        for name in gym.scripts:
            told = json.dumps((await play(task, name))[1])
            assert not any(secret in told for secret in gym.hidden(task))
