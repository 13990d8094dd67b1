"""The thread that writes a run store, and what goes to it and comes back.

A loop that goes round ten thousand tasks may take seconds for it. So the thread lives as long as
the store, is handed its work in the middle of a round, and does not wait for one to say what it
has done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import anyio
import anyio.to_thread

from ._errors import StoreError
from ._park import caller_of_the_loop
from ._writer import Write, Writer

BATCH = 1024
"""Writes that share a transaction at most, by a hand-over more or less."""

Committed = tuple[list[Write], StoreError | None]


class Commits:
    """Writes on their way to disk, committed in the order in which they are handed over.

    All but `run` is for the loop's thread.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._handed_over: SimpleQueue[list[Write] | None] = SimpleQueue()
        self._committed: deque[Committed] = deque()
        self._under_way = 0
        self._ended = False

    @property
    def queued(self) -> int:
        """Hand-overs that the thread has not taken up."""
        return self._handed_over.qsize()

    @property
    def idle(self) -> bool:
        """Whether all that was handed over has been taken back."""
        return not self._under_way

    def hand_over(self, writes: list[Write]) -> None:
        self._under_way += len(writes)
        self._handed_over.put(writes)

    def take_back(self) -> Iterator[Committed]:
        """What was committed together since the last time, and what went wrong, if anything."""
        while self._committed:
            batch, error = self._committed.popleft()
            self._under_way -= len(batch)
            yield batch, error

    def end(self) -> None:
        """Let the thread go, once it has done what it was handed."""
        self._ended = True
        self._handed_over.put(None)

    async def run(self, news: Callable[[], object]) -> None:
        """Commit until the end; the loop calls `news` when there is something to take back."""
        # A limiter of its own: the thread would hold a place of everybody else's for the whole run.
        await anyio.to_thread.run_sync(
            self._work, caller_of_the_loop(), news, limiter=anyio.CapacityLimiter(1)
        )

    def _work(
        self, call: Callable[[Callable[[], object]], object], news: Callable[[], object]
    ) -> None:
        lost: StoreError | None = None
        while batch := self._next():
            # What was handed over while a group's row was being lost must not be written after it:
            # the group's trajectories would be there without the group, and a resume, which numbers
            # its groups after the last one there, would never run the lost one again.
            error = lost or self._writer.commit(batch)
            if error is not None and not all(write.awaited for write in batch):
                lost = error
            self._committed.append((batch, error))
            call(news)

    def _next(self) -> list[Write]:
        """All that waits, up to a batch: what a transaction costs does not depend on its size.
        Nothing, when the end has come."""
        batch = self._handed_over.get() or []
        # In this order: what is there before the end was announced is not the end.
        while batch and len(batch) < BATCH and not self._handed_over.empty() and not self._ended:
            batch += self._handed_over.get() or []
        return batch
