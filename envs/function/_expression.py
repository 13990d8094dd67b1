"""Arithmetic that is parsed and bounded, never `eval`.

An expression over `a`, `b`, `c`, `d` and small numbers, with + - * / ** and parentheses, read as
Python reads it (`-a ** 2` is `-(a ** 2)`, `a ** b ** c` is `a ** (b ** c)`). It is parsed once into
closures and evaluated in floats: a float never grows with its value, so with the caps below no
expression and no input takes longer than a few microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter

MAX_CHARS = 256
MAX_NODES = 64
MAX_DEPTH = 24
MAX_CONSTANT = 1e6


class ExpressionError(ValueError):
    """The text is no expression of ours, or it has no real value for these numbers."""


_Value = Callable[[Sequence[float]], float]

_TOKEN = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+|[a-d]|\*\*|[-+*/()]|\S", re.ASCII)
"""A token, or else the one character that begins none."""


class Expression:
    """A parsed expression. Immutable: dialogues share it."""

    __slots__ = ("_value", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._value = _Parser(text).parse()

    def __call__(self, numbers: Sequence[float]) -> float:
        """The value with `a`, `b`, `c`, `d` bound to four floats; may be infinite or nan.

        Raises `ExpressionError` where there is no real value: a division by zero, a power that
        overflows or is complex.
        """
        try:
            return self._value(numbers)
        except (ZeroDivisionError, OverflowError) as error:
            raise ExpressionError(f"{self.text!r} has no value here: {error}") from error


@lru_cache(maxsize=4096)
def expression(text: str) -> Expression:
    """The expression that `text` spells, parsed once for all the dialogues of its task."""
    return Expression(text)


class _Parser:
    """Precedence climbing with one token of lookahead; counts what it builds."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise ExpressionError(f"an expression has at most {MAX_CHARS} characters")
        self._text = text
        # What is still to be read, the next token last; the empty one is the end.
        self._left = ["", *reversed(_TOKEN.findall(text.rstrip()))]
        self._nodes = 0
        self._depth = 0

    def parse(self) -> _Value:
        value = self._chain(0)
        if self._left[-1]:
            raise self._unexpected(self._left[-1])
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"{self._text!r} has more than {MAX_NODES} parts")
        return value

    def _chain(self, floor: int) -> _Value:
        """Operands joined by operators that all bind tighter than `floor`."""
        left = self._operand()
        while (binds := _BINDS.get(self._left[-1], 0)) > floor:
            join = _BINARY[self._left.pop()]
            left = join(left, self._chain(binds))
            self._nodes += 1
        return left

    def _operand(self) -> _Value:
        """An atom with its signs and its power. Signs bind looser than a power on their right and
        tighter than one on their left."""
        # Every way to nest passes here, so here is where depth is counted.
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"{self._text!r} is nested deeper than {MAX_DEPTH}")
        token = self._left.pop()
        if token == "-":
            value = _negate(self._operand())
            self._nodes += 1
        elif token == "+":
            value = self._operand()
        else:
            value = self._atom(token)
            if self._left[-1] == "**":
                self._left.pop()
                value = _raise(value, self._operand())
                self._nodes += 1
        self._depth -= 1
        return value

    def _atom(self, token: str) -> _Value:
        if token == "(":
            value = self._chain(0)
            if self._left.pop() != ")":
                raise ExpressionError(f"a parenthesis is not closed in {self._text!r}")
            return value
        self._nodes += 1
        if (name := _NAMED.get(token)) is not None:
            return name
        try:
            number = float(token.encode())  # of a text it would read the digits of any script
        except ValueError:
            raise self._unexpected(token) from None
        if number > MAX_CONSTANT:
            raise ExpressionError(f"{token} is too large; constants go up to {MAX_CONSTANT:g}")
        return _constant(number)

    def _unexpected(self, token: str) -> ExpressionError:
        found = repr(token) if token else "the end"
        return ExpressionError(f"{found} is not expected there in {self._text!r}")


def _constant(number: float) -> _Value:
    return lambda numbers: number


def _negate(value: _Value) -> _Value:
    return lambda numbers: -value(numbers)


def _add(left: _Value, right: _Value) -> _Value:
    return lambda numbers: left(numbers) + right(numbers)


def _subtract(left: _Value, right: _Value) -> _Value:
    return lambda numbers: left(numbers) - right(numbers)


def _multiply(left: _Value, right: _Value) -> _Value:
    return lambda numbers: left(numbers) * right(numbers)


def _divide(left: _Value, right: _Value) -> _Value:
    return lambda numbers: left(numbers) / right(numbers)


def _raise(left: _Value, right: _Value) -> _Value:
    def power(numbers: Sequence[float]) -> float:
        value: object = left(numbers) ** right(numbers)
        if not isinstance(value, float):
            # A negative base with a broken exponent. Nothing makes a complex number real again, so
            # refusing it here refuses exactly what is complex in the end.
            raise OverflowError("the power is complex")
        return value

    return power


_NAMED: dict[str, _Value] = {name: itemgetter(at) for at, name in enumerate("abcd")}

_BINARY: dict[str, Callable[[_Value, _Value], _Value]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
}
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}
