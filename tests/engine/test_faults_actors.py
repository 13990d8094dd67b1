"""Actors of their own, and the way to them, under every fault that can strike them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
from msgspec import Struct

from duologue.engine import MailboxClosed, UsageError, open_actor
from duologue.engine.faults import (
    Fault,
    FaultPlan,
    Faults,
    FaultyLink,
    Injected,
    MessageRefused,
    Site,
    check_invariants,
    faulty_handler,
    open_faulty_link,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

pytestmark = pytest.mark.anyio


class Note(Struct, frozen=True, kw_only=True, tag="note"):
    """What is sent; `urgent` and `to` came with a later version."""

    number: int
    text: str = "none"
    urgent: bool = False


class Bell(Struct, frozen=True, kw_only=True, tag="bell"):
    times: int = 1


class Bare(Struct, frozen=True):
    number: int


Mail = Note | Bell


def plan(*faults: Fault) -> Faults:
    return Faults(FaultPlan(faults=faults))


class Desk:
    """An actor's handler that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    async def receive(self, message: Any) -> int:
        await anyio.lowlevel.checkpoint()
        self.kept.append(message)
        return len(self.kept)

    @property
    def numbers(self) -> list[int]:
        return [note.number for note in self.kept]


def books(link: FaultyLink[Any, Any], sent: int) -> None:
    """What the mailbox was sent is what the link's own counts say."""
    stats = link.stats()
    gone = stats.dropped + stats.refused + stats.held
    assert sent == stats.sent + stats.duplicated - gone


# ---------------------------------------------------------------- handlers


@pytest.mark.parametrize("kind", ["raise_before", "raise_after", "memory"])
async def test_a_handler_that_fails_tells_its_asker_and_goes_on(kind: str) -> None:
    desk = Desk()
    handle = faulty_handler(desk.receive, plan(Fault(kind=kind, at=2, mib=1)))
    async with open_actor(handle) as actor:
        assert await actor.ask(Note(number=1)) == 1
        with pytest.raises(Injected):
            await actor.ask(Note(number=2))
        await actor.ask(Note(number=3))
    assert desk.numbers == ([1, 2, 3] if kind == "raise_after" else [1, 3])
    check_invariants(mailboxes=[actor.stats().mailbox])


async def test_a_handler_that_fails_over_a_message_nobody_waits_for_stops_its_actor() -> None:
    desk = Desk()
    handle = faulty_handler(desk.receive, plan(Fault(kind="raise_before", at=1)))
    actor = None
    with pytest.raises(Injected):
        async with open_actor(handle) as actor:
            for number in range(3):
                await actor.tell(Note(number=number))
            await anyio.sleep_forever()
    assert actor is not None and desk.kept == []
    stats = actor.stats().mailbox
    assert (stats.sent, stats.dead) == (3, 2)
    check_invariants(mailboxes=[stats])
    with pytest.raises(MailboxClosed):
        await actor.tell(Note(number=9))


async def test_a_handler_that_hangs_holds_its_askers_until_they_give_up() -> None:
    desk = Desk()
    handle = faulty_handler(desk.receive, plan(Fault(kind="hang", at=1)))
    actor = None
    with anyio.CancelScope() as owner:
        async with open_actor(handle) as actor:
            for number in range(2):
                with anyio.move_on_after(0.02) as scope:
                    await actor.ask(Note(number=number))
                assert scope.cancelled_caught
            stats = actor.stats().mailbox
            assert (stats.received, stats.buffered) == (1, 1)
            check_invariants(mailboxes=[stats])
            # Only its owner ends a handler that never returns.
            owner.cancel()
    assert actor is not None
    stats = actor.stats().mailbox
    assert (stats.received, stats.dead, desk.kept) == (1, 1, [])
    check_invariants(mailboxes=[stats])


# ---------------------------------------------------------------- links


async def test_a_dropped_message_is_never_seen_and_its_question_never_answered() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="drop", at=(1, 2))), Mail) as link,
    ):
        await link.tell(Note(number=1))
        with anyio.move_on_after(0.02) as scope:
            await link.ask(Note(number=2))
        assert scope.cancelled_caught
        assert await link.ask(Note(number=3)) == 1
    assert desk.numbers == [3]
    assert link.stats().dropped == 2
    books(link, actor.stats().mailbox.sent)


