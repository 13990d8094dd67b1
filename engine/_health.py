"""The loop's health: how late it runs.

A loop that is late makes every deadline, every reply and every other user of the loop late. The
monitor asks to be woken at fixed times and notes how much later it was; who held the loop
meanwhile is `_blame.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

import anyio

from ._blame import Blame, Offender, open_blame
from ._errors import one_error


class Lateness:
    """Recent lateness of the loop, in seconds."""

    __slots__ = ("_blame", "_recent", "worst_s")

    def __init__(self, window: int, blame: Blame | None = None) -> None:
        self._recent: deque[float] = deque(maxlen=window)
        self._blame = blame
        self.worst_s: float = 0.0

    @property
    def offenders(self) -> list[Offender]:
        """Who held the loop, the worst first; empty where nobody looked."""
        return [] if self._blame is None else self._blame.offenders

    @property
    def blame_cpu_s(self) -> float:
        """CPU seconds that looking has cost so far."""
        return 0.0 if self._blame is None else self._blame.cpu_s

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
async def open_lateness(
    *, every_s: float = 0.05, window: int = 1200, blame: bool = False
) -> AsyncGenerator[Lateness]:
    """Measure the running loop's lateness for as long as the block lasts.

    blame: also find out who makes it late, from a thread that ends with the block.
    """
    with ExitStack() as stack:
        watcher = stack.enter_context(open_blame()) if blame else None
        lateness = Lateness(window, watcher)

        async def watch() -> None:
            while True:
                due = anyio.current_time() + every_s
                if watcher is not None:
                    watcher.beat(every_s)
                await anyio.sleep_until(due)
                late = max(0.0, anyio.current_time() - due)
                lateness.note(late)
                if watcher is not None:
                    watcher.settle(late)

        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, name="loop lateness")
                yield lateness
                tasks.cancel_scope.cancel()
