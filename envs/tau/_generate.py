"""Tasks of our own without end: a customer of a world, one or two goals, and a part in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2s
from random import Random
from typing import Any, Literal

import msgspec

from ...engine import Seed, Task, UsageError
from . import _air_tasks, _shop_tasks
from ._air import airline
from ._shop import shop
from ._tasks import WORLDS, Case, Goal

SPLITS: Mapping[str, Literal["train", "test"]] = {"train": "train", "test": "test"}

_TRIES = 40


NO_MAIL = "I do not know any more which e-mail address I gave you."


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed. The splits share no person, no town, no
    product and no flight."""
    if split not in SPLITS:
        raise UsageError(f"the tau gym has no split {split!r}; use one of {list(SPLITS)}")
    return _generate(SPLITS[split], seed)


def _generate(split: Literal["train", "test"], seed: Seed) -> Iterator[Task]:
    rng = (seed / "tau" / split).random()
    while True:
        world = rng.randrange(WORLDS)
        kind: Literal["retail", "airline"] = rng.choice(("retail", "airline"))
        made = _case(rng, split, kind, world)
        data = msgspec.to_builtins(made)
        digest = blake2s(msgspec.json.encode(data, order="sorted"), digest_size=5).hexdigest()
        yield Task(env="tau", id=f"{kind}-{split}-{world}-{digest}", split=split, data=data)


def _case(
    rng: Random, split: Literal["train", "test"], kind: Literal["retail", "airline"], world: int
) -> Case:
    domain = (shop if kind == "retail" else airline)(split, world)
    draws, table = (
        (_shop_tasks.DRAWS, "orders") if kind == "retail" else (_air_tasks.DRAWS, "bookings")
    )
    customer = rng.choice(list(domain.tables["customers"].values()))
    owned = [domain.tables[table][name] for name in customer[table]]
    rng.shuffle(owned)
    goals: list[Goal] = []
    # Each goal is about an order of its own, so that none undoes another.
    for order in owned[: rng.choice((1, 2, 2))]:
        for _ in range(_TRIES):
            goal = rng.choice(draws)(rng, domain, customer, order)
            if goal is not None:
                goals.append(goal)
                break
    # Being handed over ends it, so it comes last, and once.
    beyond = [goal for goal in goals if goal.kind == "beyond"]
    goals = [goal for goal in goals if goal.kind != "beyond"] + beyond[:1]
    return compose(rng, split, kind, world, customer, goals)


def compose(
    rng: Random,
    split: Literal["train", "test"],
    kind: Literal["retail", "airline"],
    world: int,
    customer: Mapping[str, Any],
    goals: list[Goal],
) -> Case:
    """The task of a customer with these goals."""
    name = f"{customer['first_name']} {customer['last_name']}"
    facts = {
        "name": f"My name is {name}.",
        "email": f"My e-mail address is {customer['email']}.",
        "postcode": f"My postcode is {customer['postcode']}.",
    }
    if rng.random() < 0.3:
        # Then name and postcode have to do.
        facts["email"] = NO_MAIL
    return Case(
        domain=kind,
        user_id=customer["customer_id"],
        opening=f"{rng.choice(_GREETINGS)} {rng.choice(goals[0].ask)}",
        instruction=_in_words(facts, goals),
        world=world,
        split=split,
        facts=facts,
        goals=tuple(goals),
        actions=tuple(call for goal in goals for call in goal.calls),
        outputs=tuple(output for goal in goals for output in goal.outputs),
    )


_GREETINGS = ("Hello!", "Good morning.", "Hi there,", "Good day.", "Hello, I hope you can help me.")


def _in_words(facts: Mapping[str, str], goals: list[Goal]) -> str:
    lines = ["You are a customer. Say this of yourself when you are asked:", *facts.values()]
    for number, goal in enumerate(goals, 1):
        lines += [f"Wish {number}: {goal.ask[0]}", *goal.facts.values()]
        if goal.fallback:
            lines.append(f"If you are told that this cannot be done: {goal.fallback}")
        elif goal.why:
            lines.append("If you are told that this cannot be done, leave it at that.")
    return " ".join(lines)
