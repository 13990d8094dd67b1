"""A real server on a real socket that does to its clients whatever a script says.

A script is an async function of one connection. It reads requests and writes bytes, well-formed or
not; when it returns, the connection is closed. The server counts what it saw, so that a test can
tell that nothing was left open.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener

Script = Callable[["Peer"], Awaitable[None]]


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so that nobody announces."""
    while not true():  # noqa: ASYNC110
        await anyio.sleep(0.001)


class Peer:
    """One connection as its server sees it. `number` counts connections from 0."""

    def __init__(self, stream: ByteStream, number: int) -> None:
        self.stream = stream
        self.number = number
        self.requests: list[bytes] = []
        self._buffer = b""

    async def request(self) -> bytes:
        """The next whole request; raises `EndOfStream` when the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self.stream.receive()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            rest += await self.stream.receive()
        self._buffer = rest[length:]
        self.requests.append(head + b"\r\n\r\n" + rest[:length])
        return self.requests[-1]

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def answer(self, body: bytes = b"{}", status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while True:
                await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    def reset(self) -> None:
        """Make the connection end with a reset instead of a proper end."""
        raw: socket.socket = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Misbehaving:
    """The server: its address, and every connection it ever had."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = (
            f"{scheme}://localhost:{port}" if scheme == "https" else f"http://127.0.0.1:{port}"
        )
        self.peers: list[Peer] = []
        self.open = 0

    async def quiet(self) -> None:
        """Wait until no connection is open."""
        await until(lambda: not self.open)


@asynccontextmanager
async def open_misbehaving(
    script: Script, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Misbehaving]:
    """Serve `script` on a free port of this machine for as long as the block lasts."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    server = Misbehaving(port, "https" if tls else "http")

    async def handle(stream: ByteStream) -> None:
        peer = Peer(stream, len(server.peers))
        server.peers.append(peer)
        server.open += 1
        try:
            await script(peer)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            await anyio.aclose_forcefully(stream)
            server.open -= 1

    async with anyio.create_task_group() as tasks:
        if tls is None:

            async def plain(stream: SocketStream) -> None:
                await handle(stream)

            tasks.start_soon(listener.serve, plain)
        else:
            secure = TLSListener(listener, tls, standard_compatible=False)
            tasks.start_soon(secure.serve, handle)
        yield server
        tasks.cancel_scope.cancel()
    await listener.aclose()
