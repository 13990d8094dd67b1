"""Parking: the one place that knows how a task sleeps and is woken, on each loop.

anyio's events allocate an event and a scope per wait. A mailbox hop is the engine's hottest
operation, so it parks on the loop's own primitive: a future on asyncio, a rescheduled task on
trio. Everything above this module is loop-agnostic.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from anyio import get_current_task

if TYPE_CHECKING:
    import asyncio

    import trio

T = TypeVar("T")


def _running_trio() -> bool:
    # Where a loop runs it has been imported; asking sys.modules keeps trio, and the 50 ms that
    # importing asyncio takes, out of everyone else's process.
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_task()


@coroutine
def _yield_to_asyncio() -> Generator[None, None, None]:
    yield


async def checkpoint() -> None:
    """Let others run, and be cancelled if somebody asked for it: `anyio.lowlevel.checkpoint`.

    Without the look-ups that make anyio's cost as much as the switch itself; a turn has at least
    one.
    """
    if _running_trio():
        await sys.modules["trio"].lowlevel.checkpoint()
    else:
        await _yield_to_asyncio()


def caller_of_the_loop() -> Callable[[Callable[[], object]], object]:
    """What another thread gives a function to, for the running loop to call soon; it does not wait
    for that, as `anyio.from_thread` does."""
    if _running_trio():
        run: Callable[[Callable[[], object]], object]
        run = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon
    else:
        run = sys.modules["asyncio"].get_running_loop().call_soon_threadsafe
    return run


def being_cancelled() -> bool:
    """Whether somebody cancelled the running task, or a scope around it.

    On asyncio a `CancelledError` can also come from a future or a task that was awaited and that
    somebody else cancelled; then this is False.
    """
    if get_current_task().has_pending_cancellation():
        return True
    current = sys.modules["asyncio"].current_task()
    return current is not None and current.cancelling() > 0


class Parked(Protocol):
    """A task that is about to sleep, or asleep."""

    @property
    def woken(self) -> bool:
        """Whether a wake-up was spent on it."""
        ...

    def sleep(self) -> Awaitable[None]: ...

    def wake(self) -> bool:
        """Make the task runnable; False when it is gone (cancelled) and the wake-up is unused."""
        ...


class _AsyncioParked:
    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = (
            sys.modules["asyncio"].get_running_loop().create_future()
        )

    def sleep(self) -> Awaitable[None]:
        return self.future

    @property
    def woken(self) -> bool:
        # asyncio can cancel a task after its future was set.
        return self.future.done() and not self.future.cancelled()

    def wake(self) -> bool:
        if self.future.done():
            return False
        self.future.set_result(None)
        return True


class _TrioParked:
    __slots__ = ("_trio", "task")

    def __init__(self) -> None:
        self._trio = sys.modules["trio"].lowlevel
        self.task: trio.lowlevel.Task | None = self._trio.current_task()

    def sleep(self) -> Awaitable[None]:
        slept: Awaitable[None] = self._trio.wait_task_rescheduled(self.abort)
        return slept

    @property
    def woken(self) -> bool:
        return False  # a task that was woken is not cancelled any more

    def wake(self) -> bool:
        if self.task is None:
            return False
        task, self.task = self.task, None
        self._trio.reschedule(task)
        return True

    def abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.task = None
        aborted: trio.lowlevel.Abort = self._trio.Abort.SUCCEEDED
        return aborted


class Lot:
    """Tasks asleep in order of arrival.

    A wake-up says "look again", no more: whoever parks re-checks its condition in a loop. A
    wake-up whose task was cancelled before it ran is passed on to the next, so none is lost.
    """

    __slots__ = ("_parked",)

    def __init__(self) -> None:
        self._parked: deque[Parked] = deque()

    def __len__(self) -> int:
        return len(self._parked)

    async def park(self) -> None:
        """Sleep until woken. Cancellation leaves nothing behind."""
        parked = self.enter()
        try:
            await parked.sleep()
        except BaseException:
            self.leave(parked)
            raise

    def enter(self) -> Parked:
        """`park` by hand, where its coroutine would cost: await what `sleep` of this returns, and
        `leave` if that raises."""
        parked: Parked = _TrioParked() if _running_trio() else _AsyncioParked()
        self._parked.append(parked)
        return parked

    def leave(self, parked: Parked) -> None:
        """It was cancelled. A wake-up that it has had is passed on."""
        if parked.woken:
            self.wake()
        try:
            self._parked.remove(parked)
        except ValueError:  # it had been woken, so it is out already
            pass

    def wake(self) -> bool:
        """Wake the task that has slept longest; False when nobody sleeps."""
        while self._parked:
            if self._parked.popleft().wake():
                return True
        return False

    def wake_all(self) -> None:
        while self.wake():
            pass


class OneShot(Generic[T]):
    """A value, or an error, that one side gives once and the other side, one task, waits for."""

    __slots__ = ("_abandoned", "_error", "_parked", "_set", "_value")

    def __init__(self) -> None:
        self._parked: Parked | None = None
        self._set = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._value: T | None = None

    @property
    def settled(self) -> bool:
        return self._set

    def give(self, value: T) -> bool:
        """Hand over the value; False when whoever waited has gone."""
        return self._settle(value, None)

    def fail(self, error: BaseException) -> bool:
        """Hand over an error instead, to be raised where the value is waited for."""
        return self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        if self._abandoned or self._set:
            return False
        if self._parked is not None and not self._parked.wake():
            return False  # its waiter was cancelled, and has not run since to say so
        self._set, self._value, self._error = True, value, error
        return True

    async def wait(self) -> T:
        if not self._set:
            if self._parked is not None:
                raise RuntimeError("two tasks wait for a value that one of them gets")
            self._parked = _TrioParked() if _running_trio() else _AsyncioParked()
            try:
                await self._parked.sleep()
            except BaseException:
                self._abandoned = True
                raise
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]
