"""How a contestant is told what to do, and reports. Standard library only, because it runs in every
contestant's own environment.

The runner measures from outside (CPU, memory, the server's count of answers), so that no contestant
is measured by itself. A contestant says when it is ready, waits for the word, plays its dialogues,
says how it went, and waits to be let go. What it prints otherwise goes to its log.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

TICK_S = 0.01
"""How often the loop is asked whether it is late."""


class Contest:
    """One contestant's run: what was asked of it, and what it did so far."""

    def __init__(self, *packages: str, settings: str) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--url", required=True, help="of the mock server, without /v1")
        parser.add_argument("--live", type=int, required=True, help="dialogues alive at once")
        parser.add_argument("--count", type=int, required=True, help="dialogues in all")
        parser.add_argument("--limit", type=float, required=True, help="seconds to give up after")
        parser.add_argument("--folder", required=True, help="with the tokenizer and the answer")
        parser.add_argument("--variant", default="", help="of a script that has more than one")
        options = parser.parse_args()
        self.url: str = options.url
        self.live: int = options.live
        self.count: int = options.count
        self.limit_s: float = options.limit
        self.folder: str = options.folder
        self.variant: str = options.variant
        # The protocol has a pipe of its own; whatever else is printed is no part of it.
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.versions = {name: version(name) for name in packages}
        self.settings = settings
        self.turns = self.done = self.failed = 0
        self.late: list[float] = []

    def ready(self) -> None:
        """Say that everything is imported and made; returns when the measurement has begun."""
        print("ready", file=self._out, flush=True)
        sys.stdin.readline()

    def turned(self) -> None:
        """The user has heard a reply."""
        self.turns += 1

    def ended(self, ok: bool = True) -> None:
        """A dialogue is over."""
        if ok:
            self.done += 1
        else:
            self.failed += 1

    def begin(self) -> None:
        """Forget what went before, and be measured from here on."""
        self.turns = self.done = self.failed = 0
        self.ready()

    def report(self) -> None:
        """Say how it went; returns when the measurement is over."""
        late = sorted(self.late) or [0.0]
        said: dict[str, Any] = {
            "turns": self.turns,
            "done": self.done,
            "failed": self.failed,
            "late_p50_ms": 1e3 * late[len(late) // 2],
            "late_p99_ms": 1e3 * late[len(late) * 99 // 100],
            "late_max_ms": 1e3 * late[-1],
            "versions": self.versions,
            "settings": self.settings,
        }
        print(json.dumps(said), file=self._out, flush=True)
        sys.stdin.read()

    async def play(
        self, dialogues: Callable[[int], Awaitable[object]], *, warm: bool = True
    ) -> None:
        """Measure `dialogues(count)` until it returns, or the limit is over, and report.

        One dialogue goes before, unmeasured: what is imported or compiled on first use is no cost
        of a turn. `warm` is off for peers that see to that themselves.
        """
        if warm:
            await dialogues(1)
        self.begin()
        watch = asyncio.create_task(self.watch())
        try:
            await asyncio.wait_for(dialogues(self.count), self.limit_s)
        except TimeoutError:
            pass
        watch.cancel()
        self.report()
        # What a peer leaves behind (retries, pools, tasks that swallow cancellation) is not waited
        # for: it has been measured, and it is the process that ends.
        os._exit(0)

    async def watch(self) -> None:
        """Note how late the running loop is, every `TICK_S`."""
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late.append(max(0.0, time.monotonic() - due))

    async def all(self, dialogue: Callable[[int], Awaitable[object]], count: int) -> None:
        """`count` dialogues, `live` at once, for peers that leave that to the caller."""
        places = asyncio.Semaphore(self.live)

        async def one(number: int) -> None:
            async with places:
                try:
                    await dialogue(number)
                except Exception as error:  # noqa: BLE001 - whatever a peer raises, it has failed
                    print(f"dialogue {number}: {type(error).__name__}: {error}", file=sys.stderr)
                    self.ended(ok=False)
                else:
                    self.ended()

        await asyncio.gather(*(one(number) for number in range(count)))


def relax_collector() -> None:
    """The collector's thresholds as our command line sets them: no peer is to pay for what any
    application can set."""
    gc.set_threshold(50_000, 50, 100)


def run(main: Callable[[], Any]) -> None:
    """Run a coroutine function on uvloop, the fastest loop there is for asyncio."""
    import uvloop

    relax_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
