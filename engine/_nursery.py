"""A task group for many short tasks that nobody waits for one by one.

anyio gives every task a handle to await it and to cancel it by, which takes a scope and an event. A
dialogue's handle would lie unused, so on trio its task is started by the loop's own nursery: that
saves one instruction in twelve of a short dialogue's. On asyncio it is anyio's group that gives
cancellation its levels and its shields, so there it stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import anyio


class Nursery(Protocol):
    """Owns the tasks that it starts: its block ends after the last of them. An error of one cancels
    the others and comes out of the block in a group, as from any task group."""

    def start_soon(
        self, run: Callable[..., Coroutine[Any, Any, object]], /, *args: Any, name: object = None
    ) -> object: ...


def open_nursery() -> AbstractAsyncContextManager[Nursery]:
    """The running loop's cheapest task group."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        nursery: AbstractAsyncContextManager[Nursery] = trio.open_nursery()
        return nursery
    return anyio.create_task_group()
