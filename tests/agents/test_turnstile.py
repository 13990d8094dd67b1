"""The turnstile: a few at each turn of the loop, in order, and nobody is forgotten."""

from __future__ import annotations

import anyio
import pytest

from duologue.agents.models.http._turnstile import Turnstile
from duologue.engine import checkpoint

pytestmark = pytest.mark.anyio


async def go(turnstile: Turnstile) -> None:
    if not turnstile.enter_nowait():
        await turnstile.enter()


async def test_few_go_through_before_the_loop_turns() -> None:
    turnstile = Turnstile(4)
    through = 0
    most = 0

    async def one() -> None:
        nonlocal through
        await go(turnstile)
        through += 1

    async def watch() -> None:
        nonlocal most
        seen = 0
        while through < 100:
            most = max(most, through - seen)
            seen = through
            await checkpoint()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            for _ in range(100):
                tasks.start_soon(one)
    # trio runs those who are ready in any order: the watch may look first once, and last once.
    assert 1 <= most <= 2 * 4


async def test_who_comes_first_goes_first() -> None:
    turnstile = Turnstile(2)
    order: list[int] = []

    async def one(number: int) -> None:
        await go(turnstile)
        order.append(number)

    arrived = 0
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
                arrived += 1
                await checkpoint()
    assert sorted(order) == list(range(20))
    assert all(abs(place - number) <= 4 for place, number in enumerate(order))


async def test_one_at_a_time_costs_a_turn_of_the_loop_now_and_then() -> None:
    turnstile = Turnstile(3)
    at_once = 0
    for _ in range(30):
        if turnstile.enter_nowait():
            at_once += 1
        else:
            await turnstile.enter()
    assert at_once == 30 - 9  # the first three, then two of every three


@pytest.mark.parametrize("passes", range(12))
async def test_whoever_is_cancelled_leaves_the_others_their_turn(passes: int) -> None:
    turnstile = Turnstile(2)
    through: list[int] = []

    async def one(number: int) -> None:
        await go(turnstile)
        through.append(number)

    async def some(scope: anyio.CancelScope, begin: int) -> None:
        with scope:
            async with anyio.create_task_group() as tasks:
                for number in range(begin, begin + 10):
                    tasks.start_soon(one, number)

    dropped, kept = anyio.CancelScope(), anyio.CancelScope()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(some, dropped, 0)
            tasks.start_soon(some, kept, 10)
            for _ in range(passes):
                await checkpoint()
            dropped.cancel()
        assert {number for number in through if number >= 10} == set(range(10, 20))
        await go(turnstile)
        await go(turnstile)
        await go(turnstile)


async def test_one_at_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 2"):
        Turnstile(1)
