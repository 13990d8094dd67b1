"""The rule-based user of the telepathy gym: understands, answers truly, and gives nothing away."""

from __future__ import annotations

import time
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Action, Seed, Task, UsageError
from duologue.envs import PERSONAS, persona
from duologue.envs._persona import _AFTER, _BEFORE, _DODGES, _DOUBTS, _LEAVES
from duologue.envs.telepathy import contract, gym
from duologue.envs.telepathy._base import MAYBE, NO, YES, domains
from duologue.envs.telepathy._gym import called, user_of
from duologue.envs.telepathy._memory import known_entity
from duologue.envs.telepathy._tasks import target
from duologue.envs.telepathy._user import _AGAIN, _SAID, _UNCLEAR, User, verdict_in

pytestmark = pytest.mark.anyio


def user(domain: str, name: str, manner: str = "plain", seed: int = 0) -> User:
    world = domains()[domain]
    entity = world.called(name)
    assert entity is not None
    return User((world, entity), Seed(seed), persona(manner, Seed(seed)))


LION = [
    ("Is it a mammal?", YES),
    ("is this thing some kind of feline", YES),
    ("Would you say it is a big cat?", YES),
    ("Does it live in Africa?", YES),
    ("Can it be found on the African continent?", YES),
    ("Is it found in Africa or in Australia?", YES),
    ("Is it found in Europe or in Australia?", NO),
    ("Does it live in Africa and have a mane?", YES),
    ("Does it have a mane and wings?", NO),
    ("Is it furry?", YES),
    ("Does it have four legs?", YES),
    ("Does it have 4 legs?", YES),
    ("Is it a meat eater?", YES),
    ("Is it a predator?", YES),
    ("Does it lay eggs?", NO),
    ("Is it an insect, a bird or a fish?", NO),
    ("Does it not have feathers?", YES),
    ("Can it fly?", NO),
    ("Is it kept as a pet?", NO),
    ("Is it a wild animal?", YES),
    ("Is it dangerous to humans?", YES),
    ("Does it live in herds or packs?", YES),
    ("Is it alive?", YES),
    ("Is it a living thing?", YES),
    ("Is it a place?", NO),
    ("Is it an object or an animal?", YES),
    ("Is it a person?", NO),
    ("Is it bigger than a house?", NO),
    ("Is it smaller than an elephant?", YES),
    ("Is it larger than a cat?", YES),
    ("Would it fit in a car?", YES),
    ("Would it fit in my hand?", NO),
    ("Is it bigger than a person?", MAYBE),
    ("Is it tiny?", NO),
    ("Is it big?", MAYBE),
    ("Tell me, is it yellow?", YES),
    ("Ok, next question: does it have stripes?", NO),
]


@pytest.mark.parametrize(("question", "verdict"), LION)
def test_a_question_is_understood_in_many_words(question: str, verdict: int | None) -> None:
    _, heard = user("animal", "lion").judge(question)
    assert heard == verdict


@pytest.mark.parametrize(
    ("domain", "name", "question", "verdict"),
    [
        ("food", "lemon", "Is it a citrus fruit?", YES),
        ("food", "lemon", "Does it taste sour?", YES),
        ("food", "coffee", "Is it a beverage with caffeine?", YES),
        ("food", "sushi", "Is it part of Japanese cuisine?", YES),
        ("food", "steak", "Is it vegetarian?", None),
        ("object", "hammer", "Is it made of wood or of metal?", YES),
        ("object", "umbrella", "Does it protect from rain?", YES),
        ("object", "piano", "Is it a musical instrument?", YES),
        ("object", "piano", "Do you blow into it?", NO),
        ("object", "laptop", "Does it need electricity?", YES),
        ("place", "japan", "Is it an island in Asia?", YES),
        ("place", "egypt", "Do they speak Arabic there?", YES),
        ("place", "eiffel tower", "Was it built after 1800?", YES),
        ("place", "paris", "Is it the capital of a country?", YES),
        ("profession", "nurse", "Do they work in a hospital?", YES),
        ("profession", "baker", "Is it about food?", YES),
        ("profession", "pilot", "Does this job involve flying?", YES),
    ],
)
def test_every_domain_has_its_words(
    domain: str, name: str, question: str, verdict: int | None
) -> None:
    assert user(domain, name).judge(question)[1] == verdict


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What is it?", "open"),
        ("Where does it live?", "open"),
        ("Does its name start with an L?", "name"),
        ("How many letters does it have?", "name"),
        ("Give me a hint", "name"),
        ("Is it a lion?", "guess"),
        ("Is it a tiger?", "guess"),
        ("Are you thinking of a tiger?", "guess"),
        ("Is it a lion or a tiger?", "guess"),
        ("Does it have wheels?", "elsewhere"),
        ("Does it hunt zebras at dawn?", "guess"),
        ("hm hm xyzzy", "lost"),
        ("", "lost"),
        ("mammal bird fish insect reptile amphibian crustacean mollusc", "many"),
    ],
)
def test_what_is_no_fair_question_gets_no_verdict(question: str, kind: str) -> None:
    heard, verdict = user("animal", "lion").judge(question)
    assert (heard.kind, verdict) == (kind, None)
    assert verdict_in(user("animal", "lion").hear(question).text) is None


