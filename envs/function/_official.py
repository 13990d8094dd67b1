"""The function gym as released, bug for bug.

Kept on purpose: only numbers that equal the test case exactly are refused, so a trial a billionth
away reveals the answer; wrong answers cost nothing and never run out; finishing says the expected
result, and `info` holds the rule. The words are ours, the numbers in them are the released code's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine import Action, Message
from .._env import Step
from .._official import tool_input
from ._expression import ExpressionError, expression
from ._numbers import answers_match, parse_answer, parse_numbers, spoken
from ._tasks import Puzzle

_PREFIX = len("[action]")
_NOTHING = {"correct": 0.0}


class OfficialFunction:
    """One dialogue of the released game. An action becomes the released tool's string first, so
    that an unknown choice whose content reads "[answer] 7" is an answer."""

    def __init__(
        self,
        made: Puzzle,
        *,
        name: str = "",
        prompt: Sequence[Message] = (),
        correct: float = 1.0,
        incorrect: float = 0.0,
    ) -> None:
        self._puzzle = made
        self._name = name
        self._rule = expression(made.rule)
        self._case = list(made.test_case)
        self._prompt = prompt
        self._correct = correct
        self._incorrect = incorrect
        self._submitted: float | None = None
        self._solved = False

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        text = tool_input(action.choice, action.content).strip()
        content = text[_PREFIX:].strip()
        if text.startswith("[action]"):
            return Step(feedback=self._try(content), parts=_NOTHING)
        if text.startswith("[search]"):
            known = content.lower() == "test"
            said = f"Test case: {spoken(self._case)}" if known else "Only `test` can be looked up."
            return Step(feedback=said, parts=_NOTHING)
        if text.startswith("[answer]"):
            return self._answer(content)
        if text.startswith("[finish]"):
            return Step(
                feedback=f"You gave up. The result was {self._puzzle.expected_result!r}.",
                parts=_NOTHING,
                done=True,
            )
        return Step(feedback="Start with [action], [search], [answer] or [finish].", parts=_NOTHING)

    def _try(self, content: str) -> str:
        if not content:
            return "Give the numbers after [action]."
        numbers = parse_numbers(content)
        if len(numbers) != 4:
            return "Give exactly four numbers."
        if numbers == self._case:
            return "That is the test case, which is not tried for you."
        try:
            value = round(self._rule(numbers), 4)
        except ExpressionError:
            return "The rule has no result for these numbers. Try others."
        return f"For numbers {spoken(numbers)}, the result is {value!r}."

    def _answer(self, content: str) -> Step:
        number = parse_answer(content)
        if number is None:
            return Step(feedback="An answer is one number.", parts=_NOTHING)
        self._submitted = number
        self._solved = answers_match(number, self._puzzle.expected_result)
        reward = self._correct if self._solved else self._incorrect
        return Step(
            feedback="That is correct." if self._solved else "That is wrong.",
            reward=reward,
            parts={"correct": reward},
            done=self._solved,
        )

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"answered_correctly": self._solved}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "function_id": self._name,
            "rule": self._puzzle.rule,
            "test_case": list(self._case),
            "expected_result": self._puzzle.expected_result,
            "submitted_answer": self._submitted,
        }
