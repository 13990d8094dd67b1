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
from typing import Generic, TypeVar

from msgspec import Struct

from ._errors import MailboxClosed
from ._park import Lot, OneShot, checkpoint

T = TypeVar("T")

BURST = 64
"""Immediate operations before a mailbox makes its user yield."""


class MailboxStats(Struct, frozen=True, kw_only=True):
    """Counters of one mailbox. Always: sent = received + buffered + dead."""

    sent: int
    received: int
    buffered: int
    dead: int
    waiting_senders: int
    waiting_receivers: int


class _Sender(OneShot[bool], Generic[T]):
    """A put that waits for room, with its message; told True once the message is in."""

    __slots__ = ("item",)

    def __init__(self, item: T) -> None:
        super().__init__()
        self.item = item


class Mailbox(Generic[T]):
    """Holds up to `capacity` messages; `put` waits for room, `get` for a message."""

    __slots__ = (
        "_burst",
        "_closed",
        "_dead",
        "_items",
        "_received",
        "_receivers",
        "_senders",
        "_sent",
        "capacity",
        "name",
    )

    def __init__(self, capacity: int, name: str = "mailbox") -> None:
        if capacity < 1:
            raise ValueError(f"{name}: capacity is {capacity}; a mailbox holds at least 1 message")
        self.capacity: int = capacity
        self.name: str = name
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
        if self.put_nowait(item):
            return
        sender = _Sender(item)
        self._senders.append(sender)
        try:
            accepted = await sender.wait()
        except BaseException:
            if sender in self._senders:
                self._senders.remove(sender)
            raise
        if not accepted:
            raise MailboxClosed(f"{self.name} was closed while a message waited for room")

    def put_nowait(self, item: T) -> bool:
        """Leave a message if there is room now; False when there is none."""
        if self._closed:
            raise MailboxClosed(f"{self.name} is closed: the actor behind it has stopped")
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
            await self._receivers.park()
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
        return left

    def stats(self) -> MailboxStats:
        return MailboxStats(
            sent=self._sent,
            received=self._received,
            buffered=len(self._items),
            dead=self._dead,
            waiting_senders=len(self._senders),
            waiting_receivers=len(self._receivers),
        )

    def _accept(self, item: T) -> None:
        self._sent += 1
        self._items.append(item)
        if self._receivers:
            self._receivers.wake()

    def _take(self) -> T:
        item = self._items.popleft()
        self._received += 1
        while self._senders:
            sender = self._senders.popleft()
            if sender.give(True):
                self._accept(sender.item)
                break
        return item
