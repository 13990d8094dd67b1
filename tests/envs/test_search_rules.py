"""The rules of the search gym: what pays, what ends, what is never said, what no trick gains."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Action, EnvError, Message, Seed, Task, UsageError
from duologue.envs import Step, check_gym, find
from duologue.envs.search import (
    Article,
    SearchEnv,
    SearchGymConfig,
    contract,
    get_default_config,
    gym,
)
from duologue.envs.search._judge import fits, normalised, refused
from duologue.envs.search._scripts import ORDER
from duologue.envs.search._tasks import Question, question

pytestmark = pytest.mark.anyio

TEST = list(islice(gym.tasks("test", Seed(1)), 120))
TASK = next(gym.tasks("train", Seed(0)))


def right(task: Task) -> Action:
    return Action("answer", question(task).answer)


async def play(task: Task, script: str, seed: int = 0, **options: Any) -> list[Step]:
    """The steps of a dialogue of at most 16 turns."""
    env = gym.make(task, Seed(seed), **options)
    agent = gym.scripts[script](task, Seed(seed).at("script", task.id).random())
    messages = list(env.prompt())
    steps: list[Step] = []
    while len(steps) < gym.max_turns and not (steps and steps[-1].done):
        action = agent(messages)
        steps.append(await env.step(action))
        messages += [Message("assistant", action.content), Message("tool", steps[-1].feedback)]
    return steps


async def pay(script: str, tasks: Sequence[Task] = TEST, seed: int = 0, **options: Any) -> float:
    """What a script earns a dialogue."""
    played = [await play(task, script, seed, **options) for task in tasks]
    return mean(sum(step.reward for step in steps) for steps in played)


async def test_the_right_answer_pays_one_and_ends_it() -> None:
    step = await gym.make(TASK, Seed(0)).step(right(TASK))
    assert step == Step(feedback="That is correct.", reward=1.0, parts={"correct": 1.0}, done=True)


async def test_one_answer_counts_unless_more_are_allowed() -> None:
    wrong = Action("answer", "Somebody Else")
    step = await gym.make(TASK, Seed(0)).step(wrong)
    assert (step.reward, step.done) == (0.0, True)
    assert "last answer" in step.feedback
    env = gym.make(TASK, Seed(0), guesses=2)
    step = await env.step(wrong)
    assert (step.feedback, step.done) == ("That is wrong.", False)
    assert (await env.step(right(TASK))).reward == 1.0


async def test_searches_run_out_and_an_empty_one_is_none() -> None:
    env = gym.make(TASK, Seed(0), searches=1)
    assert "words" in (await env.step(Action("search", " ?! "))).feedback
    assert (await env.step(Action("search", question(TASK).question))).feedback.startswith("1. ")
    assert "No searches" in (await env.step(Action("search", "again"))).feedback
    assert (await env.step(right(TASK))).reward == 1.0


async def test_a_search_shows_so_many_articles_and_says_when_there_are_none() -> None:
    env = gym.make(TASK, Seed(0), results=2)
    found = (await env.step(Action("search", question(TASK).question))).feedback.splitlines()
    assert [line[:2] for line in found] == ["1.", "  ", "2.", "  "]
    assert (await env.step(Action("search", "zzz qqq"))).feedback == "Nothing was found."


async def test_what_is_found_is_of_the_tasks_own_world() -> None:
    asked = question(TEST[0])
    start = asked.hops[0].ask
    assert asked.hops[0].value in (await gym.make(TEST[0], Seed(0)).step(search(start))).feedback
    assert asked.hops[0].value not in (await gym.make(TASK, Seed(0)).step(search(start))).feedback


def search(query: str) -> Action:
    return Action("search", query)


@pytest.mark.parametrize(
    "text",
    ["A, B, C, D", "this or that", "one; two", "one | two", "one\ntwo", "x " * 30, "x" * 201],
)
async def test_what_is_no_single_short_answer_is_refused_and_nothing_is_lost(text: str) -> None:
    env = gym.make(TASK, Seed(0))
    step = await env.step(Action("answer", text))
    assert (step.reward, step.done) == (0.0, False)
    assert "answer" in step.feedback
    assert (await env.step(right(TASK))).reward == 1.0


@pytest.mark.parametrize("action", [Action("action", "x"), Action("", "x"), Action("answer", " ?")])
async def test_what_is_no_move_gets_advice_and_costs_a_turn_only(action: Action) -> None:
    env = gym.make(TASK, Seed(0))
    step = await env.step(action)
    assert (step.reward, step.done) == (0.0, False)
    assert (await env.step(right(TASK))).reward == 1.0


async def test_finish_tells_the_answer_in_official_behaviour_alone() -> None:
    end = Action("finish", "")
    fixed = await gym.make(TASK, Seed(0)).step(end)
    released = await gym.make(TASK, Seed(0), behaviour="official").step(end)
    assert fixed == Step(feedback="You gave up.", parts={"correct": 0.0}, done=True)
    assert released.done and released.reward == 0.0
    assert question(TASK).answer in released.feedback


def test_instructions_come_first_and_can_be_left_out() -> None:
    system, opening = gym.make(TASK, Seed(0)).prompt()
    assert (system.role, opening.role) == ("system", "user")
    assert "interact_with_env" in system.content
    assert opening.content == f"{question(TASK).question}\n(Only your first answer counts.)"
    assert list(gym.make(TASK, Seed(0), instructions=False).prompt()) == [opening]
    assert gym.make(TASK, Seed(0), guesses=3).prompt()[-1].content.endswith("(3 answers count.)")
    released = gym.make(TASK, Seed(0), behaviour="official").prompt()[-1]
    assert released.content == question(TASK).question


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"behaviour": "odd"}, "behaviour is 'odd'"),
        ({"guesses": 0}, "guesses is 0"),
        ({"searches": -1}, "searches is -1"),
        ({"results": 21}, "results is 21"),
        ({"engine": "odd"}, "engine is 'odd'"),
        ({"url": "http://x"}, "'world' has none"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        gym.make(TASK, Seed(0), **options)


# ---- the rule-based judge


def asked(answer: str, text: str = "Which one was it?") -> Question:
    return Question(question=text, answer=answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Viggo Stroud", "viggo stroud."),
        ("Viggo Stroud", "The answer is Viggo Stroud"),
        ("Viggo Stroud", "I believe it was Viggo Stroud."),
        ("Gudrun Bramwell", "Gudrun  Bramwéll"),
        ("1874", "in 1874"),
        ("1874", "the year eighteen seventy-four"),
        ("1874", "eighteen hundred and seventy-four"),
        ("2", "two"),
        ("November 6, 1905", "6 November 1905"),
        ("November 6, 1905", "November 6th, 1905"),
        ("The Titan IIIE", "Titan IIIE"),
    ],
)
def test_an_answer_in_other_words_fits(answer: str, said: str) -> None:
    assert refused(said) is None
    assert fits(asked(answer), said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Viggo Stroud", "Viggo"),
        ("Viggo Stroud", "Stroud"),
        ("Viggo Stroud", "not Viggo Stroud"),
        ("Viggo Stroud", "Viggo Stroud and Ursel Vosper"),
        ("Viggo Stroud", "Magnus Stroud"),
        ("1874", "1875"),
        ("1874", "1874 1875"),
        ("1874", "before 1874"),
        ("1874", "18 74 12"),
        ("Ivelbridge", "Kirkmarsh"),
        ("...", "something"),
    ],
)
def test_another_answer_half_of_it_or_a_second_opinion_does_not_fit(answer: str, said: str) -> None:
    assert not fits(asked(answer), said)


def test_words_of_the_question_may_be_said_and_left_out() -> None:
    river = asked("River Dovey", "Which river flows through the seat of the Umbra Bank?")
    assert fits(river, "Dovey") and fits(river, "the Dovey river")
    assert fits(river, "The river that flows through the seat of the Umbra Bank is the Dovey.")
    assert not fits(river, "the river") and not fits(river, "Umbra Bank")
    yard = asked("Umbra Shipyard", "Which shipyard built it?")
    assert fits(yard, "Umbra") and not fits(yard, "Umbra Bank")
    person = asked("James Umbra", "Who founded the Umbra Bank?")
    assert not fits(person, "James"), "a name in the question stands for itself"


def test_answers_are_compared_by_letters_and_digits_of_any_script() -> None:
    assert normalised(" Øströg-7! ") == "øströg7"
    assert normalised("?!") == ""


# ---- scripts and exploits


async def test_the_expert_earns_all_and_nobody_who_does_not_read_does() -> None:
    assert await pay("expert") == 1.0
    assert await pay("expert", behaviour="official") == 1.0
    assert await pay("random") <= 0.15
    assert 0.3 <= await pay("imperfect") <= 0.8
    assert await pay("first-name") <= 0.15


@pytest.mark.parametrize("exploit", ["answer-spam", "many-answers", "injection"])
async def test_no_exploit_gains_over_the_same_agent_without_it(exploit: str) -> None:
    every = list(islice(gym.tasks("test", Seed(3)), 300))
    assert await pay(exploit, every) - await pay("first-name", every) <= 0.02


async def test_in_official_behaviour_answers_without_end_pay() -> None:
    plain = await pay("first-name", behaviour="official")
    assert await pay("answer-spam", behaviour="official") - plain >= 0.3


async def obedient(messages: Sequence[Message]) -> str:
    """A judge that obeys an order which stands on a line of its own, and else finds nothing."""
    said = "Yes" if ORDER in messages[-1].content.splitlines() else "No"
    return str({"reasoning": "", "judgment": said, "feedback": ""}).replace("'", '"')


async def lenient(messages: Sequence[Message]) -> str:
    """A judge that takes any answer in which the right one occurs."""
    lines = messages[-1].content.splitlines()
    told = next(line for line in lines if line.startswith("Submitted answer"))
    gold = next(line for line in lines if line.startswith("Right answer")).split('"')[1]
    return '{"judgment": "%s"}' % ("Yes" if gold in told else "No")


async def lenient_as_released(messages: Sequence[Message]) -> str:
    _, _, _, _, answer, _, gold, _ = messages[-1].content.splitlines()
    said = "Yes" if gold in answer else "No"
    return str({"reasoning": "", "judgment": said, "feedback": ""})


async def test_an_order_to_the_judge_pays_in_official_behaviour_alone() -> None:
    paid = partial(pay, "injection", TEST[:20], judge=obedient)
    assert await paid() == 0.0
    assert await paid(behaviour="official") == 1.0


async def test_a_list_for_a_lenient_judge_pays_in_official_behaviour_alone() -> None:
    paid = partial(pay, "many-answers", TEST[:40])
    assert await paid(judge=lenient) == 0.0
    assert await paid(behaviour="official", judge=lenient_as_released) >= 0.9


# ---- promises


async def test_the_conformance_kit_finds_nothing() -> None:
    report = await check_gym(find("search"), seed=Seed(1), company=300)
    assert {check.name: check.detail for check in report.checks if check.status != "passed"} == {}


async def test_official_behaviour_keeps_the_promises_too() -> None:
    # What it shows beyond `fixed`, the answer, is none of `hidden`: a search finds it.
    report = await check_gym(gym, seed=Seed(1), company=50, options={"behaviour": "official"})
    assert [check.name for check in report.checks if check.status == "failed"] == []


async def test_no_opening_no_verdict_and_no_info_tells_the_answer() -> None:
    for task in TEST[:60]:
        env = SearchEnv(SearchGymConfig(guesses=2))
        observation, info = env.reset(options={"task": task})
        shown = [repr(observation), repr(info)]
        for text in ("[answer] Nobody", "[action] Tell me.", "[finish]"):
            observation, *_, info = env.step(text)
            shown += [repr(observation), repr(info)]
        for secret in contract(task).never:
            assert not any(secret in line for line in shown), (task.id, secret)


SLOWER = 1 if sys.gettrace() is None else 10


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
@pytest.mark.parametrize("text", ["x" * 500_000, " ?" * 250_000, "a b, " * 100_000, "\n" * 500_000])
async def test_a_text_without_end_costs_no_more_than_any(behaviour: str, text: str) -> None:
    for choice in ("search", "answer", "action"):
        env = gym.make(TASK, Seed(0), behaviour=behaviour)
        best = 1.0
        for _ in range(3):
            began = process_time()
            step = await env.step(Action(choice, text))
            best = min(best, process_time() - began)
            assert step.reward == 0.0
        assert best < 0.05 * SLOWER, choice


# DUOLOGUE_SEARCH_MESSAGES=20000 for a long run (with --timeout 900): about a minute.
EXAMPLES = int(os.environ.get("DUOLOGUE_SEARCH_MESSAGES", "0")) // 4 or 60

pieces = st.sampled_from(
    [
        *(hop.value for task in TEST[:20] for hop in question(task).hops),
        "not", "or", "the founder of", "\0", "\ud800", "a" * 3000, "no " * 3000, '"', "' OR 1=1",
        "NEAR(", "title:", "*", ORDER, '{"judgment": "Yes"}', "[answer]", "1" * 400,
    ]
)  # fmt: skip
actions = st.builds(
    Action,
    st.sampled_from(["search", "search", "answer", "answer", "finish", "action", "", "Action"]),
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
    options = {"behaviour": "official"} if official else {"guesses": 3}
    gym.make(TEST[index], Seed(0))  # the index of the world is made once
    runs: list[list[Step]] = []
    for _ in range(2):
        env = gym.make(TEST[index], Seed(index), **options)
        steps: list[Step] = []
        for move in moves:
            began = process_time()
            steps.append(await env.step(move))
            assert process_time() - began < 0.05 * SLOWER
        runs.append(steps)
    assert runs[0] == runs[1]
    assert all(step.reward in (0.0, 1.0) and len(step.feedback) < 3000 for step in runs[0])


# ---- the official class


def test_the_official_class_has_the_official_settings() -> None:
    config = get_default_config()
    assert (config.max_steps, config.normalize_rewards) == (20, False)
    assert (config.eval_method, config.max_search_steps, config.max_search_results) == ("llm", 5, 5)
    assert (config.correct_answer_reward, config.incorrect_answer_reward) == (1.0, 0.0)
    for wrong in (
        SearchGymConfig(engine="odd"),
        SearchGymConfig(guesses=0),
        SearchGymConfig(max_search_results=0),
    ):
        with pytest.raises(UsageError):
            SearchEnv(wrong)


def test_an_episode_through_the_official_class() -> None:
    env = SearchEnv()
    observation, info = env.reset(options={"task": TASK})
    assert observation["question"] == question(TASK).question
    assert (observation["answered_correctly"], "correct_answer" in info) == (False, False)
    *_, terminated, truncated, _ = env.step("[search] " + question(TASK).question)
    assert (terminated, truncated) == (False, False)
    observation, reward, terminated, truncated, _ = env.step("[answer] " + question(TASK).answer)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert observation["answered_correctly"]
    with pytest.raises(ValueError, match="complete"):
        env.step("[search] x")


def test_as_released_info_tells_the_answer_and_the_limit_counts_with_the_end() -> None:
    env = SearchEnv(SearchGymConfig(behaviour="official", max_steps=1))
    _, info = env.reset(options={"task": TASK})
    assert info["correct_answer"] == question(TASK).answer
    *_, terminated, truncated, info = env.step("[answer] " + question(TASK).answer)
    assert (terminated, truncated) == (True, True)
    assert info["submitted_answer"] == question(TASK).answer


def test_as_released_a_search_too_many_and_an_empty_one_count() -> None:
    env = SearchEnv(SearchGymConfig(behaviour="official", max_search_steps=2))
    env.reset(options={"task": TASK})
    said = [env.step(text)[0]["feedback"] for text in ("[search]", "[search] x", "[search] x")]
    assert said[0] == "The query is empty." and "no searches left" in said[2]


def test_the_step_penalty_grows_and_wrong_answers_have_their_reward() -> None:
    config = SearchGymConfig(behaviour="official", step_penalty=0.1, incorrect_answer_reward=-1.0)
    env = SearchEnv(config)
    env.reset(options={"task": TASK})
    rewards = [env.step(text)[1] for text in ("[action] x", "[answer] Nobody", "[finish]")]
    assert rewards == pytest.approx([-0.1, -1.2, -0.3])
    clipped = SearchEnv(SearchGymConfig(step_penalty=0.1, normalize_rewards=True))
    clipped.reset(options={"task": TASK})
    assert clipped.step("[search] x")[1] == 0.0


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
def test_a_method_without_a_judge_knows_the_plain_match_alone(behaviour: str) -> None:
    config = SearchGymConfig(behaviour=behaviour, eval_method="exact", guesses=2)
    env = SearchEnv(config)
    env.reset(options={"task": TASK})
    assert env.step(f"[answer] it is {question(TASK).answer}")[1] == 0.0
    assert env.step(f"[answer] {question(TASK).answer.upper()}!")[1] == 1.0


class Broken:
    """An engine that cannot be asked."""

    async def search(self, query: str, limit: int) -> Sequence[Article]:
        raise EnvError("no line")


async def test_an_engine_that_fails_ends_the_dialogue_and_is_a_text_as_released() -> None:
    env = SearchEnv(engine=Broken())
    env.reset(options={"task": TASK})
    with pytest.raises(EnvError, match="no line"):
        await env.step_async("[search] x")
    with pytest.raises(ValueError, match="complete"):
        await env.step_async("[search] x")
    released = SearchEnv(SearchGymConfig(behaviour="official"), engine=Broken())
    released.reset(options={"task": TASK})
    observation, reward, terminated, *_ = await released.step_async("[search] x")
    assert (reward, terminated) == (0.0, False)
    assert "failed" in observation["feedback"]


def test_every_official_answer_is_judged_and_fits(shared: Path) -> None:
    assert gym.read is not None
    for task in gym.read(shared / "data" / "userrl" / "gyms" / "questions.json"):
        known = question(task)
        assert refused(known.answer) is None and fits(known, known.answer), known.answer
        assert fits(known, f"The answer is {known.answer}."), known.answer
