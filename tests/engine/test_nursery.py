"""The cheapest task group of a loop owns its tasks as anyio's does."""

from __future__ import annotations

import anyio
import pytest

from duologue.engine._nursery import open_nursery

pytestmark = pytest.mark.anyio


async def test_the_block_ends_after_its_last_task() -> None:
    ended: list[int] = []

    async def run(number: int) -> None:
        for _ in range(number):
            await anyio.lowlevel.checkpoint()
        ended.append(number)

    async with open_nursery() as nursery:
        for number in (3, 1, 2):
            nursery.start_soon(run, number, name=f"the task {number}")
    assert sorted(ended) == [1, 2, 3]


async def test_an_error_cancels_the_others_and_comes_out_in_a_group() -> None:
    cancelled: list[str] = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append("waiting")
            raise

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyError("street")

    with pytest.raises(ExceptionGroup) as caught:
        async with open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(fail)
    assert [str(error) for error in caught.value.exceptions] == ["'street'"]
    assert cancelled == ["waiting"]


async def test_a_scope_around_it_cancels_its_tasks_but_not_what_they_shield() -> None:
    kept: list[str] = []

    async def keep() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                kept.append("the record")
            # A level, not an edge: whoever is cancelled stays so.
            with pytest.raises(anyio.get_cancelled_exc_class()):
                await anyio.lowlevel.checkpoint()

    with anyio.CancelScope() as scope:
        async with open_nursery() as nursery:
            nursery.start_soon(keep)
            nursery.start_soon(keep)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert kept == ["the record"] * 2
