"""A web service that runs dialogues and streams them to whoever asked.

    pip install 'duologue[metrics]' fastapi uvicorn
    uvicorn --app-dir examples service:app
    curl -N 'http://127.0.0.1:8000/dialogues?count=3'
    curl -N 'http://127.0.0.1:8000/turns?seed=7'

What lives how long:

* the agent, with its model's memory and connections, as long as the service (`lifespan`);
* a request's dialogues as long as the request (`Depends`): a client that goes away ends them.

The generators that make the text hold nothing open, so it does not matter how they end.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CollectorRegistry
from prometheus_client.asgi import make_asgi_app  # pyright: ignore[reportUnknownVariableType]
from starlette.types import ASGIApp

import duologue
from duologue.engine import Key, Observation, Reply
from duologue.metrics import open_metrics

LIVE = 64
"""Dialogues that one request may have alive at once."""

TURNS = 1000
"""Turns that may wait for a slow reader; more than any dialogue has."""


class Shown(duologue.Watch):
    """Sends each turn of a dialogue as it happens."""

    def __init__(self, send: Any) -> None:
        self.send = send
        self.said = ""

    def replied(self, reply: Reply) -> None:
        self.said = reply.text

    def turn_ended(self, observation: Observation | None) -> None:
        heard = None if observation is None else observation.feedback
        reward = 0.0 if observation is None else observation.reward
        self.send({"agent": self.said, "user": heard, "reward": reward})

    def retried(self, end: duologue.End, detail: str) -> None:
        self.send({"again": end, "detail": detail})

    def dialogue_ended(self, trajectory: duologue.Trajectory, seconds: float) -> None:
        self.send({"end": trajectory.end, "detail": trajectory.detail})


class Show(duologue.Observer):
    def __init__(self, send: Any) -> None:
        self.send = send

    def dialogue_began(self, key: Key, task: duologue.Task) -> duologue.Watch:
        return Shown(self.send)


Count = Annotated[int, Query(ge=1, le=1000)]


async def open_dialogues(
    request: Request, count: Count = 1, seed: int = 0
) -> AsyncIterator[duologue.Trajectories]:
    """The dialogues of one request."""
    state = request.state
    async with duologue.open_rollouts(
        state.env,
        state.agent,
        count=count,
        seed=seed,
        live=LIVE,
        observer=state.metrics,
        board=state.metrics.board,
    ) as trajectories:
        yield trajectories


async def open_turns(
    request: Request, seed: int = 0
) -> AsyncIterator[MemoryObjectReceiveStream[dict[str, Any]]]:
    """The turns of one request's one dialogue."""
    state = request.state
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](TURNS)
    async with (
        send,
        receive,
        duologue.open_rollouts(
            state.env,
            state.agent,
            count=1,
            seed=seed,
            observer=[state.metrics, Show(send.send_nowait)],
            board=state.metrics.board,
        ),
    ):
        yield receive


async def to_lines(trajectories: duologue.Trajectories) -> AsyncIterator[bytes]:
    """One JSON object a line, and one trajectory each."""
    async for trajectory in trajectories:
        yield msgspec.json.encode(trajectory) + b"\n"


async def to_events(
    turns: MemoryObjectReceiveStream[dict[str, Any]],
) -> AsyncIterator[bytes]:
    """Server-sent events, the last one named `end`."""
    async for turn in turns:
        name = b"event: end\n" if "end" in turn else b""
        yield name + b"data: " + msgspec.json.encode(turn) + b"\n\n"
        if "end" in turn:
            return


def create_app(env: Any = "intention", agent: Any = "scripted:expert") -> FastAPI:
    """The service, for that environment and agent: whatever `duologue.open_agent` takes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        registry = CollectorRegistry()
        app.mount("/metrics", cast("ASGIApp", make_asgi_app(registry)))
        async with (
            open_metrics(registry) as metrics,
            duologue.open_agent(agent, env, board=metrics.board) as shared,
        ):
            yield {"env": env, "agent": shared, "metrics": metrics}

    app = FastAPI(title="Dialogues", lifespan=lifespan)

    @app.exception_handler(duologue.UsageError)
    async def refuse(request: Request, error: duologue.UsageError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=400)

    @app.get("/dialogues")
    async def dialogues(
        trajectories: Annotated[duologue.Trajectories, Depends(open_dialogues)],
    ) -> StreamingResponse:
        return StreamingResponse(to_lines(trajectories), media_type="application/x-ndjson")

    @app.get("/turns")
    async def turns(
        stream: Annotated[MemoryObjectReceiveStream[dict[str, Any]], Depends(open_turns)],
    ) -> StreamingResponse:
        return StreamingResponse(to_events(stream), media_type="text/event-stream")

    return app


app: FastAPI = create_app(agent=os.environ.get("DUOLOGUE_AGENT", "scripted:expert"))
