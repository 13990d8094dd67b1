"""What a turn costs when the model is behind HTTP: whole dialogues against a mock server.

The server runs in a process of its own and answers after 250 ms ± 20 % with 64 tokens, their
log-probabilities and a valid tool call. A dialogue is 8 turns with its whole history sent every
time. What is measured is everything this process does, threads included: engine, rendering,
tokenising, HTTP, decoding, parsing the call.

The baseline is the least that a Python client can do: a bare asyncio protocol on uvloop that sends
the same bytes at the same pace and finds the end of the answer, nothing else. A busy machine slows
both, so their ratio says more than either.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, cast

import anyio
import msgspec
from _common import machine
from msgspec import Struct
from tokenizers import Tokenizer

from duologue.agents import ChatML, TokenAgent, write_call
from duologue.agents.models import Generation, Model, Request, Sampling
from duologue.agents.models._http import Http, open_http
from duologue.agents.models._limits import Limits, LimitsConfig
from duologue.agents.models._tokenizer import train_tokenizer
from duologue.engine import (
    Action,
    Dialogue,
    End,
    Key,
    Message,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Span,
    Task,
    open_lateness,
    open_rollouts,
    relaxed_collector,
)

LOOPS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

TURNS = 8
ANSWER_TOKENS = 64

TEXT = (
    "The museum opens at nine and the guided tour begins an hour later; children under twelve pay "
    "nothing, and the large hall is closed on Mondays because the floor is being renewed."
)
WORDS = TEXT.split()
SENTENCES = [" ".join(Random(number).sample(WORDS, 20)) for number in range(1024)]


# ---------------------------------------------------------------- the model


class _Sampling(Struct, frozen=True):
    temperature: float
    max_tokens: int
    seed: int
    stop_token_ids: tuple[int, ...]
    logprobs: int = 0
    detokenize: bool = False


class _Ask(Struct, frozen=True):
    token_ids: list[int]
    sampling_params: _Sampling
    cache_salt: str = "v0"


class _Logprob(Struct, frozen=True, gc=False):
    logprob: float


class _Logprobs(Struct, frozen=True):
    content: list[_Logprob]


class _Choice(Struct, frozen=True):
    token_ids: list[int]
    logprobs: _Logprobs
    finish_reason: str


class _Answer(Struct, frozen=True):
    choices: list[_Choice]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Answer).decode


class MockedModel:
    """Tokens in, tokens out, through our client and its limits."""

    def __init__(self, http: Http, limits: Limits, tokenizer: Tokenizer) -> None:
        self._http, self._limits, self._tokenizer = http, limits, tokenizer

    def open(self, session: str) -> None: ...

    def close(self, session: str) -> None: ...

    async def generate(self, request: Request) -> Generation:
        sampling = request.sampling
        body = _encode(
            _Ask(
                list(request.tokens),
                _Sampling(sampling.temperature, sampling.max_tokens, request.seed, sampling.stop),
            )
        )

        async def send() -> bytes:
            response = await self._http.request("POST", "/inference/v1/generate", body)
            return self._http.check(response).body

        answer = await self._limits.call(send)
        try:
            choice = _decode(answer).choices[0]
        except (msgspec.DecodeError, IndexError) as error:
            raise ModelError(f"the answer cannot be read: {error}") from error
        ids = choice.token_ids
        return Generation(
            text=self._tokenizer.decode(ids, skip_special_tokens=True),
            ids=array("i", ids),
            logps=array("f", [item.logprob for item in choice.logprobs.content]),
            finish="stop" if choice.finish_reason == "stop" else "length",
            spans=(Span(0, len(ids), 0),),
        )


# ---------------------------------------------------------------- the dialogues


class Visitor:
    """An environment that says a sentence to whatever is asked, eight times."""

    def __init__(self, seed: Seed) -> None:
        self._place = seed.integer()
        self._turn = 0

    async def receive(self, reply: Reply | None) -> Observation:
        words = SENTENCES[(self._place + self._turn) % len(SENTENCES)]
        if reply is None:
            return Observation(
                messages=(
                    Message("system", "You plan a visit with somebody who is short of words."),
                    Message("user", words),
                )
            )
        self._turn += 1
        assert reply.actions
        return Observation(
            messages=(Message("tool", words),),
            feedback=words,
            reward=1 / TURNS,
            end=End.DONE if self._turn == TURNS else None,
        )


def tokenizer_and_answer() -> tuple[Tokenizer, str, list[int]]:
    """A tiny tokenizer, and a tool call that is exactly `ANSWER_TOKENS` long in it."""
    calls = [write_call(Action("action", " ".join(WORDS[n:]))) for n in range(len(WORDS))]
    tokenizer = train_tokenizer([" ".join(WORDS), *calls] * 4, 1200)
    stop = tokenizer.token_to_id("<|im_end|>")
    assert stop is not None
    said: list[str] = []
    for word in islice((word for _ in range(99) for word in WORDS), 400):
        said.append(word)
        text = write_call(Action("action", " ".join(said)))
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) >= ANSWER_TOKENS - 1:
            break
    else:
        raise RuntimeError("the tokenizer makes too few tokens of a long call")
    return tokenizer, text, [*ids[: ANSWER_TOKENS - 1], stop]


def dialogue(model: Model, chat: ChatML, task: Task, key: Key, seed: Seed) -> Dialogue:
    agent = TokenAgent(
        model,
        chat,
        session=f"{key.group}/{key.sample}",
        seed=seed,
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        context=8192,
    )
    return Dialogue(agent=agent, environment=Visitor(seed / "env"), max_turns=TURNS)


# ---------------------------------------------------------------- the measurement


@contextmanager
def mock_server(answer: Path, *arguments: str) -> Generator[tuple[str, int]]:
    """The server in its own process: its address and process id."""
    command = [sys.executable, str(Path(__file__).with_name("mock_server.py"))]
    with subprocess.Popen(
        [*command, "--answers", str(answer), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().split()[1]
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.stdin.close()


def cpu_of(pid: int) -> float:
    """CPU seconds of another process; nan where /proc does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / 100


