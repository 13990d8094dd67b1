"""Tasks: rules of our own, generated, or the official ones, unmodified. Both have one layout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ...engine import Message, Seed, Task, UsageError
from .._rows import Row, check_row, json_records, read_rows
from ._expression import ExpressionError, expression
from ._numbers import answers_match, evaluate

Number = int | float


class Puzzle(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hidden rule, the test case, and its result: the data of a task.

    prompt: the opening messages of an official row; the gym's own without one.
    """

    rule: Annotated[str, Meta(min_length=1)]
    test_case: Annotated[tuple[Number, ...], Meta(min_length=4, max_length=4)]
    expected_result: Number
    prompt: tuple[Message, ...] = ()


def puzzle(task: Task) -> Puzzle:
    """The task's data, checked; `UsageError` says what is wrong with it."""
    try:
        made = msgspec.convert(task.data, Puzzle)
    except msgspec.ValidationError as error:
        raise UsageError(f"task {task.id!r} is no task of the function gym: {error}") from error
    try:
        check(made)
    except ValueError as error:
        raise UsageError(f"task {task.id!r} is no task of the function gym: {error}") from error
    return made


def check(made: Puzzle) -> None:
    """Raise ValueError, naming the field, unless the rule can be read and the numbers are finite."""
    try:
        expression(made.rule)
    except ExpressionError as error:
        raise ValueError(f"rule: {error}") from error
    if not all(map(math.isfinite, made.test_case)):
        raise ValueError(f"test_case: {made.test_case} holds something infinite")
    if not math.isfinite(made.expected_result):
        raise ValueError(f"expected_result: {made.expected_result} is not finite")


# ---- generated

SPLITS = ("train", "test")
_TEST_SHARE = 8
"""One rule in so many belongs to the test split."""

_LARGEST = 5_000.0
_SQUARED = 0.22
_CONSTANT = 0.12
_OPERATORS = ("+", "-", "*", "/")
_OPERATOR_WEIGHTS = (30, 26, 30, 14)
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}

# Where two rules are compared: as functions, not as texts, so that `a * b` and `b * a` are one.
_PROBES = (
    (1.618, 2.414, 3.303, 4.236),
    (7.389, 0.577, 1.202, 2.685),
    (0.915, 5.657, 0.834, 6.854),
)


def generate(split: str, seed: Seed) -> Iterator[Task]:
    """Tasks without end, the same ones for the same seed.

    A task belongs to a split by its rule, taken as a function: no function of one split is ever
    met in the other, however it is written and whatever the test case.
    """
    if split not in SPLITS:
        raise UsageError(f"the function gym has no split {split!r}; use one of {list(SPLITS)}")
    return _generate(split, seed)


def _generate(split: str, seed: Seed) -> Iterator[Task]:
    rng = (seed / "function" / split).random()
    while True:
        rule = _draw_rule(rng)
        if split_of(rule) != split:
            continue
        made = _draw_puzzle(rng, rule)
        if made is not None:
            raw = msgspec.json.encode(made)
            name = f"fn-{blake2b(raw, digest_size=8).hexdigest()}"
            yield Task(env="function", id=name, split=split, data=msgspec.json.decode(raw))


def split_of(rule: str) -> str:
    """The split that a rule belongs to."""
    values = [f"{evaluate(rule, probe):.8e}" for probe in _PROBES]
    digest = blake2b(repr(values).encode(), digest_size=8).digest()
    return "train" if int.from_bytes(digest, "little") % _TEST_SHARE else "test"


def _draw_puzzle(rng: Random, rule: str) -> Puzzle | None:
    """A test case with a result that can be said exactly in four decimals; None if none is near."""
    for _ in range(20):
        case = tuple(rng.randint(1, 10) for _ in range(4))
        try:
            value = evaluate(rule, case)
        except ExpressionError:
            continue
        rounded = round(value, 4)
        if abs(value) <= _LARGEST and abs(value - rounded) <= 1e-9:
            # Adding 0.0 makes a negative zero positive: nobody should have to answer "-0".
            return Puzzle(rule=rule, test_case=case, expected_result=rounded + 0.0)
    return None


_Said = tuple[str, int]
"""A piece of a rule and how tightly its outermost operator binds (4: an atom)."""


def _draw_rule(rng: Random) -> str:
    pieces: list[_Said] = [_draw_leaf(rng, name) for name in rng.sample("abcd", 4)]
    while len(pieces) > 1:
        at = rng.randrange(len(pieces) - 1)
        operator = rng.choices(_OPERATORS, _OPERATOR_WEIGHTS)[0]
        joined = _join(operator, pieces[at], pieces[at + 1])
        if len(pieces) > 2 and rng.random() < _SQUARED / 2:
            joined = _join("**", joined, ("2", 4))
        pieces[at : at + 2] = [joined]
    return pieces[0][0]


def _draw_leaf(rng: Random, name: str) -> _Said:
    leaf: _Said = (name, 4)
    if rng.random() < _SQUARED:
        leaf = _join("**", leaf, ("2", 4))
    if rng.random() < _CONSTANT:
        leaf = _join(rng.choice("+-*"), leaf, (str(rng.randint(2, 5)), 4))
    return leaf


def _join(operator: str, left: _Said, right: _Said) -> _Said:
    binds = _BINDS[operator]
    # On the right an equal operator needs parentheses too: a - (b - c). A power needs them on the
    # left: (a ** 2) ** 2.
    before = left[0] if left[1] > binds or (left[1] == binds < 3) else f"({left[0]})"
    after = right[0] if right[1] > binds else f"({right[0]})"
    return f"{before} {operator} {after}", binds


# ---- official

FILE = "functions.json"


class _Record(Puzzle, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1)]


def read(path: Path) -> list[Task]:
    """The tasks of an official file, in its order, with their own ids and splits.

    A JSON file holds the rules; its split is `test` when the file's name says so, else `train`. The
    rows of a parquet file name rules of `functions.json`, which is looked for beside the file and
    above it, and bring their own prompts. `UsageError` names the file, the row (from 0) and the
    field.
    """
    if path.suffix == ".parquet":
        return read_rows(path, "function", [FILE], _records, _check_answer)
    split = "test" if "test" in path.stem.lower() else "train"
    return [
        Task(env="function", id=name, split=split, data=data)
        for name, data in _records(path).items()
    ]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The records of the JSON file by id: checked, and as they stand but for the id."""
    records: dict[str, dict[str, Any]] = {}
    for i, (record, plain) in enumerate(json_records(path, _Record)):
        with check_row(path, i):
            check(record)
            _check_result(record)
        del plain["id"]
        records[record.id] = plain
    return records


def _check_result(made: Puzzle) -> None:
    # A file may be damaged where nothing else would show: a sign in a rule, a digit in a case.
    value = evaluate(made.rule, made.test_case)
    if not answers_match(value, made.expected_result):
        raise ValueError(
            f"expected_result: {made.expected_result!r} is not what the rule gives, {value!r}"
        )


def _check_answer(row: Row, data: dict[str, Any], source: str) -> None:
    if not answers_match(row.ground_truth, data["expected_result"]):
        raise ValueError(
            f"reward_model.ground_truth: {row.ground_truth!r} is not the result in "
            f"{source}, {data['expected_result']!r}"
        )
