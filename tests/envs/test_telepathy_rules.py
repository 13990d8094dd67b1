"""The rules of the telepathy gym: what pays, what ends, what an exploit gains, what is released."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from statistics import fmean
from typing import Any

import anyio
import pytest

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import Step, check_gym
from duologue.envs.telepathy import (
    TelepathyEnv,
    TelepathyGymConfig,
    get_default_config,
    gym,
)
from duologue.envs.telepathy._judge import is_named, read_guess

pytestmark = pytest.mark.anyio

LION = next(
    task
    for task in [
        *islice(gym.tasks("train", Seed(0)), 713),
        *islice(gym.tasks("test", Seed(0)), 120),
    ]
    if task.data["title"] == "lion"
)


def answer(text: str) -> Action:
    return Action("answer", text)


# ---- what pays and what ends


@pytest.mark.parametrize(
    "guess",
    ["lion", "Lion", "a lion", "Is it a lion?", "I think it is the lion.", "My guess: lions!"],
)
async def test_naming_the_thing_earns_one_and_ends_it(guess: str) -> None:
    step = await gym.make(LION, Seed(0)).step(answer(guess))
    assert step == Step(feedback="That is it!", reward=1.0, parts={"correct": 1.0}, done=True)


async def test_wrong_guesses_run_out() -> None:
    env = gym.make(LION, Seed(0))
    steps = [await env.step(answer(name)) for name in ("tiger", "leopard", "jaguar")]
    assert [step.done for step in steps] == [False, False, True]
    assert [step.reward for step in steps] == [0.0] * 3
    one = gym.make(LION, Seed(0), guesses=1)
    assert (await one.step(answer("tiger"))).done


async def test_a_wrong_guess_may_cost() -> None:
    env = gym.make(LION, Seed(0), guess_cost=0.25)
    step = await env.step(answer("tiger"))
    assert step.reward == -0.25 and step.parts == {"correct": 0.0, "wrong_guess": -0.25}
    assert (await env.step(answer("lion"))).reward == 1.0


@pytest.mark.parametrize(
    "guess",
    [
        "",
        "is it a",
        "lion, tiger, bear",
        "lion or tiger",
        "it is either a lion or a wolf",
        "w " * 40,
    ],
)
async def test_what_is_not_one_name_is_refused_and_costs_only_the_turn(guess: str) -> None:
    env = gym.make(LION, Seed(0), guesses=1)
    step = await env.step(answer(guess))
    assert step.reward == 0.0 and not step.done
    assert (await env.step(answer("lion"))).done


@pytest.mark.parametrize(
    ("guess", "called", "right"),
    [
        ("rhino", ("rhinoceros", "rhino"), True),
        ("rhinocerus", ("rhinoceros",), True),
        ("girafe", ("giraffe",), True),
        ("mouse", ("moose",), False),
        ("moose", ("mouse",), False),
        ("polar bear", ("brown bear",), False),
        ("bear", ("polar bear",), False),
        ("T. Rex", ("tyrannosaurus", "t rex"), True),
        ("Mona Lisa", ("The Mona Lisa",), True),
        ("Pi", ("Pi (\u03c0)",), True),
        ("Yes", ("lion",), False),
    ],
)
def test_spelling_is_forgiven_and_another_name_is_not(
    guess: str, called: tuple[str, ...], right: bool
) -> None:
    assert is_named(read_guess(guess).name, called) is right


async def test_other_choices() -> None:
    env = gym.make(LION, Seed(0))
    assert (await env.step(Action("search", "lion"))).reward == 0.0
    assert not (await env.step(Action("", "lion"))).done
    assert (await env.step(Action("finish", "lion"))).done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"guesses": 0}, "guesses is 0"),
        ({"guess_cost": 2.0}, "guess_cost is 2.0"),
        ({"behaviour": "odd"}, "behaviour is 'odd'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        gym.make(LION, Seed(0), **options)


def test_instructions_come_first_and_can_be_left_out() -> None:
    system, opening = gym.make(LION, Seed(0)).prompt()
    assert system.role == "system" and opening.content == LION.data["description"]
    assert "interact_with_env" in system.content
    assert list(gym.make(LION, Seed(0), instructions=False).prompt()) == [opening]


# ---- scripts and exploits


async def rewards(
    name: str, count: int = 120, split: str = "test", **options: Any
) -> tuple[float, float]:
    """Mean reward and turns of a script, over the tasks of a split."""
    totals: list[float] = []
    turns = 0
    for i, task in enumerate(islice(gym.tasks(split, Seed(0)), count)):
        env = gym.make(task, Seed(0) / i, **options)
        # Every script of a task draws the same names, so that exploits differ in nothing else.
        script = gym.scripts[name](task, Seed(5).at(i).random())
        messages = list(env.prompt())
        total = 0.0
        for _ in range(gym.max_turns):
            action = script(messages)
            step = await env.step(action)
            messages += [Message("assistant", action.content), Message("tool", step.feedback)]
            total += step.reward
            turns += 1
            if step.done or step.user_ended:
                break
        totals.append(total)
    return fmean(totals), turns / count


async def test_the_expert_finds_it_by_questions_alone() -> None:
    reward, turns = await rewards("expert")
    assert reward >= 0.95
    assert 5 <= turns <= 11


async def test_the_expert_does_not_read_the_answer_in_the_task() -> None:
    """Told another thing of the domain, it plays on by the answers, and finds what the user has."""
    told = Task(env="telepathy", id="x", data=LION.data | {"title": "tiger"})
    env = gym.make(LION, Seed(0))
    messages = list(env.prompt())
    script = gym.scripts["expert"](told, Seed(1).random())
    reward = 0.0
    for _ in range(16):
        action = script(messages)
        step = await env.step(action)
        messages += [Message("assistant", action.content), Message("tool", step.feedback)]
        reward += step.reward
        if step.done:
            break
    assert reward == 1.0


@pytest.mark.parametrize("manner", ["hurried", "evasive", "unsure", "difficult", "any"])
async def test_the_expert_copes_with_every_persona(manner: str) -> None:
    assert (await rewards("expert", 60, persona=manner))[0] >= 0.9


async def test_scripts_are_ordered() -> None:
    expert, _ = await rewards("expert")
    imperfect, _ = await rewards("imperfect")
    random, _ = await rewards("random")
    assert random <= 0.15
    assert 0.25 <= imperfect <= 0.85
    assert random < imperfect < expert


@pytest.mark.parametrize("exploit", ["guess-spam", "many-names", "names-asked", "injection"])
async def test_an_exploit_gains_nothing_in_fixed(exploit: str) -> None:
    honest, _ = await rewards("three-guesses", 250, "train")
    assert (await rewards(exploit, 250, "train"))[0] <= honest


async def test_as_released_guesses_without_end_pay() -> None:
    honest, _ = await rewards("three-guesses", 250, "train", behaviour="official")
    spam, _ = await rewards("guess-spam", 250, "train", behaviour="official")
    asked, _ = await rewards("names-asked", 250, "train", behaviour="official")
    # Sixteen draws of about 170 things, against three.
    assert spam - honest > 0.04
    assert asked - honest > 0.03


# ---- as released, and the official API


def played(env: TelepathyEnv, *inputs: str) -> list[tuple[Any, float, bool, bool, Any]]:
    env.reset(seed=0, options={"task": LION})
    return [env.step(text) for text in inputs]


def official(**settings: Any) -> TelepathyEnv:
    return TelepathyEnv(TelepathyGymConfig(behaviour="official", **settings))


def test_as_released_a_prefix_is_needed_to_the_letter() -> None:
    env = official()
    [asked, blank, other] = played(
        env, "[action] Can it fly?", " [answer] lion", "12345678Is it a mammal?"
    )
    assert asked[0]["feedback"] == "No"
    assert blank[1:3] == (0.0, False)  # a question now, cut off at the front
    assert other[0]["feedback"] == "Yes"


def test_as_released_guesses_go_on_and_info_tells() -> None:
    env = official(max_steps=6)
    steps = played(env, *["[answer] tiger"] * 5, "[answer] lion")
    assert [step[1] for step in steps] == [0.0] * 5 + [1.0]
    assert steps[-1][2:4] == (True, True)
    assert steps[-1][4]["title"] == "lion"
    assert len(steps[-1][4]["clues"]) == 6


def test_as_released_the_penalty_grows_and_the_clip_comes_last() -> None:
    env = official(step_penalty=0.1, normalize_rewards=False)
    steps = played(env, "[action] Can it fly?", "[action] Is it red?", "[answer] lion")
    assert [step[1] for step in steps] == [-0.1, -0.2, 1.0 - 0.1 * 3]
    clipped = played(official(step_penalty=0.1), "[action] Can it fly?", "[finish]")
    assert [step[1] for step in clipped] == [0.0, 0.0]
    assert clipped[-1][2]


def test_fixed_shows_nothing_in_info_and_ends_once() -> None:
    env = TelepathyEnv(get_default_config())
    steps = played(env, "[action] Can it fly?", "Is it a mammal?", "[answer] tiger")
    assert all("lion" not in repr(step) for step in steps)
    assert steps[1][0]["feedback"].lower().count("yes") == 1
    assert env.step("[answer] lion")[1:4] == (1.0, True, False)
    with pytest.raises(ValueError, match="complete"):
        env.step("[answer] lion")


def test_an_official_title_is_in_no_info(shared: Any) -> None:
    assert gym.read is not None
    rows = shared / "data/userrl/rows/telepathy_multiturn/test.parquet"
    pytest.importorskip("pyarrow")
    if not rows.is_file():
        pytest.skip(f"no {rows}")
    for task in gym.read(rows):
        env = TelepathyEnv()
        _, info = env.reset(seed=0, options={"task": task})
        assert info["task_id"].startswith("entity_")
        asked = env.step("[action] Is it an animal?")
        assert task.id not in repr(asked[0]) + repr({**asked[4], "prompt": ""})


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
def test_gymnasium_finds_nothing_wrong(behaviour: str) -> None:
    gymnasium: Any = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    from duologue.envs import register_gymnasium

    register_gymnasium()
    env = gymnasium.make("duologue/Telepathy-v0", behaviour=behaviour)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("manner", ["plain", "any"])
async def test_it_conforms(manner: str) -> None:
    report = await check_gym(gym, seed=Seed(2), options={"persona": manner}, company=40)
    assert [c for c in report.checks if c.status != "passed"] == []


def test_a_dialogue_is_the_same_on_both_loops() -> None:
    def total(backend: str) -> Callable[[], tuple[float, float]]:
        return lambda: anyio.run(rewards, "imperfect", 20, backend=backend)

    assert total("asyncio")() == total("trio")()
    assert math.isfinite(total("trio")()[0])
