"""Seeds: places in a tree, not positions in a stream."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duologue.engine import Seed

parts = st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"])))
paths = st.lists(parts, max_size=6)


@given(st.integers(), paths, paths)
def test_a_path_names_one_seed_however_it_is_walked(
    root: int, first: list[str | int], then: list[str | int]
) -> None:
    whole = Seed(root).at(*first, *then)
    assert whole == Seed(root).at(*first).at(*then)
    stepwise = Seed(root)
    for part in first + then:
        stepwise = stepwise / part
    assert stepwise == whole
    assert hash(stepwise) == hash(whole)


@given(st.integers(), paths, paths)
def test_different_paths_are_different_seeds(
    root: int, one: list[str | int], other: list[str | int]
) -> None:
    assume(one != other)
    assert Seed(root).at(*one) != Seed(root).at(*other)
    assert Seed(root).at(*one).integer() != Seed(root).at(*other).integer()


@given(st.integers(), st.integers(), paths)
def test_different_roots_share_nothing(one: int, other: int, path: list[str | int]) -> None:
    assume(one != other)
    assert Seed(one).at(*path) != Seed(other).at(*path)


def test_a_number_and_its_spelling_are_different_parts() -> None:
    assert Seed(0) / 1 != Seed(0) / "1"


def test_where_a_path_is_cut_matters() -> None:
    assert Seed(0) / "a" / "b" != Seed(0) / "ab"
    assert Seed(0) / "a" / "b" != Seed(0) / "a/b"
    assert Seed(0) / "" != Seed(0)
    assert Seed(1) / 2 != Seed(12)


def test_nobody_elses_draws_shift_a_seed() -> None:
    seed = Seed(7) / "user"
    alone = seed.random().random()
    noisy = Seed(7)
    for index in range(100):
        (noisy / "agent" / index).random().random()
    assert (noisy / "user").random().random() == alone
    assert seed.random().random() == alone


@given(st.integers(), paths)
def test_the_integer_fits_what_takes_a_seed(root: int, path: list[str | int]) -> None:
    assert 0 <= Seed(root).at(*path).integer() < 2**63


@given(st.integers(), st.integers() | st.text())
def test_the_integer_of_a_part_is_that_of_its_seed(root: int, part: str | int) -> None:
    assert Seed(root).integer_at(part) == (Seed(root) / part).integer()


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_draws_the_same_numbers(hash_seed: str) -> None:
    code = (
        "from duologue.engine import Seed\n"
        "seed = Seed(-3).at('group', 4, 'task', 'tür', 'sample', 0)\n"
        "print(seed.integer(), seed.random().random())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    seed = Seed(-3).at("group", 4, "task", "tür", "sample", 0)
    assert answer.stdout.split() == [str(seed.integer()), str(seed.random().random())]


def test_seeds_stay_what_they_are_between_releases() -> None:
    assert (Seed(0) / "group" / 3 / "user").integer() == 5298948233865424261


def test_a_seed_equals_only_seeds_and_prints_where_it_is() -> None:
    assert Seed(0) != 0
    assert repr(Seed(0)) == repr(Seed(0)) != repr(Seed(1))
