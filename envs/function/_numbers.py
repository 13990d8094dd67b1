"""How the function gym reads numbers out of an agent's text, and compares answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ._expression import ExpressionError, expression

_NUMBER = re.compile(r"-?\d+\.?\d*")

TOLERANCE = 1e-6
"""How far an answer may be from the result."""


def parse_numbers(text: str) -> list[float]:
    """Every number in `text`, as the released code finds them.

    `.5` is 5, `5-3` is 5 and -3, `1e3` is 1 and 3, `1,000` is 1 and 0, and digits of any script
    count. Any text is fine.
    """
    return list(map(float, _NUMBER.findall(text)))


def parse_answer(text: str) -> float | None:
    """The one number that `text` is, as `float` reads it (`inf`, `1e2`, `2_25`); None if none."""
    try:
        return float(text)
    except ValueError:
        return None


def evaluate(rule: str, numbers: Sequence[float]) -> float:
    """The rule's value, unrounded. Raises `ExpressionError` where there is none."""
    if len(numbers) != 4:
        raise ExpressionError(f"a rule takes four numbers, not {len(numbers)}")
    return expression(rule)([float(number) for number in numbers])


def answers_match(submitted: object, correct: object) -> bool:
    """Whether two answers are the same number within `TOLERANCE`; False for what is no number."""
    try:
        return abs(float(submitted) - float(correct)) <= TOLERANCE  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def spoken(numbers: Sequence[float]) -> str:
    """Numbers the way every feedback of this gym lists them: [1.0, 2.0, 3.0, 4.0]."""
    return repr([*numbers])
