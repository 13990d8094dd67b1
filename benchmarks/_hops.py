"""Round trips between two tasks: a bare pair, a pair of mailboxes, a pair of actors."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import trio
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


class _Gate:
    """Opens when all its tasks have come: what they cost to start is no hop."""

    def __init__(self, tasks: int) -> None:
        self._missing = tasks
        self._open = anyio.Event()
        self.opened_s = self.opened_cpu_s = 0.0

    async def __call__(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.opened_s, self.opened_cpu_s = time.perf_counter(), time.process_time()
            self._open.set()
        await self._open.wait()


class _Pairs:
    """One way to join two tasks: `start` starts a pair, each of whose tasks passes the gate."""

    def __init__(self, pairs: int, rounds: int, tasks_a_pair: int) -> None:
        self.pairs = pairs
        self.rounds = rounds
        self.gate = _Gate(pairs * tasks_a_pair)

    async def rates(self, start: Callable[[TaskGroup], object]) -> tuple[float, float]:
        """Round trips a second, and a CPU second."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self.pairs):
                start(tasks)
        trips = self.pairs * self.rounds
        wall = time.perf_counter() - self.gate.opened_s
        return trips / wall, trips / (time.process_time() - self.gate.opened_cpu_s)


async def _bare(pairs: int, rounds: int, backend: str) -> tuple[float, float]:
    run = _Pairs(pairs, rounds, 2)
    make = _BareTrio if backend == "trio" else _BareAsyncio

    async def ping(there: Any, back: Any) -> None:
        await run.gate()
        for number in range(rounds):
            there.put(number)
            await back.get()

    async def pong(there: Any, back: Any) -> None:
        await run.gate()
        for number in range(rounds):
            await there.get()
            back.put(number)

    def start(tasks: TaskGroup) -> None:
        there, back = make(), make()
        tasks.start_soon(ping, there, back)
        tasks.start_soon(pong, there, back)

    return await run.rates(start)


async def _mailboxes(pairs: int, rounds: int) -> tuple[float, float]:
    run = _Pairs(pairs, rounds, 2)

    async def ping(there: Mailbox[int], back: Mailbox[int]) -> None:
        await run.gate()
        for number in range(rounds):
            await there.put(number)
            await back.get()

    async def pong(there: Mailbox[int], back: Mailbox[int]) -> None:
        await run.gate()
        for number in range(rounds):
            await there.get()
            await back.put(number)

    def start(tasks: TaskGroup) -> None:
        there, back = Mailbox[int](CAPACITY), Mailbox[int](CAPACITY)
        tasks.start_soon(ping, there, back)
        tasks.start_soon(pong, there, back)

    return await run.rates(start)


async def _told(pairs: int, rounds: int) -> tuple[float, float]:
    """Two actors that tell each other: a round trip is two messages, both handled."""
    run = _Pairs(pairs, rounds, 1)

    async def pair() -> None:
        over = anyio.Event()

        async def near(number: int) -> None:
            if number == rounds:
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
            for number in range(rounds):
                await actor.ask(number)

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
