"""The loop's health: how late it runs.

A loop that is late makes every deadline, every reply and every other user of the loop late. The
monitor asks to be woken at fixed times and notes how much later it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from ._errors import one_error


class Lateness:
    """Recent lateness of the loop, in seconds."""

    __slots__ = ("_recent", "worst_s")

    def __init__(self, window: int) -> None:
        self._recent: deque[float] = deque(maxlen=window)
        self.worst_s: float = 0.0

    def note(self, late_s: float) -> None:
        self._recent.append(late_s)
        self.worst_s = max(self.worst_s, late_s)

    def quantile(self, share: float) -> float:
        """The lateness that `share` of the recent samples did not exceed; 0 before the first."""
        if not self._recent:
            return 0.0
        ordered = sorted(self._recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@asynccontextmanager
async def open_lateness(*, every_s: float = 0.05, window: int = 1200) -> AsyncGenerator[Lateness]:
    """Measure the running loop's lateness for as long as the block lasts."""
    lateness = Lateness(window)

    async def watch() -> None:
        while True:
            due = anyio.current_time() + every_s
            await anyio.sleep_until(due)
            lateness.note(max(0.0, anyio.current_time() - due))

    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, name="loop lateness")
            yield lateness
            tasks.cancel_scope.cancel()
