"""The rules of the intention gym: what pays, what ends, what is never said."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Action, Seed, Task
from duologue.envs import Step
from duologue.envs.intention import gym
from duologue.envs.intention._gym import coverage_reward

pytestmark = pytest.mark.anyio

PAY = {"3": 1.0, "2": 0.7, "1": 0.4}

TASK = next(islice(gym.tasks("train", Seed(0)), 1))


def ask(topic: str) -> Action:
    return Action("action", f"What about the {topic}?")


def hidden(task: Task) -> dict[str, str]:
    return {d["description"]: d["importance"] for d in task.data["missing_details"]}


async def test_each_missing_detail_pays_by_its_importance_and_the_last_one_ends_it() -> None:
    env = gym.make(TASK, Seed(0))
    left = len(hidden(TASK))
    for topic, importance in hidden(TASK).items():
        step = await env.step(ask(topic))
        left -= 1
        assert step.reward == PAY[importance]
        assert step.parts == {"coverage": step.reward}
        assert step.done == (left == 0)


async def test_answer_is_heard_like_a_question() -> None:
    topic = next(iter(hidden(TASK)))
    step = await gym.make(TASK, Seed(0)).step(Action("answer", f"I wonder about the {topic}."))
    assert step.reward > 0


@pytest.mark.parametrize("choice", ["search", "", "Action", "tool"])
async def test_another_choice_gets_advice_and_earns_nothing(choice: str) -> None:
    env = gym.make(TASK, Seed(0))
    topic = next(iter(hidden(TASK)))
    step = await env.step(Action(choice, ask(topic).content))
    assert step == Step(feedback="Please ask me a question.", parts={"coverage": 0.0})
    assert (await env.step(ask(topic))).reward > 0


async def test_finish_ends_with_nothing() -> None:
    step = await gym.make(TASK, Seed(0)).step(Action("finish", ask("budget").content))
    assert step.done
    assert step.reward == 0.0


async def test_repeats_known_topics_and_indifference_earn_nothing() -> None:
    env = gym.make(TASK, Seed(0))
    missing, shown = hidden(TASK), dict(TASK.data["shown"])
    told = await env.step(ask(next(iter(shown))))
    assert told.reward == 0.0 and ("told" in told.feedback or "know" in told.feedback)
    first = next(iter(missing))
    await env.step(ask(first))
    again = await env.step(ask(first))
    assert again.reward == 0.0 and ("told" in again.feedback or "know" in again.feedback)
    other = next(t for t in ("parking", "mood", "wrapping", "activity") if t not in missing | shown)
    spare = await env.step(ask(other))
    assert spare.reward == 0.0 and ("preference" in spare.feedback or "fine" in spare.feedback)
    assert (await env.step(Action("action", "hm hm hm"))).feedback == "What do you mean?"


async def test_a_scatter_shot_question_is_answered_on_none_and_costs_only_the_turn() -> None:
    env = gym.make(TASK, Seed(0))
    a, b, *_ = hidden(TASK)
    step = await env.step(Action("action", f"What about the {a} and the {b}?"))
    assert step.reward == 0.0
    assert (await env.step(ask(a))).reward > 0


async def test_naming_one_topic_of_every_domain_does_not_pay() -> None:
    shotgun = Action("action", "What about the cuisine, destination, occasion, rooms and budget?")
    for task in islice(gym.tasks("train", Seed(5)), 100):
        assert (await gym.make(task, Seed(0)).step(shotgun)).reward == 0.0


async def test_instructions_come_first_and_can_be_left_out() -> None:
    system, opening = gym.make(TASK, Seed(0)).prompt()
    assert (system.role, opening.role) == ("system", "user")
    assert opening.content == TASK.data["task"]
    assert "interact_with_env" in system.content
    assert list(gym.make(TASK, Seed(0), instructions=False).prompt()) == [opening]
    assert gym.options["instructions"] is True


actions = st.builds(
    Action,
    st.sampled_from(["action", "action", "action", "answer", "search", "finish"]),
    st.one_of(st.text(), st.sampled_from(["budget", "date", "place", "hobby", "diet", "color"])),
)


async def play(task: Task, seed: int, moves: list[Action]) -> list[Step]:
    env = gym.make(task, Seed(seed))
    steps: list[Step] = []
    for move in moves:
        steps.append(await env.step(move))
        if steps[-1].done:
            break
    return steps


@given(st.integers(0, 30), st.lists(actions, max_size=12), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
async def test_rewards_are_bounded_and_dialogues_repeat_exactly(
    index: int, moves: list[Action], seed: int
) -> None:
    task = next(islice(gym.tasks("test", Seed(index)), 1))
    steps = await play(task, seed, moves)
    assert steps == await play(task, seed, moves)
    assert all(0.0 <= s.reward <= 1.0 and sum(s.parts.values()) == s.reward for s in steps)
    assert sum(s.reward for s in steps) <= sum(PAY[i] for i in hidden(task).values()) + 1e-9


def test_the_reward_of_several_details_falls_with_each_extra_one() -> None:
    assert coverage_reward([]) == 0.0
    assert coverage_reward(["1"]) == 0.4
    assert coverage_reward(["2", "3"]) == 0.8
    assert coverage_reward(["1"] * 9) == 0.0


def test_the_reward_is_that_of_the_official_code(shared: Path) -> None:
    recorded = shared / "reference/intention_reward.json"
    for case in json.loads(recorded.read_text(encoding="utf-8"))["cases"]:
        if (case["multi_detail_penalty"], case["reward_scale"]) == (0.2, 1.0):
            assert coverage_reward(case["importances"]) == case["expected"], case
