"""The rule-based customer: what it hears, what it says and when, and that it keeps its contract."""

from __future__ import annotations

from itertools import islice

import pytest

from duologue.engine import Seed, Task
from duologue.envs import PERSONAS
from duologue.envs.tau import contract, gym
from duologue.envs.tau._contract import Fact, Wish
from duologue.envs.tau._ears import listen
from duologue.envs.tau._free import FreeCustomer
from duologue.envs.tau._tasks import Case, case
from duologue.envs.tau._user import FAREWELLS, Customer, Reply, customer

TASKS = list(islice(gym.tasks("test", Seed(2)), 200))


def talk(task: Task, persona: str = "plain", seed: int = 0) -> Customer:
    return Customer(case(task), Seed(seed), PERSONAS[persona])


def of_kind(kind: str, alone: bool = True) -> Task:
    for task in TASKS:
        kinds = [goal.kind for goal in case(task).goals]
        if kinds[0] == kind and (len(kinds) == 1) == alone:
            return task
    raise AssertionError(f"no task begins with {kind}")


ASKS = {
    "name": ("What is your name?", "May I have your full name, please?", "Who am I speaking to - your name?"),
    "email": (
        "Could you give me your e-mail address?",
        "Please share the email you registered with.",
        "I need your mail address first.",
    ),
    "postcode": ("And your postcode?", "Please tell me your zip code.", "What's your postal code?"),
    "order": (
        "What is the order number?",
        "Which order is it about?",
        "Could you provide your booking reference?",
        "Please give me the reservation id.",
    ),
    "item": ("Which item is it?", "What products are affected?", "Tell me which article you mean."),
    "option": (
        "Which colour would you like?",
        "What variant do you want instead?",
        "What size do you prefer?",
    ),
    "reason": ("Why do you want to cancel?", "Could you tell me the reason?"),
    "payment": ("How would you like to pay?", "Which card should the refund go to?"),
    "address": ("Where should it go?", "What is the new address?", "Which street and town?"),
    "date": ("On which day would you like to fly?", "When do you want to travel?", "What date?"),
    "passenger": ("Which passenger is it?", "Could you tell me the correct spelling?"),
    "bags": ("How many bags?", "How much luggage would you like?", "Could you say how many suitcases?"),
    "details": ("Could you be more specific?", "What exactly do you need?", "Please give me the details."),
}  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "line"), [(t, line) for t, some in ASKS.items() for line in some]
)
def test_a_question_is_understood_in_many_words(topic: str, line: str) -> None:
    heard = listen(line)
    assert heard is not None and topic in heard.topics
    assert not heard.done and not heard.refuses and not heard.proposes


@pytest.mark.parametrize(
    "line",
    [
        "Your order has been cancelled.",
        "I have now added two bags.",
        "That is done. Is there anything else?",
        "All set!",
        "The exchange was successfully requested.",
        "I've just updated the address.",
        "Done.",
        "Both items have been returned, and the refund is processed.",
    ],
)
def test_a_report_is_understood(line: str) -> None:
    heard = listen(line)
    assert heard is not None and heard.done and not heard.refuses


@pytest.mark.parametrize(
    "line",
    [
        "I am sorry, that is not possible.",
        "Unfortunately the fare does not allow it.",
        "I can't cancel this booking.",
        "We are unable to take it back after 30 days.",
        "I\u2019m afraid we won\u2019t do that.",
        "That variant is not available.",
    ],
)
def test_a_refusal_is_understood(line: str) -> None:
    heard = listen(line)
    assert heard is not None and heard.refuses and not heard.done


@pytest.mark.parametrize(
    "line",
    [
        "Shall I go ahead?",
        "Would you like me to cancel it? (yes/no)",
        "I will move you to the later flight. May I proceed?",
        "Do you want me to exchange it?",
        "Reply yes and I will cancel #R12345.",
    ],
)
def test_a_proposal_is_understood(line: str) -> None:
    heard = listen(line)
    assert heard is not None and heard.proposes and not heard.done


