"""A loop for state machines: operations are begun on it, wait there, are cancelled, and looked at.

A rule-based machine is synchronous code, what it tests is not; between them stands a portal. After
every operation the loop is left to run until nobody on it can go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

T = TypeVar("T")


HOPS = 20
"""How often the loop goes round: more than any operation needs to wake whoever it wakes."""


async def _settle() -> None:
    # Not `anyio.wait_all_tasks_blocked`: on asyncio it looks again only every tenth of a second.
    for _ in range(HOPS):
        await anyio.lowlevel.checkpoint()


class Errand(Generic[T]):
    """An operation that was begun: `waiting`, `done` with `result`, `failed` with `error`, or
    `cancelled`."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.result: T | None = None
        self.error: Exception | None = None
        self.scope: anyio.CancelScope | None = None


class Stage:
    """A loop of its own, for as long as the machine lives."""

    def __init__(self, backend: str, options: dict[str, Any] | None = None) -> None:
        self._stack = ExitStack()
        self._portal: BlockingPortal = self._stack.enter_context(
            start_blocking_portal(backend, options or {})
        )
        self._over, self._tasks = self._portal.start_task(_host)

    def begin(self, work: Callable[[], Awaitable[T]]) -> Errand[T]:
        """Start `work` in a task of its own, and let the loop run dry."""
        errand: Errand[T] = Errand()

        async def run() -> None:
            with anyio.CancelScope() as scope:
                errand.scope = scope
                try:
                    errand.result = await work()
                    errand.state = "done"
                except Exception as error:  # noqa: BLE001
                    errand.error, errand.state = error, "failed"
                except BaseException:
                    errand.state = "cancelled"
                    raise

        async def go() -> None:
            self._tasks.start_soon(run)
            await _settle()

        self._portal.call(go)
        return errand

    def do(self, work: Callable[[], T]) -> T:
        """Call `work` on the loop, then let the loop run dry."""

        async def go() -> T:
            result = work()
            await _settle()
            return result

        return self._portal.call(go)

    def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, however long it takes: for what waits for threads or disks."""
        return self._portal.call(work)

    def open(self, block: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """An async block as one of ours, entered and left in one task of the loop's."""
        return self._portal.wrap_async_context_manager(block)

    def cancel(self, errand: Errand[Any]) -> None:
        """Cancel an operation and wait for it to be over."""
        scope = errand.scope
        assert scope is not None
        self.do(scope.cancel)
        assert errand.state != "waiting"

    def close(self) -> None:
        """Cancel what still waits, and end the loop."""
        self._portal.call(self._tasks.cancel_scope.cancel)
        self._over.result()
        self._stack.close()


async def _host(*, task_status: TaskStatus[TaskGroup]) -> None:
    async with anyio.create_task_group() as tasks:
        task_status.started(tasks)
        await anyio.sleep_forever()
