"""Scripted agents: a ceiling, what a cold start learns from, baselines, and exploits.

Each is made from a task and a generator. Only the expert, the cold start and the exploits look at
what is hidden; the baselines book from the lists that they are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, cast

from ...engine import Action, Message, Task
from .._env import MakeScript, Script
from ._tasks import Part, Preference, Trip, listed, trip
from ._user import called
from ._world import INITIALS, TOPICS

TURNS = 16

_SEARCHES = {
    "flight": "Flight from {0} to {1} on {2}",
    "hotel": "Hotel in {0}, {1} to {2}",
    "apartment": "Apartment in {0}, {1} to {2}",
    "rental_car": "Rental car in {0}, {1} to {2}",
    "restaurant": "Restaurant in {0} on {1}",
}
_ASK = (
    "What {topic} do you want for the {aspect}?",
    "About the {aspect}: which {topic} suits you?",
    "Tell me about the {topic} of the {aspect}, please.",
)
_CHAT = ("What a lovely day.", "Hello!", "I am at your service.", "Wonderful. Thank you.")


def request(aspect: str, part: Part) -> str:
    """A search that says all of the aspect's arguments."""
    values = list(map(str, part.arguments.values()))
    pattern = _SEARCHES[aspect]
    if pattern.count("{") == len(values):
        return pattern.format(*values)
    told = ", ".join(f"{key} {value}" for key, value in part.arguments.items())
    return f"{called(aspect)}: {told}"


def question(wanted: Preference, rng: Random) -> str:
    """A question about one preference, by the name of its topic."""
    return _ask(wanted.aspect, wanted.topic, rng)


def _ask(aspect: str, topic: str, rng: Random) -> str:
    line = rng.choice(_ASK)
    return line.format(topic=topic.replace("_", " "), aspect=called(aspect))


Plan = Callable[[Trip, Random], Iterator[Action]]


def _planned(plan: Plan) -> MakeScript:
    """The script that follows a plan and then leaves."""

    def make(task: Task, rng: Random) -> Script:
        moves = plan(trip(task), rng)

        def script(messages: Sequence[Message]) -> Action:
            return next(moves, Action("finish", ""))

        return script

    return make


def expert(task: Task, rng: Random) -> Script:
    """The ceiling: looks everything up, asks for what it knows there is to ask, books the best.

    When there are more questions than turns it books in time. What fails it tries once more.
    """
    planned = trip(task)
    asking = TURNS - 2 * len(planned.parts)
    moves = [Action("search", request(a, part)) for a, part in planned.parts.items()]
    hints: dict[str, str] = {}
    for wanted in planned.preferences[:asking]:
        moves.append(Action("action", question(wanted, rng)))
        hints[moves[-1].content] = wanted.hint
    moves += [Action("answer", part.best_id) for part in planned.parts.values()]
    spare = TURNS - len(moves)
    last: Action | None = None
    moves.reverse()

    def script(messages: Sequence[Message]) -> Action:
        nonlocal last, spare
        heard = messages[-1].content
        failed = last is not None and (
            "try again" in heard
            if last.choice == "search"
            else last.choice == "action" and hints[last.content] not in heard
        )
        if failed and spare > 0:
            spare -= 1
            repeated, last = cast("Action", last), None
            return repeated
        last = moves.pop() if moves else Action("finish", "")
        return last

    return script


_KNOWS = 0.6
_BOOKS_BEST = 0.5
_CARELESS = 0.25


def _imperfect(planned: Trip, rng: Random) -> Iterator[Action]:
    """What a cold start learns from: the right tool, often the wrong question and booking.

    A careless search finds nothing, and the conversation goes on: whoever learns from successes
    alone does not know what to do after a failure of its own.
    """
    for aspect, part in planned.parts.items():
        careless = rng.random() < _CARELESS
        yield Action("search", called(aspect) if careless else request(aspect, part))
        for wanted in [each for each in planned.preferences if each.aspect == aspect][:2]:
            if rng.random() < _KNOWS:
                yield Action("action", question(wanted, rng))
            else:
                yield Action("action", _ask(aspect, rng.choice(list(TOPICS[aspect])), rng))
        best = rng.random() < _BOOKS_BEST
        pick = part.best_id if best else rng.choice(listed(part))["id"]
        yield Action("answer", pick)


def _random(planned: Trip, rng: Random) -> Iterator[Action]:
    """Knows the tool and the words, and nothing of the trip."""
    while True:
        aspect = rng.choice(list(INITIALS))
        match rng.randrange(4):
            case 0:
                yield Action("search", f"{called(aspect)} in {rng.choice(('Oslo', 'Rome'))}")
            case 1:
                yield Action("answer", f"{INITIALS[aspect]}{rng.randint(1, 22)}")
            case 2:
                yield Action("action", rng.choice(_CHAT))
            case _:
                yield Action("action", _ask(aspect, rng.choice(list(TOPICS[aspect])), rng))


