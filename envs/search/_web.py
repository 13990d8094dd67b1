"""Search engines of the web: Serper's API, and any endpoint that takes a query as JSON.

A search opens a connection, asks, and closes it: it costs milliseconds next to the engine's own
time, and leaves nothing that anybody has to own. Searching changes nothing, so what fails for a
while is asked again. The key comes from the environment, and is in no message, option or record.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from anyio import fail_after, sleep, to_thread
from msgspec import Struct

from ...agents.models.http._client import open_http
from ...agents.models.http._parse import BadStatus, HttpError, Response
from ...engine import EnvError, Seed, UsageError
from ._articles import Article
from ._index import QUERY_CHARS

Kind = Literal["serper", "json"]

SERPER_URL = "https://google.serper.dev/search"
SERPER_KEY = "SERPER_API_KEY"
JSON_KEY = "DUOLOGUE_SEARCH_KEY"

_TRIES = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_TITLE_CHARS, _TEXT_CHARS = 200, 500
_MOST_BYTES = 4 * 1024 * 1024
_ASKED = 15
"""Results asked of Serper, as the released code does: some lack a text."""


class _Organic(Struct):
    title: str = ""
    snippet: str = ""


class _Box(Struct):
    title: str = ""
    answer: str = ""
    snippet: str = ""


class _Serper(Struct):
    organic: list[_Organic] = []
    answerBox: _Box | None = None


class _Result(Struct):
    title: str = ""
    snippet: str = ""
    text: str = ""


class _Json(Struct):
    results: list[_Result]


class WebEngine:
    """An engine behind HTTP.

    kind:      `serper`: POST `{"q", "num"}` with the key as X-API-KEY, as google.serper.dev wants it.
               `json`: POST `{"query", "num"}` with the key, if there is one, as a bearer token; the
               answer is `{"results": [{"title", "snippet"}, ...]}` (`text` does for `snippet`).
    url:       where it is; Serper's own by default.
    timeout_s: of one try.

    Raises `UsageError` for a URL that cannot be or a key that is missing or cannot be sent.
    """

    def __init__(self, kind: Kind, *, url: str, seed: Seed, timeout_s: float = 10.0) -> None:
        where = url or (SERPER_URL if kind == "serper" else "")
        self._origin, self._path = _address(where, kind)
        self._headers = _key_header(kind)
        self._kind = kind
        self._rng: Random = (seed / "waits").random()
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"<WebEngine {self._kind} at {self._origin}>"

    async def search(self, query: str, limit: int) -> Sequence[Article]:
        asked = query[:QUERY_CHARS].encode("utf-8", "replace").decode()
        body: dict[str, Any] = {"query": asked, "num": limit}
        if self._kind == "serper":
            body = {"q": asked, "num": max(limit, _ASKED)}
        response = await self._ask(msgspec.json.encode(body))
        try:
            if self._kind == "serper":
                hits = _serper_hits(msgspec.json.decode(response.body, type=_Serper))
            else:
                found = msgspec.json.decode(response.body, type=_Json)
                hits = [_article(each.title, each.snippet or each.text) for each in found.results]
        except (ValueError, RecursionError) as failure:
            raise EnvError(f"the search engine's answer cannot be read: {failure}") from failure
        return [hit for hit in hits if hit.title and hit.text][:limit]

    async def _ask(self, body: bytes) -> Response:
        """A response of status 2xx. Asks again, after a wait, what may go better then."""
        for left in reversed(range(_TRIES)):
            try:
                return await self._once(body)
            except (HttpError, TimeoutError) as failure:
                wait = self._wait_s(failure, _TRIES - 1 - left)
                if left == 0 or wait is None:
                    said = str(failure) or f"no answer within {self._timeout_s:g} s"
                    raise EnvError(f"the search failed: {said}") from failure
            await sleep(wait)
        raise AssertionError("the last try returns or raises")

    async def _once(self, body: bytes) -> Response:
        tls = await _tls() if self._origin.startswith("https:") else None
        with fail_after(self._timeout_s):
            async with open_http(
                self._origin, headers=self._headers, connections=1, max_body=_MOST_BYTES, tls=tls
            ) as http:
                return http.check(await http.request("POST", self._path, body))

    def _wait_s(self, failure: Exception, tried: int) -> float | None:
        """How long to wait before another try; None when there is no sense in one."""
        if isinstance(failure, BadStatus):
            if failure.status not in _PASSING:
                return None
            if failure.retry_after_s is not None:
                return min(failure.retry_after_s, _LONGEST_WAIT_S)
        return _FIRST_WAIT_S * 2.0**tried * self._rng.uniform(0.5, 1.5)


def _article(title: str, text: str) -> Article:
    """What was found, on one line each and no longer than an agent is shown."""
    return Article(_line(title, _TITLE_CHARS), _line(text, _TEXT_CHARS))


def _line(text: str, limit: int) -> str:
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _serper_hits(found: _Serper) -> list[Article]:
    hits = [_article(each.title, each.snippet) for each in found.organic]
    box = found.answerBox
    return hits if box is None else [_article(box.title, box.answer or box.snippet), *hits]


def _address(url: str, kind: Kind) -> tuple[str, str]:
    """A URL as what a client connects to and the path it asks for."""
    if not url:
        raise UsageError(f"the engine {kind!r} needs a url: where its endpoint is")
    # Not repeated in an error: what cannot be a URL may hold a key.
    wrong = UsageError("the search engine's url is none; write https://HOST/PATH")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or parts.scheme not in ("http", "https"):
        raise wrong
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError("the search engine's url holds more than its path; keys go elsewhere")
    path = parts.path or "/"
    if not path.isascii() or not path.isprintable() or " " in path:
        raise UsageError("the path of the search engine's url must be quoted")
    return f"{parts.scheme}://{parts.netloc}", path


def _key_header(kind: Kind) -> dict[str, str]:
    name = SERPER_KEY if kind == "serper" else JSON_KEY
    key = os.environ.get(name, "").strip()
    if not key:
        if kind == "serper":
            raise UsageError(f"the engine 'serper' wants a key: set {SERPER_KEY}")
        return {}
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{name} holds a character that no key has")
    return {"x-api-key": key} if kind == "serper" else {"authorization": f"Bearer {key}"}


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _tls() -> ssl.SSLContext:
    # Reads the system's certificates: tens of milliseconds, once a process.
    if _default_tls.cache_info().currsize:
        return _default_tls()
    return await to_thread.run_sync(_default_tls)
