"""Sleeping and waking, the same on both loops."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from duologue.engine import Lot, OneShot, checkpoint

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let every task that can run do so; cheaper than anyio's `wait_all_tasks_blocked`."""
    for _ in range(8):
        await checkpoint()


async def test_sleepers_wake_in_order_of_arrival() -> None:
    lot, woken = Lot(), list[int]()

    async def sleeper(number: int) -> None:
        await lot.park()
        woken.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(sleeper, number)
            await settle()
        assert len(lot) == 3
        for number in range(3):
            assert lot.wake()
            await settle()
            assert woken == list(range(number + 1))
        assert not lot.wake()


async def test_everybody_can_be_woken_at_once() -> None:
    lot = Lot()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(lot.park)
        await settle()
        lot.wake_all()
    assert len(lot) == 0


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    lot = Lot()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lot.park)
        await settle()
        tasks.cancel_scope.cancel()
    assert len(lot) == 0
    assert not lot.wake()


async def test_whichever_sleeper_is_cancelled_the_others_keep_their_order() -> None:
    for doomed in range(4):
        lot, woken = Lot(), list[int]()
        scopes = [anyio.CancelScope() for _ in range(4)]

        async def sleeper(
            number: int, lot: Lot, woken: list[int], within: anyio.CancelScope
        ) -> None:
            with within:
                await lot.park()
                woken.append(number)

        async with anyio.create_task_group() as tasks:
            for number, scope in enumerate(scopes):
                tasks.start_soon(sleeper, number, lot, woken, scope)
                await settle()
            scopes[doomed].cancel()
            await settle()
            assert len(lot) == 3
            while lot.wake():
                await settle()
        assert woken == [number for number in range(4) if number != doomed]
        assert len(lot) == 0


def test_a_lot_serves_one_loop_after_another_of_either_kind() -> None:
    lot = Lot()

    async def once() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lot.park)
            await settle()
            assert lot.wake()

    for backend in ("asyncio", "trio", "trio", "asyncio", "asyncio"):
        anyio.run(once, backend=backend)
    assert len(lot) == 0


@pytest.mark.parametrize("behind", [1, 3])
async def test_a_wake_up_skips_a_sleeper_that_was_cancelled_in_the_same_instant(
    behind: int,
) -> None:
    lot, woken = Lot(), list[int]()
    scope = anyio.CancelScope()

    async def sleeper(number: int, within: anyio.CancelScope) -> None:
        with within:
            await lot.park()
            woken.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper, 0, scope)
        await settle()
        for number in range(1, behind + 1):
            tasks.start_soon(sleeper, number, anyio.CancelScope())
            await settle()
        scope.cancel()  # and before it has run to say so:
        assert lot.wake()
        await settle()
        assert woken == [1]
        assert len(lot) == behind - 1
        lot.wake_all()
    # Trio runs those that are woken together in any order.
    assert sorted(woken) == list(range(1, behind + 1))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_passes_on_a_wake_up_whose_task_is_then_cancelled() -> None:
    lot, woken = Lot(), list[str]()

    async def sleeper(name: str) -> None:
        await lot.park()
        woken.append(name)

    first = asyncio.create_task(sleeper("first"))
    await settle()
    second = asyncio.create_task(sleeper("second"))
    await settle()
    lot.wake()
    first.cancel()
    await settle()
    assert woken == ["second"]
    assert first.cancelled() and second.done()


async def test_a_value_given_before_the_wait_is_there() -> None:
    shot: OneShot[int] = OneShot()
    assert not shot.settled
    assert shot.give(3)
    assert shot.settled
    assert await shot.wait() == 3


async def test_a_value_can_be_given_once() -> None:
    shot: OneShot[int] = OneShot()
    assert shot.give(3)
    assert not shot.give(4)
    assert not shot.fail(KeyError("late"))
    assert await shot.wait() == 3


async def test_an_error_is_raised_where_the_value_is_awaited() -> None:
    shot: OneShot[int] = OneShot()
    error = KeyError("x")

    async def give() -> None:
        await settle()
        shot.fail(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give)
        with pytest.raises(KeyError) as caught:
            await shot.wait()
        assert caught.value is error


async def test_a_value_nobody_waits_for_any_more_is_refused() -> None:
    shot: OneShot[int] = OneShot()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shot.wait)
        await settle()
        tasks.cancel_scope.cancel()
    assert not shot.give(3)


async def test_a_value_is_refused_in_the_instant_its_waiter_is_cancelled() -> None:
    shot: OneShot[int] = OneShot()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shot.wait)
        await settle()
        tasks.cancel_scope.cancel()
        # The waiter has not run since, so it has not said that it is gone.
        assert not shot.give(3)
        assert not shot.settled


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_may_cancel_a_waiter_that_has_its_value() -> None:
    shot: OneShot[int] = OneShot()
    waiter = asyncio.create_task(shot.wait())
    await settle()
    assert shot.give(3)
    waiter.cancel()
    await settle()
    assert waiter.cancelled()
    assert shot.settled


async def test_one_task_waits_for_a_value_and_a_second_is_a_bug() -> None:
    shot: OneShot[int] = OneShot()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shot.wait)
        await settle()
        with pytest.raises(RuntimeError, match="two tasks"):
            await shot.wait()
        assert shot.give(3)
