"""The store and the consumer under every fault that can strike them, and what a resume finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from chatter import TURN_S, TURNS, Talks, tasks

from duologue.engine import (
    Carried,
    Credits,
    End,
    Group,
    RolloutConfig,
    Seed,
    StoreError,
    Task,
    open_reader,
    open_rollouts,
    open_store,
)
from duologue.engine.faults import (
    Fault,
    FaultPlan,
    Faults,
    FaultyBuffer,
    FaultyDialogues,
    check_invariants,
    faulty_groups,
    make_store_faulty,
    tear,
)
from duologue.engine.faults import _pipeline as pipeline

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

pytestmark = pytest.mark.anyio

SMALL = RolloutConfig(samples=2, live=4)
TASKS = 6
LATER = tuple(range(2, 20))
FIRST_S = TURN_S * TURNS + TURN_S / 2


def plan(*faults: Fault) -> Faults:
    return Faults(FaultPlan(faults=faults))


async def roll(path: Path, faults: Faults, first: bool = True) -> Talks:
    """All tasks, into the store at `path`; what is there already is not run again."""
    talks = Talks(pause_s=0.0)  # these wait for a disk
    carried: list[Carried] = []
    begun = 0
    if not first:
        with open_reader(path) as reader:
            carried = [
                Carried(
                    ordinal=group.ordinal,
                    task=group.task,
                    trajectories=tuple(
                        one.trajectory
                        for one in group.stored
                        if one.trajectory.end is not End.CANCELLED
                    ),
                )
                for group in reader.open_groups("rollout", 0)
            ]
            begun = reader.next_group("rollout")
    dialogues = FaultyDialogues(talks.make, faults)
    async with open_store(path) as store:
        make_store_faulty(store, faults)
        async with open_rollouts(
            tasks(TASKS)[begun:],
            dialogues.make,
            seed=Seed(0),
            config=SMALL,
            store=store,
            observer=dialogues,
            first_group=begun,
            carried=carried,
        ) as rollouts:
            async for group in rollouts:
                talks.groups.append(group)
    talks.stats = rollouts.stats
    return talks


def leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    inside = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return [leaf for one in inside for leaf in leaves(one)]


# ---------------------------------------------------------------- the store


async def test_a_slow_disk_costs_only_time(tmp_path: Path) -> None:
    faults = plan(Fault(kind="slow_disk", at=(1, 2), for_s=0.05))
    began = anyio.current_time()
    talks = await roll(tmp_path / "run.db", faults)
    assert anyio.current_time() - began >= 0.1
    assert faults.injected == {"slow_disk": 2}
    with open_reader(tmp_path / "run.db") as reader:
        check_invariants(stats=talks.stats, groups=talks.groups, reader=reader)
        assert reader.ends() == {End.DONE: 2 * TASKS}


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_full_disk_stops_the_run_and_a_resume_has_the_same_dialogues(
    tmp_path: Path, at: int
) -> None:
    whole, broken = tmp_path / "whole.db", tmp_path / "broken.db"
    uncut = await roll(whole, plan())
    with pytest.raises((StoreError, ExceptionGroup)) as stopped:
        await roll(broken, plan(Fault(kind="disk_full", at=at)))
    # Every dialogue that waited for the disk is told, and nothing else goes wrong.
    errors = leaves(stopped.value)
    assert {type(error) for error in errors} == {StoreError}
    assert "disk is full" in f"{errors[0]} {errors[0].__cause__}"
    with open_reader(broken) as reader:
        check_invariants(reader=reader)
        assert reader.count() < 2 * TASKS
    resumed = await roll(broken, plan(), first=False)
    assert {t.key: t for t in resumed.trajectories} == {t.key: t for t in uncut.trajectories}
    with open_reader(broken) as reader, open_reader(whole) as other:
        check_invariants(reader=reader)
        # What the first life stopped is there as well, and says so.
        every = [s.trajectory for s in reader.trajectories()]
        done = {t.key: t for t in every if t.end is not End.CANCELLED}
        assert done == {s.trajectory.key: s.trajectory for s in other.trajectories()}


KILLED = """
import sys
from pathlib import Path
import anyio
sys.path[:0] = sys.argv[3:]
from duologue.engine.faults import Fault
from test_faults_pipeline import plan, roll
faults = plan(Fault(kind=sys.argv[2], at=3))
anyio.run(roll, Path(sys.argv[1]), faults)
"""


@pytest.mark.parametrize("kind", ["worker_killed", "torn_file"])
async def test_a_process_that_dies_in_a_commit_loses_only_what_nobody_was_told_of(
    tmp_path: Path, kind: str
) -> None:
    whole, broken = tmp_path / "whole.db", tmp_path / "broken.db"
    uncut = await roll(whole, plan())
    here = str(Path(__file__).parent)
    died = await anyio.run_process(
        [sys.executable, "-c", KILLED, str(broken), kind, here],
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stdout.decode()
    with open_reader(broken) as reader:
        check_invariants(reader=reader)
        assert reader.count() < 2 * TASKS
    resumed = await roll(broken, plan(), first=False)
    assert {t.key: t for t in resumed.trajectories} == {t.key: t for t in uncut.trajectories}
    with open_reader(broken) as reader:
        check_invariants(reader=reader)
        assert reader.count() == 2 * TASKS


class Disk:
    """A connection of which only the statements are kept."""

    in_transaction = False

    def __init__(self) -> None:
        self.done: list[str] = []

    def execute(self, sql: str, *parameters: object) -> None:
        self.done.append(sql)


@pytest.mark.parametrize("kind", ["worker_killed", "torn_file"])
def test_whoever_kills_the_process_does_so_where_its_kind_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as above with nobody killed: what has been done by then, and to which file."""
    disk, killed = Disk(), list[tuple[int, int, int]]()
    log = tmp_path / "run.db-wal"
    log.write_bytes(b"x" * 10_000)
    faults = plan(Fault(kind=kind, at=2))
    connection = pipeline._FaultyConnection(disk, tmp_path / "run.db", faults)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def kill(process: int, sign: int) -> None:
        killed.append((process, sign, len(disk.done)))

    monkeypatch.setattr(os, "kill", kill)
    for sql in ("BEGIN IMMEDIATE", "COMMIT", "BEGIN IMMEDIATE", "COMMIT"):
        connection.execute(sql)
    assert connection.in_transaction is False
    assert killed == [(os.getpid(), signal.SIGKILL, 3 if kind == "worker_killed" else 4)]
    torn = log.stat().st_size
    assert torn == 10_000 if kind == "worker_killed" else 5_000 < torn < 10_000


