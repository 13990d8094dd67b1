"""A model behind vLLM: tokens in, tokens out, each with its log-probability and its version.

A dialogue stays with one server while it can, because that one has its prefix cached; a new
dialogue goes to the server with the fewest. Servers may be other people's (URLs) or our own, which
are watched: what is in flight when one crashes fails, and what comes after waits for the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread
from msgspec import Struct, structs

from ....engine import DuologueError, ModelError, Service, ServiceRole, UsageError, checkpoint
from .._model import Generation, Request
from ..http._client import Http, connections_left, open_http
from ..limits._limits import LimitsConfig
from ..limits._reports import open_reports
from ..text._byte_level import Decoder, Decodes
from ._config import VllmConfig
from ._endpoint import Endpoint, OwnEndpoint, update_all
from ._server import Server
from ._weights import Control, FileRoute, Route
from ._wire import History, read_answer, write_ask

_GENERATE = "/inference/v1/generate"

_METRICS = "/metrics"

_CONTROL_CONNECTIONS = 4

_OF_SEVERAL: dict[str, Any] = {"attempts": 2, "patience_s": 5.0}
"""One server of several is left for another sooner."""


class _Card(Struct, frozen=True):
    root: str


class _Models(Struct, frozen=True):
    data: list[_Card]


class _Session:
    """An open dialogue: the server it stays with, and its tokens as they are sent."""

    __slots__ = ("history", "home")

    def __init__(self) -> None:
        self.home: Endpoint | None = None
        self.history: History = History()


@asynccontextmanager
async def open_vllm(
    target: str,
    tokenizer: Decodes,
    *,
    settings: VllmConfig | None = None,
    context: int = 1024,
    live: int = 1024,
    device: str = "cpu",
    threads: int = 1,
    version: int = 0,
    log: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> AsyncGenerator[VllmModel]:
    """Generate with vLLM inside the block.

    target:    URLs of running servers, separated by commas; or a model folder, for which a server
               is started on this machine and stopped with the block.
    tokenizer: turns sampled tokens into text.
    context:   the longest conversation in tokens.
    live:      requests in flight at once on each server; the others wait their turn.
    device, threads: of a server that we start. log: where it writes; by default a temporary file.
    version:   the number of the weights that are served first.
    say:       told, a line at a time, how the start goes.

    Raises `UsageError` for a folder or an interpreter that is not there, `ServerDied` when our
    server does not start or crashes more often than `settings.restarts`, `ModelError` when a
    server of somebody else's does not answer.
    """
    settings = settings or VllmConfig()
    async with AsyncExitStack() as stack:
        model = VllmModel(tokenizer, context)
        route = make_route(settings)
        if is_url(target):
            urls = target.split(",")
            share = connections_left() // len(urls) - _CONTROL_CONNECTIONS
            for url in urls:
                http, control = await _clients(stack, url, min(live, max(1, share)))
                limits = LimitsConfig(concurrency=http.stats.most)
                if len(urls) > 1:
                    limits = structs.replace(limits, **_OF_SEVERAL)
                endpoint = Endpoint(url, http, control, route, version, limits)
                await endpoint.adopt()
                await stack.enter_async_context(_reports(endpoint, control))
                model.endpoints.append(endpoint)
        else:
            server = Server(
                Path(target),
                settings,
                route,
                context=context,
                live=live,
                device=device,
                threads=threads,
                log=log or Path(tempfile.mkdtemp(prefix="duologue-")) / "vllm.log",
                say=say or _say_nothing,
            )
            http, control = await _clients(stack, server.url, live)
            most = http.stats.most
            limits = LimitsConfig(concurrency=most, least=most if server.holds_all else 0)
            own = OwnEndpoint(server, http, control, route, version, limits)
            await stack.enter_async_context(own.kept(settings.restarts, settings.hang_s))
            await stack.enter_async_context(_reports(own, control))
            model.endpoints.append(own)
        yield model


def _reports(endpoint: Endpoint, control: Control) -> AbstractAsyncContextManager[None]:
    """Let the endpoint's limits follow what its server says of its load."""
    return open_reports(endpoint.limits, lambda: control.get(_METRICS))


async def _clients(stack: AsyncExitStack, url: str, connections: int) -> tuple[Http, Control]:
    """One for requests that generate, and one for control."""
    http = await stack.enter_async_context(open_http(url, connections=connections))
    control = await stack.enter_async_context(open_http(url, connections=_CONTROL_CONNECTIONS))
    return http, Control(url, control)


def is_url(target: str) -> bool:
    """Whether `target` names running servers, and not a folder."""
    return target.startswith(("http://", "https://"))


