"""The board, and what live rollouts show on it: every cause of waiting, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from sides import Sides, WaitingAgent, WaitingEnv, config, tasks

from duologue.engine import (
    Board,
    Credits,
    Dialogue,
    End,
    Group,
    Hop,
    Key,
    Lateness,
    ModelError,
    Observation,
    Reply,
    Seed,
    Service,
    ServiceRole,
    Task,
    Wait,
    open_rollouts,
    open_store,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]


def test_live_dialogues_say_whom_they_wait_for_and_since_when(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        board = Board()
        sides = Sides(agent_s=100.0, env_s=1e9)
        async with open_rollouts(
            tasks(9), sides.make, seed=Seed(0), config=config(), board=board
        ) as rollouts:
            await anyio.sleep(10)
            assert board.snapshot().why == (Wait.MODEL, "model: 4 of 4 dialogues")
            await anyio.sleep(80)
            board.tick()
            await anyio.sleep(100)
            snapshot = board.snapshot()
            [phase] = snapshot.phases
            assert (phase.name, phase.live, phase.admission) == ("rollout", 4, Wait.PLACES)
            assert phase.waits == {Wait.ENVIRONMENT: 4}
            assert snapshot.why == (Wait.ENVIRONMENT, "environment: 4 of 4 dialogues")
            places = snapshot.hop("places")
            assert places is not None
            assert (places.depth, places.capacity, places.waiting_in) == (4, 4, 1)
            # The environment was asked at 100 s; the board's last look before that was at 90 s.
            assert [(one.key, one.waits, one.turn, one.attempt) for one in board.waiting()] == [
                (Key(group, 0), Wait.ENVIRONMENT, 1, 1) for group in range(4)
            ]
            assert [one.for_s for one in board.waiting()] == pytest.approx([100.0] * 4)
            assert rollouts.stats.admitted == 4
        assert board.snapshot().phases == ()

    virtual_time(main)


def test_admission_says_that_it_waits_for_credits(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        board, credits = Board(), Credits(2)
        async with open_rollouts(
            tasks(9), Sides().make, seed=Seed(0), config=config(), credits=credits, board=board
        ) as rollouts:
            taken = [await rollouts.receive() for _ in range(2)]
            await anyio.sleep(1)
            assert board.snapshot().why == (Wait.CREDITS, "credits 2/2: the learner is behind")
            credits.release(len(taken))
            async for _ in rollouts:
                credits.release()
            assert board.snapshot().why == (Wait.TASKS, "no tasks left")

    virtual_time(main)


def test_groups_that_nobody_takes_are_named(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        board = Board()
        async with open_rollouts(
            tasks(9), Sides().make, seed=Seed(0), config=config(), board=board
        ) as rollouts:
            await anyio.sleep(1)
            cause, words = board.snapshot().why
            assert (cause, words) == (Wait.CONSUMER, "consumer: 4 finished groups are not taken")
            for _ in range(10):
                await anyio.sleep(1)
                board.tick()
            offered = board.snapshot().hop("closed groups")
            # Waited for at each of ten ticks, the first of which had none before it to count from.
            assert offered is not None and offered.blocked_s == pytest.approx(10.0)
            assert offered.waiting_in == 4
            assert len([group async for group in rollouts]) == 9

    virtual_time(main)


@pytest.mark.anyio
async def test_a_store_that_is_behind_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, stuck, arrived = Board(), anyio.Event(), [anyio.Event(), anyio.Event()]
    async with open_store(tmp_path / "run.db") as store:
        append = store.append

        async def slow(*args: Any, **named: Any) -> None:
            next(event for event in arrived if not event.is_set()).set()
            await stuck.wait()
            await append(*args, **named)

        monkeypatch.setattr(store, "append", slow)
        async with open_rollouts(
            tasks(2), Sides().make, seed=Seed(0), config=config(), store=store, board=board
        ) as rollouts:
            with anyio.fail_after(10):
                await arrived[0].wait()
                await arrived[1].wait()
            assert board.snapshot().waits(Wait.STORE) == 2
            assert board.snapshot().why[0] is Wait.STORE
            stuck.set()
            assert len([group async for group in rollouts]) == 2


def test_a_wave_waits_for_its_dialogues(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        board = Board()
        async with open_rollouts(
            tasks(4),
            Sides(agent_s=10.0).make,
            seed=Seed(0),
            config=config(wave=2),
            board=board,
        ) as rollouts:
            await anyio.sleep(1)
            [phase] = board.snapshot().phases
            assert (phase.admission, phase.waits) == (Wait.PLACES, {Wait.MODEL: 2})
            assert board.snapshot().why == (Wait.MODEL, "model: 2 of 2 dialogues")
            assert len([group async for group in rollouts]) == 4

    virtual_time(main)


def test_progress_is_turns_attempts_dialogues_and_whatever_else_beats(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        board = Board()
        board.tick()
        await anyio.sleep(5)
        assert board.snapshot().idle_s == pytest.approx(5.0)
        board.pulse.beats += 1
        assert board.snapshot().idle_s == 0.0
        async with open_rollouts(
            tasks(3), Sides().make, seed=Seed(0), config=config(), board=board
        ) as rollouts:
            assert len([group async for group in rollouts]) == 3
        assert board.snapshot().turns == 3 * 4
        assert board.beats == 1 + 12 + 3 + 3 + 3  # mine, turns, attempts, dialogues, groups

    virtual_time(main)


def test_an_attempt_that_failed_is_progress_and_its_turns_are_forgotten(
    virtual_time: VirtualTime,
) -> None:
    class Failing(WaitingAgent):
        async def receive(self, observation: Observation) -> Reply:
            await anyio.sleep(10)
            raise ModelError("down")

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(agent=Failing(Sides()), environment=WaitingEnv(Sides()), max_turns=4)

    async def main() -> list[Group]:
        board = Board()
        async with open_rollouts(
            tasks(1), make, seed=Seed(0), config=config(attempts=3), board=board
        ) as rollouts:
            await anyio.sleep(15)
            [waiting] = board.waiting()
            assert (waiting.attempt, waiting.turn) == (2, 1)
            assert board.beats == 2
            return [group async for group in rollouts]

    [group] = virtual_time(main)
    assert group.trajectories[0].end is End.MODEL_ERROR


def test_parts_are_shown_for_as_long_as_their_block_lasts(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        board = Board()
        assert (board.snapshot().late_p99_ms, board.snapshot().late_worst_ms) == (0.0, 0.0)
        board.lateness = Lateness(window=10)
        board.lateness.note(0.25)
        endpoint = Service(name="e", role=ServiceRole.AGENT)
        with board.showing(lambda: endpoint, lambda: Hop(name="h", depth=1, capacity=2)):
            snapshot = board.snapshot()
            assert snapshot.services == (endpoint,)
            assert [hop.name for hop in snapshot.hops] == ["h"]
            assert (snapshot.late_p99_ms, snapshot.late_worst_ms) == (250.0, 250.0)
        assert board.snapshot().services == ()
        assert board.snapshot().hops == ()

    virtual_time(main)