async def test_a_delayed_message_is_overtaken_by_nobody_but_the_clock() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="delay", at=1, for_s=0.03)), Mail) as link,
    ):
        began = anyio.current_time()
        assert await link.ask(Note(number=1)) == 1
        assert anyio.current_time() - began >= 0.03
    books(link, actor.stats().mailbox.sent)


async def test_a_message_that_comes_twice_is_handled_and_counted_twice() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="duplicate", at=(1, 2))), Mail) as link,
    ):
        await link.tell(Note(number=1))
        # Its asker has one reply: that of the one it waited for.
        assert await link.ask(Note(number=2)) == 4
    assert desk.numbers == [1, 1, 2, 2]
    assert link.stats().duplicated == 2
    books(link, actor.stats().mailbox.sent)


async def test_a_message_that_is_overtaken_is_handled_all_the_same() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="reorder", at=(1, 4))), Mail) as link,
    ):
        await link.tell(Note(number=1))
        assert link.stats().held == 1
        books(link, actor.stats().mailbox.sent)
        await link.tell(Note(number=2))
        await link.tell(Note(number=3))
        await link.tell(Note(number=4))
        assert link.stats().held == 1
    # The last one was let go of when the link closed.
    assert desk.numbers == [2, 1, 3, 4]
    assert link.stats().held == 0
    books(link, actor.stats().mailbox.sent)


async def test_a_question_that_is_overtaken_is_answered_later() -> None:
    desk = Desk()
    answers: list[int] = []
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="reorder", at=1)), Mail) as link,
        anyio.create_task_group() as tasks,
    ):

        async def ask() -> None:
            answers.append(await link.ask(Note(number=1)))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert (link.stats().held, desk.kept) == (1, [])
        answers.append(await link.ask(Note(number=2)))
    assert (desk.numbers, answers) == ([2, 1], [1, 2])
    books(link, actor.stats().mailbox.sent)


async def test_a_message_may_be_large() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="oversize", at=1, mib=2)), Mail) as link,
    ):
        await link.tell(Note(number=1))
        await link.tell(Note(number=2))
    assert [len(note.text) for note in desk.kept] == [len("none") + 2 * 2**20, 4]


async def test_a_message_of_an_unknown_kind_is_refused_by_name_and_the_actor_goes_on() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="unknown_tag", at=(1, 3))), Mail) as link,
    ):
        for send in (link.tell, link.ask):
            with pytest.raises(MessageRefused, match="from-the-future"):
                await send(Note(number=1))
            await link.tell(Note(number=2))
    assert desk.numbers == [2, 2]
    assert link.stats().refused == 2
    books(link, actor.stats().mailbox.sent)


async def test_a_message_without_a_kind_cannot_have_an_unknown_one() -> None:
    async with (
        open_actor(Desk().receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="unknown_tag")), Bare) as link,
    ):
        with pytest.raises(UsageError, match="Bare has no tag"):
            await link.tell(Bare(1))


async def test_an_older_writers_message_is_read_with_the_defaults() -> None:
    desk = Desk()
    async with (
        open_actor(desk.receive) as actor,
        open_faulty_link(actor, plan(Fault(kind="older_schema", at=1)), Mail) as link,
    ):
        await link.tell(Note(number=1, text="x", urgent=True))
        await link.tell(Note(number=2, text="x", urgent=True))
    assert desk.kept == [Note(number=1), Note(number=2, text="x", urgent=True)]
    assert msgspec.convert({"type": "note", "number": 1}, Mail) == desk.kept[0]


@pytest.mark.parametrize("kind", ["drop", "delay", "duplicate", "reorder", "unknown_tag"])
async def test_every_message_is_in_one_place_whatever_strikes(kind: str) -> None:
    desk = Desk()
    faults = plan(Fault(kind=kind, rate=0.3, for_s=0.001))
    refused = 0
    async with (
        open_actor(desk.receive, capacity=2) as actor,
        open_faulty_link(actor, faults, Mail) as link,
    ):
        for number in range(60):
            try:
                await link.tell(Note(number=number))
            except MessageRefused:
                refused += 1
            books(link, actor.stats().mailbox.sent)
    stats = link.stats()
    assert faults.injected[kind] > 5
    assert len(desk.kept) == 60 + stats.duplicated - stats.dropped - stats.refused
    assert stats.refused == refused
    check_invariants(mailboxes=[actor.stats().mailbox])
    assert faults.strike_next(Site.STORE) is None
