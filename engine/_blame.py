"""Who held the loop: a thread that looks at the loop's stack while its heartbeat is overdue.

Lateness alone says that something blocked; this says what: the function and line, and the task or
dialogue that ran it. The thread wakes ten times a second to look at a number, and at the stack only
while a heartbeat is late, so it costs next to nothing on a healthy loop.

It reads frames of another thread, which is safe while it holds the interpreter's lock. A call that
keeps the lock to itself is seen as soon as it gives it back, on the same line.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import FrameType
from typing import Any

from msgspec import Struct

from ._messages import Key

GRACE_S = 0.01
"""How late a heartbeat may be before anybody is looked at."""

LOOK_S = 0.1
"""Between two looks at a loop that is in time. A shorter hold may be missed; one that comes back
will be seen in its turn."""

AGAIN_S = 0.02
"""From one look at a loop that is still held to the next; three times as long after each, because
a thread that wakes costs 0.1 ms on a busy machine, and it is a busy one where that matters."""

REMEMBERED = 64
"""Places in the code that are remembered; beyond them the smallest offender is forgotten."""

ITSELF = "(the loop itself, another thread, or the machine)"
"""Where no code of any task was running: the loop's own bookkeeping, a thread that held the
interpreter, or a machine that was busy elsewhere."""

_LOOPS = {"asyncio", "uvloop", "trio", "anyio", "selectors"}
_RUNNERS = {"_run", "_run_once", "run", "run_forever", "run_until_complete", "unrolled_run"}
_AWAITED = CO_COROUTINE | CO_ASYNC_GENERATOR


class Offender(Struct, frozen=True, kw_only=True):
    """A place in the code that held up the loop.

    where: function, file and line. task: who ran it when it was worst: a dialogue by its key, or a
    task by its name. times: heartbeats it made late; the milliseconds are of those.
    """

    where: str
    task: str
    times: int
    total_ms: float
    worst_ms: float


class Blame:
    """What held the loop, so far. `beat` and `settle` are the loop's, the rest is the thread's."""

    def __init__(self) -> None:
        self._thread_id = threading.get_ident()
        self._loop = _asyncio_loop()
        self._base = _loop_frame()
        self._stopped = threading.Event()
        self._due = float("inf")
        self._looks = 0  # at the hold that lasts now
        self._seen: dict[tuple[str, str], int] = {}
        self._offenders: dict[str, Offender] = {}
        self.cpu_s: float = 0.0

    @property
    def offenders(self) -> list[Offender]:
        """The worst first, by their sums."""
        return sorted(self._offenders.values(), key=lambda one: -one.total_ms)

    def beat(self, in_s: float) -> None:
        """The loop expects to be back in `in_s` seconds."""
        # Not the loop's clock, which the thread cannot read and which in a test may be a fake.
        self._due = time.perf_counter() + in_s
        self._looks = 0

    def settle(self, late_s: float) -> None:
        """It is back, so much late: share that out among what was seen meanwhile."""
        seen, self._seen = self._seen, {}
        if late_s < GRACE_S or not seen:
            return
        samples = sum(seen.values())
        for (where, task), count in seen.items():
            self._add(where, task, 1e3 * late_s * count / samples)

    def watch(self) -> None:
        """Look, until told to stop. Runs in a thread of its own."""
        while not self._stopped.wait(self._nap()):
            if time.perf_counter() > self._due + GRACE_S and len(self._seen) < REMEMBERED:
                found = self._look()
                self._looks += 1
                self._seen[found] = self._seen.get(found, 0) + 1
            self.cpu_s = time.thread_time()

    def stop(self) -> None:
        self._stopped.set()

    def forget_loop(self) -> None:
        """Keep what was found, and nothing of the loop alive."""
        self._loop = self._base = None

    def _nap(self) -> float:
        early = self._due + GRACE_S - time.perf_counter()
        if early > 0:
            return min(max(early + 0.001, LOOK_S), 0.25)
        return float(AGAIN_S * 3.0 ** min(self._looks, 5))

    def _look(self) -> tuple[str, str]:
        """What the loop's thread does now: (where, task)."""
        frame = sys._current_frames().get(self._thread_id)
        inside: list[FrameType] = []
        while frame is not None and frame is not self._base and not _runs_a_loop(frame):
            inside.append(frame)
            frame = frame.f_back
        if frame is None or all(map(_of_a_loop, inside)):
            return ITSELF, ""
        return _where(inside), _dialogue(inside) or self._task(frame)

    def _task(self, runner: FrameType) -> str:
        if self._loop is not None:
            task = sys.modules["asyncio"].current_task(self._loop)
            return task.get_name() if task is not None else ""
        return str(getattr(runner.f_locals.get("task"), "name", ""))

    def _add(self, where: str, task: str, late_ms: float) -> None:
        before = self._offenders.get(where)
        if before is None and len(self._offenders) >= REMEMBERED:
            least = min(self._offenders.values(), key=lambda one: one.total_ms)
            del self._offenders[least.where]
        worse = before is None or late_ms > before.worst_ms
        self._offenders[where] = Offender(
            where=where,
            task=task if before is None or worse else before.task,
            times=1 + (before.times if before else 0),
            total_ms=late_ms + (before.total_ms if before else 0.0),
            worst_ms=late_ms if before is None or worse else before.worst_ms,
        )


@contextmanager
def open_blame() -> Generator[Blame]:
    """Watch the loop of this thread for as long as the block lasts; the thread ends with it."""
    blame = Blame()
    thread = threading.Thread(target=blame.watch, name="duologue blame", daemon=True)
    thread.start()
    try:
        yield blame
    finally:
        blame.stop()
        thread.join()
        blame.forget_loop()


def _asyncio_loop() -> Any:
    """The running asyncio loop, whose current task any thread may ask for; None on trio."""
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def _loop_frame() -> FrameType | None:
    """What runs the coroutine that calls this: the frame below which no task's code lies. A loop
    written in C has no frame of its own to be known by."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_flags & _AWAITED:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_flags & _AWAITED:
        frame = frame.f_back
    return frame


def _of_a_loop(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LOOPS


def _runs_a_loop(frame: FrameType) -> bool:
    return frame.f_code.co_name in _RUNNERS and _of_a_loop(frame)


def _where(inside: list[FrameType]) -> str:
    """The innermost code that is not a library's, and what it was calling there."""
    leaf = inside[0]
    ours = next((frame for frame in inside if not _in_library(frame)), leaf)
    called = "" if ours is leaf else f", calling {leaf.f_code.co_qualname}"
    return f"{_place(ours)}{called}"


def _place(frame: FrameType) -> str:
    code = frame.f_code
    file = "/".join(code.co_filename.split("/")[-2:])
    return f"{code.co_qualname} ({file}:{frame.f_lineno})"


def _in_library(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return "/site-packages/" in name or "/lib/python3" in name or name.startswith("<")


def _dialogue(inside: list[FrameType]) -> str:
    """The dialogue in whose task this is, by the engine's own frame."""
    for frame in reversed(inside):
        key = frame.f_locals.get("key") if frame.f_code.co_name == "_run" else None
        if isinstance(key, Key):
            return f"dialogue {key.group}/{key.sample}"
    return ""
