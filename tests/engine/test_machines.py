"""Mailbox, credits and buffer against what they should be: lists and a few sentences.

Operations are begun, left waiting, cancelled and overtaken in every order that hypothesis finds,
on both loops; after each the real thing must be where the plain one is, waiters included.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stage import Errand, Stage

from duologue.engine import (
    Buffer,
    BufferClosed,
    Credits,
    Group,
    Mailbox,
    MailboxClosed,
    Taken,
    Task,
)
from duologue.engine.faults import check_invariants

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
FEW = settings(max_examples=25, stateful_step_count=30, deadline=None)


def run(machine: type[RuleBasedStateMachine], backend: str) -> None:
    bound = type(f"{machine.__name__}On{backend}", (machine,), {"backend": backend})
    run_state_machine_as_test(bound, settings=FEW)


class Machine(RuleBasedStateMachine):
    backend: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(self.backend)

    def teardown(self) -> None:
        self.stage.close()


# ---------------------------------------------------------------- mailbox


class MailboxMachine(Machine):
    """A queue of `capacity`, with those who wait on either side in their order."""

    @initialize(capacity=st.integers(1, 3))
    def open(self, capacity: int) -> None:
        self.box: Mailbox[int] = Mailbox(capacity)
        self.capacity = capacity
        self.next = 0
        self.items: deque[int] = deque()
        self.senders: deque[tuple[Errand[None], int]] = deque()
        self.receivers: deque[Errand[int]] = deque()
        self.expected: list[tuple[Errand[int], int]] = []
        self.closed = False
        self.sent = self.received = self.dead = 0

    def _move(self) -> None:
        """What should have happened by itself since the last operation."""
        while self.items and self.receivers:
            self._takes(self.receivers.popleft())
        while self.senders and len(self.items) < self.capacity:
            sender, item = self.senders.popleft()
            assert sender.state == "done"
            self._accepts(item)

    def _accepts(self, item: int) -> None:
        self.items.append(item)
        self.sent += 1

    def _takes(self, errand: Errand[int]) -> None:
        self.expected.append((errand, self.items.popleft()))
        self.received += 1

    @rule()
    def put(self) -> None:
        item, self.next = self.next, self.next + 1
        errand = self.stage.begin(lambda: self.box.put(item))
        if self.closed:
            assert isinstance(errand.error, MailboxClosed)
        elif len(self.items) < self.capacity:
            assert errand.state == "done"
            self._accepts(item)
        else:
            assert errand.state == "waiting"
            self.senders.append((errand, item))
        self._move()

    @rule()
    def put_nowait(self) -> None:
        item, self.next = self.next, self.next + 1
        if self.closed:
            with pytest.raises(MailboxClosed):
                self.stage.do(lambda: self.box.put_nowait(item))
            return
        room = len(self.items) < self.capacity
        assert self.stage.do(lambda: self.box.put_nowait(item)) is room
        if room:
            self._accepts(item)
        self._move()

    @rule()
    def get(self) -> None:
        errand = self.stage.begin(self.box.get)
        if self.items:
            self._takes(errand)
        elif self.closed:
            assert isinstance(errand.error, MailboxClosed)
        else:
            self.receivers.append(errand)
        self._move()

    @rule()
    def get_nowait(self) -> None:
        found = self.stage.do(self.box.get_nowait)
        if self.items:
            assert found == self.items.popleft()
            self.received += 1
        else:
            assert found is None
        self._move()

    @precondition(lambda self: self.senders)
    @rule(data=st.data())
    def cancel_a_sender(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.senders) - 1))
        errand, _ = self.senders[place]
        del self.senders[place]
        self.stage.cancel(errand)
        assert errand.state == "cancelled"

    @precondition(lambda self: self.receivers)
    @rule(data=st.data())
    def cancel_a_receiver(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.receivers) - 1))
        errand = self.receivers[place]
        del self.receivers[place]
        self.stage.cancel(errand)
        assert errand.state == "cancelled"

    @rule()
    def close(self) -> None:
        self.stage.do(self.box.close)
        self._shut()

    @rule()
    def abandon(self) -> None:
        assert self.stage.do(self.box.abandon) == list(self.items)
        self.dead += len(self.items)
        self.items.clear()
        self._shut()

    def _shut(self) -> None:
        self.closed = True
        everybody: list[Errand[Any]] = [*(sender for sender, _ in self.senders), *self.receivers]
        for errand in everybody:
            assert isinstance(errand.error, MailboxClosed)
        self.senders.clear()
        self.receivers.clear()

    @invariant()
    def is_where_the_plain_one_is(self) -> None:
        stats = self.box.stats()
        check_invariants(mailboxes=[stats])
        assert (stats.sent, stats.received, stats.dead) == (self.sent, self.received, self.dead)
        assert stats.buffered == len(self.box) == len(self.items)
        assert stats.waiting_senders == len(self.senders)
        assert stats.waiting_receivers == len(self.receivers)
        for errand, item in self.expected:
            assert (errand.state, errand.result) == ("done", item)
        self.expected.clear()
        waiting: list[Errand[Any]] = [*(sender for sender, _ in self.senders), *self.receivers]
        assert all(errand.state == "waiting" for errand in waiting)


@BACKENDS
def test_a_mailbox_is_a_queue_with_two_lines_before_it(backend: str) -> None:
    run(MailboxMachine, backend)


# ---------------------------------------------------------------- credits


class CreditsMachine(Machine):
    """A number, and a line."""

    @initialize(limit=st.integers(1, 4))
    def open(self, limit: int) -> None:
        self.credits = Credits(limit)
        self.free = limit
        self.line: deque[Errand[None]] = deque()

    def _grant(self) -> None:
        while self.free and self.line:
            self.free -= 1
            assert self.line.popleft().state == "done"

    @rule()
    def acquire(self) -> None:
        self.line.append(self.stage.begin(self.credits.acquire))
        self._grant()

    @rule()
    def acquire_nowait(self) -> None:
        can = self.free > 0
        assert self.stage.do(self.credits.acquire_nowait) is can
        self.free -= can

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        out = self.credits.limit - self.free
        count = data.draw(st.integers(0, out))
        self.stage.do(lambda: self.credits.release(count))
        self.free += count
        self._grant()

    @rule()
    def release_too_many(self) -> None:
        out = self.credits.limit - self.free
        with pytest.raises(RuntimeError, match="given back"):
            self.stage.do(lambda: self.credits.release(out + 1))

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.line) - 1))
        errand = self.line[place]
        del self.line[place]
        self.stage.cancel(errand)
        assert errand.state == "cancelled"

    @invariant()
    def is_where_the_plain_one_is(self) -> None:
        assert self.credits.outstanding == self.credits.limit - self.free
        assert self.credits.waiting == len(self.line)
        assert all(errand.state == "waiting" for errand in self.line)


@BACKENDS
def test_credits_are_a_number_and_a_line(backend: str) -> None:
    run(CreditsMachine, backend)


# ---------------------------------------------------------------- buffer


def group(ordinal: int) -> Group:
    return Group(ordinal=ordinal, task=Task(env="e", id="t"), trajectories=())


class BufferMachine(Machine):
    """A list bounded in groups and in bytes; a group weighs one, two or three by its ordinal.

    Groups below the floor are stale. The floor rises only between two takes, as versions do.
    """

    @initialize(capacity=st.integers(1, 4), most=st.integers(1, 8))
    def open(self, capacity: int, most: int) -> None:
        self.buffer = Buffer(capacity, capacity_bytes=most, size=lambda one: 1 + one.ordinal % 3)
        self.capacity, self.most = capacity, most
        self.next = self.floor = 0
        self.held: list[int] = []
        self.line: deque[tuple[Errand[None], int]] = deque()
        self.taker: tuple[Errand[Taken], int] | None = None
        self.closed = False
        self.put_ = self.taken = self.stale = 0

    def _fits(self, ordinal: int) -> bool:
        if len(self.held) >= self.capacity:
            return False
        weight = sum(1 + each % 3 for each in (*self.held, ordinal))
        wanted = self.taker[1] if self.taker is not None else 1
        return weight <= self.most or len(self.held) < wanted

    def _move(self) -> None:
        moved = True
        while moved:
            moved = False
            while self.line and self._fits(self.line[0][1]):
                errand, ordinal = self.line.popleft()
                assert errand.state == "done"
                self._accepts(ordinal)
            if self.taker is not None:
                moved = self._serve(*self.taker)

    def _accepts(self, ordinal: int) -> None:
        self.held.append(ordinal)
        self.put_ += 1

    def _serve(self, errand: Errand[Taken], count: int) -> bool:
        usable = [each for each in self.held if each >= self.floor]
        swept = [each for each in self.held if each < self.floor]
        if len(usable) < count and not swept:
            if not self.closed:
                return False
            assert isinstance(errand.error, BufferClosed)
        else:
            batch = usable[:count] if len(usable) >= count else []
            assert errand.result is not None, errand.state
            assert [one.ordinal for one in errand.result.batch] == batch
            assert [one.ordinal for one in errand.result.stale] == swept
            self.held = [each for each in usable if each not in batch]
            self.taken += len(batch)
            self.stale += len(swept)
        self.taker = None
        return True

    @rule()
    def put(self) -> None:
        ordinal, self.next = self.next, self.next + 1
        errand = self.stage.begin(lambda: self.buffer.put(group(ordinal)))
        if self.closed:
            assert isinstance(errand.error, BufferClosed)
            return
        self.line.append((errand, ordinal))
        self._move()

    @precondition(lambda self: self.taker is None)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        count, floor = data.draw(st.integers(1, self.capacity)), self.floor
        errand = self.stage.begin(
            lambda: self.buffer.take(count, fresh=lambda one: one.ordinal >= floor)
        )
        self.taker = (errand, count)
        # It looks at what is there before it asks for more than the bytes allow.
        self._serve(errand, count)
        self._move()

    @precondition(lambda self: self.taker is None)
    @rule(by=st.integers(1, 3))
    def learn(self, by: int) -> None:
        self.floor = min(self.floor + by, self.next)

    @rule()
    def take_too_many(self) -> None:
        errand = self.stage.begin(
            lambda: self.buffer.take(self.capacity + 1, fresh=lambda one: True)
        )
        assert isinstance(errand.error, ValueError)

    @precondition(lambda self: self.taker is None)
    @rule()
    def drain(self) -> None:
        left = self.stage.do(self.buffer.drain)
        assert [one.ordinal for one in left] == self.held
        self.taken += len(self.held)
        self.held = []
        self._move()

    @precondition(lambda self: self.taker is not None)
    @rule()
    def cancel_the_take(self) -> None:
        assert self.taker is not None
        errand, _ = self.taker
        self.stage.cancel(errand)
        assert errand.state == "cancelled"
        self.taker = None

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancel_a_put(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.line) - 1))
        errand, _ = self.line[place]
        del self.line[place]
        self.stage.cancel(errand)
        assert errand.state == "cancelled"
        self._move()

    @rule()
    def close(self) -> None:
        self.stage.do(self.buffer.close)
        self.closed = True
        for errand, _ in self.line:
            assert isinstance(errand.error, BufferClosed)
        self.line.clear()
        self._move()

    @invariant()
    def is_where_the_plain_one_is(self) -> None:
        stats = self.buffer.stats()
        check_invariants(buffers=[stats])
        assert (stats.put, stats.taken, stats.stale) == (self.put_, self.taken, self.stale)
        assert stats.buffered == len(self.held)
        assert stats.bytes == sum(1 + each % 3 for each in self.held)
        assert stats.waiting_puts == len(self.line)
        assert all(errand.state == "waiting" for errand, _ in self.line)
        assert self.taker is None or self.taker[0].state == "waiting"


@BACKENDS
def test_a_buffer_is_a_bounded_list_with_a_line_before_it(backend: str) -> None:
    run(BufferMachine, backend)
