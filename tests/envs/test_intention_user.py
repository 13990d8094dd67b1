"""The rule-based user: understands meaning, takes one question at a time, gives nothing away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Seed, Task
from duologue.envs.intention import gym
from duologue.envs.intention._matcher import Matcher, Subject
from duologue.envs.intention._tasks import Wish, wish
from duologue.envs.intention._user import User
from duologue.envs.intention._world import DOMAINS, VALUES, world

GYMS = "data/userrl/gyms"

WEEKEND = Task(
    env="intention",
    id="weekend",
    data={
        "category": "Travel",
        "task": "Help me plan a weekend away with my family.",
        "missing_details": [
            {
                "description": "Budget constraints",
                "importance": "3",
                "inquiry": "Do you have a specific budget in mind for the weekend?",
                "options": ["Under $300", "$300 to $800", "No limit"],
            },
            {
                "description": "Preferred type of accommodation",
                "importance": "2",
                "inquiry": "Would you rather stay in a hotel, a cabin or a tent?",
                "options": ["Hotel", "Cabin", "Tent"],
            },
            {
                "description": "Age of the children",
                "importance": "2",
                "inquiry": "How old are your children?",
                "options": ["Toddlers", "School age", "Teenagers"],
            },
            {
                "description": "Departure date",
                "importance": "2",
                "inquiry": "On which day would you like to leave?",
                "options": ["Friday evening", "Saturday morning"],
            },
            {
                "description": "Dietary restrictions",
                "importance": "1",
                "inquiry": "Are there foods that someone must not have?",
                "options": ["Vegetarian", "Nut allergy", "None"],
            },
        ],
    },
)
SCRIPT = Task(
    env="intention",
    id="script",
    data={
        "category": "Programming",
        "task": "Write a script that cleans up my photos.",
        "missing_details": [
            {
                "description": "Programming language",
                "importance": "3",
                "inquiry": "Which programming language would you like the script to be in?",
                "options": ["Python", "Bash"],
            },
            {
                "description": "Location of the photo folder",
                "importance": "3",
                "inquiry": "Where are the photos stored?",
                "options": ["Local disk", "Cloud drive"],
            },
            {
                "description": "Handling of duplicates",
                "importance": "2",
                "inquiry": "What should happen to photos that occur twice?",
                "options": ["Delete them", "Move them to a folder"],
            },
            {
                "description": "Frequency of the clean-up",
                "importance": "1",
                "inquiry": "Should it run once or on a schedule?",
                "options": ["Once", "Every week"],
            },
        ],
    },
)


def understood(task: Task, question: str) -> list[str]:
    """The descriptions of the details that a fresh user hears in a question."""
    return [d.description for d in User(wish(task), Seed(0)).hear(question).covered]


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("How much money can you spend?", "Budget constraints"),
        ("What is the most this may cost?", "Budget constraints"),
        ("Is there a price limit I should respect?", "Budget constraints"),
        ("What kind of lodging would suit you?", "Preferred type of accommodation"),
        ("Do you want a cabin or a hotel?", "Preferred type of accommodation"),
        ("How old are the kids?", "Age of the children"),
        ("Tell me the ages of your kids, please.", "Age of the children"),
        ("When do you want to depart?", "Departure date"),
        ("Which date works for leaving?", "Departure date"),
        ("Is anyone vegetarian or allergic to something?", "Dietary restrictions"),
        ("Any diet I have to keep in mind?", "Dietary restrictions"),
    ],
)
def test_paraphrases_of_a_trip_are_understood(question: str, meant: str) -> None:
    assert understood(WEEKEND, question) == [meant]


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("What should it be programmed in? Python?", "Programming language"),
        ("Which language do you prefer?", "Programming language"),
        ("Where do you keep them?", "Location of the photo folder"),
        ("What is the path of the directory?", "Location of the photo folder"),
        ("What shall I do with a duplicate?", "Handling of duplicates"),
        ("How often should it run?", "Frequency of the clean-up"),
        ("Is this weekly or just once?", "Frequency of the clean-up"),
    ],
)
def test_paraphrases_of_a_script_are_understood(question: str, meant: str) -> None:
    assert understood(SCRIPT, question) == [meant]


@pytest.mark.parametrize(
    "question",
    [
        "",
        "?!",
        "Can you tell me more?",
        "Anything else I should know?",
        "What are your preferences?",
        "Do you have any specific requirements?",
        "What is the capital of France?",
        "Who won the football game?",
        "What is the weather like today?",
        "Is it raining where you are right now?",
        "How is the weather in your city?",
        "xqzt wvb",
    ],
)
@pytest.mark.parametrize("task", [WEEKEND, SCRIPT], ids=lambda task: task.id)
def test_questions_about_nothing_in_particular_are_not(task: Task, question: str) -> None:
    assert understood(task, question) == []


@pytest.mark.parametrize(
    "question",
    [
        "What is your budget, and how old are the children?",
        "Budget? Lodging? Departure date?",
        "Tell me your dietary restrictions and your departure date.",
    ],
)
def test_a_question_that_names_several_details_is_answered_on_none(question: str) -> None:
    user = User(wish(WEEKEND), Seed(0))
    reply = user.hear(question)
    assert reply.covered == ()
    assert reply.text in {"One thing at a time, please.", "Too many questions at once."}
    assert len(user.hear("What is your budget?").covered) == 1


def test_the_user_wants_one_thing_and_says_it_once() -> None:
    user = User(wish(WEEKEND), Seed(1))
    first = user.hear("What is your budget?")
    assert any(option in first.text for option in ("Under $300", "$300 to $800", "No limit"))
    again = user.hear("How much can you spend?")
    assert again.covered == ()
    assert "know" in again.text or "told" in again.text


def test_what_the_user_wants_does_not_depend_on_when_it_is_asked() -> None:
    for seed in range(20):
        early, late = User(wish(SCRIPT), Seed(seed)), User(wish(SCRIPT), Seed(seed))
        late.hear("Where are the photos?")
        late.hear("What about duplicates?")
        answers = (early.hear("Which language?").text, late.hear("Which language?").text)
        assert ("Python" in answers[0]) == ("Python" in answers[1])


def test_users_of_different_seeds_differ() -> None:
    answers = {User(wish(WEEKEND), Seed(i)).hear("What is your budget?").text for i in range(40)}
    assert len(answers) > 6


def test_the_weather_is_heard_only_where_a_detail_is_about_it() -> None:
    hike = Matcher(
        [
            Subject("Expected weather conditions", "What weather do you expect?", ("Sunny",)),
            Subject("Location of the hike", "Where will you hike?", ("Alps", "Coast")),
        ],
        "What gear do I need for a hike?",
    )
    assert hike.hear("What weather do you expect on the way?").subjects == (0,)
    assert hike.hear("What is the weather like today?").subjects == ()
    assert hike.hear("Where will it be?").subjects == (1,)
    place = Matcher([Subject("User's location", "Where do you live?", ("Paris",))])
    assert place.hear("Could you describe the current weather in your area?").subjects == ()


# ---- the small world


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_topic_is_heard_by_its_name_in_every_domain(domain: str) -> None:
    here = world(domain)
    for i, topic in enumerate(here.topics):
        for ask in ("What about the {}?", "Which {} do you want?", "Tell me the {}.", "{}"):
            assert here.matcher.hear(ask.format(topic)).subjects == (i,)


@pytest.mark.parametrize("domain", list(DOMAINS)[:4])
def test_no_two_topics_pass_for_one_question(domain: str) -> None:
    here = world(domain)
    for a, b in combinations(here.topics, 2):
        for question in (f"What about the {a} and the {b}?", f"{b} {a}"):
            assert len(here.matcher.hear(question).subjects) > 1, question


def test_topics_are_understood_by_meaning_too() -> None:
    here = world("restaurant")
    for question, topic in {
        "How much can you spend?": "budget",
        "What is your price range?": "budget",
        "When?": "time",
        "Where should it be?": "place",
        "What kind of food?": "cuisine",
        "Thai or indian?": "cuisine",
        "How many people are coming?": "guests",
        "Any allergies?": "diet",
    }.items():
        assert here.matcher.hear(question).subjects == (here.topics.index(topic),), question


# ---- any text at all

generated = st.integers(0, 50).map(lambda i: next(islice(gym.tasks("train", Seed(i)), 1)))
vocabulary = st.sampled_from(
    sorted({*VALUES, *sum(VALUES.values(), ()), "what", "about", "the", "and", "where", "weather"})
)
questions = st.one_of(st.text(), st.lists(vocabulary, max_size=6).map(" ".join))


def other_values(task: Task) -> Task:
    """The same task of a user who wants something else of everything."""
    details: list[dict[str, object]] = []
    for detail in task.data["missing_details"]:
        options = detail["options"]
        value = options[(options.index(detail["value"]) + 1) % len(options)]
        details.append(detail | {"value": value})
    return Task(env=task.env, id="other", data=task.data | {"missing_details": details})


@given(generated, st.lists(questions, max_size=8), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_what_was_not_asked_for_shows_in_no_word(task: Task, said: list[str], seed: int) -> None:
    """Two users who differ only in what they want say the same until they are asked for it."""
    one, two = User(wish(task), Seed(seed)), User(wish(other_values(task)), Seed(seed))
    for question in said:
        a, b = one.hear(question), two.hear(question)
        assert len(a.covered) == len(b.covered) <= 1
        if not a.covered:
            assert a.text == b.text


@given(st.sampled_from([WEEKEND, SCRIPT]), st.lists(questions, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_reply_holds_no_option_of_another_detail(task: Task, said: list[str]) -> None:
    user = User(wish(task), Seed(0))
    for question in said:
        reply = user.hear(question)
        for detail in wish(task).missing_details:
            if detail not in reply.covered:
                assert not any(f"{o}." in reply.text for o in detail.options)


@given(generated, st.lists(questions, max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_detail_is_covered_once(task: Task, said: list[str]) -> None:
    user = User(wish(task), Seed(0))
    covered = [d.description for question in said for d in user.hear(question).covered]
    assert len(covered) == len(set(covered))
    assert user.satisfied == (len(covered) == len(task.data["missing_details"]))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "budget place " * 8_000,
        "\U0001f600" * 100_000,
        "\ud800\x00\u202e" * 30_000,
        " ".join(map(str, range(20_000))),
        "\u0130\u00df'\u2019" * 25_000,
    ],
    ids=["one word", "many words", "emoji", "surrogates", "numbers", "case"],
)
def test_huge_and_odd_texts_are_heard_in_no_time(text: str) -> None:
    user = User(wish(WEEKEND), Seed(0))
    user.hear("warm up")
    start = time.thread_time()
    user.hear(text)
    assert time.thread_time() - start < 0.05


# ---- the official tasks


@pytest.fixture(scope="module")
def official(shared: Path) -> Iterator[list[Wish]]:
    assert gym.read is not None
    names = ("all_intentions_train.json", "all_intentions_test.json")
    yield [wish(task) for name in names for task in gym.read(shared / GYMS / name)]


def test_official_inquiries_are_understood_even_unseen(official: list[Wish]) -> None:
    """The matcher that never saw an inquiry tells which detail it asks for."""
    right = wrong = total = 0
    for wanted in official:
        details = wanted.missing_details
        matcher = Matcher([Subject(d.description, "", d.options) for d in details], wanted.task)
        for i, detail in enumerate(details):
            heard = matcher.hear(detail.inquiry).subjects
            total += 1
            right += heard == (i,)
            wrong += len(heard) == 1 and heard != (i,)
    assert total == 3965
    assert right / total > 0.88
    assert wrong / total < 0.02


@pytest.mark.parametrize(
    "question",
    [
        "What is the weather like today?",
        "Is it raining where you are right now?",
        "How is the weather in your city?",
        "Do you think it will rain tomorrow?",
        "Can you tell me more?",
        "What are your preferences?",
        "Tell me a joke.",
    ],
)
def test_small_talk_covers_no_official_detail(official: list[Wish], question: str) -> None:
    assert not any(User(wanted, Seed(0)).hear(question).covered for wanted in official)
