"""Round trips between two tasks: a bare pair, a pair of mailboxes, a pair of actors."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import trio
from _gate import Gate
from anyio.abc import TaskGroup

from duologue.engine import Mailbox, open_actor

CAPACITY = 4


class _BareAsyncio:
    """The least that two asyncio tasks can be joined by."""

    def __init__(self) -> None:
        self.items: deque[int] = deque()
        self.waiter: asyncio.Future[None] | None = None

    def put(self, item: int) -> None:
        self.items.append(item)
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def get(self) -> int:
        while not self.items:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
            self.waiter = None
        return self.items.popleft()


class _BareTrio:
    """The same on trio."""

    def __init__(self) -> None:
        self.items: deque[int] = deque()
        self.task: trio.lowlevel.Task | None = None

    def put(self, item: int) -> None:
        self.items.append(item)
        if self.task is not None:
            task, self.task = self.task, None
            trio.lowlevel.reschedule(task)

    async def get(self) -> int:
        while not self.items:
            self.task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        return self.items.popleft()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class _Line:
    """Every pair crosses it once; knows when the last did."""

    def __init__(self, pairs: int) -> None:
        self._missing = pairs
        self.crossed_s = self.crossed_cpu_s = 0.0

    def cross(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.crossed_s, self.crossed_cpu_s = time.perf_counter(), time.process_time()


class _Pairs:
    """One way to join two tasks: pairs that make one round after another, all at once.

    The clock runs from when all have made a first round, beyond `rounds`, to when all are through:
    what it costs to start and to end tasks and actors is no hop. So each task passes the gate, and
    one of each pair crosses `start` and `finish`.
    """

    def __init__(self, pairs: int, rounds: int, tasks_a_pair: int) -> None:
        self.pairs = pairs
        self.rounds = rounds
        self.start = _Line(pairs)
        self.finish = _Line(pairs)
        self.gate = Gate(pairs * tasks_a_pair).arrive

    async def rates(self, begin: Callable[[TaskGroup], object]) -> tuple[float, float]:
        """Round trips a second, and a CPU second; `begin` starts a pair's tasks."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self.pairs):
                begin(tasks)
        trips = self.pairs * self.rounds
        return (
            trips / (self.finish.crossed_s - self.start.crossed_s),
            trips / (self.finish.crossed_cpu_s - self.start.crossed_cpu_s),
        )


async def _bare(pairs: int, rounds: int, backend: str) -> tuple[float, float]:
    run = _Pairs(pairs, rounds, 2)
    make = _BareTrio if backend == "trio" else _BareAsyncio

    async def ping(there: Any, back: Any) -> None:
        await run.gate()
        for number in range(rounds + 1):
            there.put(number)
            await back.get()
            if not number:
                run.start.cross()
        run.finish.cross()

    async def pong(there: Any, back: Any) -> None:
        await run.gate()
        for number in range(rounds + 1):
            await there.get()
            back.put(number)

    def begin(tasks: TaskGroup) -> None:
        there, back = make(), make()
        tasks.start_soon(ping, there, back)
        tasks.start_soon(pong, there, back)

    return await run.rates(begin)


async def _mailboxes(pairs: int, rounds: int) -> tuple[float, float]:
    run = _Pairs(pairs, rounds, 2)

    async def ping(there: Mailbox[int], back: Mailbox[int]) -> None:
        await run.gate()
        for number in range(rounds + 1):
            await there.put(number)
            await back.get()
            if not number:
                run.start.cross()
        run.finish.cross()

    async def pong(there: Mailbox[int], back: Mailbox[int]) -> None:
        await run.gate()
        for number in range(rounds + 1):
            await there.get()
            await back.put(number)

    def begin(tasks: TaskGroup) -> None:
        there, back = Mailbox[int](CAPACITY), Mailbox[int](CAPACITY)
        tasks.start_soon(ping, there, back)
        tasks.start_soon(pong, there, back)

    return await run.rates(begin)


async def _told(pairs: int, rounds: int) -> tuple[float, float]:
    """Two actors that tell each other: a round trip is two messages, both handled."""
    run = _Pairs(pairs, rounds, 1)

    async def pair() -> None:
        over = anyio.Event()

        async def near(number: int) -> None:
            if number == 1:
                run.start.cross()
            if number == rounds + 1:
                run.finish.cross()
                over.set()
            else:
                await far_actor.tell(number + 1)

        async def far(number: int) -> None:
            await near_actor.tell(number)

        async with (
            open_actor(near, capacity=CAPACITY) as near_actor,
            open_actor(far, capacity=CAPACITY) as far_actor,
        ):
            await run.gate()
            await near_actor.tell(0)
            await over.wait()

    return await run.rates(lambda tasks: tasks.start_soon(pair))


async def _asked(pairs: int, rounds: int) -> tuple[float, float]:
    """A task that asks an actor: a round trip is one question and its reply."""
    run = _Pairs(pairs, rounds, 1)

    async def echo(number: int) -> int:
        return number

    async def pair() -> None:
        async with open_actor(echo, capacity=CAPACITY) as actor:
            await run.gate()
            for number in range(rounds + 1):
                await actor.ask(number)
                if not number:
                    run.start.cross()
            run.finish.cross()

    return await run.rates(lambda tasks: tasks.start_soon(pair))


async def hops(pairs: int, rounds: int, backend: str) -> dict[str, float]:
    """Round trips a second of each kind, and as shares of the bare pair's.

    The shares are of CPU time: on a busy machine two runs after one another get unlike shares of
    the wall's.
    """
    bare, bare_cpu = await _bare(pairs, rounds, backend)
    figures = {"bare_per_s": bare}
    for name, measure in (("mailboxes", _mailboxes), ("told", _told), ("asked", _asked)):
        per_s, per_cpu_s = await measure(pairs, rounds)
        figures[f"{name}_per_s"] = per_s
        figures[f"{name}_share"] = per_cpu_s / bare_cpu
    return figures