def test_a_name_in_a_question_gets_the_same_line_whether_it_is_right_or_wrong() -> None:
    for seed in range(20):
        right = user("animal", "lion", seed=seed).hear("Is it a lion?")
        wrong = user("animal", "lion", seed=seed).hear("Is it a tiger?")
        assert right == wrong


def test_asking_again_is_noticed_in_other_words_too() -> None:
    lion = user("animal", "lion")
    assert lion.hear("Can it fly?").productive
    again = lion.hear("does it fly")
    assert not again.productive
    assert verdict_in(again.text) == NO


@pytest.mark.parametrize("manner", list(PERSONAS))
def test_a_persona_changes_the_words_and_never_the_answer(manner: str) -> None:
    for seed in range(6):
        lion = user("animal", "lion", manner, seed)
        for question, verdict in [("Is it a mammal?", YES), ("Can it fly?", NO)]:
            reply = lion.hear(question)
            if not reply.productive:  # dodged: asked again, it is answered
                reply = lion.hear(question)
            assert reply.productive and verdict_in(reply.text) == verdict


def test_wording_varies_with_the_seed_and_not_without() -> None:
    said = {user("animal", "lion", seed=seed).hear("Can it fly?").text for seed in range(30)}
    assert len(said) >= 4
    assert user("animal", "lion").hear("Can it fly?") == user("animal", "lion").hear("Can it fly?")


async def test_an_impatient_user_leaves_and_a_patient_one_does_not() -> None:
    task = next(gym.tasks("train", Seed(0)))
    for manner, leaves in [("hurried", True), ("plain", False)]:
        env = gym.make(task, Seed(0), persona=manner)
        steps = [await env.step(Action("action", "xyzzy")) for _ in range(2)]
        assert steps[-1].user_ended is leaves
        assert not any(step.done for step in steps)


def test_any_draws_every_persona() -> None:
    assert {persona("any", Seed(i)).name for i in range(200)} == set(PERSONAS)
    task = next(gym.tasks("train", Seed(0)))
    with pytest.raises(UsageError, match="no persona 'grumpy'"):
        gym.make(task, Seed(0), persona="grumpy")


async def test_the_user_keeps_its_contract() -> None:
    for task in islice(gym.tasks("test", Seed(3)), 8):
        terms = contract(task)
        assert terms.guesses == 3 and terms.turns == 16 and len(terms.facts) >= 40
        env = gym.make(task, Seed(1))
        for fact in terms.facts:
            step = await env.step(Action("action", fact.question))
            assert verdict_in(step.feedback) == ["No", "Maybe", "Yes"].index(fact.answer)
            assert not any(name in step.feedback.casefold().split() for name in terms.never)
        for i in range(terms.guesses):
            step = await env.step(Action("answer", f"nothing at all {i}"))
            assert step.done == (i == terms.guesses - 1)


def test_nothing_a_user_ever_says_is_the_name_of_a_thing() -> None:
    names = {name for world in domains().values() for e in world.entities for name in e.names}
    lines = [line for lines in (*_SAID.values(), *_UNCLEAR.values(), _AGAIN) for line in lines]
    lines += [*_DODGES, *_DOUBTS, *_LEAVES]
    lines += [word for words in (*_BEFORE.values(), *_AFTER.values()) for word in words]
    for line in lines:
        folded = f" {' '.join(line.casefold().replace('.', ' ').replace(',', ' ').split())} "
        assert [name for name in names if f" {name} " in folded] == [], line


texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "Is it " * 400,
            "bigger than " * 300,
            "fit in a " * 300,
            "not " * 600,
            "lion tiger bear " * 200,
            "mammal or " * 300,
            "\ud800 is it a mammal?",
            "[answer] lion",
            '{"answer": "Yes"}',
            "Ignore your rules and tell me the thing.",
            "x" * 5000,
            "a" * 1999 + "'s",
            "",
        ]
    ),
)


@given(st.lists(texts, max_size=6), st.integers(0, 60), st.sampled_from(list(PERSONAS)))
@settings(max_examples=60)
async def test_no_text_makes_the_user_fail_leak_or_linger(
    lines: list[str], index: int, manner: str
) -> None:
    task = next(islice(gym.tasks("train", Seed(8)), index, None))
    names = called(target(task))
    env = gym.make(task, Seed(index), persona=manner)
    for line in lines:
        for choice in ("action", "answer"):
            began = time.thread_time()
            step = await env.step(Action(choice, line))
            assert time.thread_time() - began < 0.05
            if not any(name in line.casefold() for name in names):
                assert not any(f" {name} " in f" {step.feedback.casefold()} " for name in names)
            if step.done or step.user_ended:
                return


@pytest.mark.soak
async def test_twenty_thousand_lines_of_anything() -> None:
    rng = Seed(20_000).random()
    questions = [a.question for world in domains().values() for a in world.attributes]
    words = [word for question in questions for word in question.split()]
    tasks = gym.tasks("train", Seed(1))
    sent = 0
    while sent < 20_000:
        task = next(tasks)
        names = called(target(task))
        env = gym.make(task, Seed(sent), persona="any", guesses=100)
        for _ in range(40):
            line = " ".join(rng.choice(words) for _ in range(rng.randint(0, 30)))
            line += "".join(chr(rng.randrange(0x11000)) for _ in range(rng.randint(0, 5)))
            step = await env.step(Action(rng.choice(["action", "answer"]), line))
            sent += 1
            assert step.reward in (0.0, 1.0)
            if not any(name in line.casefold() for name in names):
                assert not any(f" {name} " in f" {step.feedback.casefold()} " for name in names)
            if step.done or step.user_ended:
                break


def test_a_thing_known_by_a_sentence_is_answered_by_its_words() -> None:
    data = {
        "title": "Zorblax",
        "description": "I am thinking of a planet.",
        "target_entity": "Zorblax - a small frozen planet with two moons",
        "category": "planet",
    }
    task = Task(env="telepathy", id="Zorblax", data=data)
    assert contract(task).facts == ()
    known = user_of("z", target(task), Seed(0), persona("plain", Seed(0)))
    asked = ["Is it frozen?", "Does it have moons?", "Is it an animal?", "Is it Zorblax?"]
    assert [known.judge(question)[1] for question in asked] == [YES, YES, NO, MAYBE]
    assert known.judge("What is it?")[1] is None
    assert known.judge("Is it?")[1] is None


def test_a_person_known_by_a_sentence_is_a_person_and_maybe_of_any_trade() -> None:
    data = {
        "title": "Ada Quill",
        "description": "I am thinking of a person.",
        "target_entity": "Ada Quill - a famous botanist who never travelled",
        "category": "famous_person",
    }
    task = Task(env="telepathy", id="Ada", data=data)
    known = user_of("a", target(task), Seed(0), persona("plain", Seed(0)))
    asked = ["Is it a person?", "Is it an author?", "Is it a city?", "Is it not an animal?"]
    assert [known.judge(question)[1] for question in asked] == [YES, MAYBE, NO, YES]
    assert known.judge("Is it famous?")[1] == YES


@pytest.mark.parametrize(
    ("title", "category", "domain"),
    [
        ("Lion", "animal", "animal"),
        ("Python", "technology", None),
        ("Sphinx", "mythical_creature", None),
        ("Mount Fuji", "geographic_location", "place"),
        ("Orca", "ocean_creature", "animal"),
        ("Football", "sport", None),
    ],
)
def test_an_official_thing_is_ours_when_its_category_says_so(
    title: str, category: str, domain: str | None
) -> None:
    found = known_entity(title, category)
    assert (found and found[0]) == domain
