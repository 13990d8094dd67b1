"""Search engines of the web, against a server of our own that does as it is told."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep
from typing import Any

import pytest

from duologue.engine import Action, EnvError, Seed, Task, UsageError
from duologue.envs.search import Article, gym
from duologue.envs.search import _web as web
from duologue.envs.search._web import WebEngine

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-key"


Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Told:
    """What the server answers, one after the other, the last for ever; and what it was asked.

    An answer is (status, body, headers); a body of None is silence.
    """

    answers: list[Answer]
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[Any])
    url: str = ""


@contextmanager
def serving(*answers: Any) -> Generator[Told]:
    told = Told([each if isinstance(each, tuple) else (200, each, {}) for each in answers])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.asked.append((self.path, dict(self.headers.items()), json.loads(body)))
            status, said, headers = told.answers[0]
            if len(told.answers) > 1:
                told.answers.pop(0)
            if said is None:
                sleep(0.3)
                return
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/v1/search"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setenv(web.SERPER_KEY, KEY)
    monkeypatch.delenv(web.JSON_KEY, raising=False)


async def ask(
    told: Told, kind: web.Kind = "json", limit: int = 5, **more: Any
) -> Sequence[Article]:
    return await WebEngine(kind, url=told.url, seed=Seed(0), **more).search("a query", limit)


ORGANIC = [{"title": f"T{i}", "snippet": f"S{i}", "link": "l"} for i in range(9)]


async def test_serper_is_asked_as_it_wants_and_its_results_come_in_order() -> None:
    with serving({"organic": [{"title": "no text"}, *ORGANIC], "credits": 1}) as told:
        assert await ask(told, "serper", 3) == [Article(f"T{i}", f"S{i}") for i in range(3)]
    [(path, headers, body)] = told.asked
    assert (path, body) == ("/v1/search", {"q": "a query", "num": 15})
    assert {name.lower(): value for name, value in headers.items()}["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("box", "first"),
    [
        ({"title": "B", "answer": "A", "snippet": "S"}, Article("B", "A")),
        ({"title": "B", "snippet": "S"}, Article("B", "S")),
        ({"answer": "A"}, Article("T0", "S0")),
        (None, Article("T0", "S0")),
    ],
)
async def test_an_answer_box_comes_first(box: Any, first: Article) -> None:
    with serving({"organic": ORGANIC, "answerBox": box}) as told:
        assert (await ask(told, "serper"))[0] == first


async def test_a_json_endpoint_is_asked_with_a_key_or_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = {"results": [{"title": "T", "text": "a\n text", "url": "u"}, {"snippet": "s"}]}
    with serving(results) as told:
        assert await ask(told) == [Article("T", "a text")]
        monkeypatch.setenv(web.JSON_KEY, KEY)
        await ask(told)
    (_, bare, body), (_, keyed, _) = told.asked
    assert body == {"query": "a query", "num": 5}
    assert "authorization" not in {name.lower() for name in bare}
    assert {name.lower(): value for name, value in keyed.items()}[
        "authorization"
    ] == f"Bearer {KEY}"


async def test_long_results_are_cut_and_strange_queries_can_be_sent() -> None:
    with serving({"results": [{"title": "T" * 900, "snippet": "s " * 900}]}) as told:
        engine = WebEngine("json", url=told.url, seed=Seed(0))
        [found] = await engine.search("\ud800" + "x" * 9000, 5)
    assert (len(found.title), len(found.text)) == (200, 500)
    assert told.asked[0][2]["query"] == "?" + "x" * 299


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_asked_again(status: int) -> None:
    later: Answer = (status, {}, {"retry-after": "0"})
    with serving(later, (status, {}, {}), {"results": []}) as told:
        assert await ask(told) == []
    assert len(told.asked) == 3
    with serving(later) as told, pytest.raises(EnvError, match=f"answered {status}"):
        await ask(told)
    assert len(told.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_does_not_pass_is_asked_once_and_no_key_is_repeated(status: int) -> None:
    refusal: Answer = (status, {"message": f"bad key {KEY}"}, {})
    with serving(refusal) as told, pytest.raises(EnvError) as caught:
        await ask(told, "serper")
    assert len(told.asked) == 1
    assert f"answered {status}" in str(caught.value) and KEY not in str(caught.value)
    assert KEY not in repr(WebEngine("serper", url=told.url, seed=Seed(0)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        {"organic": "x"},
        {"organic": [{"title": 7}]},
        b"[" * 9999,
        b"\xff{}",
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_error_and_no_empty_result(body: Any) -> None:
    with serving(body) as told, pytest.raises(EnvError, match="cannot be read"):
        await ask(told, "serper")


async def test_silence_and_nobody_there_are_errors() -> None:
    with serving((200, None, {})) as told:
        with pytest.raises(EnvError, match=r"no answer within 0\.05 s"):
            await ask(told, timeout_s=0.05)
        assert len(told.asked) == 3
    with pytest.raises(EnvError, match="cannot connect"):
        await ask(told)


async def test_https_is_spoken_where_the_url_says_so() -> None:
    with serving({"results": []}) as told:
        engine = WebEngine("json", url=told.url.replace("http:", "https:"), seed=Seed(0))
        for _ in range(2):
            with pytest.raises(EnvError, match="cannot connect to https:"):
                await engine.search("x", 5)
    assert told.asked == []


async def test_an_outage_ends_a_dialogue_and_costs_a_turn_as_released() -> None:
    task = Task(env="search", id="x", data={"question": "What is it?", "answer": "a comet"})
    move = Action("search", "comets")
    with serving((404, {}, {})) as told:
        with pytest.raises(EnvError, match="answered 404"):
            await gym.make(task, Seed(0), engine="json", url=told.url).step(move)
        env = gym.make(task, Seed(0), engine="json", url=told.url, behaviour="official")
        step = await env.step(move)
    assert (step.reward, step.done) == (0.0, False)
    assert "The search failed" in step.feedback
    with serving({"results": [{"title": "Comet", "snippet": "It has a tail."}]}) as told:
        step = await gym.make(task, Seed(0), engine="json", url=told.url).step(move)
    assert step.feedback == "1. Comet\n   It has a tail."


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/y", "http://", "http://[", "http://x:99999999/", "http://u:p@x/y",
     "http://x/y?key=z", "http://x/a b", "http://x/\u00e9"],
)  # fmt: skip
def test_an_url_that_cannot_be_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        WebEngine("json", url=url, seed=Seed(0))
    assert not url or url not in str(caught.value)


def test_serper_needs_its_key_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    task = next(gym.tasks("test", Seed(0)))
    gym.make(task, Seed(0), engine="serper")
    monkeypatch.setenv(web.SERPER_KEY, "a key\nwith a line break")
    with pytest.raises(UsageError, match="holds a character"):
        gym.make(task, Seed(0), engine="serper")
    monkeypatch.delenv(web.SERPER_KEY)
    with pytest.raises(UsageError, match="set SERPER_API_KEY"):
        gym.make(task, Seed(0), engine="serper")
