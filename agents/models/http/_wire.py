"""One connection of the HTTP client: bytes out, a response back.

A stream of anyio's goes round the loop for every write and every read, and on asyncio it starts
and stops watching the socket around each: half of what a request cost. So where asyncio runs,
`_asyncio` speaks with the loop's transport directly, and where trio runs the socket is written
to and read from directly, with the loop asked to wait only. TLS on trio has anyio's stream.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    aclose_forcefully,
    connect_tcp,
    current_time,
    wait_readable,
    wait_writable,
)
from anyio.abc import ByteStream, SocketAttribute

from ._parse import ConnectionLost, Reader, Response

_READ = 65536
"""Bytes asked for at once. Above 128 KiB, malloc maps and unmaps memory for every read."""


class Wire(Protocol):
    """A connection and the reader of its responses.

    idle_since: when its last response was complete; the client's to set.
    """

    idle_since: float
    reader: Reader

    @property
    def stale(self) -> bool:
        """The server has closed the idle connection, or says something nobody asked for."""
        ...

    def exchange(self, request: bytes) -> Awaitable[Response]:
        """Send a request and read its response. Raises `HttpError`; the connection is then over."""
        ...

    async def close(self) -> None:
        """End it at once, whatever is under way."""
        ...


async def connect(host: str, port: int, tls: ssl.SSLContext | None, reader: Reader) -> Wire:
    """A connection by the running loop's own means. Raises what the transport raises."""
    if _on_asyncio():
        from ._asyncio import connect_asyncio

        return await connect_asyncio(host, port, tls, reader)
    if tls is None:
        return SocketWire(await connect_tcp(host, port), reader)
    stream = await connect_tcp(
        host, port, ssl_context=tls, tls_hostname=host, tls_standard_compatible=False
    )
    return StreamWire(stream, reader)


def clock() -> Callable[[], float]:
    """The running loop's own clock: anyio's finds out each time which loop runs."""
    if _on_asyncio():
        now: Callable[[], float] = sys.modules["asyncio"].get_running_loop().time
        return now
    return current_time


def _on_asyncio() -> bool:
    # Where a loop runs it has been imported, so nobody pays for a loop that is not there.
    trio = sys.modules.get("trio")
    return trio is None or not trio.lowlevel.in_trio_task()


class StreamWire:
    """A wire over one of anyio's streams."""

    __slots__ = ("_poll", "_stream", "idle_since", "reader")

    def __init__(self, stream: ByteStream, reader: Reader) -> None:
        self._stream = stream
        self.reader: Reader = reader
        self.idle_since: float = 0.0
        self._poll = select.poll()  # made once: making one costs more than asking it
        self._poll.register(stream.extra(SocketAttribute.raw_socket).fileno(), select.POLLIN)

    @property
    def stale(self) -> bool:
        return bool(self._poll.poll(0))

    async def exchange(self, request: bytes) -> Response:
        reader = self.reader
        reader.begin()
        try:
            await self._send(request)
            while not reader.complete:
                reader.feed(await self._receive())
        except (EndOfStream, BrokenResourceError, ClosedResourceError, OSError) as error:
            raise lost(reader, error) from error
        return reader.response()

    async def close(self) -> None:
        self.reader.close()
        await aclose_forcefully(self._stream)

    async def _send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def _receive(self) -> bytes:
        return await self._stream.receive(_READ)


class SocketWire(StreamWire):
    """A wire over the socket of one of anyio's streams, which only opens and closes it."""

    __slots__ = ("_socket",)

    def __init__(self, stream: ByteStream, reader: Reader) -> None:
        super().__init__(stream, reader)
        self._socket: socket.socket = stream.extra(SocketAttribute.raw_socket)

    async def _send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        while sent < len(data):
            await wait_writable(self._socket)
            sent += self._socket.send(memoryview(data)[sent:])

    async def _receive(self) -> bytes:
        while True:
            await wait_readable(self._socket)
            try:
                data = self._socket.recv(_READ)
            except BlockingIOError:  # somebody called wolf
                continue
            if not data:
                raise EndOfStream
            return data


def lost(reader: Reader, error: BaseException) -> ConnectionLost:
    """The connection of `reader` ended before its response did."""
    when = "in the middle of" if reader.begun else "before"
    return ConnectionLost(
        f"the connection ended {when} the response ({cause(error)})", begun=reader.begun
    )


def cause(error: BaseException) -> str:
    """An error of the transport in a few words; they come from the system, never from the peer."""
    root = error.__cause__ or error
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return type(root).__name__