def test_a_file_is_torn_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    tear(path, 3)
    assert path.read_bytes() == b"0123456"
    tear(path, 99)
    assert path.read_bytes() == b""


# ---------------------------------------------------------------- whoever takes the groups


def test_a_slow_consumer_makes_admission_wait_and_loses_nothing(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        talks = Talks()
        faults = plan(
            Fault(kind="full_buffer", at=1), Fault(kind="slow_learner", at=LATER, for_s=5.0)
        )
        live: list[int] = []
        async with open_rollouts(
            tasks(20), talks.make, seed=Seed(0), config=RolloutConfig(live=3)
        ) as rollouts:
            began = anyio.current_time()
            async for group in faulty_groups(rollouts, faults):
                talks.groups.append(group)
                live.append(rollouts.stats.admitted - len(talks.groups))
        assert anyio.current_time() - began == pytest.approx(FIRST_S + 60.0 + 18 * 5.0)
        # What is admitted and not taken never passed the places there are.
        assert max(live) <= 3
        assert faults.injected == {"full_buffer": 1, "slow_learner": 18}
        check_invariants(stats=rollouts.stats, groups=talks.groups)
        assert len(talks.groups) == 20

    virtual_time(main)


def group(ordinal: int) -> Group:
    return Group(ordinal=ordinal, task=Task(env="e", id="t"), trajectories=())


@pytest.mark.parametrize(
    ("kind", "at_s"), [("slow_learner", 7.0), ("full_buffer", 6.0), ("learner_restart", 3.0)]
)
def test_a_learner_on_a_bad_day_gets_every_group_once(
    virtual_time: VirtualTime, kind: str, at_s: float
) -> None:
    async def main() -> None:
        began = anyio.current_time()
        buffer = FaultyBuffer(plan(Fault(kind=kind, at=2, for_s=5.0)), 3)
        credits = Credits(4)
        taken: list[int] = []

        async def feed() -> None:
            for ordinal in range(6):
                await anyio.sleep(0.5)
                await credits.acquire()
                await buffer.put(group(ordinal))
            buffer.close()

        async with anyio.create_task_group() as owner:
            owner.start_soon(feed)
            for _ in range(3):
                both = await buffer.take(2, fresh=lambda one: True)
                taken += [one.ordinal for one in both.batch]
                credits.release(len(both.batch))
        assert taken == list(range(6))
        check_invariants(buffers=[buffer.stats()], credits=[credits])
        assert anyio.current_time() - began >= at_s

    virtual_time(main)


def test_a_learner_that_comes_back_in_time_has_its_batch(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        buffer = FaultyBuffer(plan(Fault(kind="learner_restart", for_s=9.0)), 3)
        await buffer.put(group(0))
        both = await buffer.take(1, fresh=lambda one: True)
        assert [one.ordinal for one in both.batch] == [0]

    virtual_time(main)
