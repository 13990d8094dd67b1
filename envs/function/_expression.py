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

NAMES = "abcd"

MAX_CHARS = 256
MAX_NODES = 64
MAX_DEPTH = 24
MAX_CONSTANT = 1e6


class ExpressionError(ValueError):
    """The text is no expression of ours, or it has no real value for these numbers."""


_Value = Callable[[Sequence[float]], float]

_TOKEN = re.compile(r"\s*(?:([0-9]+\.?[0-9]*|\.[0-9]+)|([a-d])|(\*\*|[-+*/()]))", re.ASCII)


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
    """Recursive descent with one token of lookahead; counts what it builds."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise ExpressionError(f"an expression has at most {MAX_CHARS} characters")
        self._text = text
        self._tokens = [*_tokens(text), ""]  # the empty one is the end
        self._at = 0
        self._nodes = 0
        self._depth = 0

    def parse(self) -> _Value:
        value = self._sum()
        if self._peek():
            raise self._unexpected()
        return value

    def _sum(self) -> _Value:
        left = self._product()
        while self._peek() in ("+", "-"):
            left = self._binary(self._next(), left, self._product())
        return left

    def _product(self) -> _Value:
        left = self._signed()
        while self._peek() in ("*", "/"):
            left = self._binary(self._next(), left, self._signed())
        return left

    def _signed(self) -> _Value:
        # Every way to nest passes here, so here is where depth is counted.
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"{self._text!r} is nested deeper than {MAX_DEPTH}")
        if self._peek() in ("+", "-"):
            sign = self._next()
            value = self._signed()
            if sign == "-":
                value = self._node(_negate(value))
        else:
            value = self._power()
        self._depth -= 1
        return value

    def _power(self) -> _Value:
        base = self._atom()
        if self._peek() != "**":
            return base
        return self._binary(self._next(), base, self._signed())

    def _atom(self) -> _Value:
        token = self._next()
        if token == "(":
            value = self._sum()
            if self._next() != ")":
                raise ExpressionError(f"a parenthesis is not closed in {self._text!r}")
            return value
        if token and token in NAMES:
            return self._node(itemgetter(NAMES.index(token)))
        if token and token[0] in "0123456789.":
            number = float(token)
            if number > MAX_CONSTANT:
                raise ExpressionError(f"{token} is too large; constants go up to {MAX_CONSTANT:g}")
            return self._node(_constant(number))
        self._at -= 1
        raise self._unexpected()

    def _binary(self, operator: str, left: _Value, right: _Value) -> _Value:
        return self._node(_BINARY[operator](left, right))

    def _node(self, value: _Value) -> _Value:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"{self._text!r} has more than {MAX_NODES} parts")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _unexpected(self) -> ExpressionError:
        found = repr(self._peek()) if self._peek() else "the end"
        return ExpressionError(f"{found} is not expected there in {self._text!r}")


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"{text[at:].strip()[:1]!r} means nothing in {text!r}")
        found.append(match.group().strip())
        at = match.end()
    return found


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


_BINARY: dict[str, Callable[[_Value, _Value], _Value]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "**": _raise,
}
