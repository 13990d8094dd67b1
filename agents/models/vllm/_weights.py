"""New weights for a vLLM server that is serving: the phases of an update, and the file route.

    pause (keep) -> start -> update, once -> finish (version) -> forget the prefixes -> resume

Requests in flight are frozen meanwhile. Afterwards their context is computed again with the new
weights, so that every token's log-probability belongs to the version the server names for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import anyio
import msgspec
from anyio import to_thread

from ....engine import ModelError, UsageError, checkpoint
from ..http._client import Http
from ..http._parse import HttpError

T = TypeVar("T")

PHASE_S = 300.0
"""How long one phase may take. NCCL has no timeout of its own."""

RESUME_S = 10.0
"""How long a server may take to go on after an update that failed."""


class WeightsRefused(ModelError):
    """A server did not take new weights; which ones it has now is not known."""


class Control:
    """A server's control routes. They have connections of their own: those that generate may all
    be waiting for a server that is paused."""

    def __init__(self, url: str, http: Http) -> None:
        self.url, self._http = url, http

    async def post(self, path: str, content: object = None) -> bytes:
        """The answer's body. Raises `HttpError`."""
        body = b"" if content is None else msgspec.json.encode(content)
        response = await self._http.request("POST", path, body, once=True)
        return self._http.check(response).body

    async def get(self, path: str) -> bytes:
        """The answer's body. Raises `HttpError`."""
        return self._http.check(await self._http.request("GET", path)).body


class Route(Protocol):
    """How weights get from a file of ours into servers.

    backend:     vLLM's name for it.
    environment: what the server must be started with.
    """

    backend: ClassVar[str]
    environment: ClassVar[dict[str, str]]

    async def begin(self, control: Control) -> None:
        """Agree with a server that has just started. Raises `HttpError`."""
        ...

    async def send(self, control: Control, path: str) -> None:
        """Send everything, in one update. Raises `HttpError`, or `WeightsRefused`."""
        ...

    def sent(self, control: Control) -> None:
        """The update is over, well or not: what was kept for it may go."""
        ...


class FileRoute:
    """The server reads the file itself: any device, as long as both see one file system."""

    backend: ClassVar[str] = "file"
    environment: ClassVar[dict[str, str]] = {}

    async def begin(self, control: Control) -> None:
        await control.post("/init_weight_transfer_engine", {"init_info": {}})

    async def send(self, control: Control, path: str) -> None:
        await control.post("/update_weights", {"update_info": {"path": path}})

    def sent(self, control: Control) -> None:
        pass


async def update_weights(
    control: Control, route: Route, label: str, path: str, *, fresh: bool
) -> None:
    """Have the server sample with the weights at `path` from now on, and call them `label`.

    fresh: this is the first update of the server's life.

    Raises `UsageError` when there is no such file, before anybody is paused, and `WeightsRefused`
    when the server does not take it; the server goes on in both cases. Cancelling waits for the
    end, because half an update is no version.
    """
    path = await to_thread.run_sync(_existing, path)
    with anyio.CancelScope(shield=True):
        try:
            if fresh:
                await _phase(route.begin(control))
            async with _paused(control):
                await _phase(control.post("/start_weight_update"))
                await _phase(route.send(control, path))
                await _phase(control.post("/finish_weight_update", {"weight_version": label}))
                await _forget(control)
        except (HttpError, TimeoutError, WeightsRefused) as error:
            why = str(error) or f"no answer within {PHASE_S:g} s"
            raise WeightsRefused(
                f"vLLM at {control.url} did not take {label} from {path}: {why}"
            ) from error
        finally:
            route.sent(control)
    await checkpoint()


def _existing(path: str) -> str:
    file = Path(path).absolute()
    if not file.is_file():
        raise UsageError(f"there are no weights at {file}")
    return str(file)


async def _forget(control: Control) -> None:
    """Drop every cached prefix, those of the frozen requests included."""
    answer = await _phase(control.post("/reset_prefix_cache?reset_running_requests=true"))
    if answer != b'{"success":true}':
        raise WeightsRefused(f"it kept what it had cached: {answer[:200]!r}")


@asynccontextmanager
async def _paused(control: Control) -> AsyncGenerator[None]:
    """The server generates nothing inside the block, and goes on after it."""
    try:
        await _phase(control.post("/pause?mode=keep"))
        yield
    except BaseException:
        # What went wrong before says more than that a server which is gone cannot go on.
        with anyio.move_on_after(RESUME_S, shield=True), suppress(HttpError):
            await control.post("/resume")
        raise
    await _phase(control.post("/resume"))


async def _phase(work: Awaitable[T]) -> T:
    with anyio.fail_after(PHASE_S):
        return await work
