"""A model server without a model: the routes of an OpenAI-style server and of vLLM, in a process
of its own, fast enough not to be what a benchmark measures.

    python benchmarks/mock_server.py --latency 0.25 --jitter 0.2 --fault reset=0.01

Prints `listening PORT`, and ends when its standard input does.

| route | answers |
|---|---|
| `POST /inference/v1/generate` | vLLM's: token ids, log-probabilities, versions of the weights |
| `POST /v1/chat/completions` | OpenAI's: a message, log-probabilities, usage (no streaming) |
| `POST /stream/v1/chat/completions` | the message as server-sent events, for clients that insist |
| `POST /v1/completions` | OpenAI's, with text |
| `GET /v1/models`, `GET /health` | one model called `mock`; nothing |
| `POST /update_weight_version` | calls the weights what `new_version` says, from now on |
| `GET /metrics` | vLLM's gauges of running and waiting requests |
| `GET /stats` | requests, answered, aborted, connections, open, and the most in flight at once |

An answer is 64 tokens: a tool call, the same one every time, unless `--answers FILE` names a JSON
list of `{"text": ..., "token_ids": [...]}`, which are then given in turn. What varies, by `--seed`,
is when an answer comes (uniform in latency * (1 ± jitter)) and whether something goes wrong with it
(`--fault NAME=SHARE`, any number of times). `--capacity N` refuses a request (429) while N are in
flight. A connection that closes before its answer counts as aborted.
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
MODEL = "mock"

FAULTS = ("429", "500", "reset", "close", "truncate", "malformed", "hang", "drip")
"""refused with Retry-After; failed; connection reset; closed; closed in the body; a body that is
no JSON; no answer at all; an answer in `DRIPS` pieces over `--drip-s` seconds."""

DRIPS = 20


# ---------------------------------------------------------------- answers


def answers(text: str, token_ids: list[int], version: str) -> dict[bytes, bytes]:
    """The whole response of every route, made once."""
    logprobs = [round(-0.01 * (place % 50) - 0.001, 6) for place in range(len(token_ids))]
    ranked = [
        {"token_id": token, "logprob": logprob, "rank": 1}
        for token, logprob in zip(token_ids, logprobs, strict=True)
    ]
    named = [
        {"token": f"token_id:{token}", "logprob": logprob, "bytes": None}
        for token, logprob in zip(token_ids, logprobs, strict=True)
    ]
    versions = [{"version": version, "start": 0, "end": len(token_ids)}]
    usage = {
        "prompt_tokens": 0,
        "completion_tokens": len(token_ids),
        "total_tokens": len(token_ids),
    }
    head = {"id": "mock-0", "created": 0, "model": MODEL}
    choice = {"index": 0, "finish_reason": "stop"}
    completion: dict[str, Any] = {
        "tokens": [item["token"] for item in named],
        "token_logprobs": logprobs,
        "top_logprobs": None,
        "text_offset": [],
    }
    routes: dict[bytes, Any] = {
        b"/inference/v1/generate": {
            "request_id": "mock-0",
            "choices": [
                {
                    **choice,
                    "stop_reason": token_ids[-1],
                    "token_ids": token_ids,
                    "routed_experts": None,
                    "weight_versions": versions,
                    # vLLM lists the sampled token among the top ones, even if none is asked for.
                    "logprobs": {"content": [{**one, "top_logprobs": [one]} for one in ranked]},
                }
            ],
            "prompt_logprobs": None,
            "kv_transfer_params": None,
        },
        b"/v1/completions": {
            **head,
            "object": "text_completion",
            "choices": [{**choice, "text": text, "logprobs": completion, "token_ids": token_ids}],
            "usage": usage,
        },
        b"/v1/chat/completions": {
            **head,
            "object": "chat.completion",
            "choices": [
                {
                    **choice,
                    "message": {"role": "assistant", "content": text},
                    "logprobs": {"content": [{**one, "top_logprobs": []} for one in named]},
                    "token_ids": token_ids,
                }
            ],
            "usage": usage,
        },
    }
    made = {path: response(200, body) for path, body in routes.items()}
    return {**made, b"/stream/v1/chat/completions": stream(text, {**head, "usage": usage})}


def stream(text: str, head: dict[str, Any]) -> bytes:
    """A chat answer as server-sent events: all of the text in one, the end and the usage in another.

    A real server sends an event a token; reading them would be work that no other route asks for.
    """
    head = {**head, "object": "chat.completion.chunk"}
    said = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    over: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events: list[dict[str, Any]] = [
        {**head, "choices": [said], "usage": None},
        {**head, "choices": [over]},
    ]
    lines = [json.dumps(event, separators=(",", ":")) for event in events] + ["[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return response(200, body, kind="text/event-stream")


def response(status: int, body: Any, *headers: str, kind: str = "") -> bytes:
    """A response as it goes over the wire, with the headers that such servers send."""
    text = isinstance(body, bytes)
    data = body if text else json.dumps(body, separators=(",", ":")).encode()
    lines = [
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Mocked'}",
        "date: Wed, 21 Oct 2026 07:28:00 GMT",
        "server: mock",
        f"content-length: {len(data)}",
        f"content-type: {kind or ('text/plain' if text else 'application/json')}",
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
        self.capacity: int = options.capacity
        self.retry_after: str = options.retry_after
        self.drip_s: float = options.drip_s
        self.faults = list(faults.items())
        self.said: list[dict[str, Any]] = [{"text": TEXT, "token_ids": list(range(3, 67))}]
        if options.answers:
            self.said = json.loads(Path(options.answers).read_text(encoding="utf-8"))
        self.name("default")
        self.requests = self.answered = self.aborted = self.connections = self.open = 0
        self.in_flight = self.most_in_flight = 0

    def name(self, version: str) -> None:
        """Call the weights so from now on."""
        made = [answers(one["text"], one["token_ids"], version) for one in self.said]
        self.answers = {path: [one[path] for one in made] for path in made[0]}

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
        names = ("requests", "answered", "aborted", "connections", "open", "most_in_flight")
        return {name: getattr(self, name) for name in names}

    def metrics(self) -> bytes:
        """The gauges that a client's limits look at, as vLLM writes them."""
        label = f'{{engine="0",model_name="{MODEL}"}}'
        lines = [
            f"vllm:num_requests_running{label} {float(self.in_flight)}",
            f"vllm:num_requests_waiting{label} 0.0",
            f"vllm:kv_cache_usage_perc{label} 0.0",
            f"vllm:num_preemptions_total{label} 0.0",
        ]
        return ("\n".join(lines) + "\n").encode()


