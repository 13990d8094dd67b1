"""The hot path's HTTP client: one origin, many connections, as little work as possible.

Thousands of dialogues wait on one model server, so a request must cost the same with ten
connections and with ten thousand. Connections that are free lie on a stack: the one used last is
taken next, and the ones nobody needs grow old at the bottom. Requests go out in one write and
responses come back as bytes; what they mean is the caller's business.

Deadlines are the caller's scopes. A cancelled request closes its connection, which is how a server
learns that nobody waits for the answer.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from anyio import BrokenResourceError, CancelScope, EndOfStream, to_thread
from msgspec import Struct

from ....engine import Credits, UsageError, checkpoint
from ._heads import Heads
from ._parse import BadStatus, ConnectFailed, ConnectionLost, Reader, Response
from ._turnstile import Turnstile
from ._wire import Wire, cause, clock, connect

if sys.platform != "win32":
    import resource

_CONNECTING = 128
"""Connections made at once: a server's queue for new ones is short, and whom it drops from there
waits a second to be asked again."""

_FILES_LEFT = 64
"""Files that our connections leave for everything else."""

_AT_A_TURN = 16
"""Answers handed on before the loop looks around again: a few milliseconds of work."""

_HEADS = 64
"""Heads of requests remembered."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})  # HEAD's bodiless answers: no use


class HttpStats(Struct, frozen=True, kw_only=True):
    """A client's numbers now. `open` counts the connections, busy and `idle`, of `most`; `waiting`
    counts the requests that wait for one; the others are totals, each try of a request counted once."""

    open: int
    most: int
    idle: int
    waiting: int
    requests: int
    reused: int
    stale: int


@asynccontextmanager
async def open_http(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    connections: int = 1024,
    idle_s: float = 60.0,
    max_head: int = 64 * 1024,
    max_body: int = 64 * 1024 * 1024,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Http]:
    """A client for the server at `base_url`, for as long as the block lasts.

        async with open_http("http://127.0.0.1:8000", headers={"authorization": key}) as http:
            response = await http.request("POST", "/v1/completions", body)

    base_url:    `http://` or `https://`, host, port, and what every path begins with.
    headers:     sent with every request; keys belong here. Their values appear in no error, log
                 or `repr`.
    connections: how many are open at most, or fewer where the process may not open so many files;
                 a request that finds none free waits its turn.
    idle_s:      how long a free connection is kept.
    max_head, max_body: bounds of a response in bytes.
    tls:         for `https://`, instead of Python's default context.

    Raises `UsageError` for a URL or a header that cannot be, and where no file can be opened any
    more. Leaving the block closes every
    connection; a request still under way in another task gets `ConnectionLost`.
    """
    origin = _Origin(base_url, headers or {})
    if origin.tls and tls is None:
        # Reads the system's certificates: tens of milliseconds.
        tls = await to_thread.run_sync(ssl.create_default_context)
    left = connections_left()
    if left < 1:
        raise UsageError(
            f"no connection to {origin.name}: this process has as many files open as it may; "
            "raise the limit (`ulimit -n`)"
        )
    connections = min(connections, left)
    http = Http(origin, tls if origin.tls else None, connections, idle_s, max_head, max_body)
    try:
        yield http
    finally:
        await http._close()


def connections_left() -> int:
    """How many connections this process may still open, as far as files go."""
    if sys.platform == "win32":  # where sockets are no files
        return 1 << 31
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return 1 << 31
    try:
        taken = len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc: an application that has more of its own files open sets less
        taken = 0
    return most - taken - _FILES_LEFT


def _unread(error: BaseException) -> bool:
    """The connection ended before the response began."""
    return isinstance(error, ConnectionLost) and not error.begun


class _Origin:
    """Where requests go, and the part of them that never changes."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        # The URL is not repeated in errors before it is known to hold no password.
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"the base URL cannot be read: {error}") from None
        if "@" in parts.netloc:
            raise UsageError("the base URL holds a user or password; send keys as a header")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"no server is written {base_url!r}; write http://HOST:PORT or https://HOST"
            )
        if parts.query or parts.fragment:
            raise UsageError(f"the base URL {base_url!r} must end with its path")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.tls else 80)
        self.path = parts.path.rstrip("/")
        self.name = f"{parts.scheme}://{parts.netloc}"
        fixed = {
            "host": parts.netloc,
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            **{name.lower(): value for name, value in headers.items()},
        }
        self.head = _lines(fixed.items())
        self.secrets = sorted(
            {word for value in headers.values() for word in value.split() if len(word) >= 8},
            key=len,
            reverse=True,
        )


def _lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as they are sent, after checking that none of them is two."""
    lines: list[str] = []
    for name, value in headers:
        if not name or not name.isascii() or set(name) & set(" \t\r\n\0:"):
            raise UsageError(f"no header can be called {name!r}")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise UsageError(f"the header {name!r} is the client's own to send")
        if set(value) & set("\r\n\0"):
            raise UsageError(f"the value of the header {name!r} has a line break in it")
        lines.append(f"{name}: {value}\r\n")
    try:
        return "".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise UsageError("the value of a header has a character outside Latin-1") from None


