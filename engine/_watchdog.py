"""The watchdog: a run in which nothing progresses ends, and says what everybody waited for.

A dialogue has its deadline. Everything around it has none, and may be waited for with good reason
for as long as it takes: credits, a learner that is alive but silent, a consumer that stopped
taking, a disk. Only that nothing at all happens tells the bad wait from the good one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio
from msgspec import Struct

from ._board import Board
from ._errors import DuologueError, one_error
from ._snapshot import Snapshot, Wait, Waiting

SHOWN = 3
"""Dialogues named in an error; the report has them all."""


class Stall(Struct, frozen=True, kw_only=True):
    """A run that stands still.

    idle_s: for how long. cause, why: what for. waiting: every live dialogue, the longest wait
    first.
    """

    idle_s: float
    cause: Wait
    why: str
    snapshot: Snapshot
    waiting: tuple[Waiting, ...]

    def summary(self) -> str:
        """In one line: what is waited for, and by whom."""
        shown = "; ".join(
            f"{one.phase}:{one.key.group}/{one.key.sample} waits for the {one.waits} since "
            f"{one.for_s:,.0f} s, in turn {one.turn}"
            + (f" of attempt {one.attempt}" if one.attempt > 1 else "")
            for one in self.waiting[:SHOWN]
        )
        more = len(self.waiting) - SHOWN
        return (
            f"nothing progressed for {self.idle_s:,.0f} s: no turn, dialogue or learner step "
            f"ended. The run waits for: {self.why}"
            + (f". {shown}" if shown else "")
            + (f"; and {more:,} more" if more > 0 else "")
        )


class Stalled(DuologueError):
    """Nothing in the run progressed for as long as the watchdog waits."""

    def __init__(self, stall: Stall) -> None:
        super().__init__(stall.summary())
        self.stall: Stall = stall


@asynccontextmanager
async def open_watchdog(
    board: Board,
    *,
    limit_s: float = 300.0,
    every_s: float = 1.0,
    tell: Callable[[Stall], None] | None = None,
) -> AsyncGenerator[None]:
    """Tick the board every `every_s` seconds inside the block, and end the block by `Stalled` when
    nothing shown on it has progressed for `limit_s` seconds of the loop's clock.

    limit_s: 0 or `inf` only ticks. While dialogues talk under a deadline longer than this, that
             is waited for instead: the deadline will end them. Choose it longer than the longest
             optimiser step, push of weights and restart of a server.
    tell:    is called first, with what the error holds. It does not wait. What ends the block may
             take long to end itself (a thread in a dead disk cannot be cancelled), and by then the
             report should have been written.
    """
    limit = limit_s if limit_s > 0 else inf

    async def watch() -> None:
        idle, seen, last = 0.0, -1, board.tick()
        while True:
            await anyio.sleep(every_s)
            now = board.tick()
            # A process that was stopped, or a loop that was held up, wakes to a clock far ahead:
            # nobody could have progressed, so no more than the tick is held against them.
            idle = idle + min(now - last, 2 * every_s) if board.beats == seen else 0.0
            seen, last = board.beats, now
            if idle >= limit and idle >= board.promise_s + 2 * every_s:
                stall = take_stall(board, idle)
                if tell is not None:
                    tell(stall)
                raise Stalled(stall)

    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, name="watchdog")
            yield
            tasks.cancel_scope.cancel()


def take_stall(board: Board, idle_s: float) -> Stall:
    """What a run that has stood still for `idle_s` seconds waits for, as the board shows it."""
    snapshot = board.snapshot()
    cause, why = snapshot.why
    return Stall(
        idle_s=idle_s, cause=cause, why=why, snapshot=snapshot, waiting=tuple(board.waiting())
    )
