"""How many calls at once: bounds that hold whatever is said, and servers that are found out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.agents.models.http._parse import BadStatus, ConnectFailed
from duologue.agents.models.limits._limits import Limits, LimitsConfig
from duologue.agents.models.limits._pace import Pace
from duologue.agents.models.limits._reports import Report, open_reports
from duologue.engine import Seed, checkpoint

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

CROWDED = Report(running=8, waiting=100)
ROOMY = Report(running=8, waiting=0)
BUSY = Report(running=8, waiting=2)

Rule = tuple[Literal["call", "end", "cancel", "crowded", "roomy", "busy", "unheard"], int]
RULES: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(
            ["call", "call", "call", "end", "end", "cancel", "crowded", "roomy", "busy", "unheard"]
        ),
        st.integers(0, 5),
    ),
    max_size=60,
)


class Caller:
    """One call: waits for its place, then for the word how it went."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.scope = anyio.CancelScope()
        self.inside = False
        self.word = anyio.Event()
        self.how = "served"

    async def run(self) -> None:
        with self.scope:
            began = await self.pace.enter()
            self.inside = True
            try:
                await self.word.wait()
                if self.how == "served":
                    self.pace.served(began)
                else:
                    self.pace.failed(began, refused=self.how == "refused")
            finally:
                self.inside = False
                self.pace.leave()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(cap=st.integers(1, 12), floor=st.integers(1, 12), rules=RULES)
@settings(max_examples=100)
def test_bounds_order_and_wake_ups_hold_whatever_happens(
    backend: str, cap: int, floor: int, rules: list[Rule]
) -> None:
    floor = min(cap, floor)

    async def play() -> None:
        pace = Pace(cap, floor, "server")
        waiting: list[Caller] = []
        inside: list[Caller] = []
        refused = False
        async with anyio.create_task_group() as tasks:
            for rule, which in rules:
                before = pace.limit
                match rule:
                    case "call":
                        waiting.append(Caller(pace))
                        tasks.start_soon(waiting[-1].run)
                    case "end" if inside:
                        caller = inside.pop(which % len(inside))
                        caller.how = ("served", "served", "served", "served", "failed", "refused")[
                            which
                        ]
                        refused = refused or caller.how == "refused"
                        caller.word.set()
                    case "cancel" if waiting or inside:
                        every = [*waiting, *inside]
                        caller = every[which % len(every)]
                        (waiting if caller in waiting else inside).remove(caller)
                        caller.scope.cancel()
                    case "crowded":
                        pace.heed(CROWDED, 0)
                        # No report takes more than a quarter, nor anything below the floor.
                        assert pace.limit >= min(before, max(floor, int(before * 0.75)))
                    case "roomy":
                        pace.heed(ROOMY, 0)
                        assert before <= pace.limit <= max(before + 2, before * 1.25)
                    case "busy":
                        pace.heed(BUSY, 0)
                        assert pace.limit == before
                    case "unheard":
                        pace.unheard()
                    case _:
                        pass
                for _ in range(8):
                    await checkpoint()
                # First come, first served: those let in are always the oldest.
                while waiting and waiting[0].inside:
                    inside.append(waiting.pop(0))
                assert not any(caller.inside for caller in waiting)
                assert 1 <= pace.limit <= cap
                assert refused or pace.limit >= floor
                # Everybody who may be in is in: no wake-up was lost.
                assert pace.taken == len(inside)
                assert not waiting or len(inside) >= pace.limit
                assert pace.waiting == len(waiting)
            tasks.cancel_scope.cancel()
        assert (pace.taken, pace.waiting) == (0, 0)

    anyio.run(play, backend=backend)


def test_any_number_of_bad_reports_within_a_round_trip_are_one_cut() -> None:
    """A slow minute must not take 1,024 places down to 8."""

    async def main() -> None:
        pace = Pace(1024, 128, "server")
        began = [await pace.enter() for _ in range(1024)]
        for _ in range(60):
            pace.heed(CROWDED, 5)
        assert pace.limit == 768
        # Those that were in flight already say nothing of what the cut has done.
        for one in began:
            pace.served(one)
            pace.leave()
        for _ in range(60):
            pace.heed(CROWDED, 5)
        assert pace.limit == 768
        later = await pace.enter()
        pace.served(later)
        pace.leave()
        pace.heed(CROWDED, 0)
        assert pace.limit == 576

    anyio.run(main)


def test_the_floor_is_where_reports_end_and_refusals_do_not() -> None:
    async def main() -> None:
        pace = Pace(64, 8, "server")
        for _ in range(50):
            pace.served(await pace.enter())
            pace.leave()
            pace.heed(CROWDED, 0)
        assert pace.limit == 8
        for _ in range(50):
            pace.failed(await pace.enter(), refused=True)
            pace.leave()
        assert pace.limit == 1
        # Below the floor a report takes nothing, nor does it lift the limit to it.
        pace.heed(CROWDED, 0)
        assert pace.limit == 1

    anyio.run(main)


