"""What a server says about its own load, read from its Prometheus page.

A limit that only learns from refusals learns late: vLLM refuses nobody, it queues, and when its
cache is full it throws half-finished generations away and begins them again. So its endpoint's
scope asks it how it is:

    limits = Limits(url, config, seed=seed)
    async with open_reports(limits, lambda: control.get("/metrics")):
        ...
        await limits.call(...)

One small request a second and server, on a connection that generations do not wait for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import isfinite
from typing import Protocol

import anyio
from msgspec import Struct

from ....engine import ModelError, one_error

MOST_BYTES = 512 * 2**10
"""A page larger than this is not read; one of vLLM's has some 100 KB, which cost 0.6 ms."""

STALE_AFTER = 3
"""Reports in a row that did not come, before what was said last counts no more."""

SELDOM = 30
"""Of a server that has never said anything, a report is asked for only at every so many intervals."""

_FIELDS = {
    b"vllm:num_requests_running": "running",
    b"vllm:num_requests_waiting": "waiting",
    b"vllm:kv_cache_usage_perc": "cache_use",
    b"vllm:gpu_cache_usage_perc": "cache_use",  # before 0.10
    b"vllm:num_preemptions_total": "preemptions",
    b"sglang:num_running_reqs": "running",
    b"sglang:num_queue_reqs": "waiting",
    b"sglang:token_usage": "cache_use",
}

# Labels may hold anything, braces included: the value follows the last of them.
_LINE = re.compile(
    b"^(" + b"|".join(map(re.escape, _FIELDS)) + rb")(?:\{[^\n]*\})? ([^ \n]+)", re.MULTILINE
)


class Report(Struct, frozen=True, kw_only=True, gc=False):
    """A server's load as it says.

    running, waiting: requests that it works on, and that wait in it.
    cache_use:        the share of its KV cache in use, from 0 to 1; of its fullest engine.
    preemptions:      generations that it has thrown out of its cache, ever.
    """

    running: float
    waiting: float
    cache_use: float = 0.0
    preemptions: float = 0.0

    @property
    def crowded(self) -> bool:
        """It has more than it can work on. A queue of up to half of what it works on is none too
        long: it is what keeps a server busy."""
        return self.waiting > 0 and (self.cache_use >= 0.95 or self.waiting > self.running / 2)

    @property
    def roomy(self) -> bool:
        """It could work on more than it has."""
        return self.waiting == 0 and self.cache_use < 0.85


def read_report(page: bytes) -> Report | None:
    """The load that a Prometheus page of vLLM or SGLang tells, several engines taken together;
    None when it tells none, or is no such page."""
    if len(page) > MOST_BYTES:
        return None
    numbers: dict[str, float] = {}
    for name, text in _LINE.findall(page):
        field, value = _FIELDS[name], _number(text)
        before = numbers.get(field, 0.0)
        numbers[field] = max(before, value) if field == "cache_use" else before + value
    if "running" not in numbers or "waiting" not in numbers:
        return None
    return Report(**numbers)


def _number(text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if isfinite(value) and value > 0 else 0.0


class Heeds(Protocol):
    """Who acts on reports: `Limits` does."""

    def heed(self, report: Report, preempted: float) -> None:
        """A report came. preempted: generations thrown out since the one before it."""
        ...

    def unheard(self) -> None:
        """Reports have stopped coming: what was said last may be true no more."""
        ...


@asynccontextmanager
async def open_reports(
    limits: Heeds, fetch: Callable[[], Awaitable[bytes]], *, every_s: float = 1.0
) -> AsyncGenerator[None]:
    """Tell `limits` what the server says of its load, for as long as the block lasts.

    fetch: gets the page. `ModelError`, an answer that takes longer than `every_s`, and a page that
           tells nothing all count as silence; any other error is a bug and ends the block.

    A server that has never said anything has no such page; it is asked seldom, and its limit grows
    and shrinks as if nobody had asked.
    """

    async def poll() -> None:
        last: Report | None = None
        missed = 0
        while True:
            await anyio.sleep(every_s if last is not None or missed < STALE_AFTER else seldom_s)
            report = await _ask(fetch, every_s)
            if report is None:
                missed += 1
                if missed == STALE_AFTER and last is not None:
                    limits.unheard()
                continue
            # A server that was started again counts from 0.
            preempted = 0.0 if last is None else max(0.0, report.preemptions - last.preemptions)
            limits.heed(report, preempted)
            last, missed = report, 0

    seldom_s = SELDOM * every_s
    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll, name="load reports")
            yield
            tasks.cancel_scope.cancel()


async def _ask(fetch: Callable[[], Awaitable[bytes]], patience_s: float) -> Report | None:
    with anyio.move_on_after(patience_s):
        try:
            return read_report(await fetch())
        except ModelError:
            return None
    return None
