"""How many calls a server gets at once: between a floor and a cap, found by what becomes of them.

Three voices are heard:

* A refusal (429, 503) takes half a place. Halving all of them at every refusal, as networks do,
  starves: 3 refusals in 100 made 4 places of 100. A full house that is refused as a whole is
  still halved.
* The server's own report (`_reports.py`) that it has more than it can work on takes a quarter, and
  never goes below the floor: it tells of a queue, which costs time and not answers. A report that
  it has room brings an eighth.
* A call that was served while the house was full brings a place for every round of calls.

A report acts once a round trip: not again before a call that began after the last change has
ended. A server empties its queue no faster than it answers, so until then its reports are about
the past. (Elsewhere one slow minute of such reports cut 1,024 places to 8.) And when reports stop
coming nothing grows any more, because a server that no longer says how it is may be unwell.

Latency is no voice: a generation takes as long as it is, and a policy that learns to say more
would look like a server that gets slower.
"""

from __future__ import annotations

from ....engine import Credits
from ._reports import Report

_CUT = 0.75
_GROWTH = 1.125


class Pace:
    """The number of places, and who is in them. Reads no clock.

    cap:     places at most, and at first. floor: where reports stop taking any away.
    changes: how often reports have changed the number.
    """

    __slots__ = (
        "_heard",
        "_limit",
        "_places",
        "_pressed",
        "_refused",
        "cap",
        "changes",
        "floor",
        "reported",
    )

    def __init__(self, cap: int, floor: int, name: str) -> None:
        self.cap: int = cap
        self.floor: int = floor
        self.changes: int = 0
        self.reported: bool | None = None
        self._places = _Places(cap, name)
        self._limit = float(cap)
        self._heard = True  # a call that began since the last change has ended
        self._pressed = False  # a call was served in a full house since then
        self._refused = False  # and one was refused

    @property
    def limit(self) -> int:
        return self._places.limit

    @property
    def taken(self) -> int:
        return self._places.taken

    @property
    def waiting(self) -> int:
        return self._places.waiting

    def enter_nowait(self) -> bool:
        """Take a place if one is free; `changes` is what to tell of the call when it has ended."""
        return self._places.enter_nowait()

    async def enter(self) -> int:
        """Take a place, waiting for it in turn; what to tell of the call when it has ended."""
        await self._places.enter()
        return self.changes

    def leave(self) -> None:
        """Give the place back."""
        self._places.leave()

    def served(self, began: int) -> None:
        """A call that `enter` gave `began` was served; its place is still taken."""
        if began == self.changes:
            self._heard = True
        # Only calls that had to share a full house say that a larger one would do.
        if self._places.full:
            self._pressed = True
            if self.reported is not False and self._limit < self.cap:
                self._resize(self._limit + 1 / self._limit)

    def failed(self, began: int, *, refused: bool) -> None:
        """It failed; refused: because the server has too much to do."""
        if began == self.changes:
            self._heard = True
        if refused:
            self._refused = True
            self._resize(self._limit - 0.5)

    def heed(self, report: Report, preempted: float) -> None:
        """Act on a server's report."""
        self.reported = True
        if report.crowded or preempted > 0:
            self.cut()
        elif report.roomy and self._pressed and self._heard and not self._refused:
            self._change(max(self._limit + 1, self._limit * _GROWTH))

    def unheard(self) -> None:
        """Reports have stopped: grow no more until they come again."""
        self.reported = False

    def cut(self) -> None:
        """A quarter less, once a round trip, down to the floor."""
        if self._heard:
            # Refusals may have brought it below the floor, and know better.
            self._change(max(self._limit * _CUT, min(self._limit, self.floor)))

    def _change(self, limit: float) -> None:
        self.changes += 1
        self._heard = self._pressed = self._refused = False
        self._resize(limit)

    def _resize(self, limit: float) -> None:
        self._limit = min(max(limit, 1.0), float(self.cap))
        self._places.resize(int(self._limit))


class _Places:
    """Credits whose limit moves below the most there are: what is too many is withheld."""

    __slots__ = ("_credits", "_to_withhold", "_withheld")

    def __init__(self, most: int, name: str) -> None:
        self._credits = Credits(most, f"calls to {name}")
        self._withheld = self._to_withhold = 0

    @property
    def limit(self) -> int:
        return self._credits.limit - self._to_withhold

    @property
    def taken(self) -> int:
        return self._credits.outstanding - self._withheld

    @property
    def waiting(self) -> int:
        return self._credits.waiting

    @property
    def full(self) -> bool:
        out = self._credits.outstanding
        return out - self._withheld >= self._credits.limit - self._to_withhold

    def enter_nowait(self) -> bool:
        return self._credits.acquire_nowait()

    async def enter(self) -> None:
        await self._credits.acquire()

    def leave(self) -> None:
        if self._withheld < self._to_withhold:
            self._withheld += 1
        else:
            self._credits.release()

    def resize(self, limit: int) -> None:
        """Let at most `limit` in, of the most there are."""
        self._to_withhold = self._credits.limit - limit
        while self._withheld < self._to_withhold and self._credits.acquire_nowait():
            self._withheld += 1
        while self._withheld > self._to_withhold:
            self._withheld -= 1
            self._credits.release()