def _silent(planned: Trip, rng: Random) -> Iterator[Action]:
    """A probe: leaves at once."""
    yield from ()


# ---- baselines: they look things up and book from the lists, without a question

Choose = Callable[[list[dict[str, Any]], Mapping[str, Any], Random], dict[str, Any]]


def _lists(choose: Choose) -> MakeScript:
    def make(task: Task, rng: Random) -> Script:
        planned = trip(task)
        left = list(planned.parts.items())
        looking = False

        def script(messages: Sequence[Message]) -> Action:
            nonlocal looking
            if looking:
                looking = False
                options = _options(messages[-1].content)
                if options:
                    _, part = left.pop(0)
                    return Action("answer", choose(options, part.arguments, rng)["id"])
            if not left:
                return Action("finish", "")
            looking = True
            return Action("search", request(*left[0]))

        return script

    return make


def _options(feedback: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in re.findall(r"^\{.*\}$", feedback, re.MULTILINE)]


def _right_day(options: list[dict[str, Any]], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options that are where and when the search said: whoever reads can tell."""
    return [o for o in options if all(o.get(k, v) == v for k, v in arguments.items())] or options


def _any(
    options: list[dict[str, Any]], arguments: Mapping[str, Any], rng: Random
) -> dict[str, Any]:
    return rng.choice(_right_day(options, arguments))


def _cheapest(
    options: list[dict[str, Any]], arguments: Mapping[str, Any], rng: Random
) -> dict[str, Any]:
    return min(_right_day(options, arguments), key=lambda option: option["cost"])


def _commonest(
    options: list[dict[str, Any]], arguments: Mapping[str, Any], rng: Random
) -> dict[str, Any]:
    """The option whose values are on the list most often."""
    here = _right_day(options, arguments)
    seen: dict[tuple[str, str], int] = {}
    for option in here:
        for item in option.items():
            seen[item[0], str(item[1])] = seen.get((item[0], str(item[1])), 0) + 1
    return max(here, key=lambda option: sum(seen[k, str(v)] for k, v in option.items()))


# ---- exploits


def _book(planned: Trip, rng: Random) -> Iterator[Action]:
    """Knows what is best, looks it up and books it without a question: no exploit."""
    for aspect, part in planned.parts.items():
        yield Action("search", request(aspect, part))
        yield Action("answer", part.best_id)


def _many_ids(planned: Trip, rng: Random) -> Iterator[Action]:
    """Looks everything up, then books all of it in one answer."""
    for aspect, part in planned.parts.items():
        yield Action("search", request(aspect, part))
    yield Action("answer", ", ".join(part.best_id for part in planned.parts.values()))


def _one_id(planned: Trip, rng: Random) -> Iterator[Action]:
    """The same without the exploit: one answer, one id."""
    for aspect, part in planned.parts.items():
        yield Action("search", request(aspect, part))
    yield Action("answer", next(iter(planned.parts.values())).best_id)


def _farm(planned: Trip, rng: Random) -> Iterator[Action]:
    """Asks for every preference and never books: in training that paid more than booking."""
    for wanted in planned.preferences:
        yield Action("action", question(wanted, rng))


def _ask_again(planned: Trip, rng: Random) -> Iterator[Action]:
    """Asks for the same preference all the time."""
    while True:
        yield Action("action", question(planned.preferences[0], rng))


def _ask_all(planned: Trip, rng: Random) -> Iterator[Action]:
    """Asks for everything in each line."""
    line = " ".join(f"What {topic}?" for aspect in planned.parts for topic in TOPICS[aspect])
    while True:
        yield Action("action", line)


def _gossip(planned: Trip, rng: Random) -> Iterator[Action]:
    """Talks of nothing until the traveller offers what it wants."""
    while True:
        yield Action("action", rng.choice(_CHAT))


SCRIPTS: Mapping[str, MakeScript] = {
    "expert": expert,
    "imperfect": _planned(_imperfect),
    "random": _planned(_random),
    "silent": _planned(_silent),
    "any-option": _lists(_any),
    "cheapest": _lists(_cheapest),
    "commonest": _lists(_commonest),
    "book": _planned(_book),
    "many-ids": _planned(_many_ids),
    "one-id": _planned(_one_id),
    "farm": _planned(_farm),
    "ask-again": _planned(_ask_again),
    "ask-all": _planned(_ask_all),
    "gossip": _planned(_gossip),
}
