"""The travel gym as released, on both of its paths, and through the official API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from duologue.engine import Message, Seed, Task, UsageError
from duologue.envs.travel import TravelEnv, TravelGymConfig, get_default_config, gym
from duologue.envs.travel._answers import parse_output
from duologue.envs.travel._official import OfficialTravel
from duologue.envs.travel._scripts import question, request
from duologue.envs.travel._tasks import Trip, trip

pytestmark = pytest.mark.anyio

TASK: Task = next(
    t for t in gym.tasks("train", Seed(0)) if t.data["dimensions"] == ["flight", "hotel"]
)
TRIP: Trip = trip(TASK)
BEST = [part.best_id for part in TRIP.parts.values()]
WRONG = [part.options.wrong[0]["id"] for part in TRIP.parts.values()]


def env_of(**settings: Any) -> TravelEnv:
    env = TravelEnv(TravelGymConfig(behaviour="official", **settings))
    env.reset(options={"task": TASK})
    return env


async def test_several_ids_add_up_on_the_asynchronous_path_and_are_refused_on_the_other() -> None:
    both = f"[answer] {BEST[0]}, {BEST[1]}"
    _, reward, terminated, _, _ = await env_of().step_async(both)
    assert (reward, terminated) == (2.0, True)
    _, reward, terminated, _, _ = env_of().step(both)
    assert (reward, terminated) == (0.0, False)


async def test_an_id_refused_half_way_takes_the_first_with_it() -> None:
    env = env_of()
    _, reward, _, _, _ = await env.step_async(f"[answer] {BEST[0]}, {WRONG[0]}")
    assert reward == 0.0
    _, reward, _, _, _ = await env.step_async(f"[answer] {BEST[0]}")
    assert reward == 0.0
    _, reward, terminated, _, _ = await env.step_async(f"[answer] {BEST[1]}")
    assert (reward, terminated) == (1.0, True)


async def test_a_wrong_booking_never_ends_the_trip_on_the_asynchronous_path() -> None:
    for path, ends in (("async", False), ("sync", True)):
        env = env_of()
        for answer in (f"[answer] {WRONG[0]}", "[answer] C7"):
            result = await env.step_async(answer) if path == "async" else env.step(answer)
        # The synchronous path counts aspects that are no part of the trip.
        assert result[2] == ends


async def test_the_unasked_hint_fails_on_one_path_and_comes_a_line_early_on_the_other() -> None:
    env = env_of()
    for _ in range(2):
        env.step("[action] Lovely.")
    observation, reward, _, _, info = env.step("[action] Lovely.")
    assert reward == 0.0 and observation["passive_elicited_preferences"] == 1
    assert len(info["newly_elicited_preferences"]) == 1
    env = env_of()
    for _ in range(3):
        await env.step_async("[action] Lovely.")
    observation, reward, _, _, info = await env.step_async("[action] Lovely.")
    assert "do not know what to say" in observation["feedback"]
    assert observation["passive_elicited_preferences"] == 1
    assert observation["remaining_preferences"] == len(TRIP.preferences)
    # The line of the agent is in the history twice: that is how far the released code gets.
    assert [entry["role"] for entry in info["conversation_history"][-3:]] == [
        "agent", "agent", "user",
    ]  # fmt: skip


async def test_settings_price_each_step_and_finish_is_free() -> None:
    env = env_of(step_penalty=0.1, reward_scale=2.0, normalize_rewards=False)
    rng = Seed(0).random()
    _, reward, _, _, _ = await env.step_async(f"[action] {question(TRIP.preferences[0], rng)}")
    assert reward == pytest.approx(0.2 * 2 - 0.1)
    _, reward, _, _, _ = await env.step_async("hello")
    assert reward == pytest.approx(-0.1)
    _, reward, terminated, truncated, _ = await env.step_async(" [FINISH] now")
    assert (reward, terminated, truncated) == (0.0, True, False)
    with pytest.raises(ValueError, match="complete"):
        await env.step_async("[finish]")
    env = env_of(normalize_rewards=True)
    assert (await env.step_async(f"[answer] {BEST[0]}, {BEST[1]}"))[1] == 1.0


async def test_without_one_choice_every_suitable_id_pays() -> None:
    suitable = TRIP.parts["flight"].correct_ids
    env = env_of(one_choice_per_aspect=False, wrong_choice_penalty=0.5)
    _, reward, _, _, _ = await env.step_async(f"[answer] {', '.join(suitable)}")
    assert reward == pytest.approx(1.0 + 0.8 * (len(suitable) - 1))
    observation, reward, _, _, _ = await env.step_async(f"[answer] {WRONG[1]}")
    assert reward == 0.0  # a penalty never takes a step below zero
    assert observation["remaining_preferences"] == len(TRIP.preferences)


async def test_searches_and_questions_are_understood_without_a_voice() -> None:
    env = env_of()
    observation, reward, _, _, _ = await env.step_async(
        f"[search] {request('hotel', TRIP.parts['hotel'])}"
    )
    assert reward == 0.2 and '{"id"' in observation["feedback"]
    _, reward, _, _, _ = await env.step_async(f"[search] {request('hotel', TRIP.parts['hotel'])}")
    assert reward == 0.0
    _, reward, _, _, info = await env.step_async("[action] Which seat, meal, stops and cabin?")
    assert reward in (0.0, 0.2)
    assert all(" has to be: " in line for line in info["preferences_summary"])
    for _ in range(2):
        await env.step_async("[search] hotel")
    observation, _, _, _, _ = await env.step_async("[search] hotel")
    assert "problem" in observation["feedback"]


# ---- voices, as released


def speaker(*lines: Any) -> Any:
    left = list(lines)

    async def speak(messages: Sequence[Message]) -> str:
        line = left.pop(0)
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, str) else json.dumps(line)

    return speak


def voiced(judge: Sequence[Any], user: Sequence[Any] = ()) -> TravelEnv:
    env = TravelEnv(
        TravelGymConfig(behaviour="official"), judge=speaker(*judge), user=speaker(*user)
    )
    env.reset(options={"task": TASK})
    return env


OUTAGE = [OSError("down")] * 3


@pytest.mark.parametrize(
    "answers",
    [
        OUTAGE,
        ["no JSON at all"],
        ["[1, 2]"],
        ["7"],
        [{"alignment_aspect": "hotel"}],
        [{"alignment_judgement": True, "alignment_aspect": "hotel"}],
        [{"alignment_judgement": "True", "alignment_aspect": "boat"}],
        [{"alignment_judgement": "True", "alignment_aspect": 3}],
        [{"alignment_judgement": "True"}],
    ],
)
async def test_a_search_that_cannot_be_judged_is_an_outage_worth_nothing(
    answers: list[Any],
) -> None:
    observation, reward, _, _, info = await voiced(answers).step_async("[search] x")
    assert reward == 0.0 and "problem" in observation["feedback"]
    assert len(info["conversation_history"]) == 2


@pytest.mark.parametrize(
    ("answers", "replies", "reward", "active"),
    [
        ([{"type": 2, "preference_id": " P1 "}], [{"response": " hint "}], 0.2, 1),
        ([OSError("down"), {"type": "2", "preference_id": "P1"}], [{"response": "h"}], 0.2, 1),
        ([{"type": "2", "preference_id": "P99"}], [{"response": "ok"}], 0.0, 0),
        ([{"type": "2"}], [{"response": "ok"}], 0.0, 0),
        ([{"type": "5"}], [{"response": "ok"}], 0.0, 0),
        (OUTAGE, [{"response": "ok"}], 0.0, 0),
        ([{"type": "2", "preference_id": "P1"}], OUTAGE, 0.0, 1),
        ([{"type": "2", "preference_id": "P1"}], ["prose"], 0.0, 1),
        ([{"type": "2", "preference_id": "P1"}], [{"response": 5}], 0.0, 1),
    ],
)
async def test_a_line_that_cannot_be_judged_is_small_talk(
    answers: list[Any], replies: list[Any], reward: float, active: int
) -> None:
    observation, paid, _, _, _ = await voiced(answers, replies).step_async("[action] x")
    assert paid == reward
    assert observation["active_elicited_preferences"] == active
    left = len(TRIP.preferences) - (1 if reward else 0)
    assert observation["remaining_preferences"] == left


async def test_a_search_for_nothing_on_the_trip_is_told_so() -> None:
    env = voiced([{"alignment_judgement": "N/A"}, {"alignment_judgement": "False"}])
    said = [(await env.step_async("[search] x"))[0]["feedback"] for _ in range(2)]
    assert "nothing on this trip" in said[0] and "not quite right" in said[1]


def test_an_answer_is_read_as_released() -> None:
    assert parse_output(' {"a": 1} ') == {"a": 1}
    assert parse_output('So: ```json {"a": 2} ``` or ```json {"a": 3} ```') == {"a": 2}
    assert parse_output('```json {"a": } ``` but {"b": 1}') is None
    assert parse_output('```json oops ``` {"b": 1} end') == {"b": 1}
    assert parse_output("nothing") is None
    with pytest.raises(RecursionError):
        parse_output("[" * 100_000)


# ---- the repaired gym through the same API


async def test_the_repaired_gym_shows_nothing_hidden_and_takes_the_settings() -> None:
    config = get_default_config()
    config.preference_correct_reward, config.reward_scale, config.persona = 1.0, 2.0, "formal"
    env = TravelEnv(config)
    env.reset(options={"task": TASK})
    wanted = TRIP.preferences[0]
    line = question(wanted, Seed(0).random())
    observation, reward, _, _, info = env.step(f"[action] {line}")
    of_aspect = sum(each.aspect == wanted.aspect for each in TRIP.preferences)
    assert reward == pytest.approx(2.0 / of_aspect)
    assert observation["elicitation_ratio"] == 1 / len(TRIP.preferences)
    assert not any(each.text in repr(info) for each in TRIP.preferences)
    with pytest.raises(UsageError, match="behaviour"):
        TravelEnv(TravelGymConfig(behaviour="odd"))


async def test_gymnasium_makes_it() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from duologue.envs import register_gymnasium

    register_gymnasium()
    env = gymnasium.make("duologue/Travel-v0")
    observation, _ = env.reset(seed=3)
    assert observation
    env.close()


async def test_the_released_gym_is_an_option_of_make() -> None:
    env = gym.make(TASK, Seed(0), behaviour="official")
    assert isinstance(env, OfficialTravel)
    assert (env.best_left, env.initials, env.idle) == (BEST, [], 0)
