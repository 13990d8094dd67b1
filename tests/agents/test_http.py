"""The HTTP client against a real server that misbehaves: typed outcomes, nothing left open."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import Peer, Script, open_misbehaving, until

from duologue.agents.models.http import _client as _http
from duologue.agents.models.http._client import Http, open_http
from duologue.agents.models.http._heads import Heads
from duologue.agents.models.http._parse import (
    BadResponse,
    BadStatus,
    ConnectFailed,
    ConnectionLost,
    HttpError,
    Reader,
    Response,
    TooLarge,
)
from duologue.engine import ModelError, UsageError

pytestmark = pytest.mark.anyio

LOCALHOST = Path(__file__).parents[1] / "data" / "localhost.pem"
KEY = "sk-very-secret-0123456789"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops, and the asyncio loop that people run: transports differ more than loops."""
    loop: str = request.param
    if loop == "trio":
        return "trio", {}
    return "asyncio", {"use_uvloop": loop == "uvloop"}


@contextmanager
def soon() -> Generator[None]:
    """A test that hangs is a failure of its own, and quickly."""
    with anyio.fail_after(5):
        yield


def raw(*parts: bytes) -> Script:
    """Answer every request with these bytes, and close after the first."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.send(part)

    return script


async def well(peer: Peer) -> None:
    """A server that behaves: echoes bodies."""
    while True:
        request = await peer.request()
        await peer.answer(request.partition(b"\r\n\r\n")[2])


async def post(http: Http, body: bytes = b"{}") -> Response:
    return await http.request("POST", "/generate", body)


# ---------------------------------------------------------------- what goes right


async def test_a_request_says_what_it_must_and_the_response_comes_back_whole() -> None:
    async with open_misbehaving(well) as server:
        async with open_http(f"{server.url}/base/", headers={"authorization": KEY}) as http:
            with soon():
                response = await http.request("POST", "/v1?x=1", b'{"a": 1}', [("x-session", "s")])
        assert (response.status, response.body) == (200, b'{"a": 1}')
        assert response.header("Content-Length") == "8"
        assert response.header("x-none") is None
        head = server.peers[0].requests[0].decode()
        assert head.startswith("POST /base/v1?x=1 HTTP/1.1\r\n")
        for line in (
            f"host: {server.url.removeprefix('http://')}",
            "accept-encoding: identity",
            "content-type: application/json",
            f"authorization: {KEY}",
            "x-session: s",
            "content-length: 8",
        ):
            assert f"\r\n{line}\r\n" in head
        with soon():
            await server.quiet()


async def test_requests_in_a_row_share_one_connection() -> None:
    async with open_misbehaving(well) as server:
        async with open_http(server.url) as http:
            for number in range(5):
                with soon():
                    assert (await post(http, b"%d" % number)).body == b"%d" % number
            stats = http.stats
        assert len(server.peers) == 1
        assert (stats.open, stats.idle, stats.requests, stats.reused) == (1, 1, 5, 4)


async def test_requests_at_once_never_open_more_connections_than_allowed() -> None:
    most = 0

    async def slow(peer: Peer) -> None:
        nonlocal most
        while True:
            request = await peer.request()
            most = max(most, server.open)
            await anyio.sleep(0.001)
            await peer.answer(request.partition(b"\r\n\r\n")[2])

    async with open_misbehaving(slow) as server:
        answers: list[bytes] = []
        async with open_http(server.url, connections=3) as http:

            async def ask(number: int) -> None:
                answers.append((await post(http, b"%d" % number)).body)

            with soon():
                async with anyio.create_task_group() as tasks:
                    for number in range(30):
                        tasks.start_soon(ask, number)
            assert http.stats.open <= 3 and http.stats.waiting == 0
        assert sorted(answers) == sorted(b"%d" % number for number in range(30))
        assert most <= 3 and len(server.peers) <= 3


async def test_the_connection_used_last_is_taken_first_and_old_ones_go() -> None:
    async with open_misbehaving(well) as server, open_http(server.url, idle_s=0.2) as http:
        with soon():
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(post, http)
            assert http.stats.idle == 3
            # Requests one at a time need one connection: the others grow old and are closed.
            while http.stats.open > 1:
                await post(http)
                await anyio.sleep(0.01)
            await anyio.sleep(0.25)
            await post(http)
        assert len(server.peers) == 4  # even the last was too old by then
        assert http.stats.open == 1


async def test_chunks_make_one_body_however_they_are_cut() -> None:
    answer = (
        OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nT: x\r\n\r\n"
    )

    async def dripping(peer: Peer) -> None:
        await peer.request()
        for number in range(len(answer)):
            await peer.send(answer[number : number + 1])
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with open_misbehaving(dripping) as server, open_http(server.url) as http:
        with soon():
            assert (await post(http)).body == b"Wikipedia"
            assert (await post(http)).body == b"Wikipedia"
        assert len(server.peers) == 1


async def test_a_large_body_crosses_both_ways() -> None:
    body = bytes(range(256)) * 8192
    async with open_misbehaving(well) as server, open_http(server.url) as http:
        with soon():
            assert (await post(http, body)).body == body


async def test_a_server_may_say_100_continue_first() -> None:
    script = raw(b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 2\r\n\r\nok")
    async with open_misbehaving(script) as server, open_http(server.url) as http:
        with soon():
            assert (await post(http)).body == b"ok"


async def test_204_has_no_body_and_needs_no_length() -> None:
    script = raw(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with open_misbehaving(script) as server, open_http(server.url) as http:
        with soon():
            response = await http.request("DELETE", "/x")
        assert (response.status, response.body) == (204, b"")


async def test_connection_close_is_obeyed() -> None:
    async def closing(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}", "200 OK", "Connection: close")
        await peer.gone()

    async with open_misbehaving(closing) as server, open_http(server.url) as http:
        with soon():
            await post(http)
            await post(http)
            assert http.stats.open == 0
            await server.quiet()
        assert len(server.peers) == 2


async def test_tls_is_spoken_and_the_certificate_checked() -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(LOCALHOST)
    trusting = ssl.create_default_context(cafile=str(LOCALHOST))
    async with open_misbehaving(well, tls=serving) as server:
        async with open_http(server.url, tls=trusting) as http:
            with soon():
                for _ in range(3):
                    assert (await post(http, b"x" * 100_000)).body == b"x" * 100_000
        assert len(server.peers) == 1
        async with open_http(server.url) as http:
            with soon(), pytest.raises(ConnectFailed, match="cannot connect to https://localhost"):
                await post(http)
            assert http.stats.open == 0
        with soon():
            await server.quiet()


# ---------------------------------------------------------------- what goes wrong


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def reset_in_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Content-Length: 10\r\n\r\n123")
    await anyio.sleep(0.01)  # a reset overtakes what has not been read
    peer.reset()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


LOST: dict[str, tuple[Script, bool]] = {
    "closes without a word": (raw(), False),
    "resets without a word": (reset, False),
    "resets before the request": (reset_at_once, False),
    "closes in the status line": (raw(b"HTTP/1"), True),
    "closes in the head": (raw(OK + b"Content-Le"), True),
    "closes before the body": (raw(OK + b"Content-Length: 10\r\n\r\n"), True),
    "closes in the body": (raw(OK + b"Content-Length: 10\r\n\r\n12345"), True),
    "resets in the body": (reset_in_body, True),
    "closes in a chunk": (raw(OK + b"Transfer-Encoding: chunked\r\n\r\n8\r\nab"), True),
    "closes before the last chunk": (
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
        True,
    ),
}


@pytest.mark.parametrize("how", LOST)
async def test_a_connection_that_ends_early_is_lost_and_says_whether_an_answer_had_begun(
    how: str,
) -> None:
    script, begun = LOST[how]
    async with open_misbehaving(script) as server, open_http(server.url) as http:
        with soon(), pytest.raises(ConnectionLost) as raised:
            await post(http)
        assert raised.value.begun == begun
        assert (http.stats.open, http.stats.idle) == (0, 0)
        assert len(server.peers) == 1  # a new connection's loss is not retried here
        with soon():
            await server.quiet()


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

BAD: dict[str, tuple[Script, type[HttpError]]] = {
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), BadResponse),
    "a request": (raw(b"GET / HTTP/1.1\r\n\r\n"), BadResponse),
    "HTTP/2": (raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), BadResponse),
    "a bad status": (raw(b"HTTP/1.1 banana\r\n\r\n"), BadResponse),
    "a bad length": (raw(OK + b"Content-Length: ten\r\n\r\n1234567890"), BadResponse),
    "a negative length": (raw(OK + b"Content-Length: -1\r\n\r\n"), BadResponse),
    "a length beyond numbers": (raw(OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"), HttpError),
    "two lengths": (raw(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), BadResponse),
    "a length and chunks": (
        raw(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        BadResponse,
    ),
    "no length": (raw(OK + b"\r\nhello"), BadResponse),
    "more than its length": (raw(OK + b"Content-Length: 2\r\n\r\n{}}"), BadResponse),
    "a second response": (raw((OK + b"Content-Length: 2\r\n\r\n{}") * 2), BadResponse),
    "chunks of garbage": (raw(CHUNKED + b"zz\r\nab\r\n0\r\n\r\n"), BadResponse),
    "a chunk without its end": (raw(CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n"), BadResponse),
    "a header without a name": (raw(OK + b": x\r\n\r\n"), BadResponse),
    "a null in a header": (raw(OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"), BadResponse),
    "another protocol": (
        raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        BadResponse,
    ),
    "gzip": (raw(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), BadResponse),
    "a huge header": (raw(OK + b"X: " + b"x" * 10_000 + b"\r\n\r\n"), TooLarge),
    "a huge header without end": (raw(OK, *([b"x" * 1000] * 10)), TooLarge),
    "many headers": (raw(OK, *(b"X-%d: y\r\n" % n for n in range(1000))), TooLarge),
    "interim answers without end": (raw(*([b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000)), TooLarge),
    "a huge body announced": (raw(OK + b"Content-Length: 1000000\r\n\r\n"), TooLarge),
    "a huge body in chunks": (raw(CHUNKED, *([b"400\r\n" + b"x" * 1024 + b"\r\n"] * 32)), TooLarge),
    "chunks that are all framing": (
        raw(CHUNKED, *([b"1;" + b"e" * 100 + b"\r\nx\r\n"] * 300)),
        TooLarge,
    ),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_response_of_ours_is_an_error_with_a_type(what: str) -> None:
    script, kind = BAD[what]
    async with open_misbehaving(script) as server:
        async with open_http(server.url, max_head=4096, max_body=16_384) as http:
            with soon(), pytest.raises(kind) as raised:
                await post(http)
            assert isinstance(raised.value, ModelError)
            assert http.stats.open == 0
        with soon():
            await server.quiet()


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def dripping(peer: Peer) -> None:
    await peer.request()
    await peer.send(OK + b"Content-Length: 100000\r\n\r\n")
    while True:
        await peer.send(b"x")
        await anyio.sleep(0.005)


async def deaf(peer: Peer) -> None:
    await anyio.sleep(60)


@pytest.mark.parametrize("script", [silent, dripping, deaf])
async def test_a_deadline_ends_the_request_and_closes_its_connection(script: Script) -> None:
    async with open_misbehaving(script) as server, open_http(server.url) as http:
        with anyio.move_on_after(0.05) as scope:
            await post(http, b"x" * 8_000_000 if script is deaf else b"{}")
        assert scope.cancelled_caught
        assert (http.stats.open, http.stats.waiting) == (0, 0)
        if script is not deaf:
            with soon():
                await server.quiet()


async def test_a_request_waiting_for_a_connection_can_be_cancelled() -> None:
    async with open_misbehaving(silent) as server, open_http(server.url, connections=1) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post, http)
            await until(lambda: http.stats.open == 1)
            with anyio.move_on_after(0.02) as scope:
                await post(http)
            assert scope.cancelled_caught
            assert (http.stats.open, http.stats.waiting) == (1, 0)
            tasks.cancel_scope.cancel()
        assert http.stats.open == 0
        assert len(server.peers) == 1


async def test_nobody_listening_is_a_failed_connection() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    async with open_http(f"http://127.0.0.1:{port}") as http:
        with soon(), pytest.raises(ConnectFailed, match=f"http://127.0.0.1:{port}"):
            await post(http)
        assert http.stats.open == 0


# ---------------------------------------------------------------- connections gone stale


async def once_each(peer: Peer) -> None:
    """Answers one request properly, without a word about closing, and closes."""
    await peer.request()
    await peer.answer(b"{}")


async def test_a_connection_closed_while_idle_is_noticed_before_it_is_used() -> None:
    async with open_misbehaving(once_each) as server, open_http(server.url) as http:
        for _ in range(3):
            with soon():
                await post(http)
                await server.quiet()
                await anyio.sleep(0.01)  # the loop looks at its sockets once more
        assert (http.stats.reused, http.stats.stale) == (0, 0)
        assert len(server.peers) == 3


async def test_a_server_that_talks_out_of_turn_loses_its_connection() -> None:
    async def chatty(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}")
        await anyio.sleep(0.01)
        await peer.answer(b"out of turn", "408 Request Timeout")
        spoke.set()
        await peer.gone()

    spoke = anyio.Event()
    async with open_misbehaving(chatty) as server, open_http(server.url) as http:
        with soon():
            await post(http)
            await spoke.wait()
            await anyio.sleep(0.01)
            assert (await post(http)).body == b"{}"
        assert len(server.peers) == 2


async def second_dies(peer: Peer) -> None:
    """The first connection dies when it is used again: the race that no look beforehand wins."""
    await peer.request()
    await peer.answer(b"first")
    await peer.request()
    if peer.number > 0:
        await peer.answer(b"second")


async def test_a_kept_connection_that_dies_unanswered_is_replaced_once() -> None:
    async with open_misbehaving(second_dies) as server, open_http(server.url) as http:
        with soon():
            assert (await post(http)).body == b"first"
            assert (await post(http)).body == b"first"
        assert (http.stats.reused, http.stats.stale) == (1, 1)
        assert len(server.peers) == 2


async def test_what_must_not_be_done_twice_is_sent_on_a_new_connection_only() -> None:
    async with open_misbehaving(second_dies) as server, open_http(server.url) as http:
        with soon():
            await http.request("POST", "/x", once=True)
            await http.request("POST", "/x", once=True)
        assert http.stats.reused == 0
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


async def test_a_kept_connection_that_dies_in_its_answer_is_not_tried_again() -> None:
    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"whole")
        await peer.request()
        await peer.send(OK + b"Content-Length: 5\r\n\r\nha")

    async with open_misbehaving(half) as server, open_http(server.url) as http:
        with soon():
            await post(http)
            with pytest.raises(ConnectionLost) as raised:
                await post(http)
        assert raised.value.begun
        assert len(server.peers) == 1


# ---------------------------------------------------------------- the end of the block


async def test_leaving_the_block_closes_every_connection_busy_or_not() -> None:
    outcomes: list[BaseException] = []

    async def second_hangs(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.answer(b"{}")
        await peer.gone()

    async def ask(http: Http) -> None:
        try:
            await post(http)
        except HttpError as error:
            outcomes.append(error)

    async with open_misbehaving(second_hangs) as server:
        async with (
            anyio.create_task_group() as tasks,
            open_http(server.url, connections=2) as http,
        ):
            with soon():
                await post(http)
                tasks.start_soon(ask, http)
                tasks.start_soon(ask, http)
                tasks.start_soon(ask, http)
                await until(lambda: (http.stats.waiting, http.stats.open) == (1, 2))
        assert len(outcomes) == 3
        assert http.stats.open == 0
        with soon():
            await server.quiet()
        with pytest.raises(ConnectFailed, match="was closed"):
            await post(http)


async def test_a_block_that_is_cancelled_closes_every_connection_too() -> None:
    async with open_misbehaving(well) as server:
        with anyio.CancelScope() as scope:
            async with open_http(server.url) as http:
                with soon():
                    async with anyio.create_task_group() as tasks:
                        for _ in range(5):
                            tasks.start_soon(post, http)
                assert http.stats.open > 1
                scope.cancel()
        with soon():
            await server.quiet()


async def test_cancellation_at_any_moment_leaves_no_connection_and_no_place_taken() -> None:
    """The same exchange, cancelled a little later each time."""
    async with open_misbehaving(well) as server:
        async with open_http(server.url, connections=2) as http:
            for passes in range(40):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(post, http)
                    tasks.start_soon(post, http)
                    tasks.start_soon(post, http)
                    for _ in range(passes):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                stats = http.stats
                assert stats.open == stats.idle <= 2
                assert stats.waiting == http._places.outstanding == 0
            with soon():
                assert (await post(http, b"still good")).body == b"still good"
        with soon():
            await server.quiet()


# ---------------------------------------------------------------- statuses, keys, usage


async def test_check_passes_what_succeeded_and_raises_what_was_refused() -> None:
    async def busy(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}", "201 Created")
        await peer.request()
        words = f'{{"error": "slow down, {KEY}"}}'.encode()
        await peer.answer(words, "429 Too Many Requests", "Retry-After: 7")
        await peer.request()
        await peer.answer(b"", "500 Internal Server Error")

    headers = {"authorization": f"Bearer {KEY}"}
    async with open_misbehaving(busy) as server, open_http(server.url, headers=headers) as http:
        with soon():
            assert http.check(await post(http)).status == 201
            with pytest.raises(BadStatus, match=r"answered 429.*slow down") as raised:
                http.check(await post(http))
            assert (raised.value.status, raised.value.retry_after_s) == (429, 7.0)
            assert KEY not in str(raised.value)
            with pytest.raises(BadStatus, match=r"answered 500: \(no words\)"):
                http.check(await post(http))


async def test_a_key_is_in_no_repr_and_no_error() -> None:
    async def echo(peer: Peer) -> None:
        request = await peer.request()
        if peer.number == 0:
            await peer.answer(request, "200 OK", f"X-Echo: {KEY}", "Connection: close")
        else:
            await peer.send(request)

    headers = {"authorization": KEY}
    async with open_misbehaving(echo) as server, open_http(server.url, headers=headers) as http:
        with soon():
            response = await post(http)
            with pytest.raises(BadResponse) as raised:
                await post(http)
        for words in (repr(http), repr(response), repr(raised.value), str(http.stats)):
            assert KEY not in words


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", None, 0.0),
        ("120", None, 120.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:29:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "yesterday", None),
        ("-5", None, None),
        ("1.5", None, None),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("\u00b2", None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_counted_from_the_servers_own(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    headers = [(b"retry-after", value), (b"date", date)]
    given = [(name, words.encode("latin-1")) for name, words in headers if words is not None]
    assert Response(429, given, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://host",
        "http://",
        "http://user:password@host",
        "http://host/?q=1",
        "http://host:http",
        "http://[::1",
    ],
)
async def test_a_url_that_cannot_be_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        async with open_http(url):
            pass
    assert "password@" not in str(raised.value)


async def test_connections_stay_below_what_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_http, "connections_left", lambda: 2)
    async with open_misbehaving(well) as server, open_http(server.url) as http:
        assert http.stats.most == 2
        with soon():
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(post, http)
        assert http.stats.open <= 2 and len(server.peers) <= 2
    monkeypatch.setattr(_http, "connections_left", lambda: 0)
    with pytest.raises(UsageError, match=r"as many files open as it may.*ulimit -n"):
        async with open_http(server.url):
            pytest.fail("there is no file left for a connection")


def test_every_file_that_is_open_leaves_one_connection_less() -> None:
    before = _http.connections_left()
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(open(os.devnull))
        assert _http.connections_left() == before - 5


@pytest.mark.parametrize(
    "headers",
    [
        {"x y": "z"},
        {"": "z"},
        {"x:": "z"},
        {"x": f"{KEY}\r\nx-other: 1"},
        {"x": f"{KEY}\u2603"},
        {"Content-Length": "3"},
        {"transfer-encoding": "chunked"},
    ],
)
async def test_a_header_that_cannot_be_is_refused_without_its_value(
    headers: dict[str, str],
) -> None:
    with pytest.raises(UsageError) as raised:
        async with open_http("http://127.0.0.1:1", headers=headers):
            pass
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nx: y", "/\u00e9"])
async def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    async with open_http("http://127.0.0.1:1") as http:
        with pytest.raises(UsageError, match="no path is written"):
            await http.request("GET", path)
        with pytest.raises(UsageError, match="no method 'HEAD'"):
            await http.request("HEAD", "/")


# ---------------------------------------------------------------- the reader alone


@given(
    bodies=st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    chunked=st.booleans(),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_however_the_bytes_are_cut_the_responses_are_the_same(
    bodies: list[bytes], chunked: bool, cuts: list[int]
) -> None:
    reader = Reader(4096, 4096)
    for body in bodies:
        if chunked:
            pieces = [body[n : n + 7] for n in range(0, len(body), 7)]
            framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            data = CHUNKED + framed + b"0\r\n\r\n"
        else:
            data = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
        reader.begin()
        number = 0
        while data:
            assert not reader.complete
            cut = cuts[number % len(cuts)]
            reader.feed(data[:cut])
            data, number = data[cut:], number + 1
        assert reader.complete and reader.reusable
        assert reader.response().body == body


NAMES = st.sampled_from(["content-length", "Content-Length", "date", "x", "x-content-length"])
VALUES = st.sampled_from(["2", "7", "007", "1e3", "+2", " 2", "a", "content-length: 2", ""])
ODD_HEADS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@given(
    messages=st.lists(st.tuples(ODD_HEADS, st.binary(max_size=9)), min_size=1, max_size=4),
    again=st.lists(st.integers(0, 3), max_size=6),
    cut=st.integers(1, 200),
)
def test_a_head_met_before_is_read_as_the_parser_reads_it(
    messages: list[tuple[list[tuple[str, str]], bytes]], again: list[int], cut: int
) -> None:
    heads = Heads()
    for number in [*range(len(messages)), *again]:
        fields, body = messages[number % len(messages)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        data = OK + lines.encode() + b"content-length: %d\r\n\r\n" % len(body) + body
        assert _read(data, cut, heads) == _read(data, cut, None)
        # The same head before more, or less, than it says.
        assert _read(data + b"x", cut, heads) == _read(data + b"x", cut, None)
        assert _read(data[:-1], cut, heads) == _read(data[:-1], cut, None)


def _read(data: bytes, cut: int, heads: Heads | None) -> object:
    """What becomes of a response that arrives in pieces of `cut` bytes."""
    reader = Reader(400, 400, heads)
    try:
        for start in range(0, len(data), cut):
            reader.feed(data[start : start + cut])
    except HttpError as error:
        return type(error)
    answer = reader.response()
    return reader.complete, reader.reusable, answer.status, answer.headers, answer.body


def test_a_head_met_before_costs_no_parsing() -> None:
    heads = Heads()
    for length in range(5):
        data = OK + b"date: now\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length
        reader = Reader(400, 400, heads)
        reader.feed(data[:-1])
        reader.feed(data[-1:])
        assert reader.complete and reader.response().body == b"x" * length
        assert reader.response().header("content-length") == str(length)
    assert len(heads._known) == 1


def test_heads_that_are_always_new_are_learned_for_a_while_only() -> None:
    heads = Heads()
    for number in range(300):
        data = OK + b"x-id: %d\r\nContent-Length: 2\r\n\r\n{}" % number
        reader = Reader(400, 400, heads)
        reader.feed(data)
        assert reader.response().header("x-id") == str(number)
        assert len(heads._known) <= 64
    assert heads._learned < 100


@given(data=st.binary(max_size=400), cut=st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_any_bytes_at_all_are_a_response_or_a_typed_error(data: bytes, cut: int) -> None:
    reader = Reader(300, 300)
    try:
        for start in range(0, len(data), cut):
            if reader.complete:
                break
            reader.feed(OK[: start == 0 and len(OK)] + data[start : start + cut])
    except HttpError:
        return
    assert len(data) <= 600
