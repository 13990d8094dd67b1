"""What comes back over HTTP/1.1: the response, its parser, and the errors.

httptools reads the syntax; this module decides what we accept. A response must say how long it is
(by Content-Length or chunks), because a body that ends when the connection does cannot be told
from one that was cut off. It must not be compressed, and its head and body have bounds.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from ....engine import ModelError
from ._heads import Heads


class HttpError(ModelError):
    """A request that brought no response, or none that can be used."""


class ConnectFailed(HttpError):
    """No connection could be made; the request was not sent."""


class ConnectionLost(HttpError):
    """The connection ended before the response did.

    `begun` tells whether a part of the response had arrived. If not, the server may have done what
    it was asked, or not, or never have read it.
    """

    def __init__(self, words: str, *, begun: bool) -> None:
        super().__init__(words)
        self.begun = begun


class BadResponse(HttpError):
    """What came back is not a response that we accept."""


class TooLarge(HttpError):
    """The response is larger than its bounds."""


class BadStatus(HttpError):
    """The server answered, and refused.

    status:         the HTTP status.
    retry_after_s:  the seconds it asked us to wait, where it did.
    """

    def __init__(self, words: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.retry_after_s = retry_after_s


class Response(Struct, frozen=True):
    """A whole response. Names of headers are in lower case; the body is as it came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header called `name`, or None."""
        wanted = name.lower().encode()
        for key, value in self.headers:
            if key == wanted:
                return value.decode("latin-1")
        return None

    @property
    def retry_after_s(self) -> float | None:
        """The wait that Retry-After asks for, in seconds; None without one that can be read.

        A date counts from the response's own Date, so no two clocks are compared.
        """
        value = self.header("retry-after")
        if value is None:
            return None
        if value.strip().isascii() and value.strip().isdigit():
            return float(value)
        try:
            until = parsedate_to_datetime(value)
            since = parsedate_to_datetime(self.header("date") or "")
            return max(0.0, (until - since).total_seconds())
        except (TypeError, ValueError):  # no date, or one with a time zone and one without
            return None

    def __repr__(self) -> str:
        # Without headers and body: a server may echo what it was sent, keys included.
        return f"<Response {self.status}, {len(self.body)} bytes>"


class Reader:
    """Parses the responses of one connection, one after the other.

    `begin` a response, `feed` it until it is `complete`, then take `response`. The callbacks only
    note what they see; `feed` raises. A response whose head is among `heads` is read without the
    parser, which then never knows of it.
    """

    __slots__ = (
        "_chunks",
        "_fed",
        "_head",
        "_headed",
        "_headers",
        "_heads",
        "_length",
        "_max_body",
        "_max_head",
        "_missing",
        "_parser",
        "_problem",
        "_status",
        "complete",
        "reusable",
    )

    def __init__(self, max_head: int, max_body: int, heads: Heads | None = None) -> None:
        self._max_head, self._max_body = max_head, max_body
        self._heads = heads
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Make ready for the next response."""
        self._fed = self._head = self._status = self._missing = 0
        self._headed = self._length = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._problem: HttpError | None = None
        self.complete = self.reusable = False

    @property
    def begun(self) -> bool:
        """A byte of the response has arrived."""
        return self._fed > 0

    def feed(self, data: bytes) -> None:
        """Take in what arrived. Raises `BadResponse` or `TooLarge`; the connection is then lost."""
        assert self._parser is not None
        first = not self._fed
        self._fed += len(data)
        if self._missing:
            self._rest(data)
            return
        if first and self._heads is not None and self._known(data, self._heads):
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise BadResponse(f"the response is not HTTP/1.1: {error}") from error
        except HttpParserUpgrade as error:
            raise BadResponse("the server switched to another protocol") from error
        if self._problem is not None:
            raise self._problem
        if not self._headed and self._fed > self._max_head:
            raise self._head_too_large()
        # Everything counts, whatever it is: chunks of one byte are mostly framing.
        if self._fed > self._max_head + self._max_body:
            raise self._body_too_large()
        if first and self.reusable and self._status == 200 and self._heads is not None:
            self._heads.learn(data, self._status, self._headers)

    def _known(self, data: bytes, heads: Heads) -> bool:
        """Read a response whose head was met before; False leaves everything to the parser."""
        found = heads.find(data)
        if found is None:
            return False
        head, digits, start = found
        length = int(digits)
        missing = start + length - len(data)
        if missing < 0 or length > self._max_body:
            return False
        self._status, self._headers = head.status, head.with_length(digits)
        self._chunks.append(data[start:])
        self._missing, self._headed, self.reusable = missing, True, True
        self.complete = not missing
        return True

    def _rest(self, data: bytes) -> None:
        """More of a body whose length is known."""
        self._missing -= len(data)
        if self._missing < 0:
            raise BadResponse("the response goes on after its end")
        self._chunks.append(data)
        self.complete = not self._missing

    def response(self) -> Response:
        """The response, once it is complete."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Response(self._status, self._headers, body)

    def close(self) -> None:
        """Let go of the parser, which holds our methods: a cycle the collector need not find."""
        self._parser = None

    # -------------------------------------------------- httptools calls these

    def on_message_begin(self) -> None:
        if self.complete:
            self._wrong(BadResponse("the response goes on after its end"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head > self._max_head:
            self._wrong(self._head_too_large())
            return
        name = name.lower()
        self._headers.append((name, value))
        if name == b"content-length":
            self._length = True
            if value.isdigit() and int(value[:20]) > self._max_body:
                self._wrong(self._body_too_large())
        elif name == b"transfer-encoding":
            self._length = value.lower().endswith(b"chunked")
        elif name == b"content-encoding" and value.lower() != b"identity":
            # Bodies of a few KiB are not worth unpacking, and a packed one could hide its size.
            self._wrong(BadResponse("the response is compressed, though we accept identity only"))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._headed = True
        self._status = self._parser.get_status_code()
        # llhttp forgets this when the message is complete.
        self.reusable = self._parser.should_keep_alive()
        if not self._length and self._status >= 200 and self._status not in (204, 304):
            self._wrong(
                BadResponse(f"the response (status {self._status}) does not say how long it is")
            )

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:  # "100 Continue": the response is yet to come
            self._headed = False
            self._headers = []
        else:
            self.complete = True

    def _wrong(self, problem: HttpError) -> None:
        """Note what is wrong; the first thing is the cause of the others."""
        self._problem = self._problem or problem

    def _head_too_large(self) -> TooLarge:
        return TooLarge(f"the response's head is larger than {self._max_head} bytes")

    def _body_too_large(self) -> TooLarge:
        return TooLarge(f"the response's body is larger than {self._max_body} bytes")
