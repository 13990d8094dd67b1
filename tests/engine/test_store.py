"""The run store: durable before anybody is told, whole transactions, errors that name the file."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import (
    End,
    Entry,
    Fate,
    Key,
    OpenGroup,
    Span,
    Store,
    StoreError,
    Task,
    Trajectory,
    Turn,
    checkpoint,
    open_reader,
    open_store,
    pack_tokens,
)

pytestmark = pytest.mark.anyio


def trajectory(group: int, sample: int = 0, end: End = End.DONE, text: str = "hi") -> Trajectory:
    return Trajectory(
        key=Key(group, sample),
        task=f"t{group}",
        env="e",
        split="train",
        end=end,
        turns=(Turn(text=text, reward=0.5), Turn(text=text, reward=0.25)),
        tokens=pack_tokens([1, 2, 3], [0, 1, 1], [0.0, -1.0, -2.0], [1], [Span(1, 3, 4)]),
    )


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


async def append(store: Store, *keys: tuple[int, int]) -> None:
    for group, sample in keys:
        await store.append("train", trajectory(group, sample), seconds=1.5)


async def expect_error(store: Store, one: Trajectory, match: str) -> None:
    with pytest.raises(StoreError, match=match) as caught:
        await store.append("train", one, seconds=1)
    assert str(store.path) in str(caught.value)


async def test_what_was_appended_is_durable_before_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        await append(store, (0, 1))
        with closing(sqlite3.connect(path)) as second:
            row = second.execute(
                "SELECT env, task, split, end, reward, turns, tokens, version FROM trajectories"
            ).fetchone()
            assert row == ("e", "t0", "train", "done", 0.75, 2, 3, 4)
        with open_reader(path) as reader:
            [stored] = reader.trajectories()
    assert stored.trajectory == trajectory(0, 1)
    assert (stored.phase, stored.seconds, stored.life) == ("train", 1.5, 0)
    assert stored.fate is Fate.READY


@pytest.mark.parametrize("end", End)
async def test_a_failure_is_never_a_reward(tmp_path: Path, end: End) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        await store.append("train", trajectory(0, end=end), seconds=1)
    with closing(sqlite3.connect(path)) as file:
        (reward,) = file.execute("SELECT reward FROM trajectories").fetchone()
    assert reward == (0.75 if end.finished or end.cut_short else None)


async def test_many_appends_share_few_commits(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        async with anyio.create_task_group() as tasks:
            for group in range(500):
                tasks.start_soon(append, store, (group, 0))
        stats = store.stats()
    assert stats.writes == 500
    assert stats.commits < 50
    assert stats.largest > 100
    with open_reader(path) as reader:
        assert reader.count() == 500


async def test_what_waits_for_the_writer_is_bounded_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    most = 0
    async with open_store(path, queue_bytes=50_000) as store:
        async with anyio.create_task_group() as tasks:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # the writer waits
                for group in range(40):
                    one = trajectory(group, text="x" * 5000)
                    tasks.start_soon(partial(store.append, "train", one, seconds=1))
                await settle()
                with anyio.CancelScope() as left:  # whoever gives up waiting leaves nothing behind
                    async with anyio.create_task_group() as inner:
                        one = trajectory(100)
                        inner.start_soon(partial(store.append, "train", one, seconds=1))
                        await settle()
                        stats = store.stats()
                        assert stats.waiting == 36
                        left.cancel()
                assert store.stats().waiting == 35
                most = store.stats().bytes
                other.execute("ROLLBACK")
        assert store.stats().bytes == store.stats().waiting == store.stats().queued == 0
    assert 50_000 <= most < 50_000 + 11_000
    with open_reader(path) as reader:
        assert [entry.key.group for entry in reader.entries()] == list(range(40))


async def test_who_gives_up_waiting_for_a_full_queue_holds_no_room(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        store._capacity = 1
        async with anyio.create_task_group() as tasks:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for group in range(2):  # one with the writer, one in the queue
                    tasks.start_soon(append, store, (group, 0))
                    await settle()
                before = waited = store.stats()
                async with anyio.create_task_group() as third:
                    third.start_soon(append, store, (2, 0))
                    await settle()
                    waited = store.stats()
                    third.cancel_scope.cancel()
                assert (before.queued, before.waiting, waited.waiting) == (1, 0, 1)
                assert waited.bytes == before.bytes == store.stats().bytes > 0
                other.execute("ROLLBACK")
    with open_reader(path) as reader:
        assert reader.count() == 2


async def test_who_waits_for_room_when_the_store_closes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with (
            anyio.create_task_group() as tasks,
            open_store(path, queue_bytes=1) as store,
        ):
            other.execute("BEGIN IMMEDIATE")
            tasks.start_soon(append, store, (0, 0))
            await settle()
            tasks.start_soon(expect_error, store, trajectory(1), "is closed")
            await settle()
            assert store.stats().waiting == 1
            other.execute("ROLLBACK")
    with open_reader(path) as reader:
        assert reader.count() == 1


async def test_everything_that_was_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    task = Task(env="e", id="t0", split="test", data={"deep": [1, "two", None]})
    async with open_store(path, name="r", config="[a]\n", facts={"python": "3"}) as store:
        await store.open_group("train", 0, task)
        await store.open_group("train", 0, task)  # a resumed run opens its groups again
        await append(store, (0, 1), (0, 0))
        await store.append("eval", trajectory(0, end=End.USER_ERROR), seconds=2, fate=Fate.FAILED)
        await store.set_fates("train", [Key(0, 0)], Fate.TRAINED, 7)
        await store.add_metrics("loss", 1, {"loss": 0.5, "kl": 0.1})
        await store.add_metrics("loss", 2, {"loss": 0.25})
        await store.add_metrics("loss", 1, {"loss": 0.75})
        await store.add_version(0, None, 0)
        await store.add_version(1, 0, 1)
    with open_reader(path) as reader:
        assert reader.run() == ("r", "[a]\n", {"python": "3"})
        assert reader.phases() == ["train", "eval"]
        assert reader.tasks("train") == [task]
        assert (reader.task("train", 0), reader.task("train", 1)) == (task, None)
        assert (reader.count(), reader.count("train")) == (3, 2)
        assert reader.fates() == {Fate.FAILED: 1, Fate.READY: 1, Fate.TRAINED: 1}
        assert reader.fates("eval") == {Fate.FAILED: 1}
        assert reader.ends("train") == {End.DONE: 2}
        assert reader.ends() == {End.DONE: 2, End.USER_ERROR: 1}
        assert [line["loss"] for line in reader.metrics("loss")] == [0.5, 0.25, 0.75]
        assert [line["loss"] for line in reader.curve("loss")] == [0.75, 0.25]
        assert reader.metrics("nothing") == []
        assert reader.versions() == [(0, None, 0), (1, 0, 1)]
        assert [s.trajectory.key for s in reader.trajectories("train")] == [Key(0, 0), Key(0, 1)]
        assert [len(list(reader.trajectories(p))) for p in (None, "eval", "none")] == [3, 1, 0]
        assert len(reader.records("train")) == 2
        assert (reader.next_group("train"), reader.next_group("none")) == (1, 0)
        first, *_, last = reader.entries()
        stored = reader.stored("train", Key(0, 0))
        assert (first.phase, first.reward, first.fate) == ("eval", None, Fate.FAILED)
        assert stored is not None and stored.trajectory == trajectory(0, 0)
        packed = msgspec.msgpack.encode(stored.trajectory)
        assert last == Entry(
            phase="train",
            key=Key(0, 1),
            life=0,
            env="e",
            task="t0",
            split="train",
            end=End.DONE,
            reward=0.75,
            turns=2,
            tokens=3,
            version=4,
            seconds=1.5,
            fate=Fate.READY,
            step=None,
            bytes=len(packed),
        )
        assert [entry.step for entry in reader.entries("train")] == [7, None]
        assert reader.stored("train", Key(0, 2)) is None


async def test_a_run_that_is_resumed_begins_another_life(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    task = Task(env="e", id="t")
    async with open_store(path, name="first") as store:
        assert store.life == 0
        for ordinal in range(3):
            await store.open_group("train", ordinal, task)
        await append(store, (0, 0), (1, 0), (2, 0))
        await store.settle("train", [0, 1], 5, {Fate.TRAINED: [Key(0, 0), Key(1, 0)]})
        await store.settle("train", [1], 6, {})
    async with open_store(path, name="ignored") as store:
        assert store.life == 1
        await store.rewind("train", 6, ready=[Key(1, 0)], stale=[Key(2, 0)])
        await append(store, (2, 0))
    with open_reader(path) as reader:
        assert reader.run()[0] == "first"
        lives = [(s.trajectory.key.group, s.life, s.fate) for s in reader.trajectories("train")]
        assert lives == [
            (0, 0, Fate.TRAINED),
            (1, 0, Fate.READY),
            (2, 0, Fate.STALE),
            (2, 1, Fate.READY),
        ]
        for life, text in ((0, Fate.STALE), (1, Fate.READY), (None, Fate.READY)):
            again = reader.stored("train", Key(2, 0), life)
            assert again is not None and again.fate is text
        assert reader.stored("train", Key(2, 0), 2) is None
        one, two = reader.open_groups("train", 6)
        assert isinstance(one, OpenGroup)
        assert (one.ordinal, one.task, [s.life for s in one.stored]) == (1, task, [0])
        assert (two.ordinal, [s.life for s in two.stored]) == (2, [1])
        assert [g.ordinal for g in reader.open_groups("train", 5)] == [0, 1, 2]


async def test_the_last_word_on_a_fate_counts_for_the_latest_life(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for _ in range(2):
        async with open_store(path) as store:
            await append(store, (0, 0))
            await store.set_fates("train", [Key(0, 0)], Fate.STALE)
            await store.set_fates("train", [Key(0, 0)], Fate.TRAINED, store.life)
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT life, fate, step FROM fates ORDER BY life").fetchall()
    assert rows == [(0, "trained", 0), (1, "trained", 1)]


async def test_a_key_appended_twice_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    async with open_store(tmp_path / "run.db") as store:
        await append(store, (0, 0))
        await expect_error(store, trajectory(0), "UNIQUE constraint failed")
        await append(store, (1, 0))  # and the writer goes on


async def test_a_failed_transaction_is_told_to_all_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    told = 0

    async def fail(store: Store, group: int) -> None:
        nonlocal told
        await expect_error(store, trajectory(group), "UNIQUE")
        told += 1

    async with open_store(path) as store:
        await append(store, (0, 0))
        async with anyio.create_task_group() as tasks:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # the writer waits, and its mailbox fills
                tasks.start_soon(append, store, (9, 0))
                await settle()
                for group in (1, 2, 0, 3):
                    tasks.start_soon(fail, store, group)
                await settle()
                other.execute("ROLLBACK")
        assert told == 4
    with open_reader(path) as reader:
        assert [s.trajectory.key.group for s in reader.trajectories()] == [0, 9]


async def test_a_full_disk_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        await append(store, (0, 0))
        (pages,) = store._writer.connection.execute("PRAGMA page_count").fetchone()
        store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")
        large = msgspec.structs.replace(trajectory(1), env="x" * 100_000)
        await expect_error(store, large, "full")
        store._writer.connection.execute("PRAGMA max_page_count = 1000000")
        await append(store, (2, 0))
    with open_reader(path) as reader:
        assert [s.trajectory.key.group for s in reader.trajectories()] == [0, 2]


async def test_a_groups_row_that_was_lost_stops_the_store(tmp_path: Path) -> None:
    """Nobody waits for it, so the next one to write is told, and the block at the latest."""
    path = tmp_path / "run.db"
    with pytest.raises(StoreError, match="lost"):
        async with open_store(path) as store:
            (pages,) = store._writer.connection.execute("PRAGMA page_count").fetchone()
            store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")
            await store.open_group("train", 0, Task(env="e", id="t", data="x" * 100_000))
            with anyio.fail_after(10):
                while not store._lost:
                    await checkpoint()
            store._writer.connection.execute("PRAGMA max_page_count = 1000000")
            await expect_error(store, trajectory(0), "lost a group")


async def test_nothing_is_written_after_a_groups_row_that_was_lost(tmp_path: Path) -> None:
    """Not even what was handed over while it was being lost: its group would not be there."""
    path = tmp_path / "run.db"
    go = threading.Event()
    with pytest.raises(StoreError, match=r"lost a group.s row and takes no more: injected"):
        async with open_store(path) as store:
            writer: Any = store._writer
            real = writer.commit

            def commit(batch: Any) -> StoreError | None:
                if not go.wait(10) or any(not write.awaited for write in batch):
                    return StoreError(f"injected into {path}")
                return cast("StoreError | None", real(batch))

            writer.commit = commit
            await store.open_group("p", 0, Task(env="e", id="t"))
            await settle()
            assert store.hop().depth == 0  # the writer has it in hand
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(expect_error, store, trajectory(0), "injected")
                await settle()
                assert store.hop().depth == 1
                go.set()
    with open_reader(path) as reader:
        assert reader.count() == 0 and reader.next_group("p") == 0


async def test_the_writer_takes_up_a_crowd_before_the_loop_has_come_round(tmp_path: Path) -> None:
    path, began = tmp_path / "run.db", threading.Event()
    async with open_store(path) as store:
        writer: Any = store._writer
        real = writer.commit

        def commit(batch: Any) -> StoreError | None:
            began.set()
            return cast("StoreError | None", real(batch))

        writer.commit = commit
        await settle()  # its thread has begun
        for ordinal in range(1, 64):  # so few may wait for company
            await store.open_group("p", ordinal, Task(env="e", id="t"))
        assert store.hop().depth == 63
        for turn in range(1, 8):
            for ordinal in range(64 * turn + 1, 64 * turn + 64):
                await store.open_group("p", ordinal, Task(env="e", id="t"))
        assert began.wait(10)  # and the loop with it
        assert store.hop().depth < 256
    with open_reader(path) as reader:
        assert len(reader.tasks("p")) == 8 * 63


async def test_a_writer_that_crashes_ends_the_block(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), anyio.fail_after(10):
        async with open_store(tmp_path / "run.db") as store:
            writer: Any = store._writer

            def crash(_: object) -> None:
                raise ZeroDivisionError

            writer.commit = crash
            await append(store, (0, 0))


async def test_a_store_that_another_process_holds_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        store._writer.connection.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await expect_error(store, trajectory(0), "locked")
            other.execute("ROLLBACK")
        await append(store, (0, 0))


async def test_a_value_that_sqlite_cannot_hold_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    async with open_store(tmp_path / "run.db") as store:
        await expect_error(store, trajectory(2**63), "too large")
        await append(store, (0, 0))


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with open_store(tmp_path / "run.db") as store:
        pass
    await expect_error(store, trajectory(0), "is closed")
    with pytest.raises(StoreError, match="is closed"):
        await store.open_group("train", 0, Task(env="e", id="t"))


async def test_a_store_in_no_folder_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "run.db"
    with pytest.raises(StoreError, match="cannot open the run store") as caught:
        async with open_store(path):
            pass  # pragma: no cover
    assert str(path) in str(caught.value)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("a letter to my aunt " * 100)
    with pytest.raises(StoreError, match="not a database"):
        async with open_store(path):
            pass  # pragma: no cover
    assert path.read_text().startswith("a letter")
    with open_reader(path) as reader, pytest.raises(StoreError, match="cannot read"):
        reader.count()


async def test_a_store_whose_run_is_gone_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path):
        pass
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE run")
    with pytest.raises(StoreError, match="cannot open the run store"):
        async with open_store(path):
            pass  # pragma: no cover


async def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a run store"):
        async with open_store(path):
            pass  # pragma: no cover
    assert path.read_bytes() == before


async def test_another_versions_store_is_refused_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path):
        pass
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"version 99; this is \d+") as caught:
        async with open_store(path):
            pass  # pragma: no cover
    # Closed already, although the error still holds on to the frame that opened it.
    assert caught.value.__traceback__ is not None
    assert os.listdir(tmp_path) == ["run.db"]


def test_a_crash_while_the_store_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    """Every statement is the last in turn; what is left can always be opened."""
    for last in range(60):
        path = tmp_path / f"{last}.db"
        done = create_and_crash(path, last)
        anyio.run(_open_and_append, path)
        with open_reader(path) as reader:
            assert reader.count() == 1
            assert reader.run()[0] == ("made" if done else "opened")
        if done:
            return
    raise AssertionError("creation took more steps than expected")


def create_and_crash(path: Path, last: int) -> bool:
    """Make a store, but stop dead after `last` statements; True when it was whole by then."""
    from duologue.engine._writer import Writer

    class Crash(BaseException):
        pass

    class Dying(sqlite3.Connection):
        left = last

        def _step(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Crash

        def execute(self, *args: Any) -> sqlite3.Cursor:
            self._step()
            return super().execute(*args)

        def executescript(self, script: str) -> sqlite3.Cursor:
            self._step()
            return super().executescript(script)

    real = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return real(*args, factory=Dying, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        try:
            writer = Writer(path, name="made", config="", facts={}, create=True)
        except Crash as crash:
            crash.__traceback__ = None
            return False
        writer.close()
        return True


async def _open_and_append(path: Path) -> None:
    async with open_store(path, name="opened") as store:
        await append(store, (0, 0))


async def test_a_cancelled_append_is_still_written(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await append(store, (0, 0))
        assert scope.cancelled_caught
        await append(store, (1, 0))
    with open_reader(path) as reader:
        assert reader.count() == 2
        assert reader.fates() == {Fate.READY: 2}


async def test_a_cancelled_block_writes_what_was_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with anyio.CancelScope() as scope:
        async with open_store(path) as store, anyio.create_task_group() as tasks:
            for group in range(50):
                tasks.start_soon(append, store, (group, 0))
            for _ in range(3):
                await checkpoint()
            scope.cancel()
    with open_reader(path) as reader:
        assert reader.count() == 50


async def test_an_error_in_the_block_comes_out_as_itself(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_store(tmp_path / "run.db"):
            raise KeyError("mine")


async def test_a_reader_sees_whole_transactions_while_the_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        with open_reader(path) as reader:
            for group in range(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(append, store, (group, 0))
                    tasks.start_soon(append, store, (group, 1))
                    await checkpoint()
                    seen = [s.fate for s in reader.trajectories()]
                    assert Fate.READY in seen or not seen
                    assert None not in seen  # a row is never there without its fate
                assert reader.count() == 2 * (group + 1)


async def test_a_nan_reward_is_no_reward(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    one = Trajectory(
        key=Key(0, 0),
        task="t",
        env="e",
        split="train",
        end=End.DONE,
        turns=(Turn(text="", reward=math.nan),),
    )
    async with open_store(path) as store:
        await store.append("train", one, seconds=0)
    with closing(sqlite3.connect(path)) as file:
        row = file.execute("SELECT reward, tokens, version FROM trajectories").fetchone()
    assert row == (None, 0, None)


Rule = tuple[Literal["append", "twice", "cancelled", "fate", "open", "reopen"], int, Fate]

rules: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "twice", "cancelled", "fate", "open", "reopen"]),
        st.integers(0, 5),
        st.sampled_from(Fate),
    ),
    max_size=15,
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(rules=rules)
@settings(max_examples=25, deadline=None)
def test_a_store_does_what_a_dict_would(backend: str, rules: list[Rule]) -> None:
    fates: dict[tuple[int, int], Fate] = {}  # (group, life) → fate
    groups: set[int] = set()

    async def life(path: Path, number: int, rest: list[Rule]) -> list[Rule]:
        async with open_store(path) as store:
            assert store.life == number
            for index, (rule, group, fate) in enumerate(rest):
                latest = max((lf for g, lf in fates if g == group), default=-1)
                one = trajectory(group)
                match rule:
                    case "reopen":
                        return rest[index + 1 :]
                    case "append" | "twice" if latest == number:
                        await expect_error(store, one, "UNIQUE")
                    case "append" | "twice":
                        await store.append("train", one, seconds=1, fate=fate)
                        fates[group, number] = fate
                    case "cancelled" if latest != number:
                        with anyio.CancelScope() as scope:
                            scope.cancel()
                            await store.append("train", one, seconds=1, fate=fate)
                        # Left behind, it shares a transaction with the next; let that be a good one.
                        await store.add_metrics("flush", 0, {})
                        fates[group, number] = fate
                    case "fate":
                        await store.set_fates("train", [Key(group, 0)], fate)
                        if latest >= 0:
                            fates[group, latest] = fate
                    case "open":
                        await store.open_group("train", group, Task(env="e", id=f"t{group}"))
                        await store.add_metrics("flush", 0, {})
                        groups.add(group)
                    case _:
                        pass
            await store.add_metrics("flush", 0, {})
        return []

    def check(path: Path) -> None:
        with open_reader(path) as reader:
            found = {(s.trajectory.key.group, s.life): s.fate for s in reader.trajectories()}
            assert found == fates
            assert [task.id for task in reader.tasks("train")] == [f"t{g}" for g in sorted(groups)]
            assert sum(reader.fates().values()) == reader.count() == len(fates)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        rest, number = rules, 0
        while True:
            rest = anyio.run(life, path, number, rest, backend=backend)
            check(path)
            number += 1
            if not rest:
                break


WRITER = """
import sys
from pathlib import Path
import anyio
from duologue.engine import End, Key, Trajectory, Turn, open_store

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        async def write(worker):
            for number in range(100000):
                key = Key(worker, number)
                one = Trajectory(key=key, task="t", env="e", split="s", end=End.DONE,
                                 turns=(Turn(text="x" * 500, reward=number),))
                await store.append("train", one, seconds=0)
                print(worker, number, flush=True)
        async with anyio.create_task_group() as tasks:
            for worker in range(8):
                tasks.start_soon(write, worker)

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("acknowledged", [1, 150, 1000])
def test_nothing_acknowledged_is_lost_to_a_killed_process(
    tmp_path: Path, acknowledged: int, anyio_backend: str
) -> None:
    path = tmp_path / "run.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), anyio_backend],
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledged)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
    told = {tuple(map(int, line.split())) for line in lines if line.endswith("\n")}
    assert len(told) >= acknowledged
    with open_reader(path) as reader:
        stored = list(reader.trajectories())
    kept = {(s.trajectory.key.group, s.trajectory.key.sample) for s in stored}
    assert told <= kept
    assert all(s.fate is Fate.READY for s in stored)
    assert all(s.trajectory.reward == s.trajectory.key.sample for s in stored)
    assert writer.returncode == -signal.SIGKILL
