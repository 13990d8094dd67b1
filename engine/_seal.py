"""A checksum beside every row of the run store.

SQLite keeps none: a flipped bit inside a row reads back as another value, and nobody is told. Each
table's last column is the seal of the others, set by whoever writes and checked by whoever reads.
CRC-32 notices every one or two flipped bits of a row, and all but one in 4 billion of the rest. It
costs a quarter of what a cryptographic hash does; it is there against broken disks, not against
forgery. A record lies beside the database and has a CRC-32 of its own, in its row (`_records.py`).
"""

from __future__ import annotations

from zlib import crc32

import msgspec

_encode = msgspec.msgpack.Encoder().encode


def seal(*values: object) -> int:
    """The checksum of a row's values, in the types that SQLite gives them back in."""
    return crc32(_encode(values))
