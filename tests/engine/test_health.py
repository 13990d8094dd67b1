"""The loop's lateness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from duologue.engine import Lateness, open_lateness

late = st.floats(0, 100, allow_nan=False)


@given(st.lists(late, min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_a_sample_that_its_share_did_not_exceed(
    samples: list[float], share: float
) -> None:
    lateness = Lateness(window=100)
    for sample in samples:
        lateness.note(sample)
    value = lateness.quantile(share)
    assert value in samples
    assert sum(sample <= value for sample in samples) >= share * len(samples)
    assert lateness.worst_s == max(samples)


def test_lateness_is_zero_before_the_first_sample() -> None:
    assert Lateness(window=3).quantile(0.99) == 0.0


def test_only_the_window_is_remembered_but_the_worst_is_kept() -> None:
    lateness = Lateness(window=2)
    for sample in (9.0, 1.0, 2.0):
        lateness.note(sample)
    assert lateness.quantile(1.0) == 2.0
    assert lateness.worst_s == 9.0


def test_a_loop_on_time_is_not_late(
    virtual_time: Callable[[Callable[[], Awaitable[Any]]], Any],
) -> None:
    async def main() -> Lateness:
        async with open_lateness(every_s=1) as lateness:
            await anyio.sleep(3600)
            return lateness

    lateness: Lateness = virtual_time(main)
    assert lateness.quantile(1.0) == lateness.worst_s == pytest.approx(0, abs=1e-6)
    assert len(lateness._recent) == 1200


def test_a_loop_that_is_held_up_is_late_by_as_much() -> None:
    clock = MockClock()

    async def main() -> Lateness:
        async with open_lateness(every_s=1) as lateness:
            await wait_all_tasks_blocked()
            clock.jump(1.5)
            await wait_all_tasks_blocked()
            return lateness

    assert trio.run(main, clock=clock).worst_s == pytest.approx(0.5)


@pytest.mark.anyio
async def test_the_blocks_own_error_comes_out_as_itself() -> None:
    with pytest.raises(KeyError):
        async with open_lateness():
            raise KeyError("mine")
