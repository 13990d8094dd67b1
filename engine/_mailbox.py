"""A bounded, first-in-first-out mailbox: the hop between two actors.

Our own, where everything else uses anyio's memory streams, because a hop is what a turn is made
of: `benchmarks/engine.py` has the comparison. Two rules make it cheap and safe:

* An operation that need not wait does not yield. A budget keeps that fair: after `BURST`
  immediate operations a task yields once, so one busy pair cannot hold the loop.
* A waiting sender's message is moved in by the receiver that makes room, in order of arrival. So
  nobody barges, and cancelling either side loses nothing: a message is in exactly one place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio.lowlevel import checkpoint_if_cancelled
from msgspec import Struct

from ._errors import MailboxClosed
from ._park import Lot, OneShot, checkpoint
from ._snapshot import Hop

T = TypeVar("T")

BURST = 64
"""Immediate operations before a mailbox makes its user yield."""


class MailboxStats(Struct, frozen=True, kw_only=True):
    """Counters of one mailbox. Always: sent = received + buffered + dead. `bytes` is the size of
    what is buffered; 0 where nobody says how large a message is."""

    sent: int
    received: int
    buffered: int
    dead: int
    waiting_senders: int
    waiting_receivers: int
    bytes: int = 0


class _Sender(OneShot[bool], Generic[T]):
    """A put that waits for room, with its message; told True once the message is in."""

    __slots__ = ("item", "size")

    def __init__(self, item: T, size: int) -> None:
        super().__init__()
        self.item = item
        self.size = size


class Mailbox(Generic[T]):
    """Holds up to `capacity` messages; `put` waits for room, `get` for a message.

    size: how many bytes a message holds; asked once for each. With it, what is buffered also stays
    within `capacity_bytes`, except that a message larger than that passes alone: it would wait for
    ever otherwise. Whoever waits for room lets nobody pass, however small.
    """

    __slots__ = (
        "_burst",
        "_bytes",
        "_closed",
        "_dead",
        "_items",
        "_received",
        "_receivers",
        "_senders",
        "_sent",
        "_size",
        "_sizes",
        "capacity",
        "capacity_bytes",
        "name",
    )

    def __init__(
        self,
        capacity: int,
        name: str = "mailbox",
        *,
        capacity_bytes: int = 0,
        size: Callable[[T], int] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"{name}: capacity is {capacity}; a mailbox holds at least 1 message")
        if (capacity_bytes > 0) != (size is not None):
            raise ValueError(
                f"{name}: capacity_bytes is {capacity_bytes}; it is positive together with `size`, "
                "which says how large a message is, and 0 without"
            )
        self.capacity: int = capacity
        self.capacity_bytes: int = capacity_bytes
        self.name: str = name
        self._size = size
        self._sizes: deque[int] = deque()  # of the items, as they were when they came
        self._bytes = 0
        self._items: deque[T] = deque()
        self._senders: deque[_Sender[T]] = deque()
        self._receivers = Lot()
        self._closed = False
        self._burst = BURST
        self._sent = 0
        self._received = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: T) -> None:
        """Leave a message, waiting while the mailbox is full.

        Raises `MailboxClosed` when nobody will read it. If cancelled while waiting, the message
        was not sent. (A bare `asyncio.Task.cancel` in the very instant that a receiver has made
        room comes too late: the message was sent.)
        """
        self._burst -= 1
        if self._burst <= 0:
            # Before the message is in: a put that is cancelled has sent nothing.
            self._burst = BURST
            await checkpoint()
        if self._size is None and len(self._items) < self.capacity and not self._closed:
            # `put_nowait` without the calls: nearly every put comes here.
            self._sent += 1
            self._items.append(item)
            self._receivers.wake()
            return
        try:
            await self._put_or_wait(item)
        except MailboxClosed:
            # What closed the mailbox may be stopping us as well, and then that is the news.
            await checkpoint_if_cancelled()
            raise

    async def _put_or_wait(self, item: T) -> None:
        size = 0
        if self._size is None:
            self._check_open()
        else:
            size = self._size(item)
            if self._put_sized(item, size):
                return
        sender = _Sender(item, size)
        self._senders.append(sender)
        try:
            accepted = await sender.wait()
        except BaseException:
            if sender in self._senders:
                self._senders.remove(sender)
                if self._size is not None:
                    self._admit()  # those behind it may be smaller
            raise
        if not accepted:
            raise MailboxClosed(f"{self.name} was closed while a message waited for room")

    def put_nowait(self, item: T) -> bool:
        """Leave a message if there is room now; False when there is none."""
        if self._size is not None:
            return self._put_sized(item, self._size(item))
        self._check_open()
        if len(self._items) >= self.capacity:
            return False
        self._accept(item)
        return True

    async def get(self) -> T:
        """The oldest message. Raises `MailboxClosed` once closed and empty."""
        self._burst -= 1
        if self._burst <= 0:
            self._burst = BURST
            await checkpoint()
        while not self._items:
            if self._closed:
                raise MailboxClosed(f"{self.name} is closed and empty")
            parked = self._receivers.enter()
            try:
                await parked
            except BaseException:
                self._receivers.leave(parked)
                raise
        return self._take()

    def get_nowait(self) -> T | None:
        """The oldest message if there is one now, else None."""
        return self._take() if self._items else None

    def close(self) -> None:
        """Refuse new messages; what is buffered can still be read. Waiting senders are told."""
        self._closed = True
        while self._senders:
            self._senders.popleft().give(False)
        self._receivers.wake_all()

    def abandon(self) -> list[T]:
        """Close, and give up what nobody read: those messages are counted dead and returned."""
        self.close()
        left = list(self._items)
        self._dead += len(left)
        self._items.clear()
        self._sizes.clear()
        self._bytes = 0
        return left

    def stats(self) -> MailboxStats:
        return MailboxStats(
            sent=self._sent,
            received=self._received,
            buffered=len(self._items),
            dead=self._dead,
            waiting_senders=len(self._senders),
            waiting_receivers=len(self._receivers),
            bytes=self._bytes,
        )

    def hop(self, name: str = "") -> Hop:
        """The same for a board, by the mailbox's own name or another."""
        return Hop(
            name=name or self.name,
            depth=len(self._items),
            capacity=self.capacity,
            bytes=self._bytes,
            capacity_bytes=self.capacity_bytes,
            waiting_in=len(self._senders),
            waiting_out=len(self._receivers),
        )

    def _check_open(self) -> None:
        if self._closed:
            raise MailboxClosed(f"{self.name} is closed: the actor behind it has stopped")

    def _put_sized(self, item: T, size: int) -> bool:
        self._check_open()
        if self._senders or not self._fits(size):
            return False
        self._accept_sized(item, size)
        return True

    def _fits(self, size: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self.capacity and self._bytes + size <= self.capacity_bytes

    def _accept_sized(self, item: T, size: int) -> None:
        self._sizes.append(size)
        self._bytes += size
        self._accept(item)

    def _admit(self) -> None:
        """Let in those who wait, in their order, as far as there is room."""
        while self._senders and self._fits(self._senders[0].size):
            sender = self._senders.popleft()
            if sender.give(True):
                self._accept_sized(sender.item, sender.size)

    def _accept(self, item: T) -> None:
        self._sent += 1
        self._items.append(item)
        self._receivers.wake()

    def _take(self) -> T:
        item = self._items.popleft()
        self._received += 1
        if self._size is not None:
            self._bytes -= self._sizes.popleft()
            self._admit()
            return item
        while self._senders:
            sender = self._senders.popleft()
            if sender.give(True):
                self._accept(sender.item)
                break
        return item
