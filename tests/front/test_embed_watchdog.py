"""`duologue.open_rollouts(watchdog_s=...)`: a block in which nothing happens any more ends by itself."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest

import duologue
from duologue import Board, UsageError
from duologue.agents import write_call
from duologue.engine import Action, Message, Stall, Stalled, Wait
from duologue.jobs._health import troubles

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]


async def never(messages: Sequence[Message]) -> str:
    await anyio.sleep_forever()
    raise AssertionError


async def slowly(messages: Sequence[Message]) -> str:
    await anyio.sleep(200)
    return write_call(Action("answer", "something"))


async def quickly(messages: Sequence[Message]) -> str:
    await anyio.sleep(1)
    return write_call(Action("answer", "something"))


async def play(agent: Any, *, idle_s: float = 0.0, **options: Any) -> int:
    """Ten dialogues, with so long a look at each of them."""
    taken = 0
    async with duologue.open_rollouts("function", agent, count=10, live=4, **options) as found:
        async for _ in found:
            taken += 1
            await anyio.sleep(idle_s)
    return taken


@pytest.mark.parametrize(
    ("agent", "idle_s", "cause"), [(never, 0.0, Wait.MODEL), (quickly, inf, Wait.CONSUMER)]
)
def test_a_block_that_stands_still_ends_and_says_why(
    virtual_time: VirtualTime, agent: Any, idle_s: float, cause: Wait
) -> None:
    async def main() -> tuple[Stall, float]:
        began = anyio.current_time()
        with pytest.raises(Stalled, match="nothing progressed for 300 s") as caught:
            await play(agent, idle_s=idle_s, watchdog_s=300, deadline_s=inf)
        return caught.value.stall, anyio.current_time() - began

    stall, took = virtual_time(main)
    assert stall.cause is cause
    assert 300 <= took <= 360  # from the last turn that ended
    assert {one.waits for one in stall.waiting} == {cause}


@pytest.mark.parametrize(
    ("agent", "options"),
    [
        # Every turn takes less than the watchdog waits.
        (slowly, {"watchdog_s": 300, "deadline_s": inf}),
        # The deadline ends them, after longer than the watchdog waits.
        (never, {"watchdog_s": 300, "deadline_s": 1000.0}),
        # Nobody asked for one; what the commands' would be is nothing to us.
        (quickly, {"idle_s": 5000.0}),
        (quickly, {"idle_s": 5000.0, "watchdog_s": 0}),
        (quickly, {"idle_s": 5000.0, "settings": {"health.watchdog_s": 10}}),
    ],
)
def test_a_block_that_takes_its_time_is_left_alone(
    virtual_time: VirtualTime, agent: Any, options: dict[str, Any]
) -> None:
    assert virtual_time(lambda: play(agent, **options)) == 10


def test_blocks_on_one_board_progress_together(virtual_time: VirtualTime) -> None:
    """One that stands still is left alone as long as the other goes on: it may wait for it."""

    async def main() -> tuple[float, float]:
        board, began = Board(), anyio.current_time()
        ended = 0.0

        async def busy() -> None:
            nonlocal ended
            await play(slowly, board=board, deadline_s=inf)
            ended = anyio.current_time() - began

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(busy)
            with pytest.raises(Stalled):
                await play(never, board=board, watchdog_s=300, deadline_s=inf)
        return ended, anyio.current_time() - began

    ended, took = virtual_time(main)
    assert ended > 300 and ended + 300 <= took <= ended + 303


@pytest.mark.anyio
async def test_a_run_directory_keeps_the_report(tmp_path: Path) -> None:
    with anyio.fail_after(30), pytest.raises(Stalled) as caught:
        await play(never, watchdog_s=0.5, deadline_s=inf, run=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "stall.json").read_text())["cause"] == "model"
    assert troubles(tmp_path / "run") == [caught.value.stall.summary()]


@pytest.mark.anyio
async def test_a_watchdog_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="watchdog_s is -1"):
        await play(quickly, watchdog_s=-1)
