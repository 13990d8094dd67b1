"""The expression evaluator: reads as Python does, is bounded, and fails in one way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.envs.function._expression import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_NODES,
    Expression,
    ExpressionError,
    expression,
)
from duologue.envs.function._numbers import answers_match, parse_answer, parse_numbers

A, B, C, D = NUMBERS = (2.0, 3.0, 5.0, 7.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * c", A + B * C),
        ("(a + b) * c", (A + B) * C),
        ("a - b - c", A - B - C),
        ("a - (b - c)", A - (B - C)),
        ("d / b / a", D / B / A),
        ("d / (b / a)", D / (B / A)),
        ("-a ** 2", -(A**2)),
        ("(-a) ** 2", (-A) ** 2),
        ("a ** -b", A**-B),
        ("2 ** 3 ** a", 2.0 ** (3.0**A)),
        ("a ** 2 * b", A**2 * B),
        ("--a", A),
        ("+a - -b", A + B),
        (" .5*a+2. ", 0.5 * A + 2.0),
        ("((((a))))", A),
    ],
)
def test_operators_bind_as_in_python(text: str, value: float) -> None:
    assert Expression(text)(NUMBERS) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a +", "+", "a b", "2a", "(a", "a)", "()", "a ** ", "* a", "a // b", "a % b"),
        *("e", "A", "__import__('os')", "a.real", "a()", "a if b else c", "lambda: a", "a, b"),
        *("1e3", "0x1", "1_000", "a = 1", "a\x00", "\uff11", "9999999", "a\n;b"),
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * MAX_CHARS,
        "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1),
        "-" * (MAX_DEPTH + 1) + "a",
        "a" + "**a" * MAX_DEPTH,
        "a" + "+a" * MAX_NODES,
    ],
)
def test_size_and_depth_are_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a / b", (1.0, 0.0, 0.0, 0.0)),
        ("a ** b", (0.0, -1.0, 0.0, 0.0)),
        ("a ** b", (10.0, 400.0, 0.0, 0.0)),
        ("a ** b", (-8.0, 0.5, 0.0, 0.0)),
        ("(a ** b) ** 2", (-8.0, 0.5, 0.0, 0.0)),
        ("9 ** 9 ** 9 ** 9", NUMBERS),
    ],
)
def test_no_real_value_is_one_kind_of_error(text: str, numbers: tuple[float, ...]) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)(numbers)


def test_products_overflow_to_infinity_as_floats_do() -> None:
    assert Expression("a * b")((1e200, 1e200, 0.0, 0.0)) == math.inf
    assert math.isnan(Expression("a - b")((math.inf, math.inf, 0.0, 0.0)))


def test_an_expression_is_parsed_once() -> None:
    assert expression("a + b") is expression("a + b")


def _tree(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(children, st.sampled_from(["+", "-", "*", "/"]), children)
    return joined.map(lambda parts: "({} {} {})".format(*parts))


trees = st.recursive(st.sampled_from(["a", "b", "c", "d", "2", "0.5"]), _tree, max_leaves=12)


@given(trees, st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_parentheses_around_everything_change_nothing(text: str, numbers: list[float]) -> None:
    def value(source: str) -> float | None:
        try:
            return Expression(source)(numbers)
        except ExpressionError:
            return None

    assert repr(value(f"({text})")) == repr(value(text))
    assert repr(value(f"0 - ({text})")) == repr(value(f"0 - {text}"))


@given(st.text(max_size=60))
def test_no_text_does_anything_but_parse_or_fail(text: str) -> None:
    try:
        Expression(text)((1.0, 1.0, 1.0, 1.0))
    except ExpressionError:
        pass


# ---- numbers in text


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (".5", [5.0]),
        ("5-3", [5.0, -3.0]),
        ("1e3", [1.0, 3.0]),
        ("1,000", [1.0, 0.0]),
        ("1.", [1.0]),
        ("--2 -.7", [-2.0, 7.0]),
        ("\u0663\uff14", [34.0]),
        ("none", []),
        ("1" * 400, [math.inf]),
    ],
)
def test_numbers_are_found_as_the_released_code_finds_them(text: str, numbers: list[float]) -> None:
    assert parse_numbers(text) == numbers


@given(st.text())
def test_looking_for_numbers_never_raises(text: str) -> None:
    assert all(isinstance(number, float) for number in parse_numbers(text))
    parse_answer(text)


def test_answers_match_within_a_millionth() -> None:
    assert answers_match(1, 1.000001 - 1e-9)
    assert answers_match("225", 225.0)
    assert not answers_match(1.1e-6, 0)
    nonsense: tuple[object, ...] = (None, "two", {}, math.nan, math.inf, 10**400)
    for no_number in nonsense:
        assert not answers_match(no_number, 0.0)
    assert not answers_match(math.inf, math.inf)
