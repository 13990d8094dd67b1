"""Chat models, hosted or self-hosted, through the openai SDK: messages in, text out.

Where they are and the key to them come from the environment, at the moment of opening, and leave
this module only as a URL in an error and as a header in a request. The SDK's own errors hold the
request with its headers, so they are not handed on, not even as the cause of ours.

The SDK does the talking and nothing else: retries, limits and the spending cap are `_limits`, the
deadline is the caller's scope.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
import openai
from anyio import to_thread
from msgspec import Struct
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from ....engine import ModelError, Seed, Service, ServiceRole, UsageError, checkpoint
from ..._tools import SCHEMA
from .._model import Generation, Request
from ..http._parse import BadResponse, BadStatus, ConnectFailed, ConnectionLost, HttpError, Response
from ..limits._limits import Bill, Limits, LimitsStats, SpendingCap
from ._chat import Counted, read_answer, tell
from ._config import OpenAIConfig

HOSTED = "https://api.openai.com/v1"
KEY_NAME = "OPENAI_API_KEY"
NO_KEY = "none"
"""What a server of one's own is sent as a key when there is none: it does not look."""

_CLOSE_S = 2.0

GREET_S = 20.0
"""How long a server may take to say which models it has."""


class Address(Struct, frozen=True):
    """Where the models are, and the key to them."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"<Address {self.url}>"

    def hide(self, text: str) -> str:
        """`text` without the key."""
        return text if self.key == NO_KEY else text.replace(self.key, "***")


def find_address(url: str = "", key_name: str = KEY_NAME) -> Address:
    """What $OPENAI_BASE_URL and $OPENAI_API_KEY say. Raises `UsageError`, never with their values
    as long as these may hold a secret.

    url:      takes the place of $OPENAI_BASE_URL, for a second server.
    key_name: the variable that holds its key.
    """
    url = (url or os.environ.get("OPENAI_BASE_URL", "")).strip().rstrip("/")
    key = os.environ.get(key_name, "").strip()
    if not url and not key:
        raise UsageError(
            f"openai:NAME needs a key in {key_name}, or the URL of a server of your own in "
            "OPENAI_BASE_URL (http://HOST:PORT/v1)"
        )
    try:
        parts = urlsplit(url or HOSTED)
        port = parts.port
    except ValueError:
        raise UsageError("OPENAI_BASE_URL cannot be read; write http://HOST:PORT/v1") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "OPENAI_BASE_URL holds more than scheme, host, port and path; keys belong in "
            f"{key_name}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError("OPENAI_BASE_URL is no URL of a server; write http://HOST:PORT/v1")
    if not all("!" <= letter <= "~" for letter in key):
        raise UsageError(f"{key_name} holds a character that no key has; copy it again")
    return Address(url or HOSTED, key or NO_KEY)


class Usage(Struct, kw_only=True):
    """Running counts. `cost` is in US dollars, by the prices of the settings."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@asynccontextmanager
async def open_openai(
    name: str,
    *,
    settings: OpenAIConfig | None = None,
    tools: bool = True,
    seed: Seed | None = None,
    address: Address | None = None,
) -> AsyncGenerator[OpenAIModel]:
    """Talk to the chat model `name` inside the block.

    tools: offer the agent's tool. Off for users and judges, who have none.
    seed:  of the waits between retries.
    address: where it is; by default what the environment says.

    Raises `UsageError` when the environment does not say where it is. Nothing is sent before the
    first request.
    """
    address = address or find_address()
    tls: ssl.SSLContext | None = None
    if address.url.startswith("https:"):
        # One for all clients: reading the system's certificates takes tens of milliseconds.
        tls = await to_thread.run_sync(ssl.create_default_context)
    model = OpenAIModel(name, address, settings or OpenAIConfig(), tools, seed or Seed(0), tls)
    try:
        yield model
    finally:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await model.shut()


