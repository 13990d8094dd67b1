"""Numbers packed at once are the numbers packed one by one."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.models.text._arrays import floats, pack_ints


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_ints(numbers: list[int]) -> None:
    assert pack_ints(numbers) == array("i", numbers).tobytes()


@given(st.lists(st.floats(width=32)))
def test_floats(numbers: list[float]) -> None:
    assert floats(numbers).tobytes() == array("f", numbers).tobytes()


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**70])
def test_a_number_that_is_too_large_is_said(number: int) -> None:
    with pytest.raises(ValueError, match="a token id that is none"):
        pack_ints([1, number])
