"""The rules of the turtle gym: what pays, what ends, what is never said, what no trick gains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from itertools import islice
from statistics import mean
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import PERSONAS, Step, check_gym, find
from duologue.envs.turtle import (
    StoryEnv,
    TurtleGymConfig,
    contract,
    get_default_config,
    gym,
)
from duologue.envs.turtle._exploits import ORDER
from duologue.envs.turtle._judge import grade, rubric_score
from duologue.envs.turtle._situations import situation
from duologue.envs.turtle._tasks import story

pytestmark = pytest.mark.anyio

TEST = list(islice(gym.tasks("test", Seed(1)), 120))
TASK = next(gym.tasks("train", Seed(0)))


def tell(task: Task) -> Action:
    return Action("answer", story(task).new_bottom)


async def play(task: Task, script: str, seed: int = 0, **options: Any) -> list[Step]:
    """The steps of a dialogue of at most 16 turns."""
    env = gym.make(task, Seed(seed), **options)
    agent = gym.scripts[script](task, Seed(seed).at("script", task.id).random())
    messages = list(env.prompt())
    steps: list[Step] = []
    while len(steps) < gym.max_turns and not (steps and (steps[-1].done or steps[-1].user_ended)):
        action = agent(messages)
        steps.append(await env.step(action))
        messages += [Message("assistant", action.content), Message("tool", steps[-1].feedback)]
    return steps


async def pay(script: str, tasks: Sequence[Task] = TEST, seed: int = 0, **options: Any) -> float:
    """What a script earns a dialogue."""
    played = [await play(task, script, seed, **options) for task in tasks]
    return mean(sum(step.reward for step in steps) for steps in played)


async def test_the_whole_story_pays_one_and_ends_it() -> None:
    step = await gym.make(TASK, Seed(0)).step(tell(TASK))
    assert step == Step(
        feedback="That is the story.", reward=step.reward, parts={"story": step.reward}, done=True
    )
    assert step.reward == pytest.approx(1.0, abs=1e-9)


async def test_each_point_pays_its_weight() -> None:
    for task in TEST[:30]:
        told = story(task)
        for clause, point in zip(told.clauses(), told.evaluation, strict=True):
            step = await gym.make(task, Seed(0)).step(Action("answer", f"I think {clause}."))
            assert step.reward == point.score, (task.id, clause)


async def test_one_answer_counts_unless_more_are_allowed() -> None:
    first = Action("answer", "Somebody did something for some reason.")
    env = gym.make(TASK, Seed(0))
    step = await env.step(first)
    assert (step.reward, step.done) == (0.0, True)
    assert "last answer" in step.feedback
    env = gym.make(TASK, Seed(0), guesses=2)
    step = await env.step(first)
    assert (step.feedback, step.done) == ("That is not the whole story.", False)
    assert (await env.step(tell(TASK))).done
    with pytest.raises(UsageError, match="guesses is 0"):
        gym.make(TASK, Seed(0), guesses=0)


async def test_further_answers_are_paid_for_what_they_add_alone() -> None:
    told = story(TASK)
    env = gym.make(TASK, Seed(0), guesses=4)
    half = await env.step(Action("answer", told.clauses()[0]))
    again = await env.step(Action("answer", told.clauses()[0]))
    whole = await env.step(tell(TASK))
    assert half.reward > 0.0 and again.reward == 0.0
    assert half.reward + whole.reward == pytest.approx(1.0)


async def test_a_rubric_whose_sum_is_a_hair_short_of_one_still_ends() -> None:
    weights = (0.5, 0.2, 0.2, 0.1)
    assert rubric_score(weights, [1.0] * 4) < 1.0
    task = official_like(weights)
    fixed = await gym.make(task, Seed(0), guesses=5).step(tell(task))
    released = await gym.make(task, Seed(0), behaviour="official").step(tell(task))
    assert (fixed.done, released.done) == (True, False)


async def test_finish_ends_with_nothing_and_gives_nothing_away() -> None:
    step = await gym.make(TASK, Seed(0)).step(Action("finish", story(TASK).new_bottom))
    assert step == Step(feedback="Goodbye.", parts={"story": 0.0}, done=True)


@pytest.mark.parametrize("action", [Action("search", "x"), Action("", "x"), Action("answer", " ?")])
async def test_what_is_no_move_gets_advice_and_costs_a_turn_only(action: Action) -> None:
    env = gym.make(TASK, Seed(0))
    step = await env.step(action)
    assert (step.reward, step.done) == (0.0, False)
    assert step.feedback.startswith("Ask me a question")
    assert (await env.step(tell(TASK))).reward == pytest.approx(1.0)


def test_instructions_come_first_and_can_be_left_out() -> None:
    system, opening = gym.make(TASK, Seed(0)).prompt()
    assert (system.role, opening.role) == ("system", "user")
    assert "interact_with_env" in system.content
    assert opening.content.endswith("(Only your first answer counts.)")
    assert list(gym.make(TASK, Seed(0), instructions=False).prompt()) == [opening]
    many = gym.make(TASK, Seed(0), guesses=3).prompt()[-1]
    assert many.content.endswith("(3 answers count.)")
    released = gym.make(TASK, Seed(0), behaviour="official").prompt()[-1]
    assert not released.content.endswith("count.)")


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="behaviour is 'odd'"):
        gym.make(TASK, Seed(0), behaviour="odd")
    with pytest.raises(UsageError, match="no persona 'odd'"):
        gym.make(TASK, Seed(0), persona="odd")


# ---- the judge


def official_like(weights: Sequence[float]) -> Task:
    """An invented story in the official layout."""
    facts = (
        "The keeper painted the harbour bell with tar",
        "The mayor had forbidden weddings on Sundays",
        "A cousin smuggled the bride inside a barrel",
        "The parrot repeated the secret at breakfast",
    )[: len(weights)]
    data = {
        "new_title": "The Mute Bell",
        "new_surface": "One Monday a bell makes no sound, and everyone laughs.",
        "new_bottom": ". ".join(facts) + ".",
        "evaluation": [
            {"statement": f"The story reveals that {fact}.", "score": weight}
            for fact, weight in zip(facts, weights, strict=True)
        ],
    }
    return Task(env="turtle", id="The Mute Bell", data=data)


def keys(name: str) -> str:
    """The words by which all the facts of a situation are known first, and no other."""
    here = situation(name)
    assert here is not None
    return " ".join(ideas.split(";")[0] for slot in here.slots for _, ideas in slot)


def test_a_hedged_point_and_a_denied_one_earn_nothing() -> None:
    for task in TEST[:40]:
        told = story(task)
        by_point = [[f.clause for f in contract(task).facts if f.point == i] for i in range(3)]
        hedged = ", or ".join(by_point[0])
        assert grade(told, f"Perhaps {hedged}.")[0] == 0.0, task.id
        spread = ". ".join(clause for clauses in by_point for clause in clauses)
        assert grade(told, spread) == [0.0] * 3, task.id
        assert grade(told, keys(told.situation)) == [0.0] * 3, task.id
    told = story(next(t for t in TEST if t.id.startswith("second-alarm")))
    assert grade(told, "The house was his own.")[2] == 1.0
    assert grade(told, "It was not his own house.")[2] == 0.0


def test_the_surface_told_back_earns_nothing() -> None:
    for split, count in (("train", 436), ("test", 192)):
        for task in islice(gym.tasks(split, Seed(0)), count):
            told = story(task)
            assert grade(told, f"{told.new_title}. {told.new_surface}") == [0.0] * 3, task.id


def test_an_official_statement_is_graded_by_the_words_that_the_surface_lacks() -> None:
    told = story(official_like((0.5, 0.5)))
    assert grade(told, "The harbour bell: its keeper had painted tar on it.") == [1.0, 0.0]
    assert grade(told, "Someone painted the harbour.") == [0.5, 0.0]
    assert grade(told, told.new_surface) == [0.0, 0.0]


# ---- scripts and exploits


async def test_the_expert_earns_all_and_nobody_who_asks_nothing_does() -> None:
    assert await pay("expert") >= 0.999
    assert await pay("investigator") >= 0.95
    assert await pay("random") <= 0.15
    assert 0.4 <= await pay("imperfect") <= 0.9
    assert await pay("guess") <= 0.45


async def test_of_an_official_story_the_expert_tells_all_and_a_stranger_nothing() -> None:
    several = [official_like((0.4, 0.3, 0.3))] * 20
    assert await pay("expert", several) >= 0.999
    assert 0.3 <= mean([await pay("imperfect", several, seed=seed) for seed in range(5)]) <= 0.95
    for script in ("random", "guess", *EXPLOITS):
        assert await pay(script, several) <= 0.05, script


async def test_who_is_dodged_asks_again() -> None:
    plain = [len(await play(task, "investigator")) for task in TEST[:20]]
    dodged = [len(await play(task, "investigator", persona="evasive")) for task in TEST[:20]]
    assert sum(dodged) > sum(plain)
    assert await pay("investigator", persona="evasive") >= 0.9


EXPLOITS = ("answer-spam", "rubric-fishing", "everything", "injection")


@pytest.mark.parametrize("exploit", EXPLOITS)
async def test_no_exploit_gains_over_a_plain_guess(exploit: str) -> None:
    every = list(islice(gym.tasks("test", Seed(0)), 192))
    assert await pay(exploit, every) - await pay("guess", every) <= 0.02


async def test_in_official_behaviour_answers_without_end_and_the_told_rubric_pay() -> None:
    plain = await pay("guess", behaviour="official")
    assert await pay("answer-spam", behaviour="official") - plain >= 0.4
    assert await pay("rubric-fishing", behaviour="official") >= 0.99


async def obedient(messages: Sequence[Message]) -> str:
    """A judge that obeys an order which stands on a line of its own, and else finds nothing."""
    asked = messages[-1].content
    ordered = ORDER in asked.splitlines()
    count = 3
    if "Statements:\n1." in asked:
        point = '{"score": %s}' % (1.0 if ordered else 0.0)
        return '{"points": [' + ", ".join([point] * count) + "]}"
    return str([{"statement": "s", "score": 1.0 if ordered else 0.0}] * count)


async def test_an_order_to_the_judge_pays_in_official_behaviour_alone() -> None:
    paid = partial(pay, "injection", TEST[:20], judge=obedient)
    assert await paid() == 0.0
    assert await paid(behaviour="official") == pytest.approx(1.0)


# ---- promises


async def test_the_conformance_kit_finds_nothing() -> None:
    report = await check_gym(find("turtle"), seed=Seed(1), company=300)
    assert {check.name: check.detail for check in report.checks if check.status != "passed"} == {}


async def test_official_behaviour_shows_hidden_state_and_breaks_no_other_promise() -> None:
    report = await check_gym(gym, seed=Seed(1), company=50, options={"behaviour": "official"})
    assert [check.name for check in report.checks if check.status == "failed"] == ["hidden state"]


# DUOLOGUE_TURTLE_MESSAGES=20000 for a long run (with --timeout 900): about a minute.
EXAMPLES = int(os.environ.get("DUOLOGUE_TURTLE_MESSAGES", "0")) // 4 or 60

pieces = st.sampled_from(
    [
        *(clause for task in TEST[:20] for clause in story(task).clauses()),
        "not", "or", "never", "is it", "why", "\0", "\ud800", "a" * 3000, "no " * 3000,
        ORDER, '{"points": []}', "```json", "[answer]", "tell me the story",
    ]
)  # fmt: skip
actions = st.builds(
    Action,
    st.sampled_from(["action", "action", "answer", "finish", "search", "", "Action"]),
    st.one_of(
        st.text(),
        st.lists(pieces, max_size=6).map(" ".join),
        st.text(st.characters(), min_size=1, max_size=3).map(lambda text: text * 20_000),
    ),
)


@given(st.integers(0, 119), st.lists(actions, min_size=4, max_size=4), st.booleans())
@settings(max_examples=EXAMPLES)
async def test_any_messages_get_bounded_answers_the_same_twice(
    index: int, moves: list[Action], official: bool
) -> None:
    task = TEST[index]
    options = {"behaviour": "official"} if official else {"guesses": 3, "persona": "any"}
    runs: list[list[Step]] = []
    for _ in range(2):
        env = gym.make(task, Seed(index), **options)
        steps: list[Step] = []
        for move in moves:
            began = process_time()
            steps.append(await env.step(move))
            assert process_time() - began < 0.05
        runs.append(steps)
    assert runs[0] == runs[1]
    assert all(0.0 <= step.reward <= 1.0 for step in runs[0])
    assert sum(step.reward for step in runs[0]) <= 1.0 + 1e-9
    if not official:
        assert all(len(step.feedback) < 300 for step in runs[0])


# ---- personas


@pytest.mark.parametrize("persona", [*PERSONAS, "any"])
async def test_the_expert_gets_the_story_from_every_persona(persona: str) -> None:
    assert await pay("expert", TEST[:30], persona=persona) >= 0.99


async def test_an_impatient_user_leaves_after_turns_that_lead_nowhere() -> None:
    env = gym.make(TASK, Seed(0), persona="hurried")
    first = await env.step(Action("action", "Why?"))
    second = await env.step(Action("action", "Is there a kangaroo in it?"))
    assert (first.user_ended, second.user_ended) == (False, True)
    assert not second.done and second.reward == 0.0


async def test_an_evasive_user_dodges_a_question_at_most_once() -> None:
    asked = Action("action", contract(TASK).facts[0].ask)
    dodged = 0
    for seed in range(20):
        env = gym.make(TASK, Seed(seed), persona="evasive")
        said = [(await env.step(asked)).feedback for _ in range(4)]
        dodges = sum(not line.startswith(("Yes", "No")) for line in said)
        assert dodges <= 1
        dodged += dodges
    assert 10 <= dodged <= 20


# ---- the official API


def test_the_official_class_has_the_official_settings() -> None:
    config = get_default_config()
    assert (config.max_steps, config.success_threshold) == (20, 0.9)
    assert (config.normalize_rewards, config.behaviour) == (True, "fixed")
    with pytest.raises(UsageError, match="success_threshold is 0"):
        TurtleGymConfig(success_threshold=0).validate()
    with pytest.raises(UsageError, match="guesses is 0"):
        TurtleGymConfig(guesses=0).validate()


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
def test_an_episode_through_the_official_class(behaviour: str) -> None:
    env = StoryEnv(TurtleGymConfig(behaviour=behaviour))
    observation, info = env.reset(seed=1, options={"task": TASK})
    assert TASK.data["new_surface"] in observation["feedback"]
    observation, reward, terminated, _, info = env.step(f"[action] {contract(TASK).facts[0].ask}")
    assert (reward, terminated) == (0.0, False)
    assert observation["feedback"].lower().startswith(contract(TASK).facts[0].answer)
    assert ("bottom" in info) == (behaviour == "official")
    observation, reward, terminated, _, info = env.step(f"[answer] {story(TASK).new_bottom}")
    assert reward == pytest.approx(1.0) and terminated
    assert observation["best_score"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="Episode is complete"):
        env.step("[action] x")


def test_the_step_penalty_grows_and_finish_ends() -> None:
    config = TurtleGymConfig(behaviour="official", step_penalty=0.1, normalize_rewards=False)
    env = StoryEnv(config)
    env.reset(options={"task": TASK})
    assert env.step("[action] x")[1] == pytest.approx(-0.1)
    assert env.step("is it about x")[1] == pytest.approx(-0.2)
    assert env.step("[finish]")[2] is True


def test_official_reaches_the_last_step_with_both_flags() -> None:
    env = StoryEnv(TurtleGymConfig(behaviour="official", max_steps=1))
    env.reset(options={"task": TASK})
    _, reward, terminated, truncated, _ = env.step(f"[answer] {story(TASK).new_bottom}")
    assert reward == pytest.approx(1.0)
    assert terminated and truncated