class OpenAIModel:
    """A `Model` that reads messages; made by `open_openai`."""

    def __init__(
        self,
        name: str,
        address: Address,
        settings: OpenAIConfig,
        tools: bool,
        seed: Seed,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.usage = Usage()
        self._name, self._address, self._settings = name, address, settings
        self._tools = tools
        self._limits = Limits(address.url, settings.limits, seed=seed / "openai")
        self._cap = None if settings.cap_usd is None else SpendingCap(settings.cap_usd)
        # One client: on this transport (httpx2), sixteen requests to a client cost as much CPU as
        # two hundred do. No timeout, because the deadline is the caller's; no redirects, because
        # the key is for this server.
        http = DefaultAsyncHttpxClient(verify=tls or False, timeout=None, follow_redirects=False)
        self._client = AsyncOpenAI(
            api_key=address.key,
            base_url=address.url,
            max_retries=0,
            timeout=None,
            http_client=http,
        )

    def __repr__(self) -> str:
        return f"<OpenAIModel {self._name} at {self._address.url}>"

    @property
    def limits(self) -> LimitsStats:
        """How the endpoint is doing."""
        return self._limits.stats

    def services(self, role: ServiceRole) -> list[Callable[[], Service]]:
        """The same for a board."""
        return [partial(self._limits.service, role)]

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        """Ask the model to go on with `request.messages`.

        Its tool calls come back as text. Raises `ModelError` that says what to try; `CapReached`
        when the call could cost more than what is left. Cancelling closes the connection.
        """
        if not request.messages:
            await checkpoint()
            raise ModelError(
                f"the request of session {request.session!r} has no messages; openai:{self._name} "
                "reads messages, not tokens"
            )
        body = self._body(request)
        return await self._limits.call(lambda: self._once(body))

    async def greet(self) -> None:
        """Find out that somebody is there and takes the key, before a run rests on it.

        Raises `ModelError` when nobody answers or the key is refused. Whatever else a server makes
        of the question is its own business: not all of them can list their models.
        """
        failure: HttpError | None = None
        with anyio.move_on_after(GREET_S) as scope:
            try:
                await self._client.models.with_raw_response.list()
            except openai.APIStatusError as error:
                if error.status_code in (401, 403):
                    failure = self._refused(error)
            except openai.APIConnectionError as error:
                failure = self._lost(error)
            except openai.OpenAIError:
                pass
        if scope.cancelled_caught:
            raise ConnectFailed(
                f"{self._address.url} has not answered in {GREET_S:g} s; is it the right address?"
            )
        if failure is not None:
            raise failure

    async def shut(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._name,
            "messages": tell(request.messages),
            "temperature": request.sampling.temperature,
            "max_completion_tokens": request.sampling.max_tokens,
            "seed": request.seed & ((1 << 63) - 1),
        }
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._tools:
            body["tools"] = [SCHEMA]
        return body

    async def _once(self, body: dict[str, Any]) -> Generation:
        """One try."""
        with self._paid(body) as bill:
            answer = await self._post(body, bill)
            if self._address.key != NO_KEY:
                # Whatever a server does with the headers it gets, a key is not stored with a run.
                answer = answer.replace(self._address.key.encode(), b"***")
            try:
                generation, counted = read_answer(answer)
            except (ValueError, RecursionError) as error:  # msgspec's errors are of the first class
                bill.amount = self._estimate(body)  # of no use, but it was an answer
                raise BadResponse(f"{self._who} answered with {error}") from error
            self._count(counted, bill)
            return generation

    async def _post(self, body: dict[str, Any], bill: Bill) -> bytes:
        """The server's answer as it came. Raises `HttpError`."""
        failure: HttpError
        create: Any = self._client.chat.completions.with_raw_response.create  # too many overloads
        try:
            raw = await create(**body)
            content: bytes = raw.content
            return content
        except openai.APIStatusError as error:
            failure = self._refused(error)
        except openai.APIConnectionError as error:
            failure = self._lost(error)
            if isinstance(failure, ConnectionLost):
                bill.amount = self._estimate(body)  # it may have answered, and charged
        except openai.OpenAIError as error:
            failure = BadResponse(f"{self._who}: {self._address.hide(str(error))}")
        # Out here the SDK's error is not even the context of ours.
        raise failure

    @contextmanager
    def _paid(self, body: dict[str, Any]) -> Generator[Bill]:
        """Keep below the cap."""
        if self._cap is None:
            yield Bill()
            return
        with self._cap.pay(self._estimate(body)) as bill:
            yield bill

    def _estimate(self, body: dict[str, Any]) -> float:
        """US dollars that a call hardly exceeds: a token has two bytes or more in any language."""
        size = len(msgspec.json.encode([body["messages"], body.get("tools"), SCHEMA]))
        return self._price(size // 2, body["max_completion_tokens"])

    def _price(self, read: int, written: int) -> float:
        return 1e-6 * (self._settings.price_in * read + self._settings.price_out * written)

    def _count(self, counted: Counted | None, bill: Bill) -> None:
        self.usage.calls += 1
        if counted is None:
            return  # the bill stays at its estimate
        self.usage.prompt_tokens += counted.prompt_tokens
        self.usage.completion_tokens += counted.completion_tokens
        bill.amount = self._price(counted.prompt_tokens, counted.completion_tokens)
        self.usage.cost += bill.amount

    @property
    def _who(self) -> str:
        return f"{self._name} at {self._address.url}"

    def _refused(self, error: openai.APIStatusError) -> BadStatus:
        status = error.status_code
        words = " ".join(self._address.hide(error.response.text).split())
        headers = [
            (name.lower().encode(), value.encode("latin-1", "replace"))
            for name, value in error.response.headers.items()
        ]
        return BadStatus(
            f"{self._who} answered {status}: {words[:300] or '(no words)'}"
            f"{self._advice(status, words)}",
            status=status,
            retry_after_s=Response(status, headers, b"").retry_after_s,
        )

    def _advice(self, status: int, words: str) -> str:
        """What to try, after an error's words."""
        if status in (401, 403) and self._address.key == NO_KEY:
            return "; it wants a key: set OPENAI_API_KEY"
        if status in (401, 403):
            return "; check OPENAI_API_KEY, and that OPENAI_BASE_URL is where it belongs"
        if status == 404:
            return (
                f"; check the model's name, {self._name!r}, and that OPENAI_BASE_URL ends as the "
                "server's documentation says (often in /v1)"
            )
        if status == 429:
            return "; lower openai.limits.concurrency, or look at the account's quota"
        if status == 400 and "tool" in words:
            return "; a vLLM server needs --enable-auto-tool-choice --tool-call-parser hermes"
        if 300 <= status < 400:
            return "; OPENAI_BASE_URL leads elsewhere; name the server it leads to"
        return ""

    def _lost(self, error: openai.APIConnectionError) -> HttpError:
        cause = error.__cause__ or error
        words = f"({type(cause).__name__}: {self._address.hide(str(cause))})"
        if "Connect" in type(cause).__name__:
            return ConnectFailed(
                f"cannot connect to {self._address.url} {words}; "
                "is the server running, and does OPENAI_BASE_URL name it?"
            )
        # A generation that was lost on its way may be asked for again.
        return ConnectionLost(f"{self._who}: the connection ended {words}", begun=False)
