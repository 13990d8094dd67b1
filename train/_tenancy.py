"""One learner at a time in a run's weights folder, and the next life waits for the last one's.

An engine that is killed leaves its learner behind for a moment: it might still commit a checkpoint
that the next life of the run has already looked for in vain, and that is no ancestor of what this
life does. So a learner locks the folder for as long as it lives, and a resume waits for it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio

from ..engine import DuologueError

PATIENCE_S = 30.0
"""A learner leaves within a second or two of its engine; longer means that it hangs."""


@contextmanager
def tenancy(weights: Path) -> Generator[None]:
    """Be the only learner in the folder `weights`; given up with the block, or the process."""
    folder = os.open(weights, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DuologueError(f"another learner works in {weights}") from None
        yield
    finally:
        os.close(folder)


async def vacancy(weights: Path) -> None:
    """Wait until no learner is in the folder `weights`. Raises `DuologueError` if one stays."""
    with anyio.move_on_after(PATIENCE_S):
        while True:
            try:
                with tenancy(weights):
                    return
            except DuologueError:
                await anyio.sleep(0.05)
    raise DuologueError(
        f"the learner of an earlier life of this run still works in {weights}; end it and try again"
    )
