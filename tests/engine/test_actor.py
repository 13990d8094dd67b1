"""Actors: one message at a time, owned replies, errors where they belong."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Actor, MailboxClosed, checkpoint, open_actor
from duologue.engine._mailbox import BURST

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


async def double(number: int) -> int:
    await checkpoint()
    return 2 * number


async def test_an_answer_comes_back_to_its_asker() -> None:
    answers: dict[int, int] = {}

    async def ask(actor: Actor[int, int], number: int) -> None:
        answers[number] = await actor.ask(number)

    async with open_actor(double, capacity=2, name="doubler") as actor:
        assert actor.name == "doubler"
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(ask, actor, number)
    assert answers == {number: 2 * number for number in range(20)}
    assert actor.stats().mailbox.received == 20
    assert actor.stats().dead_replies == 0


async def test_messages_are_handled_one_at_a_time_in_order() -> None:
    handled: list[int] = []
    busy = False

    async def receive(number: int) -> None:
        nonlocal busy
        assert not busy
        busy = True
        await checkpoint()
        handled.append(number)
        busy = False

    async with open_actor(receive, capacity=1) as actor:
        for number in range(10):
            await actor.tell(number)
    # Leaving the block lets the actor finish what it has buffered.
    assert handled == list(range(10))


async def test_a_handlers_error_reaches_the_asker_and_stops_nobody() -> None:
    async def receive(number: int) -> int:
        await checkpoint()
        return 10 // number

    async with open_actor(receive) as actor:
        with pytest.raises(ZeroDivisionError):
            await actor.ask(0)
        assert await actor.ask(5) == 2


async def test_a_told_messages_error_stops_the_actors_block() -> None:
    async def receive(number: int) -> None:
        raise KeyError(number)

    handle: list[Actor[int, None]] = []
    with pytest.raises(KeyError):
        async with open_actor(receive) as actor:
            handle.append(actor)
            await actor.tell(1)
            await anyio.sleep_forever()
    with pytest.raises(MailboxClosed):
        await handle[0].tell(2)


async def test_an_error_in_the_block_comes_out_as_itself() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_actor(double):
            raise KeyError("mine")


async def test_an_asker_that_goes_away_leaves_a_dead_reply() -> None:
    async with open_actor(double) as actor:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await actor.ask(1)
        await settle()
        assert actor.stats().dead_replies == 1
        assert await actor.ask(2) == 4


async def test_an_asker_that_goes_away_as_its_error_comes_leaves_a_dead_reply() -> None:
    async def receive(number: int) -> None:
        await checkpoint()
        raise KeyError(number)

    async with open_actor(receive) as actor:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await actor.ask(1)
        await settle()
        assert actor.stats().dead_replies == 1


async def test_a_reply_in_the_instant_of_the_askers_cancellation_is_dead() -> None:
    asker = anyio.CancelScope()

    async def receive(number: int) -> int:
        asker.cancel()
        return number

    async def ask(actor: Actor[int, int]) -> None:
        with asker:
            await actor.ask(1)

    async with open_actor(receive) as actor:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, actor)
        assert asker.cancelled_caught
        assert actor.stats().dead_replies == 1


@given(burst=st.integers(0, BURST + 1))
@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_ask_was_either_not_sent_or_leaves_a_dead_reply(
    backend: str, burst: int
) -> None:
    async def main() -> None:
        async with open_actor(double, capacity=2 * BURST) as actor:
            for number in range(burst):
                actor._mailbox.put_nowait((number, None))
                actor._mailbox._burst -= 1
            with anyio.CancelScope() as scope:
                scope.cancel()
                await actor.ask(1)
            assert scope.cancelled_caught
            sent = actor.stats().mailbox.sent - burst
        assert actor.stats().dead_replies == sent

    anyio.run(main, backend=backend)


async def test_cancelling_the_block_stops_the_actor_at_once() -> None:
    async def receive(number: int) -> int:
        await anyio.sleep_forever()
        return number

    refused: list[str] = []

    async def ask(actor: Actor[int, int], number: int) -> None:
        with pytest.raises(MailboxClosed) as caught:
            await actor.ask(number)
        refused.append(str(caught.value))

    handle: list[Actor[int, int]] = []
    async with anyio.create_task_group() as outside:
        with anyio.CancelScope() as scope:
            async with open_actor(receive, capacity=2, name="sleeper") as actor:
                handle.append(actor)
                await actor.tell(0)
                await settle()
                for number in (1, 2, 3):
                    outside.start_soon(ask, actor, number)
                    await settle()
                scope.cancel()
    assert sorted(refused) == [
        "sleeper stopped before it read the message",
        "sleeper stopped before it read the message",
        "sleeper was closed while a message waited for room",
    ]
    stats = handle[0].stats().mailbox
    assert (stats.sent, stats.received, stats.dead) == (3, 1, 2)


async def test_an_ask_in_progress_is_told_that_the_actor_stopped() -> None:
    async def receive(number: int) -> int:
        await anyio.sleep_forever()
        return number

    async def ask(actor: Actor[int, int]) -> None:
        with pytest.raises(MailboxClosed, match="sleeper stopped before it replied"):
            await actor.ask(1)

    async with anyio.create_task_group() as outside:
        with anyio.CancelScope() as scope:
            async with open_actor(receive, name="sleeper") as actor:
                outside.start_soon(ask, actor)
                await settle()
                scope.cancel()


async def test_an_actor_that_failed_does_not_leave_a_shielded_asker_waiting() -> None:
    async def receive(number: int) -> int:
        if number == 0:
            raise KeyError(number)
        return number

    with pytest.raises(KeyError):
        async with open_actor(receive) as actor:
            await actor.tell(0)
            await settle_shielded()
            with anyio.CancelScope(shield=True), pytest.raises(MailboxClosed):
                await actor.ask(1)
            await checkpoint()


async def settle_shielded() -> None:
    with anyio.CancelScope(shield=True):
        await settle()


async def forsaken(number: int) -> int:
    """Awaits something that somebody else has cancelled."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.cancel()
    return await future


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_is_not_ours_is_the_handlers_error() -> None:
    async with open_actor(forsaken, name="judge") as actor:
        with pytest.raises(RuntimeError, match="judge awaited something that was cancelled"):
            await actor.ask(1)
    with pytest.raises(RuntimeError, match="judge awaited"):
        async with open_actor(forsaken, name="judge") as actor:
            await actor.tell(1)
            await anyio.sleep_forever()
