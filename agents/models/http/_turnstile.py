"""A turnstile: few answers go on at each turn of the loop.

When a thousand answers lie ready, their dialogues would all run before the loop looks at a clock
or a socket again: a quarter of a second in which every timer is late and every other user of the
loop waits. Here they go on a few at a time, with a turn of the loop in between.
"""

from __future__ import annotations

from ....engine import Lot, checkpoint


class Turnstile:
    """Lets `few` (at least 2) through, in order of arrival, before the loop turns.

    Somebody of those who wait waits for the loop, and lets the next ones in; no task is needed.
    """

    __slots__ = ("_few", "_left", "_lot", "_turning")

    def __init__(self, few: int) -> None:
        if few < 2:
            raise ValueError(f"{few} at a turn; with fewer than 2 nobody lets the next one in")
        self._few = self._left = few
        self._lot = Lot()
        self._turning = False  # somebody waits for the loop

    def enter_nowait(self) -> bool:
        """Go through, if that is possible at once."""
        if not self._left or self._lot:
            return False
        self._left -= 1
        return True

    async def enter(self) -> None:
        """Go through, waiting for a turn of the loop at least. Cancelled, it holds up nobody."""
        if self._turning:
            await self._lot.park()
            if self._turning or not self._lot:
                return
        self._turning = True
        try:
            await checkpoint()
        finally:
            self._turning = False
            self._left = self._few - 1
            while self._left and self._lot.wake():
                self._left -= 1
