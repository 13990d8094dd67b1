"""One vLLM server as we see it: what it serves, how busy it is, and what happens when it fails."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from anyio import Event, Lock, create_task_group
from anyio.abc import Process, TaskStatus
from msgspec import structs

from ....engine import ModelError, Seed, Service, ServiceRole, checkpoint, one_error
from ..http._client import Http
from ..http._parse import BadStatus, ConnectFailed, ConnectionLost, HttpError
from ..limits._limits import Limits, LimitsConfig, Verdict, verdict
from ._server import Server, ServerDied
from ._weights import Control, Route, WeightsRefused, update_weights

SETTLE_S = 2.0
"""How long a server that failed a request may take to fall, before it is asked how it is."""

BACKOFF_S = 0.5
"""The pause before the first restart; it doubles with every further one."""

AVOID_S = 5.0
"""How long a server that could not be reached is avoided where there are others."""

_COUNTS = re.compile(r"^vllm:(?:prompt|generation)_tokens_total\{.*\} (\S+)$", re.MULTILINE)

_FIRST_LABEL = "default"
"""What vLLM calls weights that nobody has named."""


class Endpoint:
    """A server of somebody else's.

    serving:  set while requests may go there.
    limits:   how many requests it gets at once, and when one is tried again.
    busy, sessions: requests that it has or that wait for it, and dialogues that live there.
    version:  the number of the weights it serves.
    salt:     keeps prefixes of different weights apart in the server's cache.
    """

    def __init__(
        self,
        url: str,
        http: Http,
        control: Control,
        route: Route,
        version: int,
        limits: LimitsConfig,
    ) -> None:
        self.url: str = url
        self.version: int = version
        self.salt: str = f"v{version}"
        self.serving: Event = Event()
        self.limits: Limits = Limits(url, limits, seed=Seed(0) / url, judge=self._judge)
        self.busy: int = 0
        self.sessions: int = 0
        self._answers = 0
        self._avoid_until = 0.0
        self._http, self._control, self._route = http, control, route
        self._labels: dict[str, int] = {}
        self._fresh = True  # no update in its life yet
        self._sound = True  # its weights are what we think
        self._doubts = 0  # how often they were not
        self._lock = Lock()

    def service(self, role: ServiceRole) -> Service:
        """How it is, for a board."""
        shown = self.limits.service(role)
        if self.serving.is_set():
            return shown
        held = max(shown.waiting, self.busy - shown.in_flight)
        return structs.replace(shown, up=False, waiting=held, doing="is being started again")

    @property
    def failing(self) -> bool:
        """It could not be reached a moment ago."""
        return self._avoid_until > 0 and anyio.current_time() < self._avoid_until

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
        """The body of its answer. Waits its turn, and is sent again where `limits` allow.

        Raises `ModelError`.
        """
        self.busy += 1
        try:
            return await self.limits.call(partial(self._send, path, body))
        except HttpError as error:
            raise self._error(error) from error
        finally:
            self.busy -= 1

    async def _send(self, path: str, body: bytes) -> bytes:
        if not self.serving.is_set():
            await self.serving.wait()
        if not self._sound:
            await checkpoint()
            raise ModelError(
                f"vLLM at {self.url} has weights of unknown state since an update failed; "
                "push weights again"
            )
        doubts = self._doubts
        try:
            response = self._http.check(await self._http.request("POST", path, body))
        except HttpError as error:
            self._trouble(error)
            raise
        self._answers += 1
        self._avoid_until = 0.0
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
        self.version, self.salt = version, label

    async def _name(self, version: int) -> None:
        """Have the server call what it has by our name. Raises `HttpError`."""
        label = f"v{version}"
        await self._control.post("/update_weight_version", {"new_version": label})
        self._labels = {label: version}

    def _trouble(self, error: HttpError) -> None:
        """A request came to nothing."""
        if not isinstance(error, BadStatus):
            self._avoid_until = anyio.current_time() + AVOID_S

    def _judge(self, error: Exception) -> Verdict:
        return verdict(error)

    def _error(self, error: Exception) -> ModelError:
        return ModelError(f"vLLM at {self.url}: {error}")


class OwnEndpoint(Endpoint):
    """A server of ours: started, watched, and started again when it crashes or hangs."""

    def __init__(
        self,
        server: Server,
        http: Http,
        control: Control,
        route: Route,
        version: int,
        limits: LimitsConfig,
    ) -> None:
        super().__init__(server.url, http, control, route, version, limits)
        self._server = server
        self._file = ""  # the weights of `version`; none for those in the folder
        self._suspect = Event()

    @asynccontextmanager
    async def kept(self, restarts: int, hang_s: float) -> AsyncGenerator[None]:
        """Keep it running inside the block. Raises `ServerDied`."""
        with one_error():
            async with self._server.lodged() as model, create_task_group() as tasks:
                await tasks.start(self._keep, model, restarts, hang_s)
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

    async def _keep(
        self, model: Path, restarts: int, hang_s: float, *, task_status: TaskStatus[None]
    ) -> None:
        for crashes in range(restarts + 1):
            if crashes:
                self._server.say(f"vLLM ended; starting it again ({crashes} of {restarts})")
                await anyio.sleep(BACKOFF_S * 2 ** (crashes - 1))
            async with self._server.running(model) as process:
                await self._server.ready(process, self._control)
                if await self._greeted():
                    if not crashes:
                        task_status.started()
                    while await self._well(process, hang_s):
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

    async def _well(self, process: Process, hang_s: float) -> bool:
        """Wait until something happens to the server; whether it may go on."""
        hung = False
        async with create_task_group() as first:

            async def end_with(wait: Callable[[], Awaitable[object]]) -> None:
                await wait()
                first.cancel_scope.cancel()

            async def watch() -> None:
                nonlocal hung
                await self._hangs(hang_s)
                hung = True

            first.start_soon(end_with, self._suspect.wait)
            first.start_soon(end_with, watch)
            first.start_soon(end_with, process.wait)
        if hung:
            self._server.say(f"vLLM gave no sign of life for {hang_s:g} s while requests waited")
            return False
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

    async def _hangs(self, hang_s: float) -> None:
        """Wait until requests have waited `hang_s` for a server that shows no life.

        It may be stopped as a whole, or its front may answer while its engine does nothing: an
        answer is a sign of life, and so is a token by its own count, for a long generation has no
        answers. An update pauses everybody, and has deadlines of its own.
        """
        answers, last = self._answers, ""
        since = anyio.current_time()
        while True:
            await anyio.sleep(hang_s / 8)
            alive = self._answers != answers or not self.busy or self._lock.locked()
            answers = self._answers
            if not alive:
                count = None
                with anyio.move_on_after(hang_s / 8):
                    count = await self._count()
                alive, last = count not in (None, last), count or last
            if alive:
                since = anyio.current_time()
            elif anyio.current_time() - since >= hang_s:
                return

    async def _count(self) -> str | None:
        """A text that changes with every token the server reads or writes; None without answer.

        One that does not count answers at least: then it changes every time.
        """
        try:
            body = await self._control.get("/metrics")
        except BadStatus:
            body = b""
        except HttpError:
            return None
        found = _COUNTS.findall(body.decode("utf-8", "replace"))
        return " ".join(found) or str(anyio.current_time())

    def _trouble(self, error: HttpError) -> None:
        # A refusal (4xx) is about the request; anything else may be the server's end.
        if not isinstance(error, BadStatus) or error.status >= 500:
            self._suspend()

    def _judge(self, error: Exception) -> Verdict:
        # What a crash takes with it is not sent again: it may be what the server died of, and the
        # next one would too. Nor is there a circuit: `_keep` knows better how the server is.
        match verdict(error):
            case Verdict(busy=True, after_s=after_s):
                return Verdict(retry=True, busy=True, after_s=after_s)
            case _:
                return Verdict(retry=isinstance(error, ConnectFailed))

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