async def served_folder(target: str, settings: VllmConfig) -> Path:
    """The folder whose tokenizer fits what `target` serves.

    Raises `UsageError` when a running server cannot say, or names a folder that is not here.
    """
    if not is_url(target):
        await checkpoint()
        return Path(target)
    if settings.tokenizer:
        await checkpoint()
        return Path(settings.tokenizer)
    url = target.partition(",")[0]
    async with open_http(url, connections=1) as http:
        try:
            body = http.check(await http.request("GET", "/v1/models")).body
            folder = Path(msgspec.json.decode(body, type=_Models).data[0].root)
        except (ModelError, msgspec.DecodeError, IndexError) as error:
            raise UsageError(f"{url} does not say which model it serves: {error}") from error
    if not await to_thread.run_sync(folder.is_dir):
        raise UsageError(
            f"{url} serves {folder}, which is no folder here; set vllm.tokenizer to one with the "
            "model's tokenizer"
        )
    return folder


def make_route(settings: VllmConfig) -> Route:
    """How weights travel, as the settings say."""
    if settings.weights == "file":
        return FileRoute()
    from ._gpu import IpcRoute, NcclRoute

    return IpcRoute() if settings.weights == "ipc" else NcclRoute()


def _say_nothing(text: str) -> None:
    pass


class VllmModel:
    """A `Model` and a `WeightSink`; made by `open_vllm`."""

    def __init__(self, tokenizer: Decodes, context: int) -> None:
        self.endpoints: list[Endpoint] = []
        self._text_of = Decoder(tokenizer)
        self._context = context
        self._sessions: dict[str, _Session] = {}  # the open ones

    @property
    def version(self) -> int:
        """The number of the weights that the next token comes from."""
        return min(endpoint.version for endpoint in self.endpoints)

    @property
    def context(self) -> int:
        """The longest conversation, in tokens, the reply included."""
        return self._context

    def services(self, role: ServiceRole) -> list[Callable[[], Service]]:
        """How its servers are, for a board."""
        return [partial(endpoint.service, role) for endpoint in self.endpoints]

    def open(self, session: str) -> None:
        """Announce a dialogue: it will stay with one server while it can."""
        if session not in self._sessions:
            self._sessions[session] = _Session()

    def close(self, session: str) -> None:
        """End a dialogue."""
        closed = self._sessions.pop(session, None)
        if closed is not None and closed.home is not None:
            closed.home.sessions -= 1

    async def generate(self, request: Request) -> Generation:
        """Sample a reply to `request.tokens`.

        While a server of ours is being started again this waits. Of several servers another one
        is asked when the session's fails. Raises `ModelError` when the tokens cannot be sampled
        after, when the server fails or its answer does not fit the request. Cancelling aborts the
        generation in the server too.
        """
        try:
            self._check(request)
        except DuologueError:
            await checkpoint()
            raise
        session = self._sessions.get(request.session)
        history = session.history if session is not None else History()
        most = min(request.sampling.max_tokens, self._context - len(request.tokens))
        tries = len(self.endpoints)
        while True:
            endpoint = self._place(session)
            body = write_ask(
                history.render(request.tokens),
                request.sampling,
                seed=request.seed,
                most=most,
                salt=endpoint.salt,
            )
            try:
                answer = await endpoint.post(_GENERATE, body)
                break
            except ModelError:
                tries -= 1
                if not tries or not endpoint.failing:
                    raise
        try:
            return read_answer(
                answer,
                request,
                most=most,
                version_of=endpoint.version_of,
                text_of=self._text_of,
                history=history,
            )
        except ValueError as error:  # msgspec's errors are of this class too
            raise ModelError(f"vLLM at {endpoint.url} answered with {error}") from error

    async def push(self, version: int, path: str) -> None:
        """Sample with the safetensors file at `path` from now on, as `version`.

        Returns when every server has it. Raises `UsageError` when there is no such file,
        `WeightsRefused` when a server does not take it. Cancelling waits for the update under way.
        """
        await update_all(self.endpoints, version, path)

    def _check(self, request: Request) -> None:
        session, length = request.session, len(request.tokens)
        if length == 0:
            raise ModelError(
                f"the request of session {session!r} has no tokens; this model reads token ids, "
                "not messages: render and tokenise the conversation first"
            )
        if length >= self._context:
            raise ModelError(
                f"session {session!r} has {length} tokens, which leaves no room in a context of "
                f"{self._context}; end the dialogue before, or allow a larger context"
            )

    def _place(self, session: _Session | None) -> Endpoint:
        """The session's server; a new one for a session that has none, or whose server fails."""
        home = session.home if session is not None else None
        if home is not None and (len(self.endpoints) == 1 or not home.failing):
            return home
        best = min(self.endpoints, key=lambda e: (e.failing, e.sessions, e.busy))
        if session is not None:
            if home is not None:
                home.sessions -= 1
            best.sessions += 1
            session.home = best
        return best
