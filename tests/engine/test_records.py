"""Records beside the database: there before their rows, never written over, checked when read."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest

from duologue.engine import End, Key, Reader, StoreError, Trajectory, Turn, open_reader, open_store
from duologue.engine._prune import drop_records
from duologue.engine._records import (
    DamagedRecord,
    Place,
    RecordReader,
    RecordWriter,
    checksum,
    records_file,
    records_files,
)

RECORDS = [Random(n).randbytes(size) for n, size in enumerate([1, 0, 5000, 5120, 5121, 40_000])]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def reader(database: Path) -> Iterator[RecordReader]:
    with closing(RecordReader(database)) as reader:
        yield reader


def put(writer: RecordWriter, *records: bytes) -> list[Place]:
    return writer.write(records, [checksum(record) for record in records])


def write(database: Path, *batches: list[bytes], first: int = 0) -> list[Place]:
    with closing(RecordWriter(database, first)) as writer:
        return [place for batch in batches for place in put(writer, *batch)]


@pytest.mark.parametrize("record", RECORDS)
def test_a_checksum_in_pieces_is_the_checksum(record: bytes) -> None:
    assert checksum(record) == crc32(record)


def test_records_come_back_by_their_places(database: Path, reader: RecordReader) -> None:
    places = write(database, RECORDS[:3], RECORDS[3:])
    assert [reader.read(place) for place in places] == RECORDS
    assert records_file(database, 0).read_bytes() == b"".join(RECORDS)


def test_more_bytes_than_one_call_writes(
    database: Path, reader: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.engine._records._STAGE", 8192)
    sizes = [4000, 4192, 1, 8192, 8191, 30_000, 0, 2768, 16_384, 5]
    many = [Random(size).randbytes(size) for size in sizes]
    places = write(database, many[:1], many[1:4], many[4:])
    assert [reader.read(place) for place in places] == many
    assert records_file(database, 0).read_bytes() == b"".join(many)


@pytest.mark.parametrize("past_cache", [True, False])
def test_what_is_durable_is_in_the_file_before_it_is_closed(
    database: Path, reader: RecordReader, past_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not past_cache:
        monkeypatch.setattr("duologue.engine._records._PAST_CACHE", 0)
    written = b""
    with closing(RecordWriter(database, 0)) as writer:
        for record in RECORDS:
            [place] = put(writer, record)
            written += record
            assert reader.read(place) == record
            there = records_file(database, 0).read_bytes()
            # The last block is a whole one, and nothing of an earlier record is left in it.
            assert there == written.ljust(-(-len(written) // 4096) * 4096, b"\0")
    assert records_file(database, 0).read_bytes() == written


@pytest.mark.parametrize("larger", [True, False])
def test_where_blocks_are_larger_or_nothing_goes_past_the_cache_it_is_used(
    database: Path, reader: RecordReader, larger: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = getattr(os, "O_DIRECT", 0)
    real_write, real_fcntl = os.pwrite, fcntl.fcntl

    def past_cache(file: int) -> bool:
        return bool(real_fcntl(file, fcntl.F_GETFL) & direct)

    def refuse(file: int, part: Any, at: int) -> int:
        if past_cache(file):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real_write(file, part, at)

    def deny(file: int, command: int, flags: int = 0) -> int:
        if flags & direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real_fcntl(file, command, flags)

    if larger:
        monkeypatch.setattr(os, "pwrite", refuse)
    else:
        monkeypatch.setattr(fcntl, "fcntl", deny)
    with closing(RecordWriter(database, 0)) as writer:
        places = put(writer, *RECORDS[:3]) + put(writer, *RECORDS[3:])
        assert not past_cache(writer._file)
    assert [reader.read(place) for place in places] == RECORDS


def test_an_error_that_no_cache_cures_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with closing(RecordWriter(database, 0)) as writer:
        monkeypatch.setattr(os, "pwrite", broken)
        with pytest.raises(OSError, match="Input/output"):
            put(writer, b"lost")


def test_no_writer_has_anothers_file(database: Path, reader: RecordReader) -> None:
    with closing(RecordWriter(database, 0)) as one, closing(RecordWriter(database, 0)) as two:
        places = put(one, b"one") + put(two, b"two") + put(one, b"three")
    assert [place[0] for place in places] == [0, 1, 0]
    assert [reader.read(place) for place in places] == [b"one", b"two", b"three"]
    assert [path.name for path in records_files(database)] == ["x.db.records-0", "x.db.records-1"]


def test_a_writer_that_writes_nothing_leaves_no_file(database: Path) -> None:
    assert write(database, first=3) == []
    assert records_files(database) == []


def test_a_disk_that_takes_a_part_is_asked_for_the_rest(
    database: Path, reader: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def less(file: int, part: Any, at: int) -> int:
        return real(file, part[:4099], at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", less)
        places = write(database, RECORDS)
    assert [reader.read(place) for place in places] == RECORDS


def test_what_a_full_disk_took_is_written_over(
    database: Path, reader: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with closing(RecordWriter(database, 0)) as writer:
        put(writer, b"before")
        with monkeypatch.context() as patch:
            patch.setattr("duologue.engine._records._sync", full)
            with pytest.raises(OSError, match="No space"):
                put(writer, b"lost")
        [place] = put(writer, b"after")
    assert place[1] == len(b"before")
    assert reader.read(place) == b"after"


def test_without_advice_to_the_kernel_it_works_as_well(
    database: Path, reader: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.engine._records._PAST_CACHE", 0)
    monkeypatch.delattr(os, "posix_fadvise")
    assert [reader.read(place) for place in write(database, RECORDS)] == RECORDS


@pytest.mark.parametrize("bad", [(0, 1, 3), (0, 2, 3), (0, 0, 2), (7, 0, 3), (0, -1, 3)])
def test_what_is_not_what_was_written_is_damage(
    database: Path, reader: RecordReader, bad: tuple[int, int, int]
) -> None:
    [place] = write(database, [b"abc"])
    with pytest.raises(DamagedRecord, match=r"x\.db\.records-"):
        reader.read((*bad, place[3]))


# ---- in a store


def trajectory(group: int, text: str = "hi") -> Trajectory:
    return Trajectory(
        key=Key(group, 0),
        task="t",
        env="e",
        split="s",
        end=End.DONE,
        turns=(Turn(text=text, reward=group),),
    )


async def fill(path: Path, *groups: int) -> None:
    async with open_store(path) as store:
        for group in groups:
            await store.append("train", trajectory(group), seconds=1)


def kept(reader: Reader) -> list[int]:
    return [stored.trajectory.key.group for stored in reader.trajectories()]


@pytest.mark.anyio
async def test_every_life_has_a_file_of_records(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for life in range(3):
        await fill(path, life)
    assert [file.name[-1] for file in records_files(path)] == ["0", "1", "2"]
    with open_reader(path) as reader:
        reader.check()
        assert kept(reader) == [0, 1, 2]


@pytest.mark.anyio
async def test_a_flipped_bit_of_a_record_is_found_by_whoever_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await fill(path, 0, 1)
    [file] = records_files(path)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with open_reader(path) as reader:
        assert reader.stored("train", Key(0, 0)) is not None
        looks: list[Callable[[], object]] = [
            reader.check,
            partial(kept, reader),
            partial(reader.stored, "train", Key(1, 0)),
        ]
        for look in looks:
            with pytest.raises(StoreError, match=r"run\.db is damaged: trajectory train/1/0"):
                look()
        assert len(list(reader.entries())) == 2  # no record is needed for those


@pytest.mark.anyio
async def test_pruning_keeps_the_other_records_and_removes_what_no_row_names(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.db"
    await fill(path, *range(600))
    await fill(path, 700)
    async with open_store(path) as store:
        await store.append("eval", trajectory(0), seconds=1)
    records_file(path, 9).write_bytes(b"left by a crash")
    before = sum(file.stat().st_size for file in records_files(path))
    assert drop_records(path, {"eval": None}, dry_run=True) == drop_records(path, {"eval": None})
    with open_reader(path) as reader:
        reader.check()
        assert kept(reader) == [*range(600), 700]
        assert reader.pruned() == 1
    # Only the file that had something to drop was touched.
    assert [file.name[-1] for file in records_files(path)] == ["0", "1"]
    assert drop_records(path, {"train": None})["train"][0] == 601
    assert records_files(path) == [] and before > 0
    await fill(path, 800)
    with open_reader(path) as reader:
        assert kept(reader) == [800]


@pytest.mark.anyio
async def test_a_part_of_a_file_is_pruned_by_copying_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        for group in range(300):
            await store.append("train", trajectory(group), seconds=1)
            await store.append("eval", trajectory(group, "x" * 1000), seconds=1)
    before = sum(file.stat().st_size for file in records_files(path))
    assert drop_records(path, {"eval": None})["eval"][0] == 300
    with open_reader(path) as reader:
        reader.check()
        assert kept(reader) == list(range(300))
    [file] = records_files(path)
    assert (file.name, file.stat().st_size < before / 4) == ("run.db.records-1", True)


@pytest.mark.anyio
async def test_pruning_around_a_damaged_record_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        await store.append("train", trajectory(0), seconds=1)
        await store.append("eval", trajectory(1), seconds=1)
    [file] = records_files(path)
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match="cannot prune the run store"):
        drop_records(path, {"eval": None})
    assert records_files(path) == [file] and file.read_bytes() == data
    with open_reader(path) as reader:
        assert reader.stored("eval", Key(1, 0)) is not None
