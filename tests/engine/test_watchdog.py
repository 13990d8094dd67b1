"""A run that stands still ends, and says why; a run that only takes its time does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Any

import anyio
import pytest
import trio
from sides import Sides, config, tasks
from trio.testing import MockClock

from duologue.engine import (
    Board,
    Credits,
    End,
    Group,
    Key,
    RolloutConfig,
    Rollouts,
    Seed,
    Stall,
    Stalled,
    UsageError,
    Wait,
    open_rollouts,
    open_watchdog,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

Consumer = Callable[[Rollouts, Credits], Awaitable[Any]]


async def take_all(rollouts: Rollouts, credits: Credits) -> list[Group]:
    groups: list[Group] = []
    async for group in rollouts:
        groups.append(group)
        credits.release()
    return groups


async def stop_taking(rollouts: Rollouts, credits: Credits) -> None:
    await rollouts.receive()
    credits.release()
    await anyio.sleep_forever()


async def never_learn(rollouts: Rollouts, credits: Credits) -> None:
    """A learner that is alive but silent: it has its batch, and gives nothing back."""
    async for _ in rollouts:
        pass


async def watched(
    sides: Sides, settings: RolloutConfig, consume: Consumer, *, limit_s: float = 300.0
) -> tuple[Stall | None, float]:
    """What the watchdog told, and when the run ended."""
    board, told, credits = Board(), list[Stall](), Credits(6)
    try:
        async with (
            open_watchdog(board, limit_s=limit_s, tell=told.append),
            open_rollouts(
                tasks(12), sides.make, seed=Seed(0), config=settings, credits=credits, board=board
            ) as rollouts,
        ):
            await consume(rollouts, credits)
    except Stalled as error:
        assert told == [error.stall]
        assert str(error) == error.stall.summary()
        return error.stall, anyio.current_time()
    assert not told
    return None, anyio.current_time()


@pytest.mark.parametrize(
    ("sides", "consume", "cause", "who"),
    [
        (Sides(agent_s=inf), take_all, Wait.MODEL, Wait.MODEL),
        (Sides(env_s=inf), take_all, Wait.ENVIRONMENT, Wait.ENVIRONMENT),
        (Sides(), stop_taking, Wait.CONSUMER, Wait.CONSUMER),
        (Sides(), never_learn, Wait.CREDITS, None),
    ],
)
def test_whatever_hangs_ends_the_run_with_its_name(
    virtual_time: VirtualTime, sides: Sides, consume: Consumer, cause: Wait, who: Wait | None
) -> None:
    async def main() -> tuple[Stall | None, float, float]:
        began = anyio.current_time()
        stall, ended = await watched(sides, config(), consume)
        return stall, began, ended

    stall, began, ended = virtual_time(main)
    assert stall is not None and stall.cause is cause
    assert 300 <= ended - began <= 303
    assert {one.waits for one in stall.waiting} == ({who} if who else set())
    assert all(298 <= one.for_s <= 303 for one in stall.waiting)
    assert f"nothing progressed for {stall.idle_s:.0f} s" in stall.summary()
    if who is not None:
        first = stall.waiting[0]
        assert f"rollout:{first.key.group}/0 waits for the {who} since" in stall.summary()
        assert "; and 1 more" in stall.summary()


def test_a_run_that_takes_its_time_is_left_alone(virtual_time: VirtualTime) -> None:
    async def main() -> Stall | None:
        # Each turn takes a little less than the watchdog waits: twelve dialogues, four turns.
        return (await watched(Sides(agent_s=295.0), config(live=1), take_all))[0]

    assert virtual_time(main) is None


def test_dialogues_under_a_longer_deadline_are_waited_for(virtual_time: VirtualTime) -> None:
    async def main() -> tuple[list[End], float]:
        board = Board()
        began = anyio.current_time()
        async with (
            open_watchdog(board, limit_s=300),
            open_rollouts(
                tasks(2),
                Sides(agent_s=inf).make,
                seed=Seed(0),
                config=config(deadline_s=5000.0, live=1),
                board=board,
            ) as rollouts,
        ):
            ends = [t.end async for group in rollouts for t in group.trajectories]
        return ends, anyio.current_time() - began

    ends, took = virtual_time(main)
    assert ends == [End.TIMEOUT] * 2
    assert took == pytest.approx(10_000)


def test_a_deadline_promises_nothing_once_the_dialogue_is_over(virtual_time: VirtualTime) -> None:
    async def main() -> tuple[Stall | None, float]:
        return await watched(Sides(), config(deadline_s=1e6), stop_taking)

    stall, _ = virtual_time(main)
    assert stall is not None and stall.cause is Wait.CONSUMER


@pytest.mark.parametrize(
    ("sides", "cause"), [(Sides(agent_s=inf), Wait.MODEL), (Sides(), Wait.CONSUMER)]
)
def test_rollouts_have_a_watchdog_of_their_own(
    virtual_time: VirtualTime, sides: Sides, cause: Wait
) -> None:
    opened: list[Rollouts] = []

    async def main() -> tuple[Stall, float]:
        began = anyio.current_time()
        with pytest.raises(Stalled) as caught:
            async with open_rollouts(
                tasks(12), sides.make, seed=Seed(0), config=config(live=3), watchdog_s=300
            ) as rollouts:
                opened.append(rollouts)
                await rollouts.receive()
                await anyio.sleep_forever()
        return caught.value.stall, anyio.current_time() - began

    stall, took = virtual_time(main)
    assert stall.cause is cause and 300 <= took <= 303
    assert len(stall.waiting) == 3 and {one.waits for one in stall.waiting} == {cause}
    stats = opened[0].stats
    assert (stats.live, stats.admitted) == (0, stats.ended)


@pytest.mark.parametrize("watchdog_s", [0.0, inf])
def test_rollouts_without_one_wait_for_as_long_as_it_takes(
    virtual_time: VirtualTime, watchdog_s: float
) -> None:
    async def main() -> int:
        async with open_rollouts(
            tasks(4), Sides().make, seed=Seed(0), config=config(live=1), watchdog_s=watchdog_s
        ) as rollouts:
            await anyio.sleep(3_000)
            return len([group async for group in rollouts])

    assert virtual_time(main) == 4


@pytest.mark.parametrize("limit_s", [0.0, inf])
def test_a_watchdog_without_a_limit_only_ticks(virtual_time: VirtualTime, limit_s: float) -> None:
    async def main() -> float:
        board = Board()
        async with open_watchdog(board, limit_s=limit_s, every_s=10):
            await anyio.sleep(5000)
            return anyio.current_time() - board.pulse.now_s

    assert virtual_time(main) <= 10


def test_a_process_that_was_stopped_for_an_hour_is_not_called_stuck() -> None:
    clock = MockClock()

    async def main() -> None:
        async with open_watchdog(Board(), limit_s=300):
            for _ in range(20):
                await trio.testing.wait_all_tasks_blocked()
                clock.jump(3600)

    trio.run(main, clock=clock)


def test_the_error_of_the_block_comes_out_as_itself(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        async with open_watchdog(Board()):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        virtual_time(main)


def test_a_short_stall_is_told_in_full_with_its_attempt() -> None:
    from duologue.engine import Snapshot, Waiting

    stall = Stall(
        idle_s=5.0,
        cause=Wait.MODEL,
        why="model: 1 of 1 dialogues",
        snapshot=Snapshot(at_s=0, idle_s=5, beats=1, turns=0),
        waiting=(Waiting(phase="p", key=Key(3, 1), waits=Wait.MODEL, for_s=7, turn=2, attempt=3),),
    )
    assert stall.summary() == (
        "nothing progressed for 5 s: no turn, dialogue or learner step ended. The run waits for: "
        "model: 1 of 1 dialogues. p:3/1 waits for the model since 7 s, in turn 2 of attempt 3"
    )


@pytest.mark.anyio
async def test_it_works_on_real_loops_too() -> None:
    with anyio.fail_after(10):
        board = Board()
        with pytest.raises(Stalled) as caught:
            async with (
                open_watchdog(board, limit_s=0.05, every_s=0.01),
                open_rollouts(
                    tasks(3), Sides(agent_s=3600).make, seed=Seed(0), config=config(), board=board
                ) as rollouts,
            ):
                await rollouts.receive()
    assert caught.value.stall.cause is Wait.MODEL
    assert len(caught.value.stall.waiting) == 3


# Waves and credits


def locks_up(wave: int, limit: int, batch: int) -> bool:
    """By playing it: waves that take all their credits first, and a consumer that collects."""
    held, seen = 0, set[int]()
    while held not in seen:
        seen.add(held)
        if limit - held < wave:
            return True
        held = (held + wave) % batch
    return False


@pytest.mark.parametrize("batch", range(1, 7))
def test_waves_that_would_wait_for_ever_are_refused_and_no_others(
    virtual_time: VirtualTime, batch: int
) -> None:
    async def main(wave: int, limit: int) -> int:
        board, credits, groups = Board(), Credits(limit, batch=batch), 0
        async with (
            open_watchdog(board, limit_s=50),
            open_rollouts(
                tasks(30),
                Sides(agent_s=1.0, turns=1).make,
                seed=Seed(0),
                config=config(wave=wave, live=8),
                credits=credits,
                board=board,
            ) as rollouts,
        ):
            async for _ in rollouts:
                groups += 1
                if groups % batch == 0:
                    credits.release(batch)
            credits.release(groups % batch)
        return groups

    for limit in range(batch, 9):
        for wave in range(1, 9):
            assert Credits(limit, batch=batch).bears_waves(wave) is not locks_up(wave, limit, batch)
            if locks_up(wave, limit, batch):
                with pytest.raises(UsageError, match=f"wave of {wave} groups needs {wave} credits"):
                    virtual_time(partial(main, wave, limit))
            else:
                assert virtual_time(partial(main, wave, limit)) == 30
