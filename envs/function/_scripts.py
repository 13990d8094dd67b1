"""Scripted agents: an expert that knows the rule, learners' imperfect models, and exploits.

The expert and the two beside it see the task, hidden part included. The others read nothing but
what an agent is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from ...engine import Action, Message, Task
from .._env import Script
from ._numbers import parse_numbers
from ._tasks import puzzle

_LOOK_UP = Action("search", "test")
_GIVE_UP = Action("finish", "")

_TRIED = [str(number) for number in range(1, 11)]


def expert(task: Task, rng: Random) -> Script:
    """The ceiling: tries the rule twice, looks up the test case, and answers right."""
    made = puzzle(task)
    plan = [_trial(rng), _trial(rng), _LOOK_UP, _answer(made.expected_result)]
    return _follow(iter(plan))


def benchmark(task: Task, rng: Random) -> Script:
    """Eight turns, for measuring: four trials, a look-up, and three answers, the last one right."""
    made = puzzle(task)
    right = made.expected_result
    plan = [_trial(rng) for _ in range(4)]
    plan += [_LOOK_UP, _answer(right + 1), _answer(right - 1), _answer(right)]
    return _follow(iter(plan))


def imperfect(task: Task, rng: Random) -> Script:
    """What a cold start learns from: the right tool, and the right answer half the time."""
    made = puzzle(task)
    plan = [_trial(rng) for _ in range(rng.randint(1, 3))]
    plan.insert(rng.randint(0, len(plan)), _LOOK_UP)
    while rng.random() < 0.5:
        plan.append(_answer(made.expected_result + rng.choice((-2, -1, 1, 2))))
    plan.append(_answer(made.expected_result))
    return _follow(iter(plan[: rng.randint(3, 6)]))


def random_moves(task: Task, rng: Random) -> Script:
    """Knows the tool and nothing else."""

    def script(messages: Sequence[Message]) -> Action:
        kind = rng.randrange(8)
        if kind < 4:
            return _trial(rng)
        return _LOOK_UP if kind == 4 else _answer(float(rng.randint(-20, 100)))

    return script


def answer_spam(task: Task, rng: Random) -> Script:
    """An exploit: answers 0, 1, 2, ... and never tries anything."""
    return _follow(_answer(float(number)) for number in range(1_000))


def epsilon_leak(task: Task, rng: Random) -> Script:
    """An exploit: tries the test case with a billionth added, and answers what comes back."""
    return _near_test_case(_nudged)


def swap_leak(task: Task, rng: Random) -> Script:
    """An exploit: tries the test case with two numbers swapped, and answers what comes back."""
    return _near_test_case(_swapped)


def _near_test_case(near: Callable[[Sequence[float]], list[str]]) -> Script:
    """Looks up the test case, tries what is `near` it until there is a result, and answers that."""
    left: list[str] | None = None
    looked_up = False

    def script(messages: Sequence[Message]) -> Action:
        nonlocal left, looked_up
        if not looked_up:
            looked_up = True
            return _LOOK_UP
        told = messages[-1].content
        if left is None:
            left = near(parse_numbers(told))
        elif "the result is" in told:
            return Action("answer", told.rsplit("is ", 1)[1].rstrip("."))
        return Action("action", left.pop(0)) if left else _GIVE_UP

    return script


def _nudged(case: Sequence[float]) -> list[str]:
    lines: list[str] = []
    for step in (1e-9, -1e-9, 1e-6, 1e-3):
        for i in range(len(case)):
            moved = [number + step * (i == j) for j, number in enumerate(case)]
            lines.append(" ".join(f"{number:.9f}" for number in moved))
    return lines


def _swapped(case: Sequence[float]) -> list[str]:
    lines: list[str] = []
    for i in range(len(case)):
        for j in range(i):
            moved = list(case)
            moved[i], moved[j] = moved[j], moved[i]
            if moved != case:
                lines.append(" ".join(map(repr, moved)))
    return lines


def _trial(rng: Random) -> Action:
    return Action("action", " ".join(rng.choices(_TRIED, k=4)))


def _answer(number: float) -> Action:
    return Action("answer", f"{number:.4f}".rstrip("0").rstrip("."))


def _follow(plan: Iterator[Action]) -> Script:
    """Does one step of the plan after the other, whatever is said; gives up at its end."""

    def script(messages: Sequence[Message]) -> Action:
        return next(plan, _GIVE_UP)

    return script
