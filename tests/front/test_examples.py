"""The examples do what they say; the web service under its real server, over real sockets."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio.lowlevel
import pytest
import trio
import uvicorn

from duologue import Trajectory
from duologue.agents import write_call
from duologue.agents.models import Generation, Request
from duologue.engine import Action

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="needs the source tree beside the tests"
)


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Slow:
    """A model that answers `answers` times, and then keeps everybody waiting."""

    def __init__(self, answers: int = 0) -> None:
        self.answers = answers
        self.waiting = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        self.closed.release()

    async def generate(self, request: Request) -> Generation:
        if self.answers:
            self.answers -= 1
            await anyio.lowlevel.checkpoint()
            return Generation(text=write_call(Action("action", "What about the price?")))
        self.waiting.release()
        await anyio.sleep_forever()
        raise AssertionError


@contextmanager
def serving(**given: Any) -> Generator[int]:
    """The service under uvicorn, on a loop and a thread of its own; yields the port."""
    app = load("service").create_app(**given)
    config = uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def get(port: int, path: str) -> Generator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        yield connection.getresponse()
    finally:
        connection.close()


def text(port: int, path: str) -> str:
    with get(port, path) as response:
        return response.read().decode()


def metric(port: int, line: str) -> float | None:
    for each in text(port, "/metrics/").splitlines():
        name, _, value = each.rpartition(" ")
        if name == line:
            return float(value)
    return None


def test_the_service_streams_dialogues() -> None:
    with serving() as port:
        with get(port, "/dialogues?count=5&seed=3") as response:
            assert response.status == 200
            assert response.headers["content-type"] == "application/x-ndjson"
            lines = [json.loads(line) for line in response]
        assert sorted(line["key"][0] for line in lines) == [0, 1, 2, 3, 4]
        again = [json.loads(line) for line in text(port, "/dialogues?count=5&seed=3").splitlines()]
        assert sorted(again, key=lambda t: t["key"]) == sorted(lines, key=lambda t: t["key"])
        with get(port, "/dialogues?count=0") as response:
            assert response.status == 422
        assert metric(port, 'duologue_dialogue_seconds_count{env="intention"}') == 10


def test_the_service_streams_turns_as_they_happen() -> None:
    model = Slow(answers=2)
    with serving(agent=model) as port:
        with get(port, "/turns?seed=1") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            # The third turn hangs; the first two are here all the same.
            events = [next_event(response) for _ in range(2)]
            assert all("price" in event["agent"] and event["user"] for event in events)
            assert model.waiting.acquire(timeout=10)
        # The connection is closed now, and with it the dialogue.
        assert model.closed.acquire(timeout=10)
    with serving() as port:
        *turns, last = text(port, "/turns?seed=1").strip().split("\n\n")
        assert turns and all(turn.startswith("data: ") for turn in turns)
        assert last.startswith("event: end\ndata: ")
        assert json.loads(last.partition("data: ")[2])["end"] in ("done", "max_turns")


def next_event(response: HTTPResponse) -> Any:
    lines = iter(response.readline, b"\n")
    return json.loads(b"".join(lines).removeprefix(b"data: "))


def test_a_client_that_goes_away_ends_its_dialogues_and_nobody_elses() -> None:
    model = Slow()
    with serving(agent=model) as port, get(port, "/dialogues?count=1") as stays:
        with get(port, "/dialogues?count=7") as leaves:
            assert leaves.status == 200
            for _ in range(8):
                assert model.waiting.acquire(timeout=10)
            assert metric(port, 'duologue_dialogues_live{env="intention"}') == 8
        for _ in range(7):
            assert model.closed.acquire(timeout=10)
        assert not stays.closed
        cancelled = 'duologue_dialogues_total{end="cancelled",env="intention"}'
        deadline = time.monotonic() + 10
        while metric(port, cancelled) != 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert metric(port, cancelled) == 7
        assert metric(port, 'duologue_dialogues_live{env="intention"}') == 1


def test_what_cannot_be_is_an_answer_and_not_a_broken_stream() -> None:
    def no_tasks(task: object, seed: object) -> Any:
        raise AssertionError

    with serving(env=no_tasks, agent=Slow()) as port, get(port, "/dialogues") as response:
        assert response.status == 400
        assert "no tasks of its own" in json.loads(response.read())["detail"]


def test_the_trio_program_keeps_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    program = load("trio_program")
    means = trio.run(program.main, 0.5)
    assert means and all(0 <= mean <= 4 for mean in means)
    assert "waits for: " in capsys.readouterr().out


def test_the_notebooks_cells_run_one_after_another_on_a_running_loop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a notebook runs them: each cell compiled alone, with `await` allowed at its top."""
    cells = [
        cell
        for cell in (EXAMPLES / "notebook.py").read_text().split("# %%")
        if not cell.startswith(" [markdown]")
    ]
    assert len(cells) == 6
    names: dict[str, Any] = {"__name__": "__main__"}

    async def run() -> None:
        for cell in cells:
            code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run())
    shown = capsys.readouterr().out
    assert "scripted:expert: " in shown and "####" in shown and "user:  " in shown
    assert isinstance(names["one"], Trajectory)
    means = {agent: sum(v) / len(v) for agent, v in names["results"].items()}
    assert means["scripted:expert"] > means["scripted:fixed-order"] > means["scripted:weather"] == 0
