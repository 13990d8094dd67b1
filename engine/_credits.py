"""Credits: how much may be outstanding.

Pacing counts what is out, not what has passed. A formula over the version number ("so many groups
by version v") starves or floods the run whenever groups are filtered, a run resumes or the batch
size changes; a count of what is outstanding cannot drift.
"""

from __future__ import annotations

from collections import deque
from math import gcd

from ._park import OneShot, checkpoint
from ._snapshot import Hop


class Credits:
    """A counting semaphore that hands out in order of arrival and checks what comes back.

    batch: how many whoever gives back collects first: up to `batch - 1` are out with nothing
           running for them. `open_rollouts` refuses waves that would then wait for ever.
    """

    __slots__ = ("_free", "_waiting", "batch", "limit", "name")

    def __init__(self, limit: int, name: str = "credits", *, batch: int = 1) -> None:
        if limit < 1:
            raise ValueError(f"{name}: the limit is {limit}; at least 1 must be allowed out")
        if not 1 <= batch <= limit:
            raise ValueError(f"{name}: batches of {batch} never come together of {limit} credits")
        self.limit: int = limit
        self.batch: int = batch
        self.name: str = name
        self._free = limit
        self._waiting: deque[OneShot[None]] = deque()

    @property
    def outstanding(self) -> int:
        return self.limit - self._free

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def hop(self, name: str) -> Hop:
        """What is out, as a hop called `name`."""
        return Hop(
            name=name, depth=self.outstanding, capacity=self.limit, waiting_in=len(self._waiting)
        )

    def bears_waves(self, wave: int) -> bool:
        """Whether somebody who takes `wave` at once, and gives none back before all of them have
        ended, can always go on.

        What lies in an unfinished batch is a multiple of what waves and batches have in common, so
        at most `batch - gcd`; what is left must do for a wave.
        """
        return wave <= self.limit - self.batch + gcd(wave, self.batch)

    async def acquire(self) -> None:
        """Take one, waiting for it in turn. Cancelled while waiting, it takes none."""
        if self._free and not self._waiting:
            await checkpoint()
            # Somebody may have taken the last one while we yielded.
            if self._free and not self._waiting:
                self._free -= 1
                return
        granted: OneShot[None] = OneShot()
        self._waiting.append(granted)
        try:
            await granted.wait()
        except BaseException:
            if granted in self._waiting:
                self._waiting.remove(granted)
            elif granted.settled:
                # Granted in the instant of the cancellation: hand it on.
                self.release()
            raise

    def acquire_nowait(self) -> bool:
        """Take one if one is free and nobody waits for it."""
        if not self._free or self._waiting:
            return False
        self._free -= 1
        return True

    def release(self, count: int = 1) -> None:
        """Give back `count`; more than are out is a bug of the caller's and raises."""
        if self._free + count > self.limit:
            raise RuntimeError(
                f"{self.name}: {count} given back, but only {self.outstanding} are out"
            )
        self._free += count
        while self._waiting and self._free:
            if self._waiting.popleft().give(None):
                self._free -= 1
