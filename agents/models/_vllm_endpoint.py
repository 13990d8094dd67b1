"""One vLLM server as we see it: what it serves, how busy it is, and what happens when it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import Event, Lock, create_task_group
from anyio.abc import Process, TaskStatus

from ...engine import ModelError, one_error
from ._http import Http
from ._http_parse import BadStatus, ConnectFailed, ConnectionLost, HttpError
from ._vllm_server import Server, ServerDied
from ._vllm_weights import Control, Route, WeightsRefused, update_weights

SETTLE_S = 2.0
"""How long a server that failed a request may take to fall, before it is asked how it is."""

BACKOFF_S = 0.5
"""The pause before the first restart; it doubles with every further one."""

_FIRST_LABEL = "default"
"""What vLLM calls weights that nobody has named."""


class Endpoint:
    """A server of somebody else's.

    serving:  set while requests may go there.
    failing:  the last request could not reach it.
    busy, sessions: requests in flight, and dialogues that live there.
    version:  the number of the weights it serves.
    """

    def __init__(self, url: str, http: Http, control: Control, route: Route, version: int) -> None:
        self.url = url
        self.version = version
        self.serving = Event()
        self.failing = False
        self.busy = self.sessions = 0
        self._http, self._control, self._route = http, control, route
        self._labels: dict[str, int] = {}
        self._fresh = True  # no update in its life yet
        self._sound = True  # its weights are what we think
        self._doubts = 0  # how often they were not
        self._lock = Lock()

    @property
    def salt(self) -> str:
        """Keeps prefixes of different weights apart in the server's cache."""
        return f"v{self.version}"

    def version_of(self, label: str) -> int:
        """The version behind the server's name for it. Raises `ValueError`."""
        try:
            return self._labels[label]
        except KeyError:
            raise ValueError(
                f"tokens of weights called {label!r}, which we did not give it; "
                "does somebody else train with this server?"
            ) from None

    async def adopt(self) -> None:
        """Find out that it answers, and agree what its weights are called. Raises `ModelError`."""
        try:
            await self._control.get("/health")
            await self._name(self.version)
        except BadStatus as error:
            if error.status != 404:
                raise self._error(error) from error
            # Its weights can be neither named nor changed by us.
            self._labels = {_FIRST_LABEL: self.version}
        except HttpError as error:
            raise self._error(error) from error
        self.serving.set()

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of its answer. Raises `ModelError`."""
        doubts = self._doubts
        self.busy += 1
        try:
            if not self._sound:
                raise ModelError(
                    f"vLLM at {self.url} has weights of unknown state since an update failed; "
                    "push weights again"
                )
            response = self._http.check(await self._http.request("POST", path, body))
        except HttpError as error:
            self._trouble(error)
            raise self._error(error) from error
        finally:
            self.busy -= 1
        self.failing = False
        if self._doubts != doubts:
            raise ModelError(f"vLLM at {self.url} sampled while an update failed")
        return response.body

    async def push(self, version: int, path: str) -> None:
        """Serve the weights at `path` from now on. Raises `UsageError` and `WeightsRefused`."""
        async with self._lock:
            await self._update(version, path)

    async def _update(self, version: int, path: str) -> None:
        label = f"v{version}"
        self._labels[label] = version
        try:
            await update_weights(self._control, self._route, label, path, fresh=self._fresh)
        except WeightsRefused:
            self._sound = False
            self._doubts += 1
            raise
        self._fresh, self._sound = False, True
        self.version = version

    async def _name(self, version: int) -> None:
        """Have the server call what it has by our name. Raises `HttpError`."""
        label = f"v{version}"
        await self._control.post("/update_weight_version", {"new_version": label})
        self._labels = {label: version}

    def _trouble(self, error: HttpError) -> None:
        """A request came to nothing."""
        self.failing = not isinstance(error, BadStatus)

    def _error(self, error: Exception) -> ModelError:
        return ModelError(f"vLLM at {self.url}: {error}")


class OwnEndpoint(Endpoint):
    """A server of ours: started, watched, and started again when it crashes."""

    def __init__(
        self,
        url: str,
        http: Http,
        control: Control,
        route: Route,
        version: int,
        server: Server,
    ) -> None:
        super().__init__(url, http, control, route, version)
        self._server = server
        self._file = ""  # the weights of `version`; none for those in the folder
        self._suspect = Event()

    @asynccontextmanager
    async def kept(self, restarts: int) -> AsyncGenerator[None]:
        """Keep it running inside the block. Raises `ServerDied`."""
        with one_error():
            async with self._server.lodged() as model, create_task_group() as tasks:
                await tasks.start(self._keep, model, restarts)
                try:
                    yield
                finally:
                    tasks.cancel_scope.cancel()

    async def push(self, version: int, path: str) -> None:
        """As for any endpoint; when the server crashes meanwhile, the next one gets the weights."""
        while True:
            await self.serving.wait()
            async with self._lock:
                if not self.serving.is_set():
                    continue
                try:
                    await self._update(version, path)
                except WeightsRefused as error:
                    self._suspend()
                    if isinstance(error.__cause__, ConnectFailed | ConnectionLost):
                        continue
                    raise
                self._file = path
                return

    async def _keep(self, model: Path, restarts: int, *, task_status: TaskStatus[None]) -> None:
        for crashes in range(restarts + 1):
            if crashes:
                self._server.say(f"vLLM ended; starting it again ({crashes} of {restarts})")
                await anyio.sleep(BACKOFF_S * 2 ** (crashes - 1))
            async with self._server.running(model) as process:
                await self._server.ready(process, self._control)
                if await self._greeted():
                    if not crashes:
                        task_status.started()
                    while await self._well(process):
                        self.serving.set()
                self._suspend()
        raise ServerDied(
            f"vLLM at {self.url} ended {restarts + 1} times, and vllm.restarts is {restarts}; "
            f"{self._server.last_words()}"
        )

    async def _greeted(self) -> bool:
        """Bring a server that has just started to the newest weights, unless it fails at once."""
        self._fresh, self._sound, self._suspect = True, True, Event()
        try:
            async with self._lock:
                await self._name(self.version)
                if self._file:
                    await self._update(self.version, self._file)
        except (HttpError, WeightsRefused):
            return False
        self.serving.set()
        return True

    async def _well(self, process: Process) -> bool:
        """Wait until something happens to the server; whether it may go on."""
        async with create_task_group() as either:

            async def until(event: Event) -> None:
                await event.wait()
                either.cancel_scope.cancel()

            either.start_soon(until, self._suspect)
            await process.wait()
            either.cancel_scope.cancel()
        if process.returncode is None and self._sound:
            # The engine may be gone while the front still answers; then that ends soon too.
            with anyio.move_on_after(SETTLE_S):
                await process.wait()
        if process.returncode is not None or not self._sound:
            return False
        self._suspect = Event()
        try:
            with anyio.fail_after(SETTLE_S):
                await self._control.get("/health")
        except (HttpError, TimeoutError):
            return False
        return True

    def _trouble(self, error: HttpError) -> None:
        # A refusal (4xx) is about the request; anything else may be the server's end.
        if not isinstance(error, BadStatus) or error.status >= 500:
            self._suspend()

    def _suspend(self) -> None:
        """Let nobody in until `_keep` has seen to the server."""
        if self.serving.is_set():
            self.serving = Event()
        self._suspect.set()


async def update_all(endpoints: Sequence[Endpoint], version: int, path: str) -> None:
    """Push to all of them at once. Raises what any of them raises."""
    with one_error():
        async with create_task_group() as tasks:
            for endpoint in endpoints:
                tasks.start_soon(endpoint.push, version, path)
