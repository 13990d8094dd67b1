"""What the engine costs: hops between actors, and whole dialogues, ten thousand alive.

* `hops`: two actors that exchange messages through bounded mailboxes, against two tasks joined by
  nothing but a deque and the loop's own primitive, in the same run. Bar: at least 0.45 of it.
* `dialogues`: whole dialogues with a scripted agent through tool-call text and its parser, history
  kept, in memory and with every trajectory durable.
* `collector`: the same dialogues with the cyclic collector's usual thresholds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import trio
from _common import machine

from duologue.engine import (
    Mailbox,
    RolloutConfig,
    Seed,
    open_rollouts,
    open_store,
    relaxed_collector,
)
from duologue.envs import find, make_dialogues, scripted_agent

Measure = Callable[[], Awaitable[dict[str, float]]]


# ---------------------------------------------------------------- hops


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


async def bare_hops(pairs: int, rounds: int, backend: str) -> float:
    """Round trips a second over bare pairs."""
    make = _BareTrio if backend == "trio" else _BareAsyncio

    async def ping(there: Any, back: Any) -> None:
        for number in range(rounds):
            there.put(number)
            await back.get()

    async def pong(there: Any, back: Any) -> None:
        for number in range(rounds):
            await there.get()
            back.put(number)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(pairs):
            there, back = make(), make()
            tasks.start_soon(ping, there, back)
            tasks.start_soon(pong, there, back)
    return pairs * rounds / (time.perf_counter() - began)


async def mailbox_hops(pairs: int, rounds: int) -> float:
    """Round trips a second over our mailboxes."""

    async def ping(there: Mailbox[int], back: Mailbox[int]) -> None:
        for number in range(rounds):
            await there.put(number)
            await back.get()

    async def pong(there: Mailbox[int], back: Mailbox[int]) -> None:
        for number in range(rounds):
            await there.get()
            await back.put(number)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(pairs):
            there, back = Mailbox[int](4), Mailbox[int](4)
            tasks.start_soon(ping, there, back)
            tasks.start_soon(pong, there, back)
    return pairs * rounds / (time.perf_counter() - began)


async def hops(pairs: int, rounds: int, backend: str) -> dict[str, float]:
    bare = await bare_hops(pairs, rounds, backend)
    ours = await mailbox_hops(pairs, rounds)
    return {"bare_per_s": bare, "ours_per_s": ours, "ratio": ours / bare}


# ---------------------------------------------------------------- dialogues


async def dialogues(count: int, live: int, durable: bool) -> dict[str, float]:
    """Turns a second over whole dialogues of the intention gym's expert."""
    gym = find("intention")
    tasks = list(islice(gym.tasks("train", Seed(0)), count))
    make = make_dialogues(gym, scripted_agent(gym, "expert"), options={"instructions": False})
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            store = None
            if durable:
                store = await stack.enter_async_context(open_store(Path(folder) / "run.db"))
            began, cpu = time.perf_counter(), time.process_time()
            rollouts = await stack.enter_async_context(
                open_rollouts(
                    tasks, make, seed=Seed(0), config=RolloutConfig(live=live), store=store
                )
            )
            async for _ in rollouts:
                pass
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            turns = rollouts.stats.turns
    return {"turns_per_s": turns / wall, "cpu_us_per_turn": 1e6 * cpu / turns}


# ---------------------------------------------------------------- the script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second instead of a minute")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    n, pairs, rounds, count = (1, 200, 10, 500) if options.quick else (5, 10_000, 10, 10_000)
    for backend in ("asyncio", "trio"):
        scenarios: dict[str, tuple[Measure, bool]] = {
            "hops": (partial(hops, pairs, rounds, backend), True),
            "dialogues in memory": (partial(dialogues, count, 10_000, False), True),
            "dialogues, durable": (partial(dialogues, count, 10_000, True), True),
            "dialogues, usual collector": (partial(dialogues, count, 10_000, False), False),
        }
        for name, (measure, relaxed) in scenarios.items():
            runs: list[dict[str, float]] = []
            for _ in range(n):
                with relaxed_collector() if relaxed else nullcontext():
                    runs.append(
                        anyio.run(
                            measure,
                            backend=backend,
                            backend_options={"use_uvloop": True} if backend == "asyncio" else {},
                        )
                    )
            show(name, backend, runs, options.json)


def show(name: str, backend: str, runs: list[dict[str, float]], as_json: bool) -> None:
    loop = "asyncio (uvloop)" if backend == "asyncio" else backend
    figures = {
        key: {
            "median": round(statistics.median(run[key] for run in runs), 3),
            "spread": [round(min(r[key] for r in runs), 3), round(max(r[key] for r in runs), 3)],
        }
        for key in runs[0]
    }
    if as_json:
        print(json.dumps({"what": name, "loop": loop, "n": len(runs), **figures, **machine()}))
        return
    words = ", ".join(f"{key} {value['median']:,}" for key, value in figures.items())
    print(f"{name} on {loop}: {words} (n = {len(runs)})", flush=True)


if __name__ == "__main__":
    main()
