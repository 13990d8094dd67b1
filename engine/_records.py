"""The records of a run store: what was said, in files beside the database.

SQLite's log writes every byte twice, and a reader who holds a transaction keeps all of it in the
log meanwhile. Records are nearly all the bytes there are, are written once, and are never changed;
so they go to an append-only file, and the database keeps their rows, each with its record's place
and checksum. `benchmarks/store.py` has the comparison.

A record is on disk before the row that names it is. What a crash leaves behind the last named
record is named by nobody. Each writer has a file of its own, `NAME.records-N`, so two could never
write over one another.

The file is written past the kernel's cache where that can be: nobody reads a record soon, and each
page of the cache that it takes is copied, looked after and thrown out again. For a record of 29 KB
that costs 14 microseconds of CPU, past the cache 2.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from zlib import crc32

from ._errors import StoreError

Place = tuple[int, int, int, int]
"""Where a record is, and what it is: (file's number, offset, bytes, CRC-32)."""

_PIECE = 5 << 10
"""Python lets go of its lock for the checksum of anything longer. Where the loop is busy, getting
it back takes 5 ms, a thousand times the checksum."""

_BLOCK = 4096
"""What goes past the cache does so in whole blocks, from such an address and to such a place."""

_STAGE = 16 << 20
"""Bytes that one call writes at most. Memory is only what was touched: a batch's size."""

_PAST_CACHE: int = getattr(os, "O_DIRECT", 0)  # macOS has none
_sync = getattr(os, "fdatasync", os.fsync)


class DamagedRecord(StoreError):
    """A record is not what was written. Whoever reads it knows whose it is, and says so."""


def checksum(record: bytes) -> int:
    """CRC-32, without ever letting go of the interpreter's lock."""
    if len(record) <= _PIECE:
        return crc32(record)
    view, value = memoryview(record), 0
    for start in range(0, len(view), _PIECE):
        value = crc32(view[start : start + _PIECE], value)
    return value


def records_file(database: Path, number: int) -> Path:
    return database.with_name(f"{database.name}.records-{number}")


def records_files(database: Path) -> list[Path]:
    """All there are, whether or not a row names them."""
    prefix = f"{database.name}.records-"
    found = (path for path in database.parent.iterdir() if path.name.startswith(prefix))
    return sorted(path for path in found if path.name.removeprefix(prefix).isdecimal())


class RecordWriter:
    """Appends to a file of its own, which is made when there is something to write.

    first: the lowest number it may have.

    The last block is written again with what follows it: the same bytes as before, then more. Up
    to the closing, what is left of it is zeros.
    """

    def __init__(self, database: Path, first: int) -> None:
        self._database = database
        self._number = first
        self._file = -1
        self._past_cache = False
        self._stage: mmap
        self._end = 0
        self._tail = b""  # of the last block: what is before the end

    def write(self, records: Sequence[bytes], checks: Sequence[int]) -> list[Place]:
        """Append records, each with its `checksum`, and wait until they are on disk; where each of
        them is.

        Raises `OSError`. What was written of them is then written over by the next.
        """
        if self._file < 0:
            self._make()
        places: list[Place] = []
        at = self._end
        for record, check in zip(records, checks, strict=True):
            places.append((self._number, at, len(record), check))
            at += len(record)
        tail = self._put(records)
        _sync(self._file)
        if not self._past_cache:
            _forget(self._file, self._end, at - self._end)
        self._end, self._tail = at, tail
        return places

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # for tidiness: no row names what is behind the end
                os.ftruncate(self._file, self._end)
            os.close(self._file)
            self._file = -1
            self._stage.close()

    def _put(self, records: Sequence[bytes]) -> bytes:
        """Write records, a stage at a time; returns what is in the last block of them."""
        stage, tail = self._stage, self._tail
        stage[: len(tail)] = tail
        at, filled = self._end - len(tail), len(tail)
        for record in records:
            size, rest = filled + len(record), record
            while size > _STAGE:
                stage[filled:], rest = rest[: _STAGE - filled], rest[_STAGE - filled :]
                self._write_all(_STAGE, at)
                at, filled, size = at + _STAGE, 0, size - _STAGE
            stage[filled:size] = rest
            filled = size
        blocks = -(-filled // _BLOCK) * _BLOCK
        stage[filled:blocks] = bytes(blocks - filled)
        self._write_all(blocks, at)
        return stage[filled - filled % _BLOCK : filled]

    def _write_all(self, size: int, at: int) -> None:
        """Write the stage's first bytes. A disk that is nearly full takes a part, and says why only
        when asked for the rest."""
        with memoryview(self._stage) as stage:
            done = 0
            while done < size:
                try:
                    done += os.pwrite(self._file, stage[done:size], at + done)
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._past_cache:
                        raise
                    self._use_cache()  # larger blocks than ours, or a part that was no whole block

    def _use_cache(self) -> None:
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags & ~_PAST_CACHE)
        self._past_cache = False

    def _make(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            path = records_file(self._database, self._number)
            try:
                self._file = os.open(path, flags, 0o644)
                break
            except FileExistsError:
                self._number += 1
        self._stage = mmap(-1, _STAGE)
        self._go_past_cache()
        # Its name must last as well as what is in it.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _go_past_cache(self) -> None:
        """Where the file system lets us: one in memory does not."""
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        with suppress(OSError):
            fcntl.fcntl(self._file, fcntl.F_SETFL, flags | _PAST_CACHE)
            self._past_cache = _PAST_CACHE > 0


def _forget(file: int, at: int, size: int) -> None:
    """Let the kernel drop what is on disk from its memory, where it had to go through its cache.
    Otherwise a run's records fill all there is, and each further page is one nobody touched before:
    on a virtual machine, 60 microseconds for a record of 29 KB where a used page costs 8."""
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file, at, size, os.POSIX_FADV_DONTNEED)


class RecordReader:
    """Reads records by their places; opens each file once."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._files: dict[int, int] = {}

    def read(self, place: Place) -> bytes:
        """The record at `place`. Raises `DamagedRecord`."""
        number, at, size, check = place
        path = records_file(self._database, number)
        try:
            if number not in self._files:
                self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            record = os.pread(self._files[number], size, at)
        except (OSError, OverflowError) as error:
            raise DamagedRecord(f"{path.name} cannot be read: {error}") from error
        if len(record) != size or crc32(record) != check:
            raise DamagedRecord(f"{size} bytes at {at} of {path.name} are not what was written")
        return record

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])
