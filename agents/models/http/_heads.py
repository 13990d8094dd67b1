"""Heads of responses met before, so that the next one like them need not be parsed.

A server's responses differ in their length and, once a second, in their date; parsing the rest
again costs as much as everything else the client does with an answer. A head is remembered after
the parser took it, with the digits of its length cut out, and only a head that is the same byte by
byte around other digits passes for it.
"""

from __future__ import annotations

import re

from msgspec import Struct

_KEPT = 64
"""Heads remembered. A server that sends a new one with every response is not worth the trouble."""

_LENGTH = re.compile(rb"\r\n(content-length): (\d{1,12})\r\n", re.IGNORECASE)


class Head(Struct, frozen=True):
    """What a head says, but for the length: `place` is its header's among `headers`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    place: int

    def with_length(self, digits: bytes) -> list[tuple[bytes, bytes]]:
        """Its headers, with so many bytes of body."""
        headers = self.headers.copy()
        headers[self.place] = (b"content-length", digits)
        return headers


class Heads:
    """Shared by the connections of one client."""

    __slots__ = ("_found", "_known", "_learned", "_mark")

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._mark = b""  # how this server writes the header's name
        self._found = self._learned = 0

    def find(self, data: bytes) -> tuple[Head, bytes, int] | None:
        """The head that `data` begins with, the digits of its length, and where the body begins.

        None when it is not known, or not there as a whole.
        """
        place = data.find(self._mark)
        if place < 0:
            return None
        start = place + len(self._mark)
        end = data.find(b"\r\n", start)
        body = data.find(b"\r\n\r\n", end) + 4
        head = self._known.get(data[:start] + data[end:body])
        if head is None:
            return None
        digits = data[start:end]
        if not digits.isdigit() or len(digits) > 12:
            return None
        self._found += 1
        return head, digits, body

    def learn(self, data: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember the head `data` begins with; the parser took it, and keeps the connection."""
        if self._learned > _KEPT and self._found < self._learned:
            return
        head = data[: data.find(b"\r\n\r\n") + 4]
        names = [name for name, _ in headers]
        length = _LENGTH.search(head)
        # Twice, it might not be the one that counts.
        if (
            length is None
            or head.lower().count(b"content-length") != 1
            or names.count(b"content-length") != 1
            or b"transfer-encoding" in names
        ):
            return
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._learned += 1
        self._mark = head[length.start() : length.start(2)]
        known = Head(status, headers, names.index(b"content-length"))
        self._known[head[: length.start(2)] + head[length.end(2) :]] = known
