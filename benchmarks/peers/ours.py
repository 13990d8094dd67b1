"""Duologue, as `duologue rollout` runs it: engine, agents and models of this repository, every
trajectory durable in a run store before it counts.

    tokens       `vllm:URL`: token ids and log-probabilities, rendered and tokenised here
    tokens-trio  the same on trio
    chat         the chat route that the peers use, over the same HTTP client
    openai       `openai:NAME`: the chat route through the openai SDK
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
from _contest import TICK_S, Contest
from _dialogue import ANSWER_TOKENS, SYSTEM, TURNS, sentence
from msgspec import Struct
from tokenizers import Tokenizer

from duologue.agents import ChatML, TextAgent, TokenAgent
from duologue.agents.models import Generation, Model, Request, Sampling
from duologue.agents.models.http._client import Http, open_http
from duologue.agents.models.limits._limits import LimitsConfig
from duologue.agents.models.openai._chat import tell
from duologue.agents.models.openai._config import OpenAIConfig
from duologue.agents.models.openai._model import open_openai
from duologue.agents.models.vllm._model import open_vllm
from duologue.engine import (
    Agent,
    Dialogue,
    End,
    Key,
    Message,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    open_rollouts,
    open_store,
    relaxed_collector,
)

CONTEXT = 8192
SAMPLING = Sampling(max_tokens=ANSWER_TOKENS)

MakeAgent = Callable[[Key, Seed], Agent]


class Visitor:
    """The scripted user."""

    def __init__(self, contest: Contest, place: int) -> None:
        self._contest, self._place = contest, place
        self._turn = 0

    async def receive(self, reply: Reply | None) -> Observation:
        words = sentence(self._place + self._turn)
        if reply is None:
            return Observation(messages=(Message("system", SYSTEM), Message("user", words)))
        self._turn += 1
        self._contest.turned()
        return Observation(
            messages=(Message("tool", words),),
            feedback=words,
            reward=1 / TURNS,
            end=End.DONE if self._turn == TURNS else None,
        )


# ---------------------------------------------------------------- the chat route


class _Logprob(Struct, frozen=True, gc=False):
    logprob: float


class _Logprobs(Struct, frozen=True):
    content: list[_Logprob]


class _Said(Struct, frozen=True):
    content: str


class _Choice(Struct, frozen=True):
    message: _Said
    logprobs: _Logprobs
    token_ids: list[int]


class _Answer(Struct, frozen=True):
    choices: list[_Choice]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Answer).decode


class ChatRoute:
    """A model on `/v1/chat/completions` that reads log-probabilities and ids too, as the SDKs do.

    Not a part of the library, whose chat models go through the openai SDK (`openai`, here): it
    shows what the protocol has to do with the difference.
    """

    def __init__(self, http: Http) -> None:
        self._http = http

    def open(self, session: str) -> None: ...

    def close(self, session: str) -> None: ...

    async def generate(self, request: Request) -> Generation:
        body = _encode(
            {
                "model": "mock",
                "messages": tell(request.messages),
                "max_tokens": request.sampling.max_tokens,
                "seed": request.seed & ((1 << 63) - 1),
                "logprobs": True,
            }
        )
        response = await self._http.request("POST", "/v1/chat/completions", body)
        try:
            (choice,) = _decode(self._http.check(response).body).choices
        except ValueError as error:
            raise ModelError(f"the answer cannot be read: {error}") from error
        logps = array("f", [one.logprob for one in choice.logprobs.content])
        return Generation(
            text=choice.message.content, ids=array("i", choice.token_ids), logps=logps
        )


# ---------------------------------------------------------------- the contestant


@asynccontextmanager
async def open_agents(contest: Contest) -> AsyncGenerator[MakeAgent]:
    """What makes an agent of the asked variant."""
    model: Model

    def text(key: Key, seed: Seed) -> Agent:
        return TextAgent(model, session=_name(key), seed=seed, sampling=SAMPLING)

    if contest.variant.startswith("tokens"):
        tokenizer: Any = Tokenizer.from_file(str(Path(contest.folder) / "tokenizer.json"))
        chat = ChatML(tokenizer)
        async with open_vllm(contest.url, tokenizer, context=CONTEXT, live=contest.live) as model:

            def tokens(key: Key, seed: Seed) -> Agent:
                return TokenAgent(
                    model,
                    chat,
                    session=_name(key),
                    seed=seed,
                    sampling=SAMPLING,
                    context=CONTEXT,
                )

            yield tokens
    elif contest.variant == "chat":
        async with open_http(contest.url, connections=contest.live) as http:
            model = ChatRoute(http)
            yield text
    else:
        os.environ["OPENAI_BASE_URL"] = f"{contest.url}/v1"
        settings = OpenAIConfig(limits=LimitsConfig(concurrency=contest.live))
        async with open_openai("mock", settings=settings) as model:
            yield text


def _name(key: Key) -> str:
    return f"{key.group}/{key.sample}"


def dialogue(contest: Contest, agent: MakeAgent, task: Task, key: Key, seed: Seed) -> Dialogue:
    return Dialogue(
        agent=agent(key, seed), environment=Visitor(contest, key.group), max_turns=TURNS
    )


async def play(contest: Contest, count: int, store: Path) -> None:
    tasks = [Task(env="visit", id=str(number)) for number in range(count)]
    config = RolloutConfig(live=contest.live, deadline_s=contest.limit_s)
    async with (
        open_store(store) as kept,
        open_agents(contest) as agents,
        open_rollouts(
            tasks, partial(dialogue, contest, agents), seed=Seed(0), config=config, store=kept
        ) as rollouts,
    ):
        async for group in rollouts:
            for trajectory in group.trajectories:
                contest.ended(ok=trajectory.end is End.DONE)


async def watch(contest: Contest) -> None:
    """Note how late the loop is; on any loop, unlike the contest's own."""
    while True:
        due = anyio.current_time() + TICK_S
        await anyio.sleep_until(due)
        contest.late.append(max(0.0, anyio.current_time() - due))


async def main(contest: Contest) -> None:
    with tempfile.TemporaryDirectory() as folder, relaxed_collector():
        await play(contest, 1, Path(folder) / "warm.db")
        contest.begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, contest)
            with anyio.move_on_after(contest.limit_s):
                await play(contest, contest.count, Path(folder) / "run.db")
            tasks.cancel_scope.cancel()
        contest.report()


if __name__ == "__main__":
    contest = Contest("duologue", "anyio", "msgspec", settings="durable store, relaxed collector")
    if contest.variant == "tokens-trio":
        anyio.run(main, contest, backend="trio")
    else:
        anyio.run(main, contest, backend="asyncio", backend_options={"use_uvloop": True})
