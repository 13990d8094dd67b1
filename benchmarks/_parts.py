"""Where a turn's CPU goes: its parts, each measured alone on the same texts and answers.

The parts run hot in a loop of their own, so they come out cheaper than inside a real turn, where
two thousand dialogues take turns at the caches; what that costs shows in what is left over.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from _visits import ANSWER_TOKENS, CONTEXT, TURNS, said
from tokenizers import Tokenizer

from duologue.agents import ChatML
from duologue.agents.models import Request, Sampling
from duologue.agents.models.http._client import open_http
from duologue.agents.models.limits._limits import Limits, LimitsConfig
from duologue.agents.models.text._byte_level import Decoder
from duologue.agents.models.vllm._wire import History, read_answer, write_ask
from duologue.engine import Message, Seed

_GENERATE = "/inference/v1/generate"
_TIMES = 4000


def parts(tokenizer: Tokenizer, answers: list[dict[str, Any]]) -> dict[str, float]:
    """Milliseconds of a turn that go into what needs no network."""
    chat = ChatML(tokenizer)
    decode = Decoder(tokenizer)
    ids = answers[0]["token_ids"]
    seen = array("i", chat.open([Message("user", said(1))]))
    new = array("i", [*ids, *chat.observe([Message("tool", said(2))], last=chat.stop)])
    sampling = Sampling(max_tokens=ANSWER_TOKENS, stop=(chat.stop,))
    request = Request(session="s", tokens=seen, sampling=sampling)
    body = msgspec.json.encode(_answer(ids))
    turn = 0
    history = History()

    def observe() -> None:
        nonlocal turn
        turn += 1
        chat.observe([Message("tool", said(turn))], last=chat.stop)

    def ask() -> None:
        nonlocal history, seen, turn
        if turn % TURNS == 0:
            history, seen = History(), array("i", seen[:60])
        turn += 1
        seen.extend(new)
        write_ask(history.render(seen), sampling, seed=turn, most=64, salt="v0")

    def read() -> None:
        read_answer(body, request, most=64, version_of=lambda name: 0, text_of=decode)

    return {"tokenising": _each(observe), "request": _each(ask), "answer": _each(read)}


async def client(url: str, live: int, rounds: int) -> float:
    """Milliseconds of a request through our client and its limits, `live` at once."""
    body = b'{"token_ids":[' + b"1234," * 600 + b"0]}"
    limits = Limits(url, LimitsConfig(concurrency=live), seed=Seed(0))
    async with open_http(url, connections=live) as http:

        async def send() -> bytes:
            return http.check(await http.request("POST", _GENERATE, body)).body

        async def dialogue() -> None:
            for _ in range(rounds):
                await limits.call(send)

        cpu = time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(live):
                tasks.start_soon(dialogue)
        return 1e3 * (time.process_time() - cpu) / (live * rounds)


def _each(work: Callable[[], None]) -> float:
    """CPU milliseconds of one call."""
    for _ in range(_TIMES // 4):
        work()
    began = time.thread_time()
    for _ in range(_TIMES):
        work()
    return 1e3 * (time.thread_time() - began) / _TIMES


def _answer(ids: list[int]) -> dict[str, Any]:
    """As vLLM writes it."""
    ranked = [{"token_id": token, "logprob": -0.123456, "rank": 1} for token in ids]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "stop_reason": ids[-1],
        "token_ids": ids,
        "weight_versions": [{"version": "v0", "start": 0, "end": len(ids)}],
        "logprobs": {"content": [{**one, "top_logprobs": [one]} for one in ranked]},
    }
    return {"request_id": "r", "choices": [choice], "prompt_logprobs": None}


assert CONTEXT >= TURNS * (ANSWER_TOKENS + 100)
