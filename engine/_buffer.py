"""The buffer: whole groups between the dialogues and the learner.

Bounded, so a slow learner makes `put` wait and, behind it, admission. The sweep in `take` is the
staleness guarantee: pacing makes old groups rare, the sweep makes them impossible.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from ._errors import BufferClosed
from ._messages import Group
from ._park import Lot, checkpoint


class Taken(Struct, frozen=True, kw_only=True):
    """What `take` gave: the batch, and the groups that were too old to be in it."""

    batch: tuple[Group, ...]
    stale: tuple[Group, ...]


class BufferStats(Struct, frozen=True, kw_only=True):
    """Always: put = taken + stale + buffered."""

    put: int
    taken: int
    stale: int
    buffered: int
    waiting_puts: int


class Buffer:
    """Groups in order of arrival; one consumer."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"the buffer's capacity is {capacity}; it must hold at least 1 group")
        self.capacity = capacity
        self._groups: deque[Group] = deque()
        self._putting = Lot()
        self._taking = Lot()
        self._closed = False
        self._put = self._taken = self._stale = 0

    async def put(self, group: Group) -> None:
        """Add a group, waiting while the buffer is full. Raises `BufferClosed`."""
        await checkpoint()
        while len(self._groups) >= self.capacity and not self._closed:
            await self._putting.park()
        if self._closed:
            raise BufferClosed("the buffer is closed; no learner will take this group")
        self._groups.append(group)
        self._put += 1
        self._taking.wake()

    async def take(self, count: int, *, fresh: Callable[[Group], bool]) -> Taken:
        """Wait for `count` groups that are `fresh`.

        Groups that are not are swept out and returned apart. Cancelled, it takes nothing.
        Raises `BufferClosed` when fewer than `count` are left and no more will come; what is left
        stays and can be had with `drain`.
        """
        if count > self.capacity:
            raise ValueError(f"cannot take {count} groups from a buffer that holds {self.capacity}")
        await checkpoint()
        while True:
            usable = sum(map(fresh, self._groups))
            if usable >= count:
                return self._split(count, fresh)
            # Stale groups hold room and credits that the missing ones need.
            if usable < len(self._groups):
                return self._split(0, fresh)
            if self._closed:
                raise BufferClosed(f"the buffer is closed with {usable} of {count} groups")
            await self._taking.park()

    def drain(self) -> tuple[Group, ...]:
        """Everything that is left, at once."""
        left = tuple(self._groups)
        self._taken += len(left)
        self._groups.clear()
        self._putting.wake_all()
        return left

    def close(self) -> None:
        """No more groups will come. Waiting producers and the consumer are told."""
        self._closed = True
        self._putting.wake_all()
        self._taking.wake_all()

    def stats(self) -> BufferStats:
        return BufferStats(
            put=self._put,
            taken=self._taken,
            stale=self._stale,
            buffered=len(self._groups),
            waiting_puts=len(self._putting),
        )

    def _split(self, count: int, fresh: Callable[[Group], bool]) -> Taken:
        batch: list[Group] = []
        stale: list[Group] = []
        kept: deque[Group] = deque()
        for group in self._groups:
            if not fresh(group):
                stale.append(group)
            elif len(batch) < count:
                batch.append(group)
            else:
                kept.append(group)
        self._groups = kept
        self._taken += len(batch)
        self._stale += len(stale)
        for _ in range(len(batch) + len(stale)):
            self._putting.wake()
        return Taken(batch=tuple(batch), stale=tuple(stale))
