"""The function gym: find a hidden rule by trying numbers, then say its result for a test case.

UserRL's FunctionGym (2509.19736). `fixed`, the default, repairs what the released code lets slip;
`official` is the released code's behaviour, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step
from .._persona import Manner
from .._persona import persona as persona_of
from ._expression import ExpressionError, expression
from ._numbers import answers_match, parse_answer, parse_numbers, spoken
from ._official import OfficialFunction
from ._scripts import (
    answer_spam,
    benchmark,
    epsilon_leak,
    expert,
    imperfect,
    random_moves,
    swap_leak,
)
from ._tasks import Puzzle, generate, puzzle, read

GUESSES = 3
"""How many wrong answers a dialogue has, unless told otherwise."""

REACH = 1.0
"""Numbers nearer to the test case than this, all four, are refused."""

LARGEST = 1e6
HEARD_CHARS = 200
"""How much of a line is read. Bounds the work that any text can cause."""

_INSTRUCTIONS = """\
You are an agent that finds out a hidden rule by experiment.

# Environment
A rule turns four numbers a, b, c, d into one, with additions, subtractions, multiplications, \
divisions, powers and small constants. You may try it on numbers of your choice. Your goal is to \
say its result for the test case, which you may look up but not try.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `action`: `content` is four numbers; you learn the rule's result for them.
- `search`: `content` is the word `test`; you learn the test case.
- `answer`: `content` is the result for the test case, one number.
- `finish`: give up. `content` is ignored.

# Notes
- Change one number at a time to see what it does.
- Numbers that are nearly the test case, in any order, are not tried for you.
- The number of turns and of wrong answers is limited.\
"""

_OPENING_MESSAGES = (
    Message("system", _INSTRUCTIONS),
    Message("user", "I have a rule in mind. Try it on four numbers of your choice."),
)

_NOTHING = {"correct": 0.0}
_TOLD = ("For numbers ", "Test case: ")
"""How a line begins that tells what was asked for."""


class Function:
    """One dialogue of the repaired game.

    What is closed: a trial is refused when its numbers, in some order, all lie less than `REACH`
    from the test case's. Nothing but whole steps away from the test case is ever evaluated, so no
    single result is the answer by continuity (adding 1e-9) or by symmetry (swapping two numbers).
    The expected result is in no feedback, not even at the end, and `guesses` wrong answers end the
    dialogue.

    What is left open is the game: results further away say something about the rule, and who
    extrapolates from several of them has learnt it.
    """

    def __init__(
        self,
        made: Puzzle,
        *,
        guesses: int = GUESSES,
        instructions: bool = True,
        correct: float = 1.0,
        incorrect: float = 0.0,
        manner: Manner | None = None,
    ) -> None:
        self._manner = manner
        self._rule = expression(made.rule)
        self._case = made.test_case
        self._sorted_case = sorted(made.test_case)
        self._expected = made.expected_result
        self._guesses = guesses
        self._correct = correct
        self._incorrect = incorrect
        self._prompt = opening(made, instructions=instructions)
        self._solved = False

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        if self._manner is None:
            return self._heard(action)
        return self._mannered(self._manner, action)

    def _mannered(self, manner: Manner, action: Action) -> Step:
        """The same in the host's manner. It dodges trials, and loses patience with lines that are
        no trial, no look-up and no right answer."""
        if action.choice == "action" and (dodged := manner.dodge(action.content)) is not None:
            return Step(feedback=dodged, parts=_NOTHING)
        step = self._heard(action)
        told = step.feedback.startswith(_TOLD)
        said = manner.say(step.feedback, fact=told)
        goodbye = None if step.done else manner.leave(told)
        return Step(
            feedback=said if goodbye is None else f"{said} {goodbye}",
            reward=step.reward,
            parts=step.parts,
            done=step.done,
            user_ended=goodbye is not None,
        )

    def _heard(self, action: Action) -> Step:
        content = action.content[:HEARD_CHARS].strip()
        match action.choice:
            case "action":
                return Step(feedback=self._try(content), parts=_NOTHING)
            case "search":
                if content.lower() != "test":
                    return Step(feedback="Only `test` can be looked up.", parts=_NOTHING)
                return Step(feedback=f"Test case: {spoken(self._case)}", parts=_NOTHING)
            case "answer":
                return self._answer(content)
            case "finish":
                return Step(feedback="You gave up.", parts=_NOTHING, done=True)
            case _:
                return Step(feedback="Choose action, search, answer or finish.", parts=_NOTHING)

    def _try(self, content: str) -> str:
        numbers = parse_numbers(content)
        if len(numbers) != 4:
            return "Give exactly four numbers."
        if max(map(abs, numbers)) > LARGEST:
            return f"Numbers go up to {LARGEST:,.0f}."
        if self._near(numbers):
            return "That is too close to the test case to be tried."
        try:
            value = round(self._rule(numbers), 4)
        except ExpressionError:
            return "The rule has no result for these numbers. Try others."
        return f"For numbers {spoken(numbers)}, the result is {value!r}."

    def _near(self, numbers: Sequence[float]) -> bool:
        # Sorted against sorted: if any order lies within reach of the test case, this one does.
        for number, case in zip(sorted(numbers), self._sorted_case, strict=True):
            if abs(number - case) >= REACH:
                return False
        return True

    def _answer(self, content: str) -> Step:
        number = parse_answer(content)
        if number is None:
            return Step(feedback="An answer is one number.", parts=_NOTHING)
        self._solved = answers_match(number, self._expected)
        reward = self._correct if self._solved else self._incorrect
        parts = {"correct": reward}
        if self._solved:
            return Step(feedback="That is correct.", reward=reward, parts=parts, done=True)
        self._guesses -= 1
        left = self._guesses > 0
        said = "That is wrong." if left else "That is wrong, and it was the last answer."
        return Step(feedback=said, reward=reward, parts=parts, done=not left)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"answered_correctly": self._solved}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(made: Puzzle, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = made.prompt or _OPENING_MESSAGES
    return [message for message in messages if instructions or message.role != "system"]


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    guesses: int = GUESSES,
    instructions: bool = True,
    persona: str = "plain",
) -> Env:
    """The environment of one dialogue. Nothing in it is random but a persona's words.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    guesses:      wrong answers until the dialogue ends; `official` has no limit.
    instructions: False leaves the system message out, for models that learnt the tool before.
    persona:      how the host speaks, what it dodges, when it leaves: a name of `PERSONAS`, or
                  `any`. `official` has none.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    if guesses < 1:
        raise UsageError(f"guesses is {guesses}; it must be at least 1")
    made = puzzle(task)
    manner = None if persona == "plain" else Manner(persona_of(persona, seed), seed)
    match behaviour:
        case "fixed":
            return Function(made, guesses=guesses, instructions=instructions, manner=manner)
        case "official":
            return OfficialFunction(
                made, name=task.id, prompt=opening(made, instructions=instructions)
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """The rule, however it is spaced. Not the result: an honest trial may happen to give it."""
    rule = puzzle(task).rule
    return {rule, rule.replace(" ", "")}


gym: Gym = Gym(
    name="function",
    tasks=generate,
    read=read,
    make=make,
    scripts={
        "expert": expert,
        "imperfect": imperfect,
        "random": random_moves,
        "benchmark": benchmark,
        "epsilon-leak": epsilon_leak,
        "swap-leak": swap_leak,
        "answer-spam": answer_spam,
    },
    max_turns=16,
    options={"behaviour": "fixed", "guesses": GUESSES, "instructions": True, "persona": "plain"},
    hidden=hidden,
    summary="Find a hidden rule by trying numbers, then say its result for a test case.",
)
