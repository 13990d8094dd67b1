"""Parking: the one place that knows how a task sleeps and is woken, on each loop.

anyio's events allocate an event and a scope per wait. A mailbox hop is the engine's hottest
operation, so it parks on the loop's own primitive: a future on asyncio, a rescheduled task on
trio. Everything above this module is loop-agnostic.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from anyio import get_current_task

if TYPE_CHECKING:
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
    """A task that is about to sleep, or asleep: what of asyncio's future that takes."""

    def __await__(self) -> Generator[Any, None, None]: ...

    def done(self) -> bool:
        """Whether a wake-up would be lost: it has had one, or is gone."""
        ...

    def cancelled(self) -> bool:
        """Asked of one whose sleep ended in an error: whether it had no wake-up before that."""
        ...

    def set_result(self, result: None, /) -> None:
        """Make the task runnable."""
        ...


def _asyncio_parked() -> Parked:
    future: Parked = sys.modules["asyncio"].get_running_loop().create_future()
    return future


class _TrioParked:
    """The running task as a future of asyncio's would have it, as far as `Parked` goes."""

    __slots__ = ("_lowlevel", "_task")

    def __init__(self) -> None:
        self._lowlevel = sys.modules["trio"].lowlevel
        self._task: trio.lowlevel.Task | None = self._lowlevel.current_task()

    def __await__(self) -> Generator[Any, None, None]:
        slept: Generator[Any, None, None]
        slept = self._lowlevel.wait_task_rescheduled(self._abort).__await__()
        return slept

    def done(self) -> bool:
        return self._task is None

    def cancelled(self) -> bool:
        return True  # a task that was woken is not cancelled any more

    def set_result(self, _: None) -> None:
        task, self._task = self._task, None
        self._lowlevel.reschedule(task)

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        aborted: trio.lowlevel.Abort = self._lowlevel.Abort.SUCCEEDED
        return aborted


def _nowhere() -> Parked:
    raise RuntimeError("no loop was seen yet")


def _maker() -> Callable[[], Parked]:
    return _TrioParked if _running_trio() else _asyncio_parked


class Lot:
    """Tasks asleep in order of arrival.

    A wake-up says "look again", no more: whoever parks re-checks its condition in a loop. A
    wake-up whose task was cancelled before it ran is passed on to the next, so none is lost.
    """

    # Nearly always one task sleeps in a lot, or none. So the first has a place of its own: a deque
    # takes 0.7 KiB while it is empty.
    __slots__ = ("_first", "_make", "_others")

    def __init__(self) -> None:
        self._first: Parked | None = None
        self._others: deque[Parked] | None = None
        self._make: Callable[[], Parked] = _nowhere

    def __len__(self) -> int:
        return (self._first is not None) + len(self._others or ())

    async def park(self) -> None:
        """Sleep until woken. Cancellation leaves nothing behind."""
        parked = self.enter()
        try:
            await parked
        except BaseException:
            self.leave(parked)
            raise

    def enter(self) -> Parked:
        """`park` by hand, where its coroutine would cost: await what this returns, and `leave` if
        that raises."""
        try:
            parked = self._make()
        except RuntimeError:
            # Nobody has parked here before, or on a loop of the other kind. Asking which kind runs
            # costs more than to park.
            self._make = _maker()
            parked = self._make()
        if self._first is None:
            self._first = parked
        elif self._others is None:
            self._others = deque((parked,))
        else:
            self._others.append(parked)
        return parked

    def leave(self, parked: Parked) -> None:
        """It was cancelled. A wake-up that it has had is passed on."""
        if parked.done() and not parked.cancelled():
            self.wake()  # asyncio can cancel a task after its future was set
        elif parked is self._first:
            self._first = self._next()
        elif self._others:
            try:
                self._others.remove(parked)
            except ValueError:  # a wake-up has skipped it
                pass

    def wake(self) -> bool:
        """Wake the task that has slept longest; False when nobody sleeps."""
        while self._first is not None:
            parked, self._first = self._first, self._next()
            if not parked.done():
                parked.set_result(None)
                return True
        return False

    def wake_all(self) -> None:
        while self.wake():
            pass

    def _next(self) -> Parked | None:
        return self._others.popleft() if self._others else None


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
        if self._parked is not None:
            if self._parked.done():
                return False  # its waiter was cancelled, and has not run since to say so
            self._parked.set_result(None)
        self._set, self._value, self._error = True, value, error
        return True

    async def wait(self) -> T:
        if not self._set:
            if self._parked is not None:
                raise RuntimeError("two tasks wait for a value that one of them gets")
            self._parked = _maker()()
            try:
                await self._parked
            except BaseException:
                self._abandoned = True
                raise
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]
