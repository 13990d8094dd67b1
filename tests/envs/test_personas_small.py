"""Personas in the function and intention gyms: the manner changes, what a dialogue is worth by rules
does not, and plain is as if there were none."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import Any

import pytest

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import PERSONAS, Step, find

pytestmark = pytest.mark.anyio

GYMS = ("function", "intention")


def some(name: str, count: int = 30) -> list[Task]:
    return list(islice(find(name).tasks("test", Seed(3)), count))


async def play(
    name: str, task: Task, persona: str, script: str = "expert", turns: int = 16, **more: Any
) -> list[Step]:
    gym = find(name)
    env = gym.make(task, Seed(5) / task.id, **{**gym.options, "persona": persona}, **more)
    speak = gym.scripts[script](task, Random(0))
    messages = list(env.prompt())
    steps: list[Step] = []
    while len(steps) < turns and not (steps and (steps[-1].done or steps[-1].user_ended)):
        action = speak(messages)
        steps.append(await env.step(action))
        messages += [Message("assistant", action.content), Message("tool", steps[-1].feedback)]
    return steps


@pytest.mark.parametrize("name", GYMS)
async def test_a_manner_changes_the_words_and_none_of_the_rewards(name: str) -> None:
    for style in ("terse", "chatty", "formal", "learner", "unsure"):
        other = 0
        for task in some(name):
            plain, mannered = [await play(name, task, who) for who in ("plain", style)]
            assert [step.reward for step in plain] == [step.reward for step in mannered]
            assert [step.done for step in plain] == [step.done for step in mannered]
            other += [s.feedback for s in plain] != [s.feedback for s in mannered]
        # The lines of this gym have no words that such a user would leave out or bend.
        same = name == "function" and style in ("terse", "learner")
        assert (other == 0) == same, style


@pytest.mark.parametrize("name", GYMS)
async def test_every_persona_says_what_is_asked_for(name: str) -> None:
    """Of the numbers and the wishes that a plain user tells, none is lost."""
    for who in sorted(PERSONAS):
        if PERSONAS[who].cooperation < 1.0 or PERSONAS[who].patience:
            continue
        for task in some(name, 10):
            facts = [
                word
                for step in await play(name, task, "plain", "imperfect")
                for word in step.feedback.split()
                if any(map(str.isdigit, word))
            ]
            told = " ".join(s.feedback for s in await play(name, task, who, "imperfect"))
            assert all(fact.strip(".,") in told for fact in facts), who


async def test_who_evades_answers_when_asked_again_and_a_dodge_covers_nothing() -> None:
    dodges = 0
    for task in some("intention", 40):
        gym = find("intention")
        env = gym.make(task, Seed(1) / task.id, **{**gym.options, "persona": "evasive"})
        detail = task.data["missing_details"][0]
        asked = Action("action", f"Which {detail['description']} do you want?")
        first = await env.step(asked)
        if first.reward == 0.0:
            dodges += 1
            assert detail["value"] not in first.feedback
            first = await env.step(asked)
        assert first.reward > 0.0 and detail["value"] in first.feedback
    assert 10 < dodges < 30


@pytest.mark.parametrize(
    ("name", "idle"),
    [("function", Action("action", "hello")), ("intention", Action("action", "?"))],
)
async def test_who_is_hurried_leaves_after_two_lines_that_led_nowhere(
    name: str, idle: Action
) -> None:
    gym = find(name)
    for task in some(name, 5):
        env = gym.make(task, Seed(1), **{**gym.options, "persona": "hurried"})
        first, second = await env.step(idle), await env.step(idle)
        assert not first.user_ended and second.user_ended and not second.done
        assert second.reward == 0.0


async def test_a_model_is_told_who_it_is_and_leaves_by_the_same_rule() -> None:
    asked: list[str] = []

    async def user(messages: Any) -> str:
        asked.append(messages[0].content)
        return '{"response": "whatever"}'

    (task,) = some("intention", 1)
    gym = find("intention")
    for who in ("hurried", "plain"):
        env = gym.make(task, Seed(1), **{**gym.options, "persona": who}, user=user)
        steps = [await env.step(Action("action", "Nice weather?")) for _ in range(2)]
        assert [step.user_ended for step in steps] == [False, who == "hurried"]
    described = PERSONAS["hurried"].describe()
    assert [described in text for text in asked] == [True, True, False, False]


@pytest.mark.parametrize("name", GYMS)
async def test_an_unknown_persona_is_refused_and_official_has_none(name: str) -> None:
    gym = find(name)
    (task,) = some(name, 1)
    with pytest.raises(UsageError, match=r"'grumpy'.*hurried"):
        gym.make(task, Seed(0), **{**gym.options, "persona": "grumpy"})
    official = {**gym.options, "behaviour": "official"}
    said: list[list[str]] = []
    for who in ("plain", "hurried"):
        env = gym.make(task, Seed(2), **{**official, "persona": who})
        said.append([(await env.step(Action("action", "hello"))).feedback for _ in range(4)])
    assert said[0] == said[1]
