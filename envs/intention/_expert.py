"""Scripted agents for generated tasks, and for official ones the expert of `_paraphrase`.

Each is made from a task and a generator, keeps its own notes of what it asked, and asks one
question a turn. Only what an opening line gives away is read from a generated task: the expert
knows how much topics usually matter, not which ones this task hides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from ...engine import Action, Message, Task
from .._env import Script
from ._paraphrase import Paraphraser
from ._tasks import Wish, wish
from ._world import DOMAINS, USUAL_DOMAINS, VALUES

_ASK = ("What about the {t}?", "Which {t} do you want?", "Tell me the {t}.")
_WEATHER = ("What is the weather like today?", "Is it raining where you are right now?")

# The cold start's habits: how often it stays within the domain, and avoids what it knows.
_IN_DOMAIN = 0.55
_AVOIDS = 0.9


def expert(task: Task, rng: Random) -> Script:
    """The ceiling: asks for what it does not know yet, what usually matters most first.

    Of an official task, whose topics have no usual order, it sees the details and asks for each
    in its own words.
    """
    wanted = wish(task)
    if not wanted.domain:
        return Paraphraser(wanted, rng)

    def choose(known: set[str]) -> str | None:
        return next((t for t in DOMAINS[wanted.domain].topics if t not in known), None)

    return _asker(wanted, rng, choose)


def imperfect(task: Task, rng: Random) -> Script:
    """What a cold start learns from: the right tool, half the time the wrong domain."""
    wanted = wish(task)
    inside, anywhere = _topics(wanted), _any_topics(wanted)

    def choose(known: set[str]) -> str | None:
        pool = inside if rng.random() < _IN_DOMAIN else anywhere
        if rng.random() < _AVOIDS:
            pool = [t for t in pool if t not in known] or pool
        return rng.choice(pool)

    return _asker(wanted, rng, choose)


def random_topic(task: Task, rng: Random) -> Script:
    """Knows the domain and never asks twice, but not what matters."""
    wanted = wish(task)

    def choose(known: set[str]) -> str | None:
        pool = [t for t in _topics(wanted) if t not in known]
        return rng.choice(pool) if pool else None

    return _asker(wanted, rng, choose)


def fixed_order(task: Task, rng: Random) -> Script:
    """Knows what usually matters, and never looks at what the opening line gave away."""
    wanted = wish(task)
    order = iter(_topics(wanted))
    return _asker(wanted, rng, lambda _: next(order, None))


def weather(task: Task, rng: Random) -> Script:
    """A probe: makes small talk, which is about no task and must earn nothing."""

    def script(messages: Sequence[Message]) -> Action:
        return Action("action", rng.choice(_WEATHER))

    return script


def silent(task: Task, rng: Random) -> Script:
    """A probe: leaves at once."""

    def script(messages: Sequence[Message]) -> Action:
        return Action("finish", "")

    return script


def _asker(wanted: Wish, rng: Random, choose: Callable[[set[str]], str | None]) -> Script:
    """Asks for the topic that `choose` picks from what is known; finishes when there is none."""
    known = {topic for topic, _ in wanted.shown}

    def script(messages: Sequence[Message]) -> Action:
        topic = choose(known)
        if topic is None:
            return Action("finish", "")
        known.add(topic)
        return Action("action", rng.choice(_ASK).format(t=topic))

    return script


def _topics(wanted: Wish) -> Sequence[str]:
    """The topics of the task's domain; of an official task, those of our own small world."""
    return DOMAINS[wanted.domain].topics if wanted.domain else _any_topics(wanted)


def _any_topics(wanted: Wish) -> Sequence[str]:
    usual = list(DOMAINS)[:USUAL_DOMAINS]
    if wanted.domain not in usual:
        return sorted(VALUES)
    return sorted({topic for name in usual for topic in DOMAINS[name].topics})
