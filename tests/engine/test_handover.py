"""Handing over: given and taken in the same instant, in order, and nothing in between."""

from __future__ import annotations

import anyio
import pytest

from duologue.engine import checkpoint
from duologue.engine._handover import Handover
from duologue.engine._mailbox import BURST

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


async def test_whoever_gives_goes_on_when_its_item_was_taken() -> None:
    handover: Handover[int] = Handover()
    given: list[int] = []

    async def give(item: int) -> None:
        await handover.give(item)
        given.append(item)

    async with anyio.create_task_group() as tasks:
        for item in range(3):
            tasks.start_soon(give, item)
            await settle()
        assert len(handover) == 3
        assert given == []
        for item in range(3):
            assert await handover.take() == item
            await settle()
            assert given == list(range(item + 1))


async def test_a_taker_waits_until_something_is_given() -> None:
    handover: Handover[str] = Handover()
    taken: list[str] = []

    async def take() -> None:
        taken.append(await handover.take())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await settle()
        assert taken == []
        await handover.give("a")
    assert taken == ["a"]


async def test_a_cancelled_giver_has_given_nothing() -> None:
    handover: Handover[int] = Handover()
    scope = anyio.CancelScope()

    async def give(item: int, within: anyio.CancelScope) -> None:
        with within:
            await handover.give(item)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give, 1, scope)
        await settle()
        tasks.start_soon(give, 2, anyio.CancelScope())
        await settle()
        scope.cancel()
        # The first has not run since, so its offer still stands; nobody may take it.
        assert await handover.take() == 2
        await settle()
        assert len(handover) == 0


async def test_a_cancelled_taker_takes_nothing() -> None:
    handover: Handover[int] = Handover()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(handover.take)
        await settle()
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(handover.give, 5)
        assert await handover.take() == 5


async def test_what_is_held_out_can_be_taken_after_the_end_and_then_there_is_an_end() -> None:
    handover: Handover[int] = Handover()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(handover.give, 7)
        await settle()
        handover.close()
        assert await handover.take() == 7
        with pytest.raises(anyio.EndOfStream):
            await handover.take()


async def test_a_waiting_taker_is_told_of_the_end() -> None:
    handover: Handover[int] = Handover()
    async with anyio.create_task_group() as tasks:

        async def take() -> None:
            with pytest.raises(anyio.EndOfStream):
                await handover.take()

        tasks.start_soon(take)
        await settle()
        handover.close()


async def test_a_taker_that_never_waits_lets_others_run() -> None:
    handover: Handover[int] = Handover()
    others = 0

    async def other() -> None:
        nonlocal others
        others += 1

    async with anyio.create_task_group() as tasks:
        for item in range(2 * BURST):
            tasks.start_soon(handover.give, item)
        await settle()
        tasks.start_soon(other)
        for _ in range(2 * BURST):
            await handover.take()
        assert others == 1
