"""The check that tests and soaks rely on: it finds each breach, names it, and finds nothing else."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import structs

from duologue.engine import (
    BufferStats,
    Credits,
    End,
    Fate,
    Group,
    Key,
    MailboxStats,
    RolloutStats,
    StoreError,
    Task,
    Trajectory,
    Turn,
    open_reader,
    open_store,
)
from duologue.engine._seal import seal
from duologue.engine.faults import InvariantBroken, Resources, check_invariants
from duologue.engine.faults import _invariants as invariants

pytestmark = pytest.mark.anyio

FINE = RolloutStats(
    admitted=3, ended=3, groups=3, counted=2, ends={End.DONE: 1, End.TRUNCATED: 1, End.TIMEOUT: 1}
)
POST = MailboxStats(sent=6, received=3, buffered=2, dead=1, waiting_senders=0, waiting_receivers=0)
HEAP = BufferStats(put=6, taken=3, stale=2, buffered=1, waiting_puts=0)


def dialogue(group: int, sample: int = 0, end: End = End.DONE) -> Trajectory:
    turns = (Turn(text="x", reward=1.0),)
    return Trajectory(
        key=Key(group, sample), task="t", env="e", split="train", end=end, turns=turns
    )


def group(ordinal: int, *trajectories: Trajectory) -> Group:
    return Group(ordinal=ordinal, task=Task(env="e", id="t"), trajectories=trajectories)


async def test_what_holds_is_not_complained_about() -> None:
    here = Resources.now()
    check_invariants(
        stats=FINE,
        groups=[group(0, dialogue(0), dialogue(0, 1)), group(1, dialogue(1))],
        mailboxes=[POST],
        buffers=[HEAP],
        credits=[Credits(2)],
        before=here,
        after=here,
    )
    check_invariants()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"live": 1}, "1 dialogues are live after their owner has gone"),
        ({"admitted": 4}, "4 dialogues were admitted and 3 ended"),
        ({"ends": {End.DONE: 2}}, "3 dialogues ended with 2 reasons"),
        ({"counted": 3}, "3 rewards are counted for 2 dialogues that count"),
    ],
)
async def test_a_run_that_does_not_add_up_is_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InvariantBroken, match=words):
        check_invariants(stats=structs.replace(FINE, **changed))


async def test_groups_that_cannot_be_are_named() -> None:
    twice = [group(0, dialogue(0)), group(0, dialogue(0))]
    with pytest.raises(InvariantBroken, match="group 0 was given twice"):
        check_invariants(groups=twice)
    with pytest.raises(InvariantBroken, match=r"group 2 has the samples \[0, 2\]"):
        check_invariants(groups=[group(2, dialogue(2), dialogue(2, 2))])
    with pytest.raises(InvariantBroken, match="group 3 was given with a cancelled dialogue"):
        check_invariants(groups=[group(3, dialogue(3, 0, End.CANCELLED))])


async def test_books_that_do_not_balance_are_named_all_at_once() -> None:
    credits = Credits(2, "places")
    await credits.acquire()
    with pytest.raises(InvariantBroken) as broken:
        check_invariants(
            mailboxes=[structs.replace(POST, sent=7)],
            buffers=[structs.replace(HEAP, put=7)],
            credits=[credits],
        )
    words = str(broken.value)
    assert "a mailbox was sent 7: 3 received, 2 buffered, 1 dead" in words
    assert "a buffer was given 7 groups: 3 taken, 2 stale, 1 buffered" in words
    assert "places: 1 of 2 are out and 0 wait after all is over" in words


async def test_what_is_left_over_is_named() -> None:
    before = now = Resources.now()
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        with socket.socket():
            now = Resources.now()
        tasks.cancel_scope.cancel()
    over.set()
    thread.join()
    with pytest.raises(InvariantBroken) as broken:
        check_invariants(before=before, after=now)
    for name in ("tasks", "threads", "files", "sockets"):
        assert f"1 more {name} than before" in str(broken.value)
    check_invariants(before=before, after=Resources.now())


def test_without_a_loop_there_are_no_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Resources.now().tasks == 0
    assert Resources.now().files > 0
    monkeypatch.delitem(sys.modules, "asyncio")
    assert Resources.now().tasks == 0
    monkeypatch.setattr(invariants, "DESCRIPTORS", tmp_path / "none")
    assert (Resources.now().files, Resources.now().sockets) == (0, 0)
    # A file that is closed while they are counted is not counted.
    monkeypatch.setattr(invariants, "DESCRIPTORS", tmp_path)
    monkeypatch.setattr(os, "listdir", _one_name)
    assert Resources.now().files == 0


def _one_name(path: object) -> list[str]:
    return ["0"]


async def stored(path: Path) -> RolloutStats:
    async with open_store(path) as store:
        await store.append("p", dialogue(0), seconds=0.1)
        await store.append("p", dialogue(1, 0, End.TIMEOUT), seconds=0.1, fate=Fate.FAILED)
    return RolloutStats(admitted=2, ended=2, counted=1, ends={End.DONE: 1, End.TIMEOUT: 1})


async def test_a_store_that_agrees_with_its_run_is_fine(tmp_path: Path) -> None:
    stats = await stored(tmp_path / "run.db")
    with open_reader(tmp_path / "run.db") as reader:
        check_invariants(stats=stats, reader=reader)
        check_invariants(stats=stats, reader=reader, phase="p")
        with pytest.raises(InvariantBroken, match="the store has the ends none, the run had 1 x"):
            check_invariants(stats=stats, reader=reader, phase="other")


async def test_a_store_whose_row_was_changed_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await stored(path)
    change(path, "UPDATE trajectories SET reward = 0.0 WHERE \"end\" = 'timeout'")
    with open_reader(path) as reader, pytest.raises(StoreError, match="is not what was written"):
        check_invariants(reader=reader)


async def test_a_failure_with_a_fate_of_its_own_making_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await stored(path)
    async with open_store(path) as store:
        await store.set_fates("p", [Key(1, 0)], Fate.TRAINED, 3)
    with open_reader(path) as reader, pytest.raises(InvariantBroken) as broken:
        check_invariants(reader=reader)
    assert str(broken.value) == "dialogue p:1/0 ended as timeout and its fate is trained"


async def test_a_failure_that_has_a_reward_is_named(tmp_path: Path) -> None:
    """Sealed as the store seals, so that only the sense of the row gives it away."""
    path = tmp_path / "run.db"
    await stored(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute("SELECT * FROM trajectories WHERE \"end\" = 'timeout'")
        names = [column[0] for column in rows.description]
        (row,) = rows.fetchall()
        changed = list(row[:-1])
        changed[names.index("reward")] = 0.0
        connection.execute(
            "UPDATE trajectories SET reward = 0.0, seal = ? WHERE \"end\" = 'timeout'",
            (seal(*changed),),
        )
    with open_reader(path) as reader, pytest.raises(InvariantBroken) as broken:
        check_invariants(reader=reader)
    assert str(broken.value) == "dialogue p:1/0 ended as timeout and has a reward"


async def test_a_fate_of_nobody_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await stored(path)
    row = ("p", 9, 0, 0, "ready", None)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO fates VALUES (?,?,?,?,?,?,?)", (*row, seal(*row)))
    with (
        open_reader(path) as reader,
        pytest.raises(InvariantBroken, match="2 stored dialogues have 3 fates"),
    ):
        check_invariants(reader=reader)


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
