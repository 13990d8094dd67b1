"""The HTTP client's connections against a plain model, in every order that hypothesis finds.

Requests are begun, answered, lost and cancelled; the server closes connections, busy and idle;
time passes; connecting fails or takes its time; the client is closed. The server keeps books of its
own: which connections it has, and what each was asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from ssl import SSLContext
from typing import Any, ClassVar

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from misbehaving import Peer, open_misbehaving, until
from stage import HOPS, Errand, Stage

from duologue.agents.models.http import _client as _http
from duologue.agents.models.http._client import Http, open_http
from duologue.agents.models.http._parse import (
    BadResponse,
    ConnectFailed,
    ConnectionLost,
    HttpError,
    Reader,
    Response,
)
from duologue.agents.models.http._wire import Wire, connect

IDLE_S = 60.0

PATIENCE_S = 10.0
"""How long sockets may take; a request that is forgotten takes for ever."""


class Line:
    """A connection as its server sees it. `asked` is the request it has not answered."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.scope = anyio.CancelScope()
        self.asked: int | None = None
        self.gone = False

    async def serve(self) -> None:
        try:
            with self.scope:
                while True:
                    request = await self.peer.request()
                    assert self.asked is None, "asked twice at once"
                    self.asked = int(request.rpartition(b"\r\n\r\n")[2])
        finally:
            self.gone = True


class Call:
    """One request, and what must come of it."""

    def __init__(self, number: int, *, once: bool) -> None:
        self.number = number
        self.once = once
        self.state = "waiting"
        self.error: type[HttpError] | None = None
        self.line: Line | None = None
        self.reused = False
        self.errand: Errand[Response]


