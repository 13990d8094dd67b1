"""A place where work changes hands: a mailbox of no capacity.

Whoever gives goes on when its item has been taken, so nothing is ever between the two. anyio's
memory stream of size 0 does the same at several times the cost, and every dialogue that closes a
group passes here.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

from ._mailbox import BURST
from ._park import Lot, OneShot, checkpoint

T = TypeVar("T")


class _Offer(OneShot[None], Generic[T]):
    """An item in its giver's hand; settled once it has been taken."""

    __slots__ = ("item",)

    def __init__(self, item: T) -> None:
        super().__init__()
        self.item = item


class Handover(Generic[T]):
    """`give` waits for its item to be taken, `take` for something to be given."""

    __slots__ = ("_burst", "_closed", "_offers", "_takers")

    def __init__(self) -> None:
        self._offers: deque[_Offer[T]] = deque()
        self._takers = Lot()
        self._closed = False
        self._burst = BURST

    def __len__(self) -> int:
        """How many wait for their item to be taken."""
        return len(self._offers)

    async def give(self, item: T) -> None:
        """Hold the item out until it is taken, in order of arrival. Cancelled, it was not."""
        offer = _Offer(item)
        self._offers.append(offer)
        self._takers.wake()
        try:
            await offer.wait()
        except BaseException:
            with suppress(ValueError):  # taken in the instant of the cancellation
                self._offers.remove(offer)
            raise

    async def take(self) -> T:
        """The item held out longest. Raises `anyio.EndOfStream` once closed and nobody gives."""
        self._burst -= 1
        if self._burst <= 0:
            self._burst = BURST
            await checkpoint()
        while True:
            while self._offers:
                offer = self._offers.popleft()
                if offer.give(None):
                    return offer.item
            if self._closed:
                raise anyio.EndOfStream
            await self._takers.park()

    def close(self) -> None:
        """Nobody will give any more: whoever waits to take is told."""
        self._closed = True
        self._takers.wake_all()
