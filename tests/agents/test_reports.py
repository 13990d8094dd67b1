"""What a server says of its load: read, acted on, and no longer believed when it falls silent."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.models.http._parse import ConnectFailed
from duologue.agents.models.limits._reports import (
    MOST_BYTES,
    SELDOM,
    STALE_AFTER,
    Report,
    open_reports,
    read_report,
)
from duologue.engine import checkpoint

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

PAGE = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a} 7 {b"} 12.0
vllm:num_requests_running{engine="1",model_name="a} 7 {b"} 30.0
vllm:num_requests_waiting{engine="0",model_name="m"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:num_preemptions_total{engine="0",model_name="m"} 3.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.7e+09
vllm:e2e_request_latency_seconds_bucket{le="0.3",model_name="m"} 4.0
"""


def test_engines_are_summed_and_the_fullest_cache_counts() -> None:
    assert read_report(PAGE) == Report(running=42, waiting=5, cache_use=0.75, preemptions=3)


@pytest.mark.parametrize(
    ("page", "report"),
    [
        (
            b"sglang:num_running_reqs 4\nsglang:num_queue_reqs 2\nsglang:token_usage 0.5\n",
            Report(running=4, waiting=2, cache_use=0.5),
        ),
        (
            (
                b"vllm:num_requests_running 4\nvllm:num_requests_waiting 0\n"
                b"vllm:gpu_cache_usage_perc 0.5"
            ),
            Report(running=4, waiting=0, cache_use=0.5),
        ),
        # Numbers that are none count as nothing.
        (
            (
                b"vllm:num_requests_running NaN\nvllm:num_requests_waiting -3\n"
                b"vllm:kv_cache_usage_perc +Inf\nvllm:num_preemptions_total many\n"
            ),
            Report(running=0, waiting=0),
        ),
        (b"", None),
        (b"vllm:num_requests_running 4\n", None),
        (b"<html>Not Found</html>", None),
        (PAGE + b"#" * MOST_BYTES, None),
    ],
)
def test_what_a_page_tells(page: bytes, report: Report | None) -> None:
    assert read_report(page) == report


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda noise: PAGE[:300] + noise))
def test_no_page_is_more_than_silence(page: bytes) -> None:
    report = read_report(page)
    assert report is None or min(report.running, report.waiting, report.cache_use) >= 0


@pytest.mark.parametrize(
    "page",
    [
        PAGE + b"".join(b'vllm:bucket{le="%d",model_name="m"} 4.0\n' % n for n in range(2500)),
        b"vllm:num_requests_running{" * 20_000,
        b"vllm:num_requests_running" + b"{" * 500_000,
        (b"vllm:num_requests_running{" + b"} " * 400 + b"\n") * 600,
    ],
)
def test_reading_a_page_costs_little_whatever_is_on_it(page: bytes) -> None:
    costs: list[float] = []
    for _ in range(3):
        began = time.thread_time()
        read_report(page)
        costs.append(time.thread_time() - began)
    # Measured: 0.6 to 8 ms. A backtracking expression would take minutes.
    assert min(costs) < 0.1


@pytest.mark.parametrize(
    ("report", "crowded", "roomy"),
    [
        (Report(running=100, waiting=0, cache_use=0.5), False, True),
        (Report(running=100, waiting=0, cache_use=0.9), False, False),
        (Report(running=100, waiting=50, cache_use=0.5), False, False),
        (Report(running=100, waiting=51, cache_use=0.5), True, False),
        (Report(running=100, waiting=1, cache_use=0.97), True, False),
        (Report(running=0, waiting=1), True, False),
        (Report(running=0, waiting=0), False, True),
    ],
)
def test_what_a_load_means(report: Report, crowded: bool, roomy: bool) -> None:
    assert (report.crowded, report.roomy) == (crowded, roomy)


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[float, float, float] | str] = []

    def heed(self, report: Report, preempted: float) -> None:
        self.heard.append((anyio.current_time(), report.running, preempted))

    def unheard(self) -> None:
        self.heard.append("unheard")


def page(running: int, preemptions: int) -> bytes:
    return (
        b"vllm:num_requests_running %d\nvllm:num_requests_waiting 0\n"
        b"vllm:num_preemptions_total %d\n" % (running, preemptions)
    )


def test_reports_come_at_intervals_with_what_was_preempted_between_them(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        listener, pages = Listener(), [page(1, 7), page(2, 9), page(3, 9), page(4, 2)]

        async def fetch() -> bytes:
            await anyio.sleep(0.25)
            return pages.pop(0)

        began = anyio.current_time()
        async with open_reports(listener, fetch, every_s=1.0):
            await anyio.sleep(5.5)
        # What it had thrown out before we came is not our doing; a new server counts from 0.
        times = [one[0] for one in listener.heard if not isinstance(one, str)]
        assert times == pytest.approx([began + 1.25 * n for n in (1, 2, 3, 4)])
        assert [one[1:] for one in listener.heard] == [(1, 0), (2, 2), (3, 0), (4, 0)]

    virtual_time(main)


def test_a_server_that_falls_silent_is_said_to_once(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        listener = Listener()
        how = iter([page(1, 0), "fails", "hangs", b"nonsense", "fails", "fails", page(2, 0)])

        async def fetch() -> bytes:
            match next(how, "hangs"):
                case "fails":
                    raise ConnectFailed("nobody listens")
                case "hangs":
                    await anyio.sleep_forever()
                case said:
                    return said  # type: ignore[return-value]
            raise AssertionError

        async with open_reports(listener, fetch, every_s=1.0):
            await anyio.sleep(60)
        kinds = [what if isinstance(what, str) else what[1] for what in listener.heard]
        assert kinds == [1, "unheard", 2, "unheard"]

    virtual_time(main)


def test_a_server_without_reports_is_asked_seldom_and_held_to_nothing(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        listener, asked = Listener(), list[float]()

        async def fetch() -> bytes:
            asked.append(anyio.current_time())
            await checkpoint()
            raise ConnectFailed("404, say")

        async with open_reports(listener, fetch, every_s=1.0):
            await anyio.sleep(STALE_AFTER + 4 * SELDOM + 0.5)
        assert listener.heard == []
        assert len(asked) == STALE_AFTER + 4

    virtual_time(main)


def test_a_bug_in_asking_ends_the_block(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        async def fetch() -> bytes:
            await checkpoint()
            raise KeyError("bug")

        with pytest.raises(KeyError):
            async with open_reports(Listener(), fetch):
                await anyio.sleep(10)

    virtual_time(main)
