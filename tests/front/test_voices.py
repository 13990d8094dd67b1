"""Users and judges that are models, from the command line: served by a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from duologue.engine import End, open_reader

Duologue = Callable[..., Any]

KEY = "sk-very-secret-0123456789"


class Simulator(BaseHTTPRequestHandler):
    """Plays the user or the judge, whoever it is asked to be; now and then answers with rubbish."""

    protocol_version = "HTTP/1.1"
    rubbish = 0
    asked: ClassVar[Counter[str]] = Counter()
    seen: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Simulator.seen.append(self.headers["authorization"])
        who = "judge" if body["messages"][0]["content"].startswith("You judge") else "user"
        Simulator.asked[who] += 1
        assert "tools" not in body
        said = {
            "user": {"response": "Something nice."},
            "judge": {"analysis": "a", "is_task_related": True, "covered_detail_indices": [0]},
        }[who]
        text = json.dumps(said)
        if Simulator.rubbish and sum(Simulator.asked.values()) % Simulator.rubbish == 0:
            text = "I would rather not."
        message = {"role": "assistant", "content": text}
        self._answer({"choices": [{"message": message, "finish_reason": "stop"}]})

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    monkeypatch.setattr(Simulator, "asked", Counter[str]())
    monkeypatch.setattr(Simulator, "seen", [])
    monkeypatch.setattr(Simulator, "rubbish", 0)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("SIMULATOR_KEY", KEY)
    with ThreadingHTTPServer(("127.0.0.1", 0), Simulator) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def party(name: str, url: str) -> list[str]:
    spec = ["-s", f"{name}.spec=openai:sim", "-s", f"{name}.key=SIMULATOR_KEY"]
    return [*spec, "-s", f"{name}.base_url={url}"]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_user_and_a_judge_that_are_models_are_recorded_and_replayed(
    loop: str, simulator: str, duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["rollout", "--model", "scripted:expert", "--count", 12, "--loop", loop, "--json"]
    both = [*party("user", simulator), *party("judge", simulator)]
    tape = tmp_path / "tape"
    done = duologue(*words, *both, "--run", tmp_path / "first", "--record", tape)
    assert done.code == 0, done.err
    assert set(done.json["ends"]) <= {End.DONE, End.MAX_TURNS}
    assert done.json["turns"] == Simulator.asked["user"] == Simulator.asked["judge"]
    assert set(Simulator.seen) == {f"Bearer {KEY}"}
    assert "judge openai:sim: Usage(calls=" in done.err
    monkeypatch.delenv("SIMULATOR_KEY")
    asked = sum(Simulator.asked.values())
    done = duologue(*words, *both, "--run", tmp_path / "again", "--replay", tape)
    assert done.code == 0, done.err
    assert sum(Simulator.asked.values()) == asked
    records: list[list[bytes]] = []
    for name in ("first", "again"):
        with open_reader(tmp_path / name / "run.db") as reader:
            records.append(reader.records("rollout"))
            said = {t.trajectory.turns[0].feedback for t in reader.trajectories("rollout")}
            assert said == {"Something nice."}
    assert records[0] == records[1]
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert KEY.encode() not in file.read_bytes()


def test_a_judge_that_answers_with_rubbish_is_a_judge_error_and_no_reward(
    simulator: str, duologue: Duologue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulator, "rubbish", 1)
    words = ["rollout", "--model", "scripted:expert", "--count", 6, "--json"]
    done = duologue(*words, *party("judge", simulator), "--run", tmp_path / "run")
    assert done.code == 0, done.err
    assert done.json["ends"] == {End.JUDGE_ERROR: 6}
    assert done.json["fates"] == {"failed": 6}


def test_an_evaluation_has_the_same_user_for_every_agent(
    simulator: str, duologue: Duologue, tmp_path: Path
) -> None:
    words = ["eval", "--model", "scripted:weather", "--count", 5, "--run", tmp_path / "run"]
    done = duologue(*words, *party("user", simulator))
    assert done.code == 0, done.err
    assert Simulator.asked["user"] > 5


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["user.spec=local:x"], ("user.spec is 'local:x'", "openai:NAME")),
        (["judge.spec=openai:"], ("judge.spec is 'openai:'", "openai:NAME")),
        (["user.spec=openai:m"], ("needs a key in OPENAI_API_KEY",)),
        (["env.name=function", "user.spec=openai:m"], ("'function'", "leave it empty")),
        (["user.spec=openai:m", "deterministic=true"], ("rule-based user", "--replay")),
        (["user.max_tokens=0"], ("max_tokens is 0",)),
    ],
)
@pytest.mark.parametrize("command", ["rollout", "eval"])
def test_what_cannot_be_is_refused_before_anything_is_begun(
    command: str,
    settings: list[str],
    parts: tuple[str, ...],
    duologue: Duologue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    given = [word for text in settings for word in ("-s", text)]
    done = duologue(command, "--count", 2, "--run", tmp_path / "run", *given)
    assert done.code == 2, done.err
    for part in parts:
        assert part in done.err
    assert not (tmp_path / "run").exists()


def test_the_demo_keeps_its_own_user(duologue: Duologue, tmp_path: Path) -> None:
    done = duologue("demo", "--run", tmp_path / "run", "-s", "user.spec=openai:m")
    assert done.code == 2 and "the demo's user is rule-based" in done.err
