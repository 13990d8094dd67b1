"""Credits against a plain list, and conservation."""

from __future__ import annotations

import asyncio
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Credits, checkpoint

Rule = tuple[Literal["acquire", "acquire_nowait", "release", "cancel"], int]

rules: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "acquire", "acquire_nowait", "release", "cancel"]),
        st.integers(0, 4),
    ),
    max_size=30,
)


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


class Driver:
    def __init__(self, limit: int) -> None:
        self.credits = Credits(limit)
        self.held: list[int] = []
        self.scopes: dict[int, anyio.CancelScope] = {}

    async def acquire(self, who: int) -> None:
        with self.scopes.setdefault(who, anyio.CancelScope()):
            await self.credits.acquire()
            self.held.append(who)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(limit=st.integers(1, 4), rules=rules)
@settings(max_examples=60, deadline=None)
def test_credits_do_what_a_list_would(backend: str, limit: int, rules: list[Rule]) -> None:
    async def play() -> None:
        driver = Driver(limit)
        held: list[int] = []
        waiting: list[int] = []
        out = 0  # what was taken and not given back
        async with anyio.create_task_group() as tasks:
            for number, (rule, which) in enumerate(rules):
                match rule:
                    case "acquire":
                        waiting.append(number)
                        tasks.start_soon(driver.acquire, number)
                    case "acquire_nowait":
                        free = out < limit
                        assert driver.credits.acquire_nowait() == free
                        out += free
                    case "release" if which > out:
                        with pytest.raises(RuntimeError, match=f"{which} given back"):
                            driver.credits.release(which)
                    case "release":
                        driver.credits.release(which)
                        out -= which
                    case "cancel":
                        if waiting:
                            driver.scopes[waiting.pop(which % len(waiting))].cancel()
                while waiting and out < limit:
                    held.append(waiting.pop(0))
                    out += 1
                await settle()
                # Woken together they run in any order on trio, so compare who, not when.
                assert sorted(driver.held) == sorted(held)
                assert driver.credits.outstanding == out
                assert driver.credits.waiting == len(waiting)
            tasks.cancel_scope.cancel()

    anyio.run(play, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(limit=st.integers(1, 3), rules=rules)
@settings(max_examples=60, deadline=None)
def test_racing_operations_neither_lose_nor_mint_credits(
    backend: str, limit: int, rules: list[Rule]
) -> None:
    """No settling in between: grants, cancellations and returns meet in the same instant."""

    async def play() -> None:
        driver = Driver(limit)
        at_once = returned = 0
        async with anyio.create_task_group() as tasks:
            for number, (rule, which) in enumerate(rules):
                match rule:
                    case "acquire":
                        tasks.start_soon(driver.acquire, number)
                    case "acquire_nowait":
                        at_once += driver.credits.acquire_nowait()
                    case "release":
                        if driver.credits.outstanding and len(driver.held) + at_once > returned:
                            driver.credits.release()
                            returned += 1
                    case "cancel":
                        for who in list(driver.scopes)[which : which + 2]:
                            driver.scopes[who].cancel()
                if which % 2:
                    await checkpoint()
                assert 0 <= driver.credits.outstanding <= limit
            await settle()
            tasks.cancel_scope.cancel()
        assert driver.credits.outstanding == len(driver.held) + at_once - returned
        assert driver.credits.waiting == 0

    anyio.run(play, backend=backend)


def test_at_least_one_credit_must_be_allowed_out() -> None:
    with pytest.raises(ValueError, match="seats: the limit is 0"):
        Credits(0, "seats")


@pytest.mark.anyio
async def test_nobody_barges_past_a_waiting_task() -> None:
    credits = Credits(1)
    assert credits.acquire_nowait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(credits.acquire)
        await settle()
        credits.release()
        assert not credits.acquire_nowait()
    assert credits.outstanding == 1


@pytest.mark.anyio
async def test_two_tasks_after_the_last_credit_get_it_one_after_the_other() -> None:
    credits = Credits(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(credits.acquire)
        tasks.start_soon(credits.acquire)
        await settle()
        assert (credits.outstanding, credits.waiting) == (1, 1)
        credits.release()


@pytest.mark.anyio
async def test_a_credit_granted_to_a_task_cancelled_in_that_instant_goes_to_the_next() -> None:
    credits = Credits(1)
    await credits.acquire()
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
        doomed.start_soon(credits.acquire)
        await settle()
        tasks.start_soon(credits.acquire)
        await settle()
        doomed.cancel_scope.cancel()
        credits.release()
    assert (credits.outstanding, credits.waiting) == (1, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_may_cancel_a_task_that_has_its_credit_and_it_is_handed_on() -> None:
    credits = Credits(1)
    await credits.acquire()
    first = asyncio.create_task(credits.acquire())
    await settle()
    second = asyncio.create_task(credits.acquire())
    await settle()
    credits.release()
    first.cancel()
    await settle()
    assert first.cancelled() and second.done()
    assert (credits.outstanding, credits.waiting) == (1, 0)


def test_more_than_is_out_cannot_be_given_back() -> None:
    credits = Credits(3, "seats")
    assert credits.acquire_nowait() and credits.acquire_nowait()
    with pytest.raises(RuntimeError, match="seats: 3 given back, but only 2 are out"):
        credits.release(3)
    credits.release(2)
    assert credits.outstanding == 0


def test_a_batch_that_can_never_come_together_is_refused() -> None:
    for batch in (0, 4):
        with pytest.raises(ValueError, match=f"batches of {batch} never come together of 3"):
            Credits(3, batch=batch)
