"""One connection of the HTTP client: bytes out, a response back.

There are two. Where asyncio runs, `_http_asyncio` speaks with the loop's transport directly;
elsewhere, and that is trio, the bytes pass through anyio's stream. anyio's stream on asyncio starts
and stops watching the socket around every read and goes round the loop for every write: half of
what a request cost.
"""

from __future__ import annotations

import select
import ssl
import sys
from typing import Protocol

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    aclose_forcefully,
    connect_tcp,
)
from anyio.abc import ByteStream, SocketAttribute

from ._http_parse import ConnectionLost, Reader, Response

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

    async def exchange(self, request: bytes) -> Response:
        """Send a request and read its response. Raises `HttpError`; the connection is then over."""
        ...

    async def close(self) -> None:
        """End it at once, whatever is under way."""
        ...


async def connect(host: str, port: int, tls: ssl.SSLContext | None, reader: Reader) -> Wire:
    """A connection by the running loop's own means. Raises what the transport raises."""
    if _on_asyncio():
        from ._http_asyncio import connect_asyncio

        return await connect_asyncio(host, port, tls, reader)
    if tls is None:
        return StreamWire(await connect_tcp(host, port), reader)
    stream = await connect_tcp(
        host, port, ssl_context=tls, tls_hostname=host, tls_standard_compatible=False
    )
    return StreamWire(stream, reader)


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
            await self._stream.send(request)
            while not reader.complete:
                reader.feed(await self._stream.receive(_READ))
        except (EndOfStream, BrokenResourceError, ClosedResourceError, OSError) as error:
            raise lost(reader, error) from error
        return reader.response()

    async def close(self) -> None:
        self.reader.close()
        await aclose_forcefully(self._stream)


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