def test_after_refusals_a_report_of_room_is_not_believed() -> None:
    async def main() -> None:
        pace = Pace(64, 8, "server")
        for _ in range(32):
            pace.failed(await pace.enter(), refused=True)
            pace.leave()
        assert pace.limit == 48
        every = [await pace.enter() for _ in range(48)]
        pace.served(every[0])
        pace.heed(ROOMY, 0)
        assert pace.limit == 48

    anyio.run(main)


class FakeServer:
    """Works on `slots` at once, queues the rest, and says so."""

    def __init__(self, slots: int, *, takes_s: float = 1.0) -> None:
        self.slots = anyio.CapacityLimiter(slots)
        self.takes_s = takes_s
        self.silent = False
        self.served = 0

    async def generate(self) -> None:
        async with self.slots:
            await anyio.sleep(self.takes_s)
        self.served += 1

    async def page(self) -> bytes:
        await anyio.sleep(0.01)
        if self.silent:
            raise ConnectFailed("nobody listens")
        stats = self.slots.statistics()
        return (
            b'vllm:num_requests_running{engine="0"} %d\nvllm:num_requests_waiting{engine="0"} %d\n'
            b'vllm:kv_cache_usage_perc{engine="0"} %f\n'
            % (stats.borrowed_tokens, stats.tasks_waiting, stats.borrowed_tokens * 0.001)
        )


async def load(limits: Limits, server: FakeServer) -> None:
    while True:
        await limits.call(server.generate)


def test_the_limit_finds_what_a_server_can_work_on_and_follows_it_up_again(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        limits = Limits("server", LimitsConfig(concurrency=128, least=4), seed=Seed(0))
        server = FakeServer(16)
        async with anyio.create_task_group() as tasks, open_reports(limits, server.page):
            for _ in range(128):
                tasks.start_soon(load, limits, server)
            await anyio.sleep(60)
            seen = await watch(limits, 120)
            # Enough in its queue to keep it busy, and hardly more than half of what it works on.
            assert 16 <= min(seen) and max(seen) <= 28
            before = server.served
            await anyio.sleep(60)
            assert server.served - before >= 0.98 * 16 * 60
            # A larger server: found within minutes, an eighth a round.
            server.slots.total_tokens = 75
            await anyio.sleep(60)
            seen = await watch(limits, 60)
            assert 75 <= min(seen) and max(seen) <= 120
            tasks.cancel_scope.cancel()

    virtual_time(main)


def test_a_server_that_falls_silent_is_given_no_more(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = Limits("server", LimitsConfig(concurrency=128, least=4), seed=Seed(0))
        server = FakeServer(16)
        async with anyio.create_task_group() as tasks, open_reports(limits, server.page):
            for _ in range(128):
                tasks.start_soon(load, limits, server)
            await anyio.sleep(60)
            server.silent = True
            server.slots.total_tokens = 75
            await anyio.sleep(5)
            still = limits.stats.limit
            assert set(await watch(limits, 120)) == {still}
            assert limits.stats.reported is False
            server.silent = False
            await anyio.sleep(120)
            assert limits.stats.reported is True
            assert limits.stats.limit > 75
            tasks.cancel_scope.cancel()

    virtual_time(main)


def test_refusals_and_reports_together_do_not_starve_it(virtual_time: VirtualTime) -> None:
    """A gateway that refuses above 40 in front of a server that says it has room for 60."""

    async def main() -> None:
        limits = Limits(
            "server",
            LimitsConfig(concurrency=256, attempts=99, retry_budget=1e9, patience_s=1e9),
            seed=Seed(0),
        )
        server = FakeServer(60)

        async def through_the_gateway() -> None:
            if server.slots.borrowed_tokens >= 40:
                await checkpoint()
                raise BadStatus("slow down", status=429)
            await server.generate()

        async def call() -> None:
            while True:
                await limits.call(through_the_gateway)

        async with anyio.create_task_group() as tasks, open_reports(limits, server.page):
            for _ in range(256):
                tasks.start_soon(call)
            await anyio.sleep(120)
            before, seen = server.served, await watch(limits, 120)
            assert server.served - before >= 0.8 * 40 * 120
            assert 20 <= min(seen) and max(seen) <= 60
            tasks.cancel_scope.cancel()

    virtual_time(main)


async def watch(limits: Limits, seconds: int) -> list[int]:
    seen: list[int] = []
    for _ in range(seconds):
        await anyio.sleep(1)
        seen.append(limits.stats.limit)
    return seen
