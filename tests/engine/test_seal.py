"""Seals: a row that is not what was written is an error, never another value."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zlib import crc32

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    End,
    Fate,
    Key,
    Reader,
    Store,
    StoreError,
    Task,
    Trajectory,
    Turn,
    open_reader,
    open_store,
)
from duologue.engine._reader import PAGE
from duologue.engine._seal import seal

pytestmark = pytest.mark.anyio

values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
cells = values | st.text(st.characters(exclude_categories=["Cs"])) | st.binary()


def trajectory(group: int) -> Trajectory:
    return Trajectory(
        key=Key(group, 0),
        task="t",
        env="e",
        split="train",
        end=End.DONE,
        turns=(Turn(text="hi", reward=1),),
    )


async def add(store: Store, group: int) -> None:
    await store.open_group("train", group, Task(env="e", id="t", data=[group]))
    await store.append("train", trajectory(group), seconds=1)


async def written(path: Path, groups: int = 2) -> Path:
    async with open_store(path, name="mine", config="c", facts={"a": "b"}) as store:
        async with anyio.create_task_group() as tasks:
            for group in range(groups):
                tasks.start_soon(add, store, group)
        await store.settle("train", [0], 3, {Fate.TRAINED: [Key(0, 0)]})
        await store.add_metrics("loss", 4, {"loss": 0.5})
        await store.add_version(0, None, 0)
    return path


def tamper(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        assert file.execute(sql).rowcount > 0
        file.commit()


def reseal(path: Path, sql: str) -> None:
    """Tamper and seal it, as a bug of ours would."""
    with closing(sqlite3.connect(path)) as file:
        file.create_function("seal", -1, seal, deterministic=True)
        assert file.execute(sql).rowcount > 0
        file.commit()


@given(st.lists(cells, min_size=1, max_size=5), st.data())
def test_one_flipped_bit_breaks_the_seal(row: list[object], data: st.DataObject) -> None:
    record = bytearray(msgspec.msgpack.encode(tuple(row)))
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8
    assert crc32(record) != seal(*row)


@given(st.lists(cells, max_size=5))
def test_a_seal_is_the_same_when_the_row_comes_back(row: list[object]) -> None:
    with closing(sqlite3.connect(":memory:")) as file:
        file.create_function("seal", -1, seal, deterministic=True)
        marks = ",".join("?" * len(row))
        (there,) = file.execute(f"SELECT seal({marks})", row).fetchone()
        back = file.execute(f"SELECT {marks}", row).fetchone() if row else ()
    assert there == seal(*row) == seal(*back)


async def test_a_whole_store_passes(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db", groups=PAGE + 3)
    with open_reader(path) as reader:
        reader.check()
        assert reader.lives() == 1
        assert (reader.last_step("loss"), reader.last_step("none")) == (4, None)


async def test_a_phase_of_many_pages_comes_back_whole_and_in_order(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db", groups=2 * PAGE + 1)
    with open_reader(path) as reader:
        stored = list(reader.trajectories("train"))
        assert [s.trajectory.key.group for s in stored] == list(range(2 * PAGE + 1))
        assert [s.fate for s in stored[:2]] == [Fate.TRAINED, Fate.READY]
        assert [task.data for task in reader.tasks("train")][3:5] == [[3], [4]]


async def test_a_pruned_trajectory_is_counted_and_not_handed_out(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db")
    columns = 'phase,ordinal,sample,life,env,task,split,"end",reward,turns,tokens,version,seconds'
    emptied = f"place = 0, size = 0, crc = 0, seal = seal({columns},file,0,0,0)"
    reseal(path, f"UPDATE trajectories SET {emptied} WHERE ordinal = 0")
    with open_reader(path) as reader:
        reader.check()
        assert (reader.pruned(), reader.pruned("train"), reader.pruned("none")) == (1, 1, 0)
        assert [s.trajectory.key.group for s in reader.trajectories()] == [1]
        assert len(reader.records("train")) == 1
        assert reader.count() == 2


Look = Callable[[Reader], object]

READ: dict[str, Look] = {
    "run": Reader.run,
    "groups": lambda reader: reader.tasks("train"),
    "trajectories": lambda reader: list(reader.trajectories()),
    "records": lambda reader: reader.records("train"),
    "metrics": lambda reader: reader.metrics("loss"),
    "versions": Reader.versions,
}


@pytest.mark.parametrize(
    ("sql", "table", "read"),
    [
        ("UPDATE run SET config = 'd'", "run", "run"),
        ("UPDATE groups SET data = x'c0'", "groups", "groups"),
        ("UPDATE trajectories SET reward = 2", "trajectories", "trajectories"),
        ("UPDATE trajectories SET end = 'x'", "trajectories", "records"),
        ("UPDATE fates SET fate = 'stale'", "fates", "trajectories"),
        ("UPDATE metrics SET step = 5", "metrics", "metrics"),
        ("UPDATE versions SET step = 5", "versions", "versions"),
    ],
)
async def test_a_row_that_is_not_what_was_written_is_an_error_that_names_it(
    tmp_path: Path, sql: str, table: str, read: str
) -> None:
    path = await written(tmp_path / "run.db")
    tamper(path, sql)
    with open_reader(path) as reader:
        for look in (READ[read], Reader.check):
            with pytest.raises(StoreError, match=f"the row .* of {table} is not what") as caught:
                look(reader)
            assert str(path) in str(caught.value)


async def test_a_trajectory_without_its_fate_is_damage(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db")
    tamper(path, "DELETE FROM fates WHERE ordinal = 1")
    with open_reader(path) as reader, pytest.raises(StoreError, match="train/1/0 has no fate"):
        list(reader.trajectories())


async def test_a_value_that_was_sealed_but_means_nothing_is_damage(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db")
    reseal(path, "UPDATE metrics SET data = '{', seal = seal(kind, step, '{')")
    tamper(path, "UPDATE trajectories SET end = 'x'")
    with open_reader(path) as reader:
        with pytest.raises(StoreError, match="metrics loss/4"):
            reader.metrics("loss")
        with pytest.raises(StoreError, match="an end"):
            reader.ends()


async def test_a_torn_page_is_found(tmp_path: Path) -> None:
    path = await written(tmp_path / "run.db", groups=200)
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    with open_reader(path) as reader, pytest.raises(StoreError, match=r"damaged|cannot read"):
        reader.check()


async def test_an_empty_file_is_no_store_to_read(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.touch()
    with open_reader(path) as reader, pytest.raises(StoreError, match="is empty"):
        reader.count()


async def test_a_store_on_a_read_only_disk_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await written(tmp_path / "run.db")

    def denied(*_: object) -> bool:
        return False

    monkeypatch.setattr(os, "access", denied)
    with open_reader(path) as reader:
        assert reader.count() == 2
        assert sorted(os.listdir(tmp_path)) == ["run.db", "run.db.records-0"]