class PoolMachine(RuleBasedStateMachine):
    """Nobody is forgotten, nobody barges, no connection leaks, and the bounds are bounds."""

    backend: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}

    @initialize(limit=st.integers(1, 3))
    def open(self, limit: int) -> None:
        self.stage = Stage(self.backend, self.options)
        self.lines: list[Line] = []
        self.limit = limit
        self.now = 0.0
        self.refusing = False
        self.hold: anyio.Event | None = None
        self.server_block = self.stage.open(open_misbehaving(self._serve))
        self.server = self.server_block.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_http, "connect", self._connect)
        self._open_client()

    def teardown(self) -> None:
        # Whatever failed before, every block is left, or the loop would never end.
        with ExitStack() as rest:
            rest.callback(self.stage.close)
            rest.callback(self.server_block.__exit__, None, None, None)
            rest.callback(self.patch.undo)
            rest.callback(self._close_client)
            if self.hold is not None:
                self.let_connect()

    async def _serve(self, peer: Peer) -> None:
        line = Line(peer)
        self.lines.append(line)
        await line.serve()

    async def _connect(self, host: str, port: int, tls: SSLContext | None, reader: Reader) -> Wire:
        if self.refusing:
            raise ConnectionRefusedError(111, "Connection refused")
        if self.hold is not None:
            await self.hold.wait()
        return await connect(host, port, tls, reader)

    def _open_client(self) -> None:
        block = open_http(self.server.url, connections=self.limit, idle_s=IDLE_S)
        self.client_block = self.stage.open(block)
        self.http: Http = self.client_block.__enter__()
        self.http._now = lambda: self.now
        self.calls: list[Call] = []
        self.waiting: list[Call] = []
        self.connecting: list[Call] = []
        self.busy: list[Call] = []
        self.idle: list[tuple[Line, float]] = []  # used last on the right
        self.lost: set[Line] = set()  # idle ones that are of no use
        self.known = len(self.lines)
        self.requests = self.reused = self.stale = 0

    def _close_client(self) -> None:
        """Whoever is under way is told, and the server has nobody left."""
        under_way = [call for call in self.calls if call.state == "waiting"]
        self.client_block.__exit__(None, None, None)
        self._wait(lambda: all(call.errand.state == "failed" for call in under_way))
        for call in under_way:
            assert isinstance(call.errand.error, ConnectionLost | ConnectFailed)
        stats = self.http.stats
        assert (stats.open, stats.idle, stats.waiting) == (0, 0, 0)
        assert self.http._places.outstanding == self.http._connecting.outstanding == 0
        self._wait(lambda: not self.server.open)

    def _wait(self, true: Callable[[], bool]) -> None:
        async def wait() -> bool:
            with anyio.move_on_after(PATIENCE_S):
                await until(true)
            return true()

        assert self.stage.wait(wait), self._books()

    # ---------------------------------------------------------------- the plain model

    def _take(self, call: Call) -> None:
        """The connection used last that is good, or a new one."""
        expired = self.now - IDLE_S
        if call.once:
            # A new one, and room for it: idle ones count too.
            open_then = self._places_taken() + 1
            while self.idle and (
                self.idle[0][1] < expired or len(self.idle) + open_then > self.limit
            ):
                self._forget(0)
        else:
            if self.idle and self.idle[0][1] < expired:
                self._forget(0)
            while self.idle:
                line, since = self.idle.pop()
                if since >= expired and line not in self.lost:
                    call.line, call.reused = line, True
                    self.reused += 1
                    self.requests += 1
                    self.busy.append(call)
                    return
                self.lost.discard(line)
        self._dial(call)

    def _forget(self, place: int) -> None:
        line, _ = self.idle.pop(place)
        self.lost.discard(line)

    def _dial(self, call: Call) -> None:
        call.line, call.reused = None, False
        if self.refusing:
            call.state, call.error = "failed", ConnectFailed
        elif self.hold is not None:
            self.connecting.append(call)
        else:
            self.requests += 1
            self.busy.append(call)

    def _places_taken(self) -> int:
        return len(self.busy) + len(self.connecting)

    def _grant(self) -> None:
        while self.waiting and self._places_taken() < self.limit:
            self._take(self.waiting.pop(0))

    def _end(self, call: Call, state: str, error: type[HttpError] | None = None) -> None:
        for held in (self.waiting, self.connecting, self.busy):
            if call in held:
                held.remove(call)
        call.state, call.error = state, error

    # ---------------------------------------------------------------- what is done

    def _begin(self, *, once: bool) -> None:
        call = Call(len(self.calls), once=once)
        self.calls.append(call)
        self.waiting.append(call)
        self._grant()

        def work() -> Awaitable[Response]:
            body = b"%d" % call.number
            return self.http.request("POST", "/x", body, once=once)

        call.errand = self.stage.begin(work)
        self._settle()

    @precondition(lambda self: len(self.calls) < 40)
    @rule()
    def ask(self) -> None:
        self._begin(once=False)

    @precondition(lambda self: len(self.calls) < 40)
    @rule()
    def ask_once(self) -> None:
        self._begin(once=True)

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), last=st.sampled_from(["", "says", "vanishes"]))
    def answer(self, data: st.DataObject, last: str) -> None:
        """last: the connection's, which the server says, or does not say."""
        call = data.draw(st.sampled_from(self.busy))
        line = self._line_of(call)
        line.asked = None
        if self.waiting and last == "vanishes":
            last = ""  # whether the next one takes it before it is seen to have gone is chance
        self._end(call, "done")
        if last != "says":
            self.idle.append((line, self.now))
        if last == "vanishes":
            self.lost.add(line)
        self._grant()

        async def work() -> None:
            headers = ["Connection: close"] if last == "says" else []
            await line.peer.answer(b"%d" % call.number, "200 OK", *headers)
            if last == "vanishes":
                line.scope.cancel()

        self.stage.wait(work)
        self._settle()
        assert call.errand.result is not None
        assert call.errand.result.body == b"%d" % call.number

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), how=st.sampled_from(["drop", "reset", "half", "nonsense"]))
    def lose(self, data: st.DataObject, how: str) -> None:
        """The connection, in the middle of a request."""
        call = data.draw(st.sampled_from(self.busy))
        line = self._line_of(call)
        line.asked = None
        if how in ("drop", "reset") and call.reused:
            # Sent again, in the same place.
            self.busy.remove(call)
            self.stale += 1
            self._dial(call)
        else:
            self._end(call, "failed", BadResponse if how == "nonsense" else ConnectionLost)
        self._grant()

        async def work() -> None:
            if how == "half":
                await line.peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
            elif how == "nonsense":
                await line.peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
            elif how == "reset":
                line.peer.reset()
            if how != "nonsense":
                line.scope.cancel()

        self.stage.wait(work)
        self._settle()

    @precondition(lambda self: any(line not in self.lost for line, _ in self.idle))
    @rule(data=st.data(), how=st.sampled_from(["close", "reset", "talk"]))
    def spoil(self, data: st.DataObject, how: str) -> None:
        """A connection that lies idle."""
        good = [line for line, _ in self.idle if line not in self.lost]
        line = data.draw(st.sampled_from(good))
        self.lost.add(line)

        async def work() -> None:
            if how == "talk":
                await line.peer.answer(b"out of turn", "408 Request Timeout")
                return
            if how == "reset":
                line.peer.reset()
            line.scope.cancel()

        self.stage.wait(work)
        self._settle()

    @precondition(lambda self: any(call.state == "waiting" for call in self.calls))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """One that waits for a place, for its connection, or for its answer."""
        under_way = [call for call in self.calls if call.state == "waiting"]
        call = data.draw(st.sampled_from(under_way))
        self._end(call, "cancelled")
        self._grant()
        self.stage.cancel(call.errand)
        if call.line is not None:
            line = call.line
            self._wait(lambda: line.gone)
        self._settle()

    @rule(seconds=st.sampled_from([1.0, 40.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.hold is None)
    @rule()
    def refuse(self) -> None:
        """Connecting fails; or works again."""
        self.refusing = not self.refusing

    @precondition(lambda self: self.hold is None and not self.refusing)
    @rule()
    def hold_up(self) -> None:
        """From now on, connecting takes its time."""
        self.hold = anyio.Event()

    @precondition(lambda self: self.hold is not None)
    @rule()
    def let_connect(self) -> None:
        hold = self.hold
        assert hold is not None
        self.hold = None
        self.busy += self.connecting
        self.requests += len(self.connecting)
        self.connecting = []
        self.stage.do(hold.set)
        self._settle()

    @precondition(lambda self: self.hold is None)
    @rule()
    def close(self) -> None:
        """The client's block is left; there is another one."""
        self._close_client()
        self._open_client()

    # ---------------------------------------------------------------- what must be so

    def _line_of(self, call: Call) -> Line:
        assert call.line is not None
        return call.line

    def _settle(self) -> None:
        """Let everything arrive; then nothing more must happen."""
        self._wait(self._agree)
        self.stage.wait(_turns)
        assert self._agree(), self._books()
        for call in self.busy:
            [line] = [each for each in self.lines if each.asked == call.number and not each.gone]
            if call.line is None:
                assert line in self.lines[self.known :], "not a new connection"
                call.line = line
            assert line is call.line, "not the connection that was used last"
        self.known = len(self.lines)

    def _agree(self) -> bool:
        return self._seen() == self._expected()

    def _seen(self) -> tuple[object, ...]:
        stats = self.http.stats
        there = [line for line in self.lines if not line.gone and line not in self.lost]
        return (
            sorted(line.asked for line in there if line.asked is not None),
            len(there),
            sum(wire.stale for wire in self.http._idle),
            (stats.open, stats.idle, stats.waiting),
            (stats.requests, stats.reused, stats.stale),
            [call.errand.state for call in self.calls if hasattr(call, "errand")],
        )

    def _expected(self) -> tuple[object, ...]:
        return (
            sorted(call.number for call in self.busy),
            len(self.busy) + len(self.idle) - len(self.lost),
            len(self.lost),
            (len(self.busy) + len(self.idle), len(self.idle), len(self.waiting)),
            (self.requests, self.reused, self.stale),
            [call.state for call in self.calls if hasattr(call, "errand")],
        )

    def _books(self) -> str:
        return f"seen {self._seen()}, expected {self._expected()}"

    @invariant()
    def bounds_are_bounds(self) -> None:
        stats = self.http.stats
        assert stats.open <= stats.most == self.limit
        assert self.http._places.outstanding == self._places_taken()
        # Nobody waits for a place that is free.
        assert not stats.waiting or self._places_taken() == self.limit

    @invariant()
    def every_request_ends_as_it_must(self) -> None:
        for call in self.calls:
            if call.error is not None:
                assert type(call.errand.error) is call.error
            else:
                assert call.errand.error is None


async def _turns() -> None:
    for _ in range(HOPS):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_connections_are_kept_as_they_should_be(loop: str) -> None:
    name = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": loop == "uvloop"} if name == "asyncio" else {}
    machine = type("Machine", (PoolMachine,), {"backend": name, "options": options})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None)
    )


class Counted:
    """An idle connection that counts who looks at it."""

    looks = 0

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.reader = Reader(1, 1)

    @property
    def stale(self) -> bool:
        Counted.looks += 1
        return False

    async def exchange(self, request: bytes) -> Response:
        await anyio.lowlevel.checkpoint()
        self.reader.reusable = True
        return Response(200, [], request)

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize("idle", [1, 4000])
async def test_taking_a_connection_costs_the_same_however_many_are_idle(idle: int) -> None:
    async with open_http("http://127.0.0.1:1", connections=5000) as http:
        http._now = lambda: 0.0
        wires: list[Wire] = [Counted() for _ in range(idle)]
        http._open.update(wires)
        http._idle.extend(wires)
        Counted.looks = 0
        for number in range(10):
            response = await http.request("POST", "/x", b"%d" % number)
            assert response.body.endswith(b"%d" % number)
        assert Counted.looks == 10
        assert (http.stats.open, http.stats.idle, http.stats.reused) == (idle, idle, 10)