@asynccontextmanager
async def open_model(url: str, live: int, tokenizer: Tokenizer) -> AsyncGenerator[MockedModel]:
    async with open_http(url, connections=live) as http:
        limits = Limits(url, LimitsConfig(concurrency=live), seed=Seed(0))
        yield MockedModel(http, limits, tokenizer)


async def measure(
    url: str, pid: int, tokenizer: Tokenizer, live: int, count: int
) -> dict[str, float]:
    """`count` dialogues, `live` at once, from the first connection to the last answer."""
    chat = ChatML(tokenizer)
    tasks = [Task(env="visit", id=str(number)) for number in range(count)]
    config = RolloutConfig(live=live, deadline_s=60)
    began, cpu, server = time.perf_counter(), time.process_time(), cpu_of(pid)
    async with (
        open_lateness(every_s=0.01, window=100_000) as lateness,
        open_model(url, live, tokenizer) as model,
        open_rollouts(
            tasks, partial(dialogue, model, chat), seed=Seed(0), config=config
        ) as rollouts,
    ):
        async for _ in rollouts:
            pass
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        server = cpu_of(pid) - server
        stats = rollouts.stats
    if stats.ends != {End.DONE: count}:
        raise RuntimeError(f"not every dialogue was done: {stats.ends}")
    return {
        "turns_per_s": stats.turns / wall,
        "cpu_ms_per_turn": 1e3 * cpu / stats.turns,
        "cpu_share": cpu / wall,
        "server_cpu_share": server / wall,
        "late_p50_ms": 1e3 * lateness.quantile(0.5),
        "late_p99_ms": 1e3 * lateness.quantile(0.99),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class _Bare(asyncio.Protocol):
    """Knows of HTTP only where the length is written."""

    missing = 0
    answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            place = data.index(b"content-length: ") + 16
            self.missing = int(data[place : data.index(b"\r", place)])
            data = data[data.index(b"\r\n\r\n") + 4 :]
        self.missing -= len(data)
        if not self.missing and self.answered is not None:
            self.answered.set_result(None)


async def bare(url: str, live: int, rounds: int) -> float:
    """CPU milliseconds of a request over the baseline client."""
    port = int(url.rpartition(":")[2])
    body = b"[" + b"1234," * 600 + b"0]"  # a history in the middle of its dialogue
    head = b"POST /inference/v1/generate HTTP/1.1\r\nhost: mock\r\ncontent-length: %d\r\n\r\n"
    data = head % len(body) + body
    loop = asyncio.get_running_loop()

    async def dialogue() -> None:
        _, protocol = await loop.create_connection(_Bare, "127.0.0.1", port)
        for _ in range(rounds):
            protocol.answered = loop.create_future()
            protocol.transport.write(data)
            await protocol.answered
        protocol.transport.close()

    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(live):
            tasks.create_task(dialogue())
    return 1e3 * (time.process_time() - cpu) / (live * rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="512 live only, a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--live", type=int, nargs="*", help="dialogues alive at once")
    parser.add_argument("--loop", choices=("asyncio", "trio"), help="only this one")
    parser.add_argument("-n", type=int, help="runs of each")
    options = parser.parse_args()
    tokenizer, text, ids = tokenizer_and_answer()
    runs_each = options.n or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        answer.write_text(json.dumps([{"text": text, "token_ids": ids}]), encoding="utf-8")
        with mock_server(answer) as (url, pid):
            for live in options.live or ([512] if options.quick else [64, 512, 2048]):
                with relaxed_collector():
                    least = anyio.run(bare, url, live, 2 * TURNS, **LOOPS["asyncio"])
                for backend in [options.loop] if options.loop else ["asyncio", "trio"]:
                    runs: list[dict[str, float]] = []
                    for _ in range(runs_each):
                        with relaxed_collector():
                            one = run(measure, url, pid, tokenizer, live, backend)
                        one["bare_ms_per_turn"] = least
                        one["ratio"] = one["cpu_ms_per_turn"] / least
                        runs.append(one)
                    show(live, backend, runs, options.json)


def run(
    what: Any, url: str, pid: int, tokenizer: Tokenizer, live: int, backend: str
) -> dict[str, float]:
    # Three waves of dialogues, and at 64 live more, so that starting up does not set the result.
    count = max(3 * live, 512)
    return anyio.run(
        what,
        url,
        pid,
        tokenizer,
        live,
        count,
        **LOOPS[backend],
    )


def show(live: int, backend: str, runs: list[dict[str, float]], as_json: bool) -> None:
    loop = "asyncio (uvloop)" if backend == "asyncio" else backend
    figures = {
        key: {
            "median": round(statistics.median(one[key] for one in runs), 4),
            "spread": [round(min(r[key] for r in runs), 4), round(max(r[key] for r in runs), 4)],
        }
        for key in runs[0]
    }
    if as_json:
        what = {"what": "rollouts over HTTP", "live": live, "loop": loop, "n": len(runs)}
        print(json.dumps({**what, **figures, **machine()}), flush=True)
        return
    words = ", ".join(f"{key} {value['median']:,}" for key, value in figures.items())
    print(f"{live} live on {loop}: {words} (n = {len(runs)})", flush=True)


if __name__ == "__main__":
    main()
