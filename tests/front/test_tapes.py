"""`--record` and `--replay`: a run again from its recording, byte for byte, with no model there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from duologue.engine import End, open_reader

Duologue = Callable[..., Any]

KEY = "sk-very-secret-0123456789"
TALK = ("-s", "env.options={instructions = false}", "-s", "model.context=160")
LOOPS = ("asyncio", "trio")


def records(run: Path, phase: str = "rollout") -> list[bytes]:
    with open_reader(run / "run.db") as reader:
        return reader.records(phase)


class Chat(BaseHTTPRequestHandler):
    """A chat model that is different every time, and sometimes fails."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Chat.asked += 1
        arguments = json.dumps({"choice": "action", "content": f"What about {Chat.asked}?"})
        call = {"function": {"name": "interact_with_env", "arguments": arguments}}
        message = {"content": None, "tool_calls": [call]}
        answer = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
        # More failures than the run may retry, so it matters who failed first.
        if Chat.asked % 7 == 0:
            answer = '{"choices": 3}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(answer.encode())


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Generator[ThreadingHTTPServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_hosted_models_run_is_replayed_without_address_and_key(
    loop: str,
    chat: ThreadingHTTPServer,
    duologue: Duologue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["rollout", "--model", "openai:m", "--count", 30, "--live", 10]
    limits = ["-s", "openai.limits.attempts=1", "-s", "rollout.attempts=2"]
    tape, first = tmp_path / "tape", tmp_path / "first"
    done = duologue(*words, *limits, "--loop", loop, "--run", first, "--record", tape, "--json")
    assert done.code == 0, done.err
    assert done.json["ends"].get(End.MODEL_ERROR) and done.json["ends"].get(End.MAX_TURNS)
    assert "Usage(calls=" in done.err
    asked = Chat.asked
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert End.MODEL_ERROR in done.json["ends"] and done.json["retried"] == 10  # the budget
    for again in LOOPS:
        run = tmp_path / again
        done = duologue(*words, *limits, "--loop", again, "--run", run, "--replay", tape)
        assert done.code == 0, done.err
        assert records(run) == records(first)
        assert "nobody asked for" not in done.err
    assert Chat.asked == asked
    for file in [tape, *(path for path in first.rglob("*") if path.is_file())]:
        assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_local_models_run_is_replayed_without_its_weights(
    loop: str, duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    words = ["rollout", "--model", f"local:{started}", "--count", 12, "--samples", 2, *TALK]
    tape, first = tmp_path / "tape", tmp_path / "first"
    done = duologue(*words, "--loop", loop, "--run", first, "--record", tape)
    assert done.code == 0, done.err
    assert len(set(records(first))) > 12
    weights = started / "model.safetensors"
    weights.rename(tmp_path / "away")
    try:
        for again in LOOPS:
            run = tmp_path / again
            done = duologue(*words, "--loop", again, "--run", run, "--replay", tape)
            assert done.code == 0, done.err
            assert records(run) == records(first)
    finally:
        (tmp_path / "away").rename(weights)


def test_an_evaluation_of_several_agents_is_one_recording(
    chat: ThreadingHTTPServer, duologue: Duologue, tmp_path: Path
) -> None:
    agents = ["--model", "openai:a", "--model", "openai:b", "--model", "scripted:random-topic"]
    words = ["eval", *agents, "--count", 12, "-s", "openai.limits.attempts=1"]
    tape = tmp_path / "tape"
    sheets: list[Any] = []
    for name, option in (("first", "--record"), ("again", "--replay")):
        done = duologue(*words, "--run", tmp_path / name, option, tape, "--json")
        assert done.code == 0, done.err
        sheets.append(done.json["scores"])
    assert sheets[0] == sheets[1]
    for phase in ("eval/openai:a", "eval/openai:b", "eval/random-topic", "eval/expert"):
        assert records(tmp_path / "first", phase) == records(tmp_path / "again", phase)
        assert records(tmp_path / "first", phase)


def test_a_replay_of_something_else_ends_typed(
    chat: ThreadingHTTPServer, duologue: Duologue, tmp_path: Path
) -> None:
    words = ["rollout", "--model", "openai:m", "--count", 5, "--json"]
    tape = tmp_path / "tape"
    assert duologue(*words, "--run", tmp_path / "first", "--record", tape).code == 0
    done = duologue(*words, "--run", tmp_path / "again", "--replay", tape, "--seed", 1)
    assert done.code == 0 and done.json["ends"] == {"model_error": 5}
    assert "answers that nobody asked for" in done.err


def test_tapes_that_cannot_be_are_refused_before_a_run_is_begun(
    duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (tmp_path / "there").write_bytes(b"something")
    run = ["--run", tmp_path / "run"]
    cases = {
        ("rollout", "--record", tmp_path / "there"): "there already",
        ("rollout", "--replay", tmp_path / "there"): "is no cassette",
        ("rollout", "--replay", tmp_path / "none"): "cannot replay",
        ("eval", "--replay", tmp_path / "none"): "cannot replay",
        ("rollout", "--record", tmp_path / "a", "--replay", tmp_path / "there"): "exclude",
        ("train", "--model", "local:x", "-s", "model.record=a"): "`rollout` and `eval`",
        ("demo", "-s", "model.replay=a"): "`rollout` and `eval`",
        ("rollout", "--model", "openai:m"): "OPENAI_API_KEY",
        ("rollout", "--model", "openai:"): "openai:NAME",
        ("rollout", "--model", "openai:m", "--deterministic"): "deterministic",
        ("rollout", "-s", "openai.cap_usd=1"): "price_in",
        ("rollout", "-s", "openai.limits.concurrency=0"): "at least 1",
    }
    for words, said in cases.items():
        done = duologue(*words, *run)
        assert (done.code, said in done.err) == (2, True), (words, done.err)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