class Http:
    """A client; made by `open_http`. Safe to use from any number of tasks of its loop."""

    def __init__(
        self,
        origin: _Origin,
        tls: ssl.SSLContext | None,
        connections: int,
        idle_s: float,
        max_head: int,
        max_body: int,
    ) -> None:
        self._origin, self._tls = origin, tls
        self._idle_s, self._max_head, self._max_body = idle_s, max_head, max_body
        self._places = Credits(connections, f"connections to {origin.name}")
        self._connecting = Credits(_CONNECTING, f"connections being made to {origin.name}")
        self._turnstile = Turnstile(_AT_A_TURN)
        self._sent_heads: dict[str, bytes] = {}
        self._heads = Heads()
        self._now = clock()
        self._open: set[Wire] = set()
        self._idle: deque[Wire] = deque()  # used last on the right
        self._requests = self._reused = self._stale = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Http {self._origin.name}, {len(self._open)} connections>"

    @property
    def stats(self) -> HttpStats:
        """The numbers now."""
        return HttpStats(
            open=len(self._open),
            most=self._places.limit,
            idle=len(self._idle),
            waiting=self._places.waiting,
            requests=self._requests,
            reused=self._reused,
            stale=self._stale,
        )

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        *,
        once: bool = False,
    ) -> Response:
        """Send a request and wait for the whole response, whatever its status.

        path: what follows the base URL, from the slash on.
        once: for what must not be done twice. Without it, a request whose kept-alive connection
              turns out to have ended before the response's first byte is sent again, on a new
              connection; with it, only new connections are used.

        Waits for a free connection first. Raises an `HttpError` when no response comes that can be
        used. Cancelled, it closes its connection. The next request finds the client as good as new
        in both cases.
        """
        data = self._encode(method, path, body, headers)
        if self._closed:
            await checkpoint()
            raise self._gone()
        if not self._places.acquire_nowait():
            await self._places.acquire()
        try:
            connection = None
            if not once:
                connection = self._take_nowait() or await self._take()
            elif self._idle:
                await self._make_room()
            while True:
                reused = connection is not None
                if connection is None:
                    connection = await self._connect()
                self._requests += 1
                self._reused += reused
                try:
                    response = await connection.exchange(data)
                    break
                except BaseException as error:
                    await self._discard(connection)
                    if not reused or self._closed or not _unread(error):
                        raise
                self._stale += 1
                connection = None
            if connection.reader.reusable and not self._closed:
                connection.idle_since = self._now()
                self._idle.append(connection)
            else:
                await self._discard(connection)
            if not self._turnstile.enter_nowait():
                await self._turnstile.enter()
            return response
        finally:
            self._places.release()

    def check(self, response: Response) -> Response:
        """The response if its status is 2xx; else raises `BadStatus` with the server's words."""
        if 200 <= response.status < 300:
            return response
        words = " ".join(response.body[:2000].decode("utf-8", "replace").split())
        for secret in self._origin.secrets:
            words = words.replace(secret, "***")
        raise BadStatus(
            f"{self._origin.name} answered {response.status}: {words[:300] or '(no words)'}",
            status=response.status,
            retry_after_s=response.retry_after_s,
        )

    def _encode(
        self, method: str, path: str, body: bytes, headers: Iterable[tuple[str, str]]
    ) -> bytes:
        head = self._sent_heads.get(f"{method} {path}") or self._head(method, path)
        extra = _lines(headers) if headers else b""
        return b"".join((head, extra, b"content-length: %d\r\n\r\n" % len(body), body))

    def _head(self, method: str, path: str) -> bytes:
        """What every request for `path` begins with."""
        if method not in _METHODS:
            raise UsageError(f"no method {method!r} here; one of: {', '.join(sorted(_METHODS))}")
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
            raise UsageError(f"no path is written {path!r}; quote it, from the slash on")
        line = f"{method} {self._origin.path}{path} HTTP/1.1\r\n".encode()
        if len(self._sent_heads) >= _HEADS:
            self._sent_heads.clear()
        head = self._sent_heads[f"{method} {path}"] = line + self._origin.head
        return head

    def _take_nowait(self) -> Wire | None:
        """The connection used last, where it is good and none has grown too old."""
        idle = self._idle
        if idle and idle[0].idle_since >= self._now() - self._idle_s and not idle[-1].stale:
            return idle.pop()
        return None

    async def _take(self) -> Wire | None:
        """A free connection that is still good, the one used last first."""
        idle = self._idle
        expired = self._now() - self._idle_s
        if idle and idle[0].idle_since < expired:
            await self._discard(idle.popleft())  # one a request is enough to keep up
        while idle:
            connection = idle.pop()
            if connection.idle_since >= expired and not connection.stale:
                return connection
            await self._discard(connection)
        return None

    async def _make_room(self) -> None:
        """For a connection beside the idle ones: they count among those that may be open, and
        nobody else looks at how old they are where nobody takes one."""
        idle, places = self._idle, self._places
        expired = self._now() - self._idle_s
        while idle and (
            idle[0].idle_since < expired or len(idle) + places.outstanding > places.limit
        ):
            await self._discard(idle.popleft())

    async def _connect(self) -> Wire:
        origin = self._origin
        reader = Reader(self._max_head, self._max_body, self._heads)
        if not self._connecting.acquire_nowait():
            await self._connecting.acquire()
        try:
            connection = await connect(origin.host, origin.port, self._tls, reader)
        except (OSError, EndOfStream, BrokenResourceError, UnicodeError) as error:
            raise ConnectFailed(f"cannot connect to {origin.name} ({cause(error)})") from error
        finally:
            self._connecting.release()
        self._open.add(connection)
        if self._closed:
            await self._discard(connection)
            raise self._gone()
        return connection

    async def _discard(self, connection: Wire) -> None:
        self._open.discard(connection)
        await connection.close()

    async def _close(self) -> None:
        self._closed = True
        self._idle.clear()
        # Closing does not wait, but it passes a checkpoint: cancelled, we would stop at the first.
        with CancelScope(shield=True):
            while self._open:
                await self._open.pop().close()

    def _gone(self) -> ConnectFailed:
        return ConnectFailed(f"the client of {self._origin.name} was closed")
