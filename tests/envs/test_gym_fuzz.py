"""Every registered gym against generated agent messages: no exception, no slow step, no leak.

A message is something strange, or what a script of the gym would say, damaged: cut, doubled, glued
to another, shouted, with bytes of somewhere else in it. Such lines get far into a gym's rules, where
plain noise is refused at the door. Each dialogue has its own seed, so a failure names the one to run
again. A few hundred messages in the tests, 20,000 of each gym and behaviour in the soak;
DUOLOGUE_FUZZ=N sets another number for both.
"""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Iterator
from itertools import cycle, islice
from random import Random
from typing import Any

import pytest

from duologue.engine import Action, Message, Seed, Task, relaxed_collector
from duologue.envs import Gym, Script, Step, find, names
from duologue.envs._conformance import _CHOICES, _STRANGE  # pyright: ignore[reportPrivateUsage]

pytestmark = pytest.mark.anyio

FEW, MANY = 300, 20_000
SLOWEST_S = 0.05
"""Of the thread's own time: what one step of a rule-based gym may take, whatever it is told."""

TASKS = 100
TURNS = 16

_BEHAVIOURS = ("fixed", "official")
_WORD = re.compile(r"\S+")


def damaged(rng: Random, line: str, others: list[str]) -> str:
    """`line` after an accident or two."""
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(line))
        match rng.randrange(9):
            case 0:
                line = line[:at]
            case 1:
                line = line[:at] + rng.choice(_STRANGE)[:200] + line[at:]
            case 2:
                line = f"{line} {rng.choice(others)}" if others else line + line
            case 3:
                line = (line + " ") * rng.choice((2, 5, 50, 400))
            case 4:
                line = rng.choice((str.upper, str.lower, str.title, str.swapcase))(line)
            case 5:
                words = _WORD.findall(line)
                rng.shuffle(words)
                line = " ".join(words)
            case 6:
                line = line[:at] + rng.choice("\n\t\0\u200b\u0301?!,.;:'\"{}[]()") + line[at:]
            case 7:
                line = f"not {line}" if rng.random() < 0.5 else f"{line} or {line}"
            case _:
                line = re.sub(r"\d", lambda _: rng.choice("0123456789"), line)
    return line[:20_000]


def message(rng: Random, script: Script, past: list[Message], others: list[str]) -> Action:
    """What the fuzzed agent says next."""
    kind = rng.random()
    if kind < 0.2:
        return Action(rng.choice(_CHOICES), rng.choice(_STRANGE))
    said = script(past)
    if kind < 0.35:
        action = said
    else:
        choice = said.choice if rng.random() < 0.8 else rng.choice(_CHOICES)
        action = Action(choice, damaged(rng, said.content, others))
    others.append(said.content[:500])
    del others[:-20]
    return action


def leaked(feedback: str, secrets: list[str], said: list[str]) -> str | None:
    """A secret that the line tells, as words, and the agent did not say."""
    heard = _plain(feedback)
    for secret in secrets:
        if secret not in heard or any(secret in line for line in said):
            continue
        if re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", heard):
            return secret
    return None


async def fuzz(gym: Gym, behaviour: str, count: int, seed: Seed) -> dict[str, Any]:
    """Send `count` messages; what was slowest. Raises AssertionError with the dialogue's number."""
    options = {**gym.options, "behaviour": behaviour}
    tasks = cycle(
        [
            task
            for split in ("train", "test")
            for task in islice(gym.tasks(split, seed / split), TASKS // 2)
        ]
    )
    scripts = sorted(gym.scripts)
    others: list[str] = []
    sent = dialogue = 0
    slowest, worst = 0.0, ""
    for task in tasks:
        if sent >= count:
            break
        dialogue += 1
        here = seed / "dialogue" / dialogue
        rng = here.random()
        name = rng.choice(scripts)
        script = gym.scripts[name](task, (here / "script").random())
        where = f"{gym.name} ({behaviour}), dialogue {dialogue}, script {name!r}"
        if "persona" in gym.options and behaviour == "fixed":
            options["persona"] = rng.choice(("plain", "any"))
        env = gym.make(task, here / "env", **options)
        past = list(env.prompt())
        secrets = _secrets(gym, task) if behaviour == "fixed" else []
        said: list[str] = []
        for _ in range(TURNS):
            action = message(rng, script, past, others)
            said.append(_plain(action.content))
            began = time.thread_time()
            try:
                step: Step = await env.step(action)
            except Exception as error:
                error.add_note(f"{where}: {action!r:.500}")
                raise
            took = time.thread_time() - began
            sent += 1
            if took > slowest:
                slowest, worst = took, f"{where}: {action!r:.300}"
            assert isinstance(step.feedback, str), where
            found = leaked(step.feedback, secrets, said)
            assert found is None, f"{where} tells {found!r} for {action!r:.300}: {step.feedback}"
            past += [Message("assistant", action.content), Message("tool", step.feedback)]
            if step.done or step.user_ended:
                break
    return {"sent": sent, "dialogues": dialogue, "slowest_s": slowest, "worst": worst}


def _secrets(gym: Gym, task: Task) -> list[str]:
    found = () if gym.hidden is None else gym.hidden(task)
    return [plain for text in found if (plain := _plain(text))]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def runs() -> Iterator[Any]:
    for name in names():
        behaviours = _BEHAVIOURS if "behaviour" in find(name).options else _BEHAVIOURS[:1]
        for behaviour in behaviours:
            yield pytest.param(name, behaviour, FEW, id=f"{name}-{behaviour}")
            yield pytest.param(
                name, behaviour, MANY, id=f"{name}-{behaviour}-many", marks=pytest.mark.soak
            )


@pytest.mark.parametrize(("name", "behaviour", "count"), list(runs()))
async def test_no_message_raises_takes_long_or_gets_a_secret(
    name: str, behaviour: str, count: int
) -> None:
    count = int(os.environ.get("DUOLOGUE_FUZZ", count))
    # A full collection of all that other tests left would be charged to whatever step it met.
    with relaxed_collector():
        gc.collect()
        gc.freeze()
        found = await fuzz(find(name), behaviour, count, Seed(17) / name / behaviour)
        gc.unfreeze()
    print(f"{name} ({behaviour}): {found}")
    assert found["sent"] >= count
    assert found["slowest_s"] < SLOWEST_S, found["worst"]
