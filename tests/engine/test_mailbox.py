"""The mailbox against a plain list, and the promises its docstring makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Mailbox, MailboxClosed, MailboxStats, checkpoint
from duologue.engine._mailbox import BURST

Rule = tuple[Literal["put", "put_nowait", "get", "get_nowait", "cancel", "close", "abandon"], int]

rules: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(
            # The common ones often, the final ones seldom.
            [
                "put",
                "put",
                "put",
                "get",
                "get",
                "get_nowait",
                "put_nowait",
                "cancel",
                "cancel",
                "close",
                "abandon",
            ]
        ),
        st.integers(0, 9),
    ),
    max_size=30,
)


LARGEST = 4


def size(who: int) -> int:
    """What a message weighs, where bytes are counted: some nothing, some more than there is room."""
    return who % (LARGEST + 1)


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


def conserved(stats: MailboxStats) -> bool:
    return stats.sent == stats.received + stats.buffered + stats.dead


class Model:
    """A mailbox in slow motion: lists, and what became of each operation."""

    def __init__(self, capacity: int, capacity_bytes: int = 0) -> None:
        self.capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.items: list[int] = []
        self.senders: list[int] = []
        self.receivers: list[int] = []
        self.closed = False
        self.dead = 0
        self.sent = 0
        self.came_of: dict[int, str] = {}

    def put(self, who: int) -> None:
        if self.closed:
            self.came_of[who] = "closed"
        elif self._fits(who) and not self.senders:
            self._accept(who)
        else:
            self.senders.append(who)

    def _fits(self, who: int) -> bool:
        if not self.capacity_bytes:
            return len(self.items) < self.capacity
        weight = sum(map(size, self.items)) + size(who)
        return not self.items or (len(self.items) < self.capacity and weight <= self.capacity_bytes)

    def _admit(self) -> None:
        while self.senders and self._fits(self.senders[0]):
            self._accept(self.senders.pop(0))

    def put_nowait(self, who: int) -> str:
        if self.closed:
            return "closed"
        if self.senders or not self._fits(who):
            return "full"
        self._accept(who)
        return "sent"

    def _accept(self, who: int) -> None:
        self.items.append(who)
        self.sent += 1
        self.came_of[who] = "sent"
        if self.receivers:
            self.came_of[self.receivers.pop(0)] = f"got {self._take()}"

    def _take(self) -> int:
        item = self.items.pop(0)
        self._admit()
        return item

    def get(self, who: int) -> None:
        if self.items:
            self.came_of[who] = f"got {self._take()}"
        elif self.closed:
            self.came_of[who] = "closed"
        else:
            self.receivers.append(who)

    def get_nowait(self) -> int | None:
        return self._take() if self.items else None

    def cancel(self, which: int) -> int | None:
        waiting = sorted(self.senders + self.receivers)
        if not waiting:
            return None
        who = waiting[which % len(waiting)]
        for queue in (self.senders, self.receivers):
            if who in queue:
                queue.remove(who)
        self.came_of[who] = "cancelled"
        self._admit()
        return who

    def close(self) -> None:
        self.closed = True
        for who in self.senders + self.receivers:
            self.came_of[who] = "closed"
        self.senders, self.receivers = [], []

    def abandon(self) -> list[int]:
        self.close()
        left, self.items = self.items, []
        self.dead += len(left)
        return left


class Driver:
    """The real mailbox, each waiting operation in a task of its own."""

    def __init__(self, capacity: int, capacity_bytes: int = 0) -> None:
        self.box: Mailbox[int] = Mailbox(
            capacity, capacity_bytes=capacity_bytes, size=size if capacity_bytes else None
        )
        self.came_of: dict[int, str] = {}
        self.scopes: dict[int, anyio.CancelScope] = {}

    async def put(self, who: int) -> None:
        with self._scope(who) as scope:
            try:
                await self.box.put(who)
                self.came_of[who] = "sent"
            except MailboxClosed:
                self.came_of[who] = "closed"
        if scope.cancelled_caught:
            self.came_of[who] = "cancelled"

    async def get(self, who: int) -> None:
        with self._scope(who) as scope:
            try:
                self.came_of[who] = f"got {await self.box.get()}"
            except MailboxClosed:
                self.came_of[who] = "closed"
        if scope.cancelled_caught:
            self.came_of[who] = "cancelled"

    def put_nowait(self, who: int) -> str:
        try:
            accepted = self.box.put_nowait(who)
        except MailboxClosed:
            return "closed"
        if accepted:
            self.came_of[who] = "sent"
        return "sent" if accepted else "full"

    def _scope(self, who: int) -> anyio.CancelScope:
        return self.scopes.setdefault(who, anyio.CancelScope())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(capacity=st.integers(1, 3), capacity_bytes=st.integers(0, 5), rules=rules)
@settings(max_examples=80, deadline=None)
def test_a_mailbox_does_what_a_list_would(
    backend: str, capacity: int, capacity_bytes: int, rules: list[Rule]
) -> None:
    async def play() -> None:
        driver, model = Driver(capacity, capacity_bytes), Model(capacity, capacity_bytes)
        async with anyio.create_task_group() as tasks:
            for number, (rule, which) in enumerate(rules):
                match rule:
                    case "put":
                        model.put(number)
                        tasks.start_soon(driver.put, number)
                    case "get":
                        model.get(number)
                        tasks.start_soon(driver.get, number)
                    case "put_nowait":
                        assert driver.put_nowait(number) == model.put_nowait(number)
                    case "get_nowait":
                        assert driver.box.get_nowait() == model.get_nowait()
                    case "cancel":
                        who = model.cancel(which)
                        if who is not None:
                            driver.scopes[who].cancel()
                    case "close":
                        model.close()
                        driver.box.close()
                    case "abandon":
                        assert driver.box.abandon() == model.abandon()
                await settle()
                assert driver.came_of == model.came_of
                stats = driver.box.stats()
                assert conserved(stats)
                assert len(driver.box) == len(model.items) == stats.buffered
                assert stats.bytes == (sum(map(size, model.items)) if capacity_bytes else 0)
                assert (stats.sent, stats.dead) == (model.sent, model.dead)
                assert stats.waiting_senders == len(model.senders)
                assert stats.waiting_receivers == len(model.receivers)
            tasks.cancel_scope.cancel()

    anyio.run(play, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(capacity=st.integers(1, 3), capacity_bytes=st.integers(0, 5), rules=rules)
@settings(max_examples=80, deadline=None)
def test_racing_operations_lose_and_double_nothing(
    backend: str, capacity: int, capacity_bytes: int, rules: list[Rule]
) -> None:
    """No settling in between: cancellations, puts and gets meet in the same instant."""

    async def play() -> None:
        driver = Driver(capacity, capacity_bytes)
        drawn: list[int] = []
        async with anyio.create_task_group() as tasks:
            for number, (rule, which) in enumerate(rules):
                match rule:
                    case "put":
                        tasks.start_soon(driver.put, number)
                    case "get":
                        tasks.start_soon(driver.get, number)
                    case "put_nowait":
                        driver.put_nowait(number)
                    case "get_nowait":
                        item = driver.box.get_nowait()
                        drawn += [] if item is None else [item]
                    case "cancel":
                        for who in list(driver.scopes)[which : which + 2]:
                            driver.scopes[who].cancel()
                    case _:
                        await checkpoint()
                if which % 3 == 0:
                    await checkpoint()
                stats = driver.box.stats()
                assert conserved(stats)
                assert stats.bytes <= max(capacity_bytes, LARGEST)
            await settle()
            driver.box.close()
        # A put that was cancelled was not sent; one that returned was, once.
        left = driver.box.abandon()
        came = driver.came_of.values()
        got = drawn + [int(what.split()[1]) for what in came if what.startswith("got")]
        sent = [who for who, what in driver.came_of.items() if what == "sent"]
        assert sorted(got + left) == sorted(sent)
        stats = driver.box.stats()
        assert (stats.sent, stats.received, stats.dead) == (len(sent), len(got), len(left))
        assert (stats.waiting_senders, stats.waiting_receivers) == (0, 0)

    anyio.run(play, backend=backend)


def test_a_mailbox_holds_at_least_one_message() -> None:
    with pytest.raises(ValueError, match="letters: capacity is 0"):
        Mailbox[int](0, "letters")


@pytest.mark.parametrize(("most", "how"), [(10, None), (0, len), (-1, len)])
def test_bytes_are_bounded_where_they_are_counted(
    most: int, how: Callable[[str], int] | None
) -> None:
    with pytest.raises(ValueError, match=f"letters: capacity_bytes is {most}"):
        Mailbox[str](1, "letters", capacity_bytes=most, size=how)


@pytest.mark.anyio
async def test_a_large_message_passes_alone_and_small_ones_do_not_overtake_it() -> None:
    box: Mailbox[str] = Mailbox(8, "letters", capacity_bytes=10, size=len)
    got: list[str] = []
    async with anyio.create_task_group() as tasks:
        await box.put("small")
        tasks.start_soon(box.put, "larger than the mailbox")
        await settle()
        assert not box.put_nowait("tiny")
        hop = box.hop()
        assert (hop.depth, hop.bytes, hop.capacity_bytes, hop.waiting_in) == (1, 5, 10, 1)
        tasks.start_soon(box.put, "tiny")
        await settle()
        for _ in range(3):
            got.append(await box.get())
            assert len(box) <= 1
            await settle()
    assert got == ["small", "larger than the mailbox", "tiny"]
    assert (box.hop("post").name, box.hop().bytes) == ("post", 0)


@pytest.mark.anyio
async def test_full_mailbox_blocks_sender_until_receive() -> None:
    box: Mailbox[int] = Mailbox(1)
    await box.put(1)
    assert not box.put_nowait(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.put, 2)
        await settle()
        assert box.stats().waiting_senders == 1
        assert await box.get() == 1
        # Moved in by the receiver, before its sender runs: nobody can barge.
        assert len(box) == 1
        assert not box.put_nowait(3)
    assert await box.get() == 2


@pytest.mark.anyio
async def test_waiting_senders_are_served_in_order() -> None:
    box: Mailbox[int] = Mailbox(1)
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(box.put, number)
            await settle()
        assert [await box.get() for _ in range(5)] == list(range(5))


@pytest.mark.anyio
async def test_a_cancelled_sender_gives_up_its_turn_only() -> None:
    box: Mailbox[int] = Mailbox(1)
    await box.put(0)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as doomed:
            doomed.start_soon(box.put, 1)
            await settle()
            tasks.start_soon(box.put, 2)
            await settle()
            doomed.cancel_scope.cancel()
            # In the very instant of the cancellation, the message is already out of the queue.
            assert await box.get() == 0
        assert await box.get() == 2
    assert box.stats().sent == 2


@pytest.mark.anyio
async def test_closing_wakes_everyone() -> None:
    refused = 0

    async def put(box: Mailbox[int]) -> None:
        nonlocal refused
        with pytest.raises(MailboxClosed, match="waited for room"):
            await box.put(1)
        refused += 1

    async def get(box: Mailbox[int]) -> None:
        nonlocal refused
        with pytest.raises(MailboxClosed, match="closed and empty"):
            await box.get()
        refused += 1

    full, empty = Mailbox[int](1, "full"), Mailbox[int](1, "empty")
    full.put_nowait(0)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(put, full)
            tasks.start_soon(get, empty)
        await settle()
        full.close()
        empty.close()
    assert refused == 6
    assert await full.get() == 0  # what was buffered can still be read


@pytest.mark.anyio
@pytest.mark.parametrize("bytes_too", [False, True])
async def test_a_closed_mailbox_refuses_at_once(bytes_too: bool) -> None:
    bounds: dict[str, Any] = {"capacity_bytes": 10, "size": len} if bytes_too else {}
    box: Mailbox[str] = Mailbox(1, "letters", **bounds)
    box.close()
    with pytest.raises(MailboxClosed, match="letters is closed"):
        await box.put("a")
    with pytest.raises(MailboxClosed, match="letters is closed"):
        box.put_nowait("b")


@pytest.mark.anyio
async def test_a_small_message_goes_on_when_the_large_one_before_it_gives_up() -> None:
    box: Mailbox[str] = Mailbox(8, "letters", capacity_bytes=10, size=len)
    await box.put("there")
    large = anyio.CancelScope()

    async def put_large() -> None:
        with large:
            await box.put("large one")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_large)
        await settle()
        tasks.start_soon(box.put, "small")
        await settle()
        assert box.stats().waiting_senders == 2
        large.cancel()
    assert [box.get_nowait(), box.get_nowait(), box.get_nowait()] == ["there", "small", None]
    assert conserved(box.stats())


@pytest.mark.anyio
async def test_a_pair_that_never_waits_still_lets_others_run() -> None:
    box: Mailbox[int] = Mailbox(1)
    others_turns = 0

    async def other() -> None:
        nonlocal others_turns
        while True:
            await checkpoint()
            others_turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for number in range(10 * BURST):
            await box.put(number)
            await box.get()
        tasks.cancel_scope.cancel()
    assert 15 <= others_turns <= 25


@pytest.mark.anyio
async def test_an_operation_that_need_not_wait_does_not_yield() -> None:
    box: Mailbox[int] = Mailbox(3 * BURST)
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for number in range(BURST - 1):
            await box.put(number)
        assert not ran
        for number in range(BURST + 1):  # and yields twice: trio may run us first once
            await box.put(number)
        assert ran


@pytest.mark.anyio
async def test_a_put_that_is_cancelled_has_sent_nothing() -> None:
    """Also where the fairness budget made it yield."""
    for before in range(BURST + 1):
        box: Mailbox[int] = Mailbox(2 * BURST)
        for number in range(before):
            await box.put(number)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await box.put(-1)
        assert box.stats().sent == before + (not scope.cancelled_caught)


@pytest.mark.anyio
async def test_a_get_that_is_cancelled_has_taken_nothing() -> None:
    for before in range(BURST + 1):
        box: Mailbox[int] = Mailbox(1)
        for _ in range(before // 2):
            await box.put(0)
            await box.get()
        box.put_nowait(1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await box.get()
        assert len(box) == scope.cancelled_caught


@pytest.mark.anyio
async def test_room_made_in_the_instant_of_a_cancellation_goes_to_the_next() -> None:
    box: Mailbox[str] = Mailbox(8, "letters", capacity_bytes=10, size=len)
    await box.put("0123456789")
    doomed = anyio.CancelScope()

    async def put() -> None:
        with doomed:
            await box.put("doomed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        await settle()
        tasks.start_soon(box.put, "next")
        await settle()
        doomed.cancel()
        assert box.get_nowait() == "0123456789"
    assert [box.get_nowait(), box.get_nowait()] == ["next", None]
    assert conserved(box.stats())
