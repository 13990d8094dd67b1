"""Endpoints that are not there, or that refuse: said at once, by name, with nothing left behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from duologue.agents.models.openai import _model as _openai

Duologue = Callable[..., Any]

KEY = "sk-very-secret-0123456789"


class Refusing(BaseHTTPRequestHandler):
    """Knows nobody, and repeats the key it was shown."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        body = f"no such key: {self.headers['authorization']}".encode()
        self.send_response(401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@contextmanager
def refusing() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def nobody() -> Generator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and deaf
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent() -> Generator[str]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


CASES = {
    "nobody there": (nobody, ("cannot connect", "is the server running", "OPENAI_BASE_URL")),
    "a wrong key": (refusing, ("401", "no such key: Bearer ***", "check OPENAI_API_KEY")),
    "no answer": (silent, ("has not answered", "is it the right address?")),
}


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("command", ["rollout", "eval"])
@pytest.mark.parametrize("case", CASES)
def test_a_hosted_model_that_cannot_be_reached(
    case: str,
    command: str,
    loop: str,
    duologue: Duologue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, parts = CASES[case]
    monkeypatch.setattr(_openai, "GREET_S", 0.3)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with make() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        words = [command, "--model", "openai:m", "--count", 20, "--loop", loop]
        done = duologue(*words, "--run", tmp_path / "run")
        lines = [line for line in done.err.splitlines() if line.startswith("duologue: ")]
        assert (done.code, len(lines)) == (1, 1), done.err
        for part in (*parts, url):
            assert part in lines[0]
    assert KEY not in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["rollout", "eval", "train"])
@pytest.mark.parametrize("make", [nobody, refusing])
def test_a_server_that_cannot_be_reached(
    make: Callable[[], Any], command: str, duologue: Duologue, tmp_path: Path
) -> None:
    with make() as url:
        done = duologue(command, "--model", f"vllm:{url}", "--run", tmp_path / "run")
        lines = [line for line in done.err.splitlines() if line.startswith("duologue: ")]
        assert (done.code, len(lines)) == (2, 1), done.err
        assert url in lines[0] and "does not say which model it serves" in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_server_that_lists_no_models_is_talked_to(
    duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Listless(Refusing):
        def do_GET(self) -> None:
            self.send_error(404)

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ThreadingHTTPServer(("127.0.0.1", 0), Listless) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        words = ["rollout", "--model", "openai:m", "--count", 3, "--run", tmp_path / "run"]
        done = duologue(*words, "-s", "rollout.attempts=1", "--json")
        server.shutdown()
        thread.join()
    assert done.code == 0 and done.json["ends"] == {"model_error": 3}
    assert KEY not in done.err
