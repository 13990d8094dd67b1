"""The buffer: whole groups between the dialogues and the learner.

Bounded in groups and in bytes, so a slow learner makes `put` wait and, behind it, admission. The
sweep in `take` is the staleness guarantee: pacing makes old groups rare, the sweep makes them
impossible.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from msgspec import Struct

from ._errors import BufferClosed
from ._messages import Group
from ._park import Lot, OneShot, checkpoint
from ._snapshot import Hop

CAPACITY_BYTES = 4 * 2**30
"""What a buffer may hold by default, so that it is the groups that bound an ordinary run: 4 GiB
are 200,000 trajectories of 2,000 tokens."""


class Taken(Struct, frozen=True, kw_only=True):
    """What `take` gave: the batch, and the groups that were too old to be in it."""

    batch: tuple[Group, ...]
    stale: tuple[Group, ...]


class BufferStats(Struct, frozen=True, kw_only=True):
    """Always: put = taken + stale + buffered. `bytes` are of what is buffered."""

    put: int
    taken: int
    stale: int
    buffered: int
    waiting_puts: int
    bytes: int = 0


class _Held(Struct, frozen=True):
    """A group, and its size as it was when it came."""

    group: Group
    size: int


class _Putter(OneShot[bool]):
    """A put that waits for room, with its group; told True once the group is in."""

    __slots__ = ("held",)

    def __init__(self, held: _Held) -> None:
        super().__init__()
        self.held = held


class Buffer:
    """Groups in order of arrival; one consumer.

    A producer that waits has its group moved in by the consumer that makes room, so nobody barges:
    groups are taken in the order in which their puts began. For one producer that order is its
    own; puts that several begin in one instant are in the order in which the loop runs them.

    capacity_bytes: of all groups held, by `size`. The batch that the consumer waits for always
                    fits, whatever it weighs; otherwise the two would wait for each other.
    """

    def __init__(
        self,
        capacity: int,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        size: Callable[[Group], int] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"the buffer's capacity is {capacity}; it must hold at least 1 group")
        if capacity_bytes < 1:
            raise ValueError(f"the buffer's capacity_bytes is {capacity_bytes}; it is at least 1")
        self.capacity: int = capacity
        self.capacity_bytes: int = capacity_bytes
        self._size = size or group_bytes
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._wanted = 1  # groups that the consumer waits for
        self._putting: deque[_Putter] = deque()
        self._taking = Lot()
        self._closed = False
        self._put = self._taken = self._stale = 0

    async def put(self, group: Group) -> None:
        """Add a group, waiting while the buffer is full. Raises `BufferClosed`. Cancelled while it
        waits, it has put nothing."""
        await checkpoint()
        self._check()
        held = _Held(group, self._size(group))
        if not self._putting and self._fits(held.size):
            self._accept(held)
            return
        putter = _Putter(held)
        self._putting.append(putter)
        try:
            accepted = await putter.wait()
        except BaseException:
            if putter in self._putting:
                self._putting.remove(putter)
                self._admit()  # those behind it may be smaller
            raise
        if not accepted:
            self._check()

    async def take(self, count: int, *, fresh: Callable[[Group], bool]) -> Taken:
        """Wait for `count` groups that are `fresh`.

        Groups that are not are swept out and returned apart. Cancelled, it takes nothing.
        Raises `BufferClosed` when fewer than `count` are left and no more will come; what is left
        stays and can be had with `drain`.
        """
        if count > self.capacity:
            raise ValueError(f"cannot take {count} groups from a buffer that holds {self.capacity}")
        await checkpoint()
        try:
            while True:
                usable = sum(fresh(held.group) for held in self._held)
                if usable >= count:
                    return self._split(count, fresh)
                # Stale groups hold room and credits that the missing ones need.
                if usable < len(self._held):
                    return self._split(0, fresh)
                if self._closed:
                    raise BufferClosed(f"the buffer is closed with {usable} of {count} groups")
                self._wanted = count
                if not self._admit():
                    await self._taking.park()
        finally:
            self._wanted = 1

    def drain(self) -> tuple[Group, ...]:
        """Everything that is left, at once."""
        left = tuple(held.group for held in self._held)
        self._taken += len(left)
        self._keep(())
        return left

    def close(self) -> None:
        """No more groups will come. Waiting producers and the consumer are told."""
        self._closed = True
        while self._putting:
            self._putting.popleft().give(False)
        self._taking.wake_all()

    def stats(self) -> BufferStats:
        return BufferStats(
            put=self._put,
            taken=self._taken,
            stale=self._stale,
            buffered=len(self._held),
            waiting_puts=len(self._putting),
            bytes=self._bytes,
        )

    def hop(self) -> Hop:
        """The same for a board."""
        return Hop(
            name="buffer",
            depth=len(self._held),
            capacity=self.capacity,
            bytes=self._bytes,
            capacity_bytes=self.capacity_bytes,
            waiting_in=len(self._putting),
            waiting_out=len(self._taking),
        )

    def _check(self) -> None:
        if self._closed:
            raise BufferClosed("the buffer is closed; no learner will take this group")

    def _fits(self, size: int) -> bool:
        if len(self._held) >= self.capacity:
            return False
        return self._bytes + size <= self.capacity_bytes or len(self._held) < self._wanted

    def _accept(self, held: _Held) -> None:
        self._held.append(held)
        self._bytes += held.size
        self._put += 1
        self._taking.wake()

    def _admit(self) -> bool:
        """Move in those who wait, in their order, as far as there is room; whether any was."""
        before = self._put
        while self._putting and self._fits(self._putting[0].held.size):
            putter = self._putting.popleft()
            if putter.give(True):
                self._accept(putter.held)
        return self._put > before

    def _keep(self, kept: Iterable[_Held]) -> None:
        """Hold these and no others, and let in whom that makes room for."""
        self._held = deque(kept)
        self._bytes = sum(held.size for held in self._held)
        self._admit()

    def _split(self, count: int, fresh: Callable[[Group], bool]) -> Taken:
        batch: list[Group] = []
        stale: list[Group] = []
        kept: list[_Held] = []
        for held in self._held:
            if not fresh(held.group):
                stale.append(held.group)
            elif len(batch) < count:
                batch.append(held.group)
            else:
                kept.append(held)
        self._taken += len(batch)
        self._stale += len(stale)
        self._wanted = 1  # this batch is complete; the next has not been asked for
        self._keep(kept)
        return Taken(batch=tuple(batch), stale=tuple(stale))


def group_bytes(group: Group) -> int:
    """What a group weighs: its tokens, and a byte a character of its text."""
    total = 0
    for trajectory in group.trajectories:
        if (tokens := trajectory.tokens) is not None:
            total += len(tokens.ids) + len(tokens.mask) + len(tokens.logps)
        total += sum(len(message.content) for message in trajectory.opening)
        total += sum(len(turn.text) + len(turn.feedback) for turn in trajectory.turns)
    return total
