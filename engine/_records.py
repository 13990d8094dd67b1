"""The records of a run store: what was said, in files beside the database.

SQLite's log writes every byte twice, and a reader who holds a transaction keeps all of it in the
log meanwhile. Records are nearly all the bytes there are, are written once, and are never changed;
so they go to an append-only file, and the database keeps their rows, each with its record's place
and checksum. `benchmarks/store.py` has the comparison.

A record is on disk before the row that names it is. What a crash leaves behind the last named
record is named by nobody. Each writer has a file of its own, `NAME.records-N`, so two could never
write over one another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from ._errors import StoreError

Place = tuple[int, int, int, int]
"""Where a record is, and what it is: (file's number, offset, bytes, CRC-32)."""

_PIECE = 5 << 10
"""Python lets go of its lock for the checksum of anything longer. Where the loop is busy, getting
it back takes 5 ms, a thousand times the checksum."""

_MOST_BUFFERS = 1024  # that one call writes: IOV_MAX
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
    """

    def __init__(self, database: Path, first: int) -> None:
        self._database = database
        self._number = first
        self._file = -1
        self._end = 0

    def write(self, records: Sequence[bytes]) -> list[Place]:
        """Append records and wait until they are on disk; where each of them is.

        Raises `OSError`. What was written of them is then written over by the next.
        """
        if self._file < 0:
            self._make()
        places: list[Place] = []
        at = self._end
        for record in records:
            places.append((self._number, at, len(record), checksum(record)))
            at += len(record)
        for start in range(0, len(records), _MOST_BUFFERS):
            part = records[start : start + _MOST_BUFFERS]
            _write_all(self._file, part, places[start][1])
        _sync(self._file)
        _forget(self._file, self._end, at - self._end)
        self._end = at
        return places

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _make(self) -> None:
        while True:
            path = records_file(self._database, self._number)
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._file = os.open(path, flags, 0o644)
                break
            except FileExistsError:
                self._number += 1
        # Its name must last as well as what is in it.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _forget(file: int, at: int, size: int) -> None:
    """Let the kernel drop what is on disk from its memory. Otherwise a run's records fill all there
    is, and each further page is one nobody touched before: on a virtual machine, 60 microseconds
    for a record of 29 KB where a used page costs 8."""
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file, at, size, os.POSIX_FADV_DONTNEED)


def _write_all(file: int, parts: Sequence[bytes], at: int) -> None:
    written = os.pwritev(file, parts, at)
    if written == sum(map(len, parts)):
        return
    # A disk that is nearly full takes a part, and says why only when asked for the rest.
    rest = memoryview(b"".join(parts))[written:]
    while rest:
        written += (more := os.pwrite(file, rest, at + written))
        rest = rest[more:]


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
