"""A model server without a model: the routes of an OpenAI-style server and of vLLM, in a process
of its own, fast enough not to be what a benchmark measures.

    python benchmarks/mock_server.py --latency 0.25 --fault reset=0.01

Prints `listening PORT`, and ends when its standard input does. Every answer is the same 64 tokens;
what varies, by a seed, is when it comes and whether something goes wrong with it. A connection that
closes before its answer counts as aborted. `GET /stats` says what was seen so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from httptools import HttpParserError, HttpRequestParser

TEXT = (
    '<tool_call>\n{"name": "interact_with_env", "arguments": '
    '{"choice": "action", "content": "Could you say more about that?"}}\n</tool_call>'
)
VERSION = "v0"

FAULTS = ("429", "500", "reset", "close", "truncate", "malformed", "hang")
"""refused with Retry-After; failed; connection reset; closed; closed in the body; a body that is
no JSON; no answer at all."""


# ---------------------------------------------------------------- answers


def answers(text: str, token_ids: list[int]) -> dict[bytes, bytes]:
    """The whole response of every route, made once."""
    content: list[dict[str, Any]] = [
        {
            "token": f"token_id:{token}",
            "token_id": token,
            "logprob": round(-0.01 * (place % 50) - 0.001, 6),
            "bytes": None,
            "top_logprobs": [],
        }
        for place, token in enumerate(token_ids)
    ]
    versions = [{"version": VERSION, "start": 0, "end": len(token_ids)}]
    usage = {"prompt_tokens": 0, "completion_tokens": len(token_ids), "total_tokens": 0}
    head = {"id": "mock-0", "created": 0, "model": "mock"}
    choice = {"index": 0, "finish_reason": "stop", "token_ids": token_ids}
    completion: dict[str, Any] = {
        "tokens": [item["token"] for item in content],
        "token_logprobs": [item["logprob"] for item in content],
        "top_logprobs": None,
        "text_offset": [],
    }
    message = {"role": "assistant", "content": text}
    routes: dict[bytes, Any] = {
        b"/inference/v1/generate": {
            "request_id": "mock-0",
            "choices": [{**choice, "logprobs": {"content": content}, "weight_versions": versions}],
            "prompt_logprobs": None,
        },
        b"/v1/completions": {
            **head,
            "object": "text_completion",
            "choices": [{**choice, "text": text, "logprobs": completion}],
            "usage": usage,
        },
        b"/v1/chat/completions": {
            **head,
            "object": "chat.completion",
            "choices": [{**choice, "message": message, "logprobs": {"content": content}}],
            "usage": usage,
        },
    }
    return {path: response(200, body) for path, body in routes.items()}


def response(status: int, body: Any, *headers: str) -> bytes:
    """A response as it goes over the wire, with the headers that such servers send."""
    data = json.dumps(body, separators=(",", ":")).encode()
    lines = [
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Mocked'}",
        "date: Wed, 21 Oct 2026 07:28:00 GMT",
        "server: mock",
        f"content-length: {len(data)}",
        "content-type: application/json",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


# ---------------------------------------------------------------- the server


class Mock:
    """What all connections share."""

    def __init__(self, options: argparse.Namespace, faults: dict[str, float]) -> None:
        self.random = random.Random(options.seed)
        self.latency: float = options.latency
        self.jitter: float = options.jitter
        self.faults = list(faults.items())
        text, token_ids = TEXT, list(range(3, 67))
        if options.answer:
            answer = json.loads(Path(options.answer).read_text(encoding="utf-8"))
            text, token_ids = answer["text"], answer["token_ids"]
        self.answers = answers(text, token_ids)
        self.requests = self.answered = self.aborted = self.connections = self.open = 0

    def delay(self) -> float:
        return self.latency * (1 + self.jitter * (2 * self.random.random() - 1))

    def fault(self) -> str | None:
        if not self.faults:
            return None
        draw = self.random.random()
        for name, share in self.faults:
            if draw < share:
                return name
            draw -= share
        return None

    def stats(self) -> dict[str, int]:
        names = ("requests", "answered", "aborted", "connections", "open")
        return {name: getattr(self, name) for name in names}


class Connection(asyncio.Protocol):
    """One client's connection. Reads a request, answers it later, reads the next."""

    def __init__(self, mock: Mock) -> None:
        self.mock = mock
        self.path = b""
        self.pending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = HttpRequestParser(self)
        self.loop = asyncio.get_running_loop()
        self.mock.connections += 1
        self.mock.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.mock.open -= 1
        if self.pending is not None:
            self.pending.cancel()
            self.mock.aborted += 1
        del self.parser  # it holds our methods

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.transport.write(response(400, {"error": "no HTTP"}, "connection: close"))
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.path = url

    def on_message_complete(self) -> None:
        mock = self.mock
        answer = mock.answers.get(self.path)
        if answer is None:
            self.write(self.other())
            return
        mock.requests += 1
        fault = mock.fault()
        act: Callable[[bytes], None] = self.write if fault is None else getattr(self, f"do_{fault}")
        self.pending = self.loop.call_later(mock.delay(), self.act, act, answer)

    def act(self, act: Callable[[bytes], None], answer: bytes) -> None:
        self.pending = None
        self.mock.answered += 1
        act(answer)

    def other(self) -> bytes:
        if self.path == b"/health":
            return response(200, {})
        if self.path == b"/stats":
            return response(200, self.mock.stats())
        return response(404, {"error": {"message": f"nothing at {self.path.decode()}"}})

    def write(self, answer: bytes) -> None:
        self.transport.write(answer)

    def do_429(self, answer: bytes) -> None:
        self.write(response(429, {"error": {"message": "slow down"}}, "retry-after: 0"))

    def do_500(self, answer: bytes) -> None:
        self.write(response(500, {"error": {"message": "this one failed"}}))

    def do_reset(self, answer: bytes) -> None:
        self.transport.abort()

    def do_close(self, answer: bytes) -> None:
        self.transport.close()

    def do_truncate(self, answer: bytes) -> None:
        self.write(answer[: len(answer) // 2])
        self.transport.close()

    def do_malformed(self, answer: bytes) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        self.write(head + b"\r\n\r\n" + b"{" * len(body))

    def do_hang(self, answer: bytes) -> None:
        pass


async def serve(options: argparse.Namespace, faults: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    mock = Mock(options, faults)
    server = await loop.create_server(
        lambda: Connection(mock), "127.0.0.1", options.port, backlog=4096
    )
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    # Whoever started us holds the other end of our input: it cannot go without our noticing.
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


def read_faults(words: list[str]) -> dict[str, float]:
    faults: dict[str, float] = {}
    for word in words:
        name, _, share = word.partition("=")
        if name not in FAULTS:
            raise SystemExit(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
        faults[name] = float(share or 0.01)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.25, help="mean seconds to an answer")
    parser.add_argument("--jitter", type=float, default=0.2, help="as a share of the latency")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answer", default="", help="JSON file with `text` and `token_ids`")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME=SHARE", help=", ".join(FAULTS)
    )
    options = parser.parse_args()
    work = serve(options, read_faults(options.fault))
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)


if __name__ == "__main__":
    main()
