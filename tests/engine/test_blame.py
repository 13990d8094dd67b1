"""Who held the loop: named by function, line and dialogue, on a real loop and a real clock."""

from __future__ import annotations

import threading
import time

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st
from sides import Sides, WaitingAgent, WaitingEnv, config, tasks

from duologue.engine import (
    Dialogue,
    Key,
    Lateness,
    Observation,
    Reply,
    Seed,
    Task,
    open_lateness,
    open_rollouts,
)
from duologue.engine._blame import GRACE_S, ITSELF, REMEMBERED, Blame, Offender, open_blame

pytestmark = pytest.mark.anyio


def hold_the_loop(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def hold_until_seen(lateness: Lateness) -> None:
    """Hold it again and again until it is noticed: a busy machine looks late, and may have held
    the loop itself before."""
    with anyio.fail_after(30):
        while not culprits(lateness):
            hold_the_loop(0.1)
            await anyio.sleep(0.02)


def culprits(lateness: Lateness) -> list[Offender]:
    return [one for one in lateness.offenders if "hold_the_loop" in one.where]


async def test_the_function_and_the_task_that_held_the_loop_are_named() -> None:
    async with (
        open_lateness(every_s=0.01, blame=True) as lateness,
        anyio.create_task_group() as group,
    ):
        group.start_soon(hold_until_seen, lateness, name="the culprit")
    [worst, *_] = culprits(lateness)
    assert "hold_the_loop (engine/test_blame.py:" in worst.where
    assert worst.task == "the culprit"
    assert GRACE_S * 1e3 <= worst.worst_ms <= worst.total_ms
    assert worst.times >= 1


async def test_a_dialogue_is_named_by_its_key() -> None:
    class Holding(WaitingEnv):
        async def receive(self, reply: Reply | None) -> Observation:
            await hold_until_seen(lateness)
            return await super().receive(reply)

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        sides = Sides(turns=1)
        env = Holding(sides) if key.group == 2 else WaitingEnv(sides)
        return Dialogue(agent=WaitingAgent(sides), environment=env, max_turns=1)

    async with (
        open_lateness(every_s=0.01, blame=True) as lateness,
        open_rollouts(tasks(4), make, seed=Seed(0), config=config()) as rollouts,
    ):
        assert len([group async for group in rollouts]) == 4
    assert {one.task for one in culprits(lateness)} == {"dialogue 2/0"}


async def test_a_loop_that_waits_is_nobodys_fault() -> None:
    with open_blame() as blame:
        assert await to_thread.run_sync(blame._look) == (ITSELF, "")


async def test_a_librarys_code_is_named_beside_ours_that_called_it() -> None:
    with open_blame() as blame:
        found: list[tuple[str, str]] = []

        def look() -> None:
            # The loop's thread stands in `join` below, in the standard library.
            time.sleep(0.05)
            found.append(blame._look())

        looker = threading.Thread(target=look)
        looker.start()
        looker.join()
    [(where, _)] = found
    assert "test_a_librarys_code_is_named_beside_ours_that_called_it (engine/test_blame" in where
    assert ", calling Thread." in where


def test_where_no_loop_runs_nobody_is_blamed() -> None:
    blame = Blame()
    assert blame._base is None
    assert blame._look() == (ITSELF, "")


async def test_the_thread_ends_with_the_block_and_costs_next_to_nothing() -> None:
    before = threading.active_count()
    async with open_lateness(blame=True) as lateness:
        assert threading.active_count() == before + 1
        began = time.perf_counter()
        await anyio.sleep(1)
        share = lateness.blame_cpu_s / (time.perf_counter() - began)
    assert threading.active_count() == before
    # Measured: 0.1 %. A busy machine makes heartbeats late, which is when looking costs.
    assert share < 0.02


async def test_without_blame_nobody_looks() -> None:
    before = threading.active_count()
    async with open_lateness() as lateness:
        assert threading.active_count() == before
        await anyio.lowlevel.checkpoint()
    assert (lateness.offenders, lateness.blame_cpu_s) == ([], 0.0)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.dictionaries(st.integers(0, 2 * REMEMBERED), st.integers(1, 5), max_size=20),
        ),
        max_size=30,
    )
)
def test_lateness_is_shared_out_whole_and_what_is_remembered_is_bounded(
    beats: list[tuple[float, dict[int, int]]],
) -> None:
    blame = Blame()
    total = 0.0
    for late_s, seen in beats:
        blame._seen = {(f"line {place}", f"task {place}"): n for place, n in seen.items()}
        blame.settle(late_s)
        assert not blame._seen
        total += 1e3 * late_s if late_s >= GRACE_S and seen else 0.0
    offenders = blame.offenders
    assert len(offenders) <= REMEMBERED
    assert [one.total_ms for one in offenders] == sorted(
        (one.total_ms for one in offenders), reverse=True
    )
    assert all(one.worst_ms <= one.total_ms + 1e-6 for one in offenders)
    everything = sum(one.total_ms for one in offenders)
    assert everything <= total + 1e-6
    if len({place for _, seen in beats for place in seen}) <= REMEMBERED:
        assert everything == pytest.approx(total)


def test_the_task_of_the_worst_is_the_one_that_is_named() -> None:
    blame = Blame()
    for task, late_s in (("small", 0.05), ("large", 0.5), ("middle", 0.2)):
        blame._seen = {("f (a/b.py:1)", task): 3}
        blame.settle(late_s)
    [one] = blame.offenders
    assert (one.task, one.times) == ("large", 3)
    assert one.worst_ms == pytest.approx(500)
    assert one.total_ms == pytest.approx(750)


def test_of_too_many_places_the_smallest_offender_is_forgotten() -> None:
    blame = Blame()
    for place in range(REMEMBERED + 1):
        blame._seen = {(f"line {place}", ""): 1}
        blame.settle(0.1 + 0.001 * place)
    kept = {one.where for one in blame.offenders}
    assert len(kept) == REMEMBERED
    assert "line 0" not in kept
