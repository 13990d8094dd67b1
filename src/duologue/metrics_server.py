"""A page for Prometheus to scrape, for programs that have no web server of their own.

The block owns it, connections included; prometheus_client's own server is a thread that outlives
whoever started it.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from .agents.models._extras import extra
from .engine import UsageError, one_error

with extra("metrics"):
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

LOOPBACK = "127.0.0.1"

_HEAD_S = 5.0
_HEAD_BYTES = 16_384
_AT_ONCE = 8
"""A scrape is one request every few seconds: whoever is slow, long or many is turned away."""


@asynccontextmanager
async def open_metrics_server(
    registry: CollectorRegistry, port: int, *, host: str = LOOPBACK
) -> AsyncGenerator[int]:
    """Serve `http://host:port/metrics` for as long as the block lasts; yields the port.

    port: 0 takes a free one. host: the loopback alone unless told otherwise; there is no password.
    Raises `UsageError` when the port cannot be had.
    """
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "it is taken" if taken else str(error)
        raise UsageError(
            f"cannot serve metrics at {host}:{port}: {why}; give another port, or 0 for a free one"
        ) from error
    places = anyio.Semaphore(_AT_ONCE)
    async with listener:
        with one_error():
            async with anyio.create_task_group() as owner:
                owner.start_soon(partial(listener.serve, partial(_answer, registry, places)))
                yield listener.extra(SocketAttribute.local_port)
                owner.cancel_scope.cancel()


async def _answer(
    registry: CollectorRegistry, places: anyio.Semaphore, stream: SocketStream
) -> None:
    """One request on one connection."""
    async with stream:
        try:
            places.acquire_nowait()
        except anyio.WouldBlock:
            return
        try:
            with anyio.move_on_after(_HEAD_S):
                head = await BufferedByteReceiveStream(stream).receive_until(
                    b"\r\n\r\n", _HEAD_BYTES
                )
                await stream.send(await _page(registry, head))
        except (
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.DelimiterNotFound,
            anyio.BrokenResourceError,
        ):
            pass  # nobody is left to be told
        finally:
            places.release()


async def _page(registry: CollectorRegistry, head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path not in (b"/", b"/metrics"):
        return _response(b"404 Not Found", b"text/plain", b"metrics are at /metrics\n")
    if method != b"GET":
        return _response(b"405 Method Not Allowed", b"text/plain", b"only GET\n")
    # In a thread, because a long page would hold up the loop.
    body = await anyio.to_thread.run_sync(generate_latest, registry)
    return _response(b"200 OK", CONTENT_TYPE_LATEST.encode(), body)


def _response(status: bytes, kind: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
        % (
            status,
            kind,
            len(body),
            body,
        )
    )
