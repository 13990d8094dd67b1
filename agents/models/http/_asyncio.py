"""A connection on asyncio's own transport: what arrives goes straight to the parser.

The loop watches the connection all the time, and what comes while nobody asked ends it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from ipaddress import ip_address
from typing import cast

from anyio import EndOfStream, aclose_forcefully, connect_tcp
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from ._parse import Reader, Response
from ._wire import lost


async def connect_asyncio(
    host: str, port: int, tls: ssl.SSLContext | None, reader: Reader
) -> AsyncioWire:
    """A connection of the running loop. Raises what the transport raises."""
    loop = asyncio.get_running_loop()

    def make() -> AsyncioWire:
        return AsyncioWire(loop, reader)

    name = host if tls is not None else None
    if _is_address(host):
        _, wire = await loop.create_connection(make, host, port, ssl=tls, server_hostname=name)
        return wire
    # A name may have addresses that do not answer, and uvloop tries them one after the other,
    # minutes each. anyio tries the next one soon; from its stream we take the socket over.
    stream = await connect_tcp(host, port)
    try:
        taken = socket.socket(fileno=os.dup(stream.extra(SocketAttribute.raw_socket).fileno()))
    finally:
        await aclose_forcefully(stream)
    taken.setblocking(False)
    _, wire = await loop.create_connection(make, sock=taken, ssl=tls, server_hostname=name)
    return wire


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class AsyncioWire(asyncio.Protocol):
    """A wire that is its transport's protocol."""

    __slots__ = (
        "_answered",
        "_end",
        "_loop",
        "_transport",
        "idle_since",
        "reader",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, reader: Reader) -> None:
        self.reader: Reader = reader
        self.idle_since: float = 0.0
        self._loop = loop
        self._answered: asyncio.Future[Response] | None = None  # of the exchange under way
        self._end: BaseException | None = None  # why nothing more will come

    @property
    def stale(self) -> bool:
        # The loop looks at every turn of its own; what it cannot have seen yet, sending shows.
        return self._end is not None

    def exchange(self, request: bytes) -> asyncio.Future[Response]:
        # No coroutine: the future is awaited by whoever asked, and cancelled with the task.
        self.reader.begin()
        answered = self._answered = self._loop.create_future()
        if self._end is None:
            self._transport.write(request)
        else:
            self._ended(self._end)
        return answered

    async def close(self) -> None:
        self.reader.close()
        self._transport.abort()
        self._ended(EndOfStream())
        await checkpoint()

    # -------------------------------------------------- the loop calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        answered, reader = self._answered, self.reader
        if answered is None or answered.done():
            # Out of turn. Also what follows a whole answer: that one stands, the connection goes.
            self._ended(EndOfStream())
            self._transport.abort()
            return
        try:
            reader.feed(data)
        except Exception as error:  # noqa: BLE001 (raised where the answer is awaited)
            self._fail(error)
            return
        if reader.complete:
            self._answered = None
            answered.set_result(reader.response())

    def eof_received(self) -> bool:
        self._ended(EndOfStream())
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc or EndOfStream())

    def _ended(self, why: BaseException) -> None:
        self._end = self._end or why
        error = lost(self.reader, self._end)
        error.__cause__ = self._end
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            answered.set_exception(error)
            # Looked at once, here: cancelled in this very moment, its task would not do so.
            answered.exception()
