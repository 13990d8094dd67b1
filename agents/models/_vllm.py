"""A model behind vLLM: tokens in, tokens out, each with its log-probability and its version.

A dialogue stays with one server while it can, because that one has its prefix cached; a new
dialogue goes to the server with the fewest. Servers may be other people's (URLs) or our own, which
are watched: what is in flight when one crashes fails, and what comes after waits for the next.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from anyio import to_thread
from msgspec import Struct

from ...engine import DuologueError, ModelError, Span, UsageError, checkpoint
from ._http import open_http
from ._model import Generation, Request
from ._vllm_config import VllmConfig
from ._vllm_endpoint import Endpoint, OwnEndpoint, update_all
from ._vllm_server import Server
from ._vllm_weights import Control, FileRoute, Route

_GENERATE = "/inference/v1/generate"

_CONTROL_CONNECTIONS = 4


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...


# What goes out and what is read of what comes back; the rest of an answer is skipped.


class _Sampling(Struct, frozen=True, kw_only=True):
    # A server's own defaults would bias the log-probabilities, so everything is said.
    temperature: float
    max_tokens: int
    seed: int
    stop_token_ids: tuple[int, ...]
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    ignore_eos: bool = True
    logprobs: int = 0
    detokenize: bool = False


class _Ask(Struct, frozen=True, kw_only=True):
    token_ids: list[int]
    sampling_params: _Sampling
    cache_salt: str


class _Logprob(Struct, frozen=True, gc=False):
    token_id: int
    logprob: float


class _Logprobs(Struct, frozen=True):
    content: list[_Logprob]


class _Version(Struct, frozen=True, gc=False):
    version: str
    start: int
    end: int


class _Choice(Struct, frozen=True):
    token_ids: list[int]
    logprobs: _Logprobs
    finish_reason: str | None = None
    weight_versions: list[_Version] | None = None


class _Answer(Struct, frozen=True):
    choices: list[_Choice]


class _Card(Struct, frozen=True):
    root: str


class _Models(Struct, frozen=True):
    data: list[_Card]


_encode = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(_Answer).decode


@asynccontextmanager
async def open_vllm(
    target: str,
    tokenizer: Decoder,
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
    context:   the longest conversation in tokens. live: requests in flight at once.
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
            for url in target.split(","):
                http = await stack.enter_async_context(open_http(url, connections=live))
                control = await stack.enter_async_context(
                    open_http(url, connections=_CONTROL_CONNECTIONS)
                )
                endpoint = Endpoint(url, http, Control(url, control), route, version)
                await endpoint.adopt()
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
            url = server.url
            http = await stack.enter_async_context(open_http(url, connections=live))
            control = await stack.enter_async_context(
                open_http(url, connections=_CONTROL_CONNECTIONS)
            )
            own = OwnEndpoint(url, http, Control(url, control), route, version, server)
            await stack.enter_async_context(own.kept(settings.restarts))
            model.endpoints.append(own)
        yield model


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
    from ._vllm_gpu import IpcRoute, NcclRoute

    return IpcRoute() if settings.weights == "ipc" else NcclRoute()


def _say_nothing(text: str) -> None:
    pass


class VllmModel:
    """A `Model` and a `WeightSink`; made by `open_vllm`."""

    def __init__(self, tokenizer: Decoder, context: int) -> None:
        self.endpoints: list[Endpoint] = []
        self._tokenizer = tokenizer
        self._context = context
        self._homes: dict[str, Endpoint | None] = {}  # of the open sessions

    @property
    def version(self) -> int:
        """The number of the weights that the next token comes from."""
        return min(endpoint.version for endpoint in self.endpoints)

    @property
    def context(self) -> int:
        """The longest conversation, in tokens, the reply included."""
        return self._context

    def open(self, session: str) -> None:
        """Announce a dialogue: it will stay with one server while it can."""
        self._homes.setdefault(session, None)

    def close(self, session: str) -> None:
        """End a dialogue."""
        home = self._homes.pop(session, None)
        if home is not None:
            home.sessions -= 1

    async def generate(self, request: Request) -> Generation:
        """Sample a reply to `request.tokens`.

        While a server of ours is being started again this waits. Raises `ModelError` when the
        tokens cannot be sampled after, when the server fails or its answer does not fit the
        request. Cancelling aborts the generation in the server too.
        """
        try:
            self._check(request)
        except DuologueError:
            await checkpoint()
            raise
        endpoint = self._place(request.session)
        await endpoint.serving.wait()
        body = await endpoint.post(_GENERATE, _encode(self._ask(request, endpoint)))
        try:
            return self._read(request, endpoint, body)
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

    def _place(self, session: str) -> Endpoint:
        """The session's server; a new one for a session that has none, or whose server fails."""
        home = self._homes.get(session)
        if home is not None and (not home.failing or len(self.endpoints) == 1):
            return home
        best = min(self.endpoints, key=lambda e: (e.failing, e.sessions, e.busy))
        if session in self._homes:
            if home is not None:
                home.sessions -= 1
            best.sessions += 1
            self._homes[session] = best
        return best

    def _ask(self, request: Request, endpoint: Endpoint) -> _Ask:
        sampling = request.sampling
        room = self._context - len(request.tokens)
        return _Ask(
            token_ids=list(request.tokens),
            sampling_params=_Sampling(
                temperature=sampling.temperature,
                max_tokens=min(sampling.max_tokens, room),
                seed=request.seed & ((1 << 63) - 1),
                stop_token_ids=sampling.stop,
            ),
            cache_salt=endpoint.salt,
        )

    def _read(self, request: Request, endpoint: Endpoint, body: bytes) -> Generation:
        """The generation in an answer. Raises `ValueError` for one that does not fit."""
        choices = _decode_answer(body).choices
        if len(choices) != 1:
            raise ValueError(f"{len(choices)} choices instead of one")
        choice = choices[0]
        ids, sampled = choice.token_ids, choice.logprobs.content
        most = min(request.sampling.max_tokens, self._context - len(request.tokens))
        if not 1 <= len(ids) <= most:
            raise ValueError(f"{len(ids)} tokens instead of 1 to {most}")
        if [one.token_id for one in sampled] != ids:
            raise ValueError(f"log-probabilities of other tokens than the {len(ids)} it sampled")
        if not all(math.isfinite(one.logprob) and one.logprob <= 1e-3 for one in sampled):
            raise ValueError("log-probabilities that are none")
        stopped = ids[-1] in request.sampling.stop
        if choice.finish_reason != ("stop" if stopped else "length"):
            raise ValueError(
                f"finish reason {choice.finish_reason!r} after {len(ids)} tokens, the last "
                f"{ids[-1]}"
            )
        spoken = ids[:-1] if stopped else ids
        return Generation(
            text=self._tokenizer.decode(spoken, skip_special_tokens=False),
            ids=array("i", ids),
            logps=array("f", [one.logprob for one in sampled]),
            finish="stop" if stopped else "length",
            spans=_spans(choice.weight_versions, len(ids), endpoint),
        )


def _spans(found: list[_Version] | None, count: int, endpoint: Endpoint) -> tuple[Span, ...]:
    """Which version sampled what; together they cover all `count` tokens, in order."""
    if not found:
        raise ValueError("no weight versions; use a vLLM that reports them (0.32 does)")
    spans = tuple(
        Span(span.start, span.end, endpoint.version_of(span.version))
        for span in found
        if span.end > span.start
    )
    edges = [0, *(span.end for span in spans)]
    if [span.start for span in spans] != edges[:-1] or edges[-1] != count:
        raise ValueError(f"weight versions that do not cover its {count} tokens: {found}")
    return spans
