"""The travel gym's rules, one by one."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from duologue.engine import Action, Seed, Task, UsageError
from duologue.envs import Env, Step, check_gym
from duologue.envs.travel import gym
from duologue.envs.travel._requests import MONTHS, Lookup
from duologue.envs.travel._scripts import question, request
from duologue.envs.travel._tasks import Trip, listed, trip

pytestmark = pytest.mark.anyio

TASK = next(t for t in gym.tasks("train", Seed(0)) if t.data["dimensions"] == ["flight", "hotel"])
TRIP: Trip = trip(TASK)


def search(aspect: str) -> Action:
    return Action("search", request(aspect, TRIP.parts[aspect]))


def wrong_id(aspect: str, kind: str = "wrong") -> str:
    name: str = getattr(TRIP.parts[aspect].options, kind)[0]["id"]
    return name


async def looked_up(**options: Any) -> Env:
    env = gym.make(TASK, Seed(0), **options)
    for aspect in TRIP.parts:
        assert "options for the" in (await env.step(search(aspect))).feedback
    return env


async def test_a_search_prints_every_option_without_what_is_right_about_it() -> None:
    env = gym.make(TASK, Seed(0))
    lines = (await env.step(search("hotel"))).feedback.splitlines()[1:]
    shown = [json.loads(line) for line in lines]
    part = TRIP.parts["hotel"]
    assert {o["id"] for o in shown} == {o["id"] for o in listed(part)}
    assert all(o.keys().isdisjoint({"type", "reason"}) for o in shown)
    again = await env.step(search("hotel"))
    assert "already" in again.feedback and "{" not in again.feedback


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A hotel, please.", "all places and dates"),
        ("Hotel in Atlantis, {check_in} to {check_out}", "all places and dates"),
        ("Hotel in {city} from {check_in}", "all places and dates"),
        ("Hotel and flight to {city}, {check_in} to {check_out}", "one part of the trip"),
        ("A restaurant in {city} on {check_in}", "no part of this trip"),
        ("Somewhere nice in {city}", "which part"),
        ("", "which part"),
    ],
)
async def test_a_search_that_lacks_something_is_told_what(text: str, said: str) -> None:
    arguments = TRIP.parts["hotel"].arguments
    step = await gym.make(TASK, Seed(0)).step(Action("search", text.format(**arguments)))
    assert said in step.feedback and step.reward == 0.0


async def test_a_flight_the_other_way_round_is_another_flight() -> None:
    to, start, date = (TRIP.parts["flight"].arguments[key] for key in ("to", "from", "date"))
    env = gym.make(TASK, Seed(0))
    back = await env.step(Action("search", f"A flight from {to} to {start} on {date}"))
    assert "needs all places" in back.feedback
    there = await env.step(Action("search", f"On {date}, fly to {to} from {start}"))
    assert "options for the flight" in there.feedback


@pytest.mark.parametrize(
    "form",
    ["{month} {day}th", "the {day} of {month}", "{day} {short}", "2027-{number:02}-{day:02}"],
)
async def test_dates_are_understood_in_any_form(form: str) -> None:
    part = TRIP.parts["flight"]
    month, _, day = part.arguments["date"].partition(" ")
    number = MONTHS.index(month.casefold()) + 1
    date = form.format(month=month, short=month[:3], day=int(day), number=number)
    text = f"flight from {part.arguments['from']} to {part.arguments['to']}, {date}"
    step = await gym.make(TASK, Seed(0)).step(Action("search", text))
    assert "options for the flight" in step.feedback


async def test_every_fifth_search_fails_and_the_option_turns_that_off() -> None:
    for outages, broken in ((5, [4, 9]), (0, []), (1, list(range(10)))):
        env = gym.make(TASK, Seed(0), outages=outages)
        said = [(await env.step(Action("search", "hotel"))).feedback for _ in range(10)]
        assert [i for i, line in enumerate(said) if "try again" in line] == broken


async def test_a_search_finds_as_many_as_the_option_says_and_always_the_best() -> None:
    whole = (await gym.make(TASK, Seed(0)).step(search("hotel"))).feedback
    for most in (1, 4, 500):
        found = await gym.make(TASK, Seed(0), results=most).step(search("hotel"))
        head, *lines = found.feedback.splitlines()
        assert len(lines) == min(most, len(whole.splitlines()) - 1)
        assert head == f"{len(lines)} options for the hotel:"
        assert any(f'"{TRIP.parts["hotel"].best_id}"' in line for line in lines)
        # In the same order as all of them are in.
        assert [line for line in whole.splitlines()[1:] if line in lines] == lines


async def test_each_preference_pays_once_and_an_aspect_pays_a_fifth_in_all() -> None:
    env = await looked_up()
    rng = Seed(1).random()
    earned = dict.fromkeys(TRIP.parts, 0.0)
    for wanted in TRIP.preferences:
        step = await env.step(Action("action", question(wanted, rng)))
        assert wanted.hint in step.feedback and step.parts == {"asking": step.reward}
        earned[wanted.aspect] += step.reward
        again = await env.step(Action("action", question(wanted, rng)))
        assert wanted.hint in again.feedback and again.reward == 0.0
    assert earned == pytest.approx(dict.fromkeys(TRIP.parts, 0.2))


async def test_bookings_pay_by_how_well_they_suit_and_the_last_one_ends_the_trip() -> None:
    env = await looked_up()
    flight, hotel = TRIP.parts["flight"], TRIP.parts["hotel"]
    first = await env.step(Action("answer", flight.best_id))
    assert (first.reward, first.done) == (1.0, False)
    suits = next(name for name in hotel.correct_ids if name != hotel.best_id)
    last = await env.step(Action("answer", f" {suits.lower()}. "))
    assert (last.reward, last.done) == (0.8, True)
    assert last.parts == {"booking": 0.8}


@pytest.mark.parametrize("kind", ["wrong", "noise"])
async def test_a_wrong_booking_earns_nothing_and_the_trip_still_ends(kind: str) -> None:
    env = await looked_up()
    steps = [await env.step(Action("answer", wrong_id(aspect, kind))) for aspect in TRIP.parts]
    assert [step.reward for step in steps] == [0.0, 0.0]
    assert [step.done for step in steps] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{flight}, {hotel}", "one option at a time"),
        ("{flight} {flight}", "one option at a time"),
        ("I take {flight}", "one id and nothing else"),
        ("the first one", "one id and nothing else"),
        ("", "one id and nothing else"),
        ("F" + "9" * 300, "one id and nothing else"),
        ("C1", "no part of this trip"),
        ("F999", "no option F999"),
    ],
)
async def test_what_is_no_booking_is_refused_and_nothing_is_lost(text: str, said: str) -> None:
    env = await looked_up()
    best = {aspect: part.best_id for aspect, part in TRIP.parts.items()}
    step = await env.step(Action("answer", text.format(**best)))
    assert said.casefold() in step.feedback.casefold()
    assert (step.reward, step.done) == (0.0, False)
    rewards = [(await env.step(Action("answer", name))).reward for name in best.values()]
    assert rewards == [1.0, 1.0]


async def test_nothing_is_booked_unseen_or_twice() -> None:
    env = gym.make(TASK, Seed(0))
    best = TRIP.parts["flight"].best_id
    assert "Look up" in (await env.step(Action("answer", best))).feedback
    await env.step(search("flight"))
    assert (await env.step(Action("answer", best))).reward == 1.0
    twice = await env.step(Action("answer", best))
    assert twice.reward == 0.0 and "already" in twice.feedback


async def test_what_is_booked_is_not_asked_about_any_more() -> None:
    env = await looked_up()
    await env.step(Action("answer", wrong_id("flight")))
    wanted = next(each for each in TRIP.preferences if each.aspect == "flight")
    step = await env.step(Action("action", question(wanted, Seed(0).random())))
    assert step.reward == 0.0 and wanted.hint not in step.feedback


async def test_after_three_idle_lines_the_traveller_offers_a_hint_that_earns_nothing() -> None:
    hints = {each.hint for each in TRIP.preferences}
    env = gym.make(TASK, Seed(0))
    steps = [await env.step(Action("action", "Lovely weather.")) for _ in range(6)]
    told = [any(hint in step.feedback for hint in hints) for step in steps]
    assert told == [False, False, True, False, False, True]
    assert all(step.reward == 0.0 for step in steps)
    never = gym.make(TASK, Seed(0), interval=0)
    lines = [(await never.step(Action("action", "Lovely weather."))).feedback for _ in range(9)]
    assert not any(hint in line for hint in hints for line in lines)


async def test_other_choices_get_advice_and_finish_ends() -> None:
    env = gym.make(TASK, Seed(0))
    for choice in ("", "Answer", "tool"):
        assert (await env.step(Action(choice, "H1"))) == Step(
            feedback="Choose search, action, answer or finish.", parts={"booking": 0.0}
        )
    step = await env.step(Action("finish", "F1"))
    assert step.done and step.reward == 0.0


@pytest.mark.parametrize(
    ("pay", "search_pays", "asking_pays"),
    [("paper", 0.2, 0.2), ("training", 0.0, 0.8), ("evaluation", 0.2, 0.6)],
)
async def test_the_released_rewards_are_options(
    pay: str, search_pays: float, asking_pays: float
) -> None:
    env = gym.make(TASK, Seed(0), pay=pay)
    assert (await env.step(search("flight"))).reward == search_pays
    line = question(TRIP.preferences[0], Seed(0).random())
    assert (await env.step(Action("action", line))).reward == asking_pays


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"behaviour": "odd"}, "behaviour is 'odd'"),
        ({"pay": "much"}, "pay is 'much'"),
        ({"persona": "nobody"}, "no persona 'nobody'"),
        ({"interval": -1}, "interval is -1"),
        ({"outages": -1}, "outages is -1"),
        ({"results": -1}, "results is -1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gym.make(TASK, Seed(0), **options)


async def test_without_instructions_the_traveller_opens() -> None:
    (message,) = gym.make(TASK, Seed(0), instructions=False).prompt()
    assert (message.role, message.content) == ("user", TRIP.opening)


async def test_the_same_seed_is_the_same_dialogue_and_another_seed_another_order() -> None:
    feedback = [(await gym.make(TASK, Seed(n)).step(search("flight"))).feedback for n in (0, 0, 1)]
    assert feedback[0] == feedback[1] != feedback[2]
    assert sorted(feedback[0]) == sorted(feedback[2])


async def test_the_gym_conforms() -> None:
    tasks = list(islice(gym.tasks("train", Seed(4)), 5))
    report = await check_gym(gym, seed=Seed(3), tasks=tasks, options={"persona": "any"}, company=30)
    assert report.passed, report


async def test_the_released_behaviour_conforms_but_for_the_leak_it_is_released_with() -> None:
    tasks: list[Task] = list(islice(gym.tasks("test", Seed(4)), 6))
    report = await check_gym(
        gym, seed=Seed(3), tasks=tasks, options={"behaviour": "official"}, company=30
    )
    failed = [check.name for check in report.checks if check.status == "failed"]
    assert failed == ["hidden state"], report


def test_arguments_of_any_depth_have_to_be_said() -> None:
    arguments: dict[str, Any] = {
        "city": "New York, USA",
        "stay": {"check_in": "2025-04-10", "nights": 5},
        "tags": ["quiet", {"near": "Central Park"}],
        "flexible": True,
        "note": None,
    }
    lookup = Lookup({"hotel": arguments})
    whole = "A quiet hotel in New York (USA) near Central Park from April 10th 2025, 5 nights"
    assert lookup.judge(whole).verdict == "aligned"
    for word in ("quiet", "USA", "Park", "10th", "5"):
        assert lookup.judge(whole.replace(word, "")).verdict == "incomplete"
