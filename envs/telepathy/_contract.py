"""What a user of this gym owes the agent, as plain data: a dialogue can be held against it."""

from __future__ import annotations

from msgspec import Struct

from ...engine import Task
from ._gym import GUESSES, called, gym
from ._tasks import known, target
from ._user import WORDS


class Fact(Struct, frozen=True, kw_only=True):
    """One thing the user knows. It is told when it is asked for, and not otherwise.

    question: asks for it in plain words.
    answer:   Yes, No or Maybe.
    """

    name: str
    question: str
    answer: str


class Contract(Struct, frozen=True, kw_only=True):
    """The terms of one task.

    facts:   what the user answers by; empty for a thing known by a sentence only.
    never:   what the user never says first.
    goals:   what the agent has to reach, each once.
    guesses: wrong guesses that end the dialogue.
    turns:   turns that end it.
    """

    facts: tuple[Fact, ...]
    never: tuple[str, ...]
    goals: tuple[str, ...]
    guesses: int
    turns: int


def contract(task: Task) -> Contract:
    """The terms of a task, under the gym's default options. Raises `UsageError`."""
    thing = target(task)
    found = known(task.id, thing)
    facts: tuple[Fact, ...] = ()
    if found is not None:
        domain, entity = found
        facts = tuple(
            Fact(name=attribute.tag, question=attribute.question, answer=WORDS[held])
            for attribute, held in zip(domain.attributes, entity.facts, strict=True)
        )
    return Contract(
        facts=facts,
        never=called(thing),
        goals=("the guess names the thing",),
        guesses=GUESSES,
        turns=gym.limit(task),
    )