class Connection(asyncio.Protocol):
    """One client's connection. Reads a request, answers it later, reads the next."""

    def __init__(self, mock: Mock) -> None:
        self.mock = mock
        self.path = b""
        self.body = b""
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
            self.mock.in_flight -= 1
        del self.parser  # it holds our methods

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.transport.write(response(400, {"error": "no HTTP"}, "connection: close"))
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.path = url
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        mock = self.mock
        said = mock.answers.get(self.path)
        if said is None:
            self.write(self.other())
            return
        mock.requests += 1
        if mock.capacity and mock.in_flight >= mock.capacity:
            self.do_429(b"")
            return
        mock.in_flight += 1
        mock.most_in_flight = max(mock.most_in_flight, mock.in_flight)
        fault = mock.fault()
        act: Callable[[bytes], None] = self.write if fault is None else getattr(self, f"do_{fault}")
        answer = said[mock.requests % len(said)]
        self.pending = self.loop.call_later(mock.delay(), self.act, act, answer)

    def act(self, act: Callable[[bytes], None], answer: bytes) -> None:
        self.pending = None
        self.mock.in_flight -= 1
        self.mock.answered += 1
        act(answer)

    def other(self) -> bytes:
        match self.path:
            case b"/health":
                return response(200, {})
            case b"/stats":
                return response(200, self.mock.stats())
            case b"/metrics":
                return response(200, self.mock.metrics())
            case b"/v1/models":
                return response(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
            case b"/update_weight_version":
                self.mock.name(json.loads(self.body)["new_version"])
                return response(200, {"success": True})
            case _:
                return response(404, {"error": {"message": f"nothing at {self.path.decode()}"}})

    def write(self, answer: bytes) -> None:
        self.transport.write(answer)

    def do_429(self, answer: bytes) -> None:
        after = f"retry-after: {self.mock.retry_after}"
        self.write(response(429, {"error": {"message": "slow down"}}, after))

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

    def do_drip(self, answer: bytes) -> None:
        size = -(-len(answer) // DRIPS)
        for place in range(DRIPS):
            piece = answer[place * size : (place + 1) * size]
            self.loop.call_later(place * self.mock.drip_s / DRIPS, self.write, piece)


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
    parser.add_argument("--answers", default="", help="JSON file: a list of texts with token_ids")
    parser.add_argument("--capacity", type=int, default=0, help="in flight at most; 0: no limit")
    parser.add_argument("--retry-after", default="0", help="what a refusal (429) asks for")
    parser.add_argument("--drip-s", type=float, default=1.0, help="how long a dripped answer takes")
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
