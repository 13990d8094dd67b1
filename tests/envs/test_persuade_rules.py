"""The persuade gym's rules: what a stance earns, repaired and as released, and what exploits do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import Env, Step, check_gym
from duologue.envs.persuade import PersuadeEnv, PersuadeGymConfig, get_default_config, gym
from duologue.envs.persuade._official import read_judged
from duologue.envs.persuade._stance import (
    STANCES,
    Stance,
    levels_moved,
    persuasion_reward,
    score,
)

pytestmark = pytest.mark.anyio

FAIR = Task(
    env="persuade",
    id="fair",
    data={
        "claim": "The summer fete should be moved indoors.",
        "argument": "It rained twice.",
        "considerations": [
            {
                "point": "The gymnasium holds eighty visitors, so half of the families stay away.",
                "hint": "I want everybody to come.",
                "levels": 3,
            },
            {
                "point": "Grilled sausages and smoke set off the alarm under a roof.",
                "hint": "What would we eat?",
                "levels": 2,
            },
            {
                "point": "A rented tent keeps the benches dry for little money.",
                "hint": "Wet seats annoy me.",
                "levels": 1,
            },
        ],
    },
)
ROOM, SMOKE, TENT = (one["point"] for one in FAIR.data["considerations"])

Voice = Callable[[Sequence[Message]], Awaitable[str]]


def judged(*stances: str | Exception) -> Voice:
    """A simulator of the released kind."""
    left = list(stances)

    async def speak(messages: Sequence[Message]) -> str:
        stance = left.pop(0)
        if isinstance(stance, Exception):
            raise stance
        if stance not in STANCES and not stance.startswith("!"):
            return stance
        return json.dumps({"thought": "t", "response": "r", "stance": stance.removeprefix("!")})

    return speak


async def hear(env: Env, text: str) -> Step:
    return await env.step(Action("answer", text))


async def played(
    task: Task, name: str, seed: Seed, turns: int | None = None, **options: Any
) -> float:
    """What a script earns on a task."""
    env: Env = gym.make(task, seed / "env", **options)
    script = gym.scripts[name](task, (seed / "agent").random())
    messages, total = list(env.prompt()), 0.0
    for _ in range(turns or gym.max_turns):
        action = script(messages)
        step = await env.step(action)
        messages += [Message("assistant", action.content), Message("tool", step.feedback)]
        total += step.reward
        if step.done or step.user_ended:
            break
    return total


# ---- what a stance earns


def test_a_level_earns_a_sixth_to_six_places() -> None:
    assert [persuasion_reward(STANCES[0], stance) for stance in STANCES] == [
        0.0,
        0.166667,
        0.333333,
        0.5,
        0.666667,
        0.833333,
        1.0,
    ]
    assert [score(stance) for stance in STANCES] == [0, 0.1667, 0.3333, 0.5, 0.6667, 0.8333, 1]


@given(st.sampled_from(STANCES), st.sampled_from(STANCES))
def test_moving_back_earns_nothing(one: str, other: str) -> None:
    assert levels_moved(one, other) == -levels_moved(other, one)
    assert min(persuasion_reward(one, other), persuasion_reward(other, one)) == 0.0


@pytest.mark.parametrize("odd", ["strongly disagree", " Disagree", "x", ""])
def test_a_stance_that_is_none_to_the_letter_moves_nothing_as_released(odd: str) -> None:
    assert persuasion_reward(STANCES[0], odd) == persuasion_reward(odd, STANCES[6]) == 0.0
    assert score(odd) == 0.0


@pytest.mark.parametrize(
    "written", ["Partly Disagree", "partly disagree", " PARTLY  DISAGREE. ", "partly_disagree"]
)
def test_a_judge_may_write_a_stance_in_any_case(written: str) -> None:
    assert Stance(written).level == 4
    with pytest.raises(ValueError, match="maybe"):
        Stance("maybe")


# ---- repaired


async def test_points_move_the_stance_and_all_of_them_win() -> None:
    env = gym.make(FAIR, Seed(0))
    rewards = [(await hear(env, point)).reward for point in (SMOKE, TENT)]
    assert rewards == pytest.approx([2 / 6, 1 / 6])
    last = await hear(env, ROOM)
    assert last.reward == pytest.approx(0.5)
    assert last.done
    assert last.parts == {"persuasion": last.reward}


async def test_only_a_stance_that_was_never_reached_is_paid() -> None:
    env = gym.make(FAIR, Seed(0))
    rewards = [
        (await hear(env, line)).reward
        for line in (SMOKE, "You are right, I take that back.", SMOKE, "I was wrong.", ROOM)
    ]
    assert rewards == pytest.approx([2 / 6, 0, 0, 0, 1 / 6])


async def test_the_agent_may_finish_and_nothing_else_is_an_argument() -> None:
    env = gym.make(FAIR, Seed(0))
    step = await env.step(Action("search", SMOKE))
    assert (step.reward, step.done) == (0.0, False)
    step = await env.step(Action("finish", SMOKE))
    assert (step.reward, step.done) == (0.0, True)


def test_the_prompt_states_the_claim_and_the_instructions_may_be_left_out() -> None:
    system, user = gym.make(FAIR, Seed(0)).prompt()
    assert "interact_with_env" in system.content
    assert FAIR.data["claim"] in user.content
    assert FAIR.data["argument"] in user.content
    assert gym.make(FAIR, Seed(0), instructions=False).prompt() == [user]


@pytest.mark.parametrize(
    ("options", "said"), [({"behaviour": "strict"}, "strict"), ({"persona": "grumpy"}, "grumpy")]
)
def test_options_that_cannot_be_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gym.make(FAIR, Seed(0), **options)


async def test_the_gym_keeps_every_promise() -> None:
    report = await check_gym(gym, seed=Seed(1), company=50)
    assert {check.name: check.detail for check in report.checks if check.status != "passed"} == {}


async def test_official_behaviour_keeps_all_but_the_secrets() -> None:
    report = await check_gym(gym, seed=Seed(1), company=10, options={"behaviour": "official"})
    failed = {check.name for check in report.checks if check.status == "failed"}
    assert failed <= {"hidden state"}


# ---- as released


def episode(*stances: str | Exception, **settings: object) -> PersuadeEnv:
    config = get_default_config()
    config.behaviour = "official"
    for name, value in settings.items():
        setattr(config, name, value)
    env = PersuadeEnv(config, judge=judged(*stances))
    env.reset(options={"task": FAIR})
    return env


def test_going_back_and_forth_is_paid_again_and_again_as_released() -> None:
    env = episode("Neutral", "Strongly Agree", "Neutral", "Strongly Agree", "Neutral")
    assert [env.step("[answer] a")[1] for _ in range(5)] == [0.5, 0.0, 0.5, 0.0, 0.5]
    assert env.total_reward == 1.5


def test_a_stance_that_is_none_is_kept_and_costs_the_next_move_too_as_released() -> None:
    env = episode("!strongly disagree", "Neutral", "Disagree")
    observation, reward, terminated, _, _ = env.step("a")
    assert (observation["current_stance"], reward, terminated) == ("strongly disagree", 0.0, False)
    assert [env.step("a")[1] for _ in range(2)] == [0.0, 0.333333]


def test_a_simulator_that_fails_pays_nothing_as_released() -> None:
    env = episode(*[RuntimeError("down")] * 3, RuntimeError("once"), "Neutral", "no json")
    observation, reward, *_, info = env.step("a")
    assert (observation["current_stance"], reward) == (STANCES[0], 0.0)
    assert info["judge_success"] is False
    assert env.step("a")[1] == 0.5
    observation, reward, *_ = env.step("a")
    assert (observation["current_stance"], reward) == ("Neutral", 0.0)


@pytest.mark.parametrize(
    ("text", "stance"),
    [
        ('{"thought": "t", "response": "r", "stance": "Agree"}', "Agree"),
        ('```json\n{"response": "r", "stance": "Agree"}\n```', "Agree"),
        ("{'response': 'r', 'stance': 'Agree'}", "Agree"),
        ('{"response": "r", "stance": null}', None),
        ('Sure: {"response": "r", "stance": "Agree"}', None),
        ('{"response": "r"}', None),
        ("['Agree']", None),
        ("(" * 5000, None),
        ("", None),
    ],
)
def test_the_simulators_answer_is_read_as_a_python_literal_as_released(
    text: str, stance: str | None
) -> None:
    found = read_judged(text)
    assert (found and found.stance) == stance


def test_the_end_of_an_official_episode() -> None:
    env = episode("Strongly Disagree", max_steps=1)
    assert env.step("a")[1:4] == (1.0, True, False)
    with pytest.raises(ValueError, match="complete"):
        env.step("a")
    env = episode("Agree", max_steps=1)
    assert env.step("a")[2:4] == (False, True)
    env = episode("Agree")
    assert env.step(" [finish]")[2] is False  # blanks make it an argument
    assert env.step("[finish]")[1:4] == (0.0, True, False)


def test_penalties_are_flat_and_a_finish_has_none() -> None:
    env = episode("Agree", "Agree", step_penalty=0.1, normalize_rewards=False)
    assert [env.step("a")[1] for _ in range(2)] == [pytest.approx(0.066667), -0.1]
    assert env.step("[finish]")[1] == 0.0


def test_the_scale_counts_in_fixed_behaviour_only() -> None:
    for behaviour, earned in (("fixed", 2 / 6 / 2), ("official", 0.333333)):
        env = PersuadeEnv(PersuadeGymConfig(behaviour=behaviour, reward_scale=0.5))
        env.reset(options={"task": FAIR})
        assert env.step(SMOKE)[1] == pytest.approx(earned)


async def test_step_and_step_async_do_the_same() -> None:
    for behaviour in ("fixed", "official"):
        one, other = (PersuadeEnv(PersuadeGymConfig(behaviour=behaviour)) for _ in range(2))
        assert one.reset(seed=7) == other.reset(seed=7)
        for text in ("[answer] It rains.", "why?", "[search] x", "", "[finish]"):
            assert one.step(text) == await other.step_async(text)


def test_what_was_thought_is_in_the_official_info_only() -> None:
    for behaviour, shown in (("fixed", False), ("official", True)):
        env = PersuadeEnv(PersuadeGymConfig(behaviour=behaviour))
        env.reset(options={"task": FAIR})
        *_, info = env.step("The smoke of the sausages would set off an alarm.")
        assert (SMOKE in repr(info)) is shown


# ---- scripts and exploits


def tasks(split: str, count: int) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(11)), count))


async def average(name: str, **options: Any) -> float:
    return mean(
        [await played(task, name, Seed(i), **options) for i, task in enumerate(tasks("test", 80))]
    )


async def test_the_expert_wins_and_who_knows_nothing_does_not() -> None:
    assert await average("expert") > 0.99
    assert await average("random") < 0.05
    assert await average("small-talk") == 0.0
    assert 0.3 < await average("imperfect") < 0.8


@pytest.mark.parametrize("name", ["repeat", "oscillate", "echo", "inject"])
async def test_exploits_earn_no_more_than_the_agent_without_them(name: str) -> None:
    assert abs(await average(name) - await average("steady")) <= 0.02


async def test_words_strung_together_hit_hardly_anything() -> None:
    # Without what each sentence must come to (density, focus, thread) this was 0.2 and more.
    assert await average("stuff") - await average("steady") <= 0.05


async def test_oscillating_is_paid_beyond_winning_as_released() -> None:
    assert await average("oscillate", behaviour="official") > 2.5
    assert await average("steady", behaviour="official") < 0.5