@pytest.mark.parametrize(
    "line",
    [
        "Your order has not been cancelled.",
        "Once it is cancelled you get the money.",
        "It has to be cancelled before it is sent.",
        "I could not find you; what is your e-mail address?",
        "Refunds are processed within a week.",
        "It was booked in January.",
        "If you like I will have it cancelled. Shall I?",
    ],
)
def test_what_is_not_done_is_no_report_and_not_found_is_no_refusal(line: str) -> None:
    heard = listen(line)
    assert heard is not None and not heard.done and not heard.refuses


# ---- what it says


def test_it_says_what_it_is_asked_and_nothing_before() -> None:
    found, user = case(of_kind("exchange")), talk(of_kind("exchange"))
    facts = found.goals[0].facts
    assert user.hear("Hello, how can I help you?").text in found.goals[0].ask
    assert user.hear("Which item is it?").text == facts["item"]
    assert user.hear("And which variant would you like?").text == facts["option"]
    both = user.hear("What is your name, and the order number?").text
    assert both == f"{found.facts['name']} {facts['order']}"


def test_it_says_no_to_what_it_does_not_want_and_yes_to_what_it_does() -> None:
    task = of_kind("exchange")
    goal = case(task).goals[0]
    assert goal.right and goal.wrong
    no = talk(task).hear(f"I will send you the {goal.wrong[0]} one. Shall I go ahead?").text
    assert no.startswith("No.") and goal.right[0] in no
    yes = talk(task).hear(f"{goal.right[0]} instead of {goal.wrong[0]}. Shall I go ahead?").text
    assert yes.startswith("Yes")


def test_one_wish_comes_after_the_other_and_then_goodbye() -> None:
    task = next(t for t in TASKS if len(case(t).goals) == 2 and not case(t).goals[0].outputs)
    user = talk(task)
    second = user.hear("That is done. Anything else?")
    assert not second.over and second.text.endswith(case(task).goals[1].ask)
    last = user.hear("That has been done.")
    while not last.over:
        last = user.hear("I am sorry, that is not possible.")
    assert last.text.endswith(FAREWELLS)


def test_a_refused_customer_has_another_wish_or_leaves_it_at_that() -> None:
    sold_out = of_kind("sold out")
    user = talk(sold_out)
    assert user.hear("Unfortunately it is not available.").text == case(sold_out).goals[0].fallback
    assert user.hear("That is done.").over
    late = next(
        t for t in TASKS if [g.kind for g in case(t).goals] == ["late"] and not case(t).outputs
    )
    assert talk(late).hear("Unfortunately that is too late.").over


def test_a_customer_who_is_refused_wrongly_insists_once() -> None:
    user = talk(of_kind("cancel"))
    assert "Are you sure?" in user.hear("I cannot do that.").text
    assert user.hear("I cannot do that.").over


def test_a_number_answers_a_question_about_one() -> None:
    user = talk(of_kind("price"))
    for line in (
        "One moment please.",
        "I found 3 items in #R12345.",
        "Is it 83985?",
        "On 2031-03-10.",
    ):
        assert not user.hear(line).over
    assert user.hear("They were 84.5 together.").over


def test_a_line_as_a_chat_model_writes_it_is_taken_for_what_it_is() -> None:
    task = of_kind("exchange")
    goal, facts, user = case(task).goals[0], case(task).facts, talk(task)
    asked = "To proceed with the exchange, please confirm your name and your postcode."
    assert user.hear(asked).text == f"{facts['name']} {facts['postcode']}"
    asked = "I can't do that without the order number. Could you share it?"
    assert user.hear(asked).text == goal.facts["order"]
    asked = "Thanks! Which item would you like to exchange, and what should the new one be like?"
    assert goal.facts["item"] in user.hear(asked).text
    user.hear("Which option would you like?")
    checked = f"Here is what I will do:\n- order\n- {goal.right[0]} variant\nIs that correct?"
    assert user.hear(checked).text.startswith("Yes")
    assert user.hear("I've exchanged it. Would you like me to help you with anything else?").over


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "\u200f", "\0"])
def test_silence_is_not_understood(text: str) -> None:
    assert not talk(TASKS[0]).hear(text).over


# ---- the contract


QUESTION = {topic: lines[0] for topic, lines in ASKS.items()}


def test_the_customer_keeps_its_contract() -> None:
    """Each fact is told when its topic is asked for, and only while its wish is talked about."""
    checked = 0
    for task in TASKS[:80]:
        agreed = contract(task)
        user = talk(task)
        for number, wish in enumerate(agreed.wishes):
            # What is of several topics at once is asked for one by one.
            for fact in [f for f in agreed.facts if f.wish in (None, number)]:
                told = user.hear(QUESTION[fact.topic])
                assert fact.text in told.text, (task.id, fact)
                later = [f for f in agreed.facts if f.wish is not None and f.wish > number]
                assert not any(
                    f.text in told.text for f in later if not _known(f, agreed.facts, number)
                )
                checked += 1
            ended = _settle(user, wish)
            assert ended.over == (number == len(agreed.wishes) - 1)
    assert checked > 300


def _known(fact: Fact, facts: tuple[Fact, ...], number: int) -> bool:
    return any(f.text == fact.text for f in facts if f.wish in (None, number))


def _settle(user: Customer, wish: Wish) -> Reply:
    if wish.refused and not wish.instead:
        return user.hear("Unfortunately that is impossible.")
    if wish.refused:
        assert user.hear("Unfortunately that is impossible.").text == wish.instead
    return user.hear("That is done.")


def test_of_an_official_task_the_contract_has_the_calls_alone() -> None:
    data = {
        "domain": "airline",
        "user_id": "u",
        "opening": "Hi",
        "instruction": "You want a flight.",
        "actions": [{"name": "cancel_reservation", "kwargs": {"reservation_id": "R"}}],
    }
    agreed = contract(Task(env="tau", id="airline-000", data=data))
    assert not agreed.facts and agreed.wishes[0].calls[0].name == "cancel_reservation"


# ---- personas


def test_an_impatient_customer_leaves_after_lines_that_lead_nowhere() -> None:
    user = talk(TASKS[0], "hurried")
    assert not user.hear("One moment.").left
    assert user.hear("One moment.").left


def test_an_evasive_customer_dodges_a_topic_at_most_once() -> None:
    fact, dodged = case(TASKS[0]).facts["name"], 0
    for seed in range(20):
        user = talk(TASKS[0], "evasive", seed)
        said = [user.hear("What is your name?").text for _ in range(3)]
        dodges = sum(fact not in line for line in said)
        assert dodges <= 1
        dodged += dodges
    assert 8 <= dodged <= 20


# ---- a text of instructions


INSTRUCTION = (
    "Your name is Ida Berg. You want to return your kettle because you found a better one. "
    "If you are asked, your zip code is 12345. You are in a hurry."
)


def test_instructions_are_said_in_the_first_person() -> None:
    free = FreeCustomer(INSTRUCTION)
    assert free.tell("What is your name?") == "My name is Ida Berg."
    assert free.tell("Your zip code, please?") == "If I am asked, my zip code is 12345."
    said = "I want to return my kettle because I found a better one."
    assert free.tell("What would you like to return?") == said


def test_a_customer_of_instructions_says_all_of_them_before_it_leaves() -> None:
    found = Case(domain="retail", user_id="u", opening="Hi", instruction=INSTRUCTION)
    user = customer(found, Seed(0), PERSONAS["plain"])
    assert "kettle" in user.hear("That is done. Anything else?").text
    assert not user.hear("Shall I go ahead?").over
    assert "12345" in user.hear("That is done. Anything else?").text
    assert user.hear("That is done. Anything else?").over
    assert user.hear("").text
    empty = customer(
        Case(domain="retail", user_id="u", opening="Hi", instruction="..."),
        Seed(0),
        PERSONAS["plain"],
    )
    assert empty.hear("What is it?").text
