"""A vLLM server that we start, watch, start again when it crashes, and stop.

It listens on this machine only, writes to a log of ours, and dies with us however we end: by the
block's end, by its group being killed, and by the pipe that `_boot` watches.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anyio
from anyio import to_thread
from anyio.abc import Process

from ....engine import DuologueError, UsageError
from ..http._parse import HttpError
from ._config import VllmConfig
from ._weights import Control, Route

POLL_S = 0.25
"""How often a server that starts is asked whether it is ready."""

SAY_S = 10.0
"""How often a person is told that it is not."""

LEAVE_S = 5.0
"""How long a server may take to leave by itself before it is killed."""

_LEAST_CACHE, _MOST_CACHE = 64 << 20, 4 << 30
"""Bytes of keys and values that a server on a CPU is given."""

_HERE = Path(__file__).parent


class ServerDied(DuologueError):
    """A server that we run could not be started, or crashed more often than allowed."""


class Server:
    """How to start one server, as often as needed, always at the same address.

    holds_all: its cache has room for everything that may be in flight, so a queue in it is nothing
               but prompts that are about to be read.
    """

    def __init__(
        self,
        folder: Path,
        settings: VllmConfig,
        route: Route,
        *,
        context: int,
        live: int,
        device: str,
        threads: int,
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        cache = _cache_bytes(folder, tokens=context * live) if device == "cpu" else _MOST_CACHE
        # Arguments of somebody's own may leave it less room.
        self.holds_all: bool = cache < _MOST_CACHE and not settings.args
        self._python = find_python(settings.python)
        self._port = _free_port()
        self._environment = {**os.environ, **_environment(threads, device), **route.environment}
        self._flags = [
            *_flags(route.backend, context=context, live=live, port=self._port),
            *(_cpu_flags(cache, context=context, live=live) if device == "cpu" else ()),
            *settings.args,
        ]
        self._ready_s = settings.ready_s
        self.say = say
        self.folder = folder
        self.log = log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def lodged(self) -> AsyncGenerator[Path]:
        """A folder with the model in it for as long as the block lasts: the original may be a
        checkpoint, and gone by the time a server is started again."""
        with tempfile.TemporaryDirectory(prefix=".vllm-", dir=self.log.parent.absolute()) as place:
            lodging = Path(place)
            await to_thread.run_sync(_link, self.folder, lodging)
            yield lodging

    @asynccontextmanager
    async def running(self, model: Path) -> AsyncGenerator[Process]:
        """The server's process, for as long as the block lasts; nothing of it is left behind."""
        # Its sockets: a run directory's path may be too long for one.
        with tempfile.TemporaryDirectory(prefix="duologue-") as scratch:
            theirs, ours = os.pipe()
            try:
                process = await self._spawn(theirs, scratch, model)
                try:
                    yield process
                finally:
                    await _stop(process)
            finally:
                os.close(ours)

    async def _spawn(self, lifeline: int, scratch: str, model: Path) -> Process:
        boot = str(_HERE / "_boot.py")
        command = [self._python, boot, str(lifeline), "--model", str(model), *self._flags]
        try:
            with self.log.open("ab") as output:
                return await anyio.open_process(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**self._environment, "VLLM_RPC_BASE_PATH": scratch},
                    pass_fds=(lifeline,),
                    start_new_session=True,
                )
        except OSError as error:
            raise UsageError(f"cannot run {self._python}: {error.strerror}") from error
        finally:
            os.close(lifeline)

    async def ready(self, process: Process, control: Control) -> None:
        """Wait until it answers. Raises `ServerDied` when it ends before, or takes too long."""
        began = anyio.current_time()
        said = began
        self.say(f"vLLM is starting with {self.folder}; its log: {self.log}")
        while True:
            if process.returncode is not None:
                raise ServerDied(
                    f"vLLM ended with exit code {process.returncode} before it was ready; "
                    f"{self.last_words()}"
                )
            with anyio.move_on_after(POLL_S), suppress(HttpError):
                await control.get("/health")
                self.say(f"vLLM is ready after {anyio.current_time() - began:.0f} s")
                return
            await anyio.sleep(POLL_S)
            now = anyio.current_time()
            if now - began > self._ready_s:
                raise ServerDied(
                    f"vLLM was not ready after {self._ready_s:g} s (vllm.ready_s); "
                    f"{self.last_words()}"
                )
            if now - said >= SAY_S:
                said = now
                self.say(f"vLLM is starting, {now - began:.0f} s")

    def last_words(self, lines: int = 8) -> str:
        """The end of the log, for an error."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
                text = file.read().decode("utf-8", "replace")
        except OSError as error:
            return f"its log {self.log} cannot be read: {error.strerror}"
        last = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
        return f"the last lines of {self.log}:\n" + "\n".join(f"    {line}" for line in last)


def _link(folder: Path, place: Path) -> None:
    """Fill `place` with the files of `folder`; without a copy where the disk allows."""
    for file in folder.iterdir():
        if file.is_file():
            original, target = file.resolve(), place / file.name
            try:
                os.link(original, target)
            except OSError:
                shutil.copyfile(original, target)


async def _stop(process: Process) -> None:
    """End the whole process group: politely if its leader lives, then without asking."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            # One that was stopped hears nothing before it goes on.
            _signal_group(process, signal.SIGCONT)
            with anyio.move_on_after(LEAVE_S):
                await process.wait()
        # Its engine is a process of its own, and may be left when the leader was killed.
        _signal_group(process, signal.SIGKILL)
        await process.wait()
        await process.aclose()


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def find_python(setting: str) -> str:
    """The interpreter that has vLLM: the setting, the environment variable, the environment that
    `make .venv-vllm` makes, or our own. Raises `UsageError` for one that is not there."""
    named = setting or os.environ.get("DUOLOGUE_VLLM_PYTHON", "")
    if named:
        if not Path(named).is_file():
            raise UsageError(
                f"there is no interpreter at {named}; set vllm.python or DUOLOGUE_VLLM_PYTHON to "
                "the python of an environment with vLLM"
            )
        return str(Path(named).absolute())
    usual = Path(".venv-vllm/bin/python")
    return str(usual.absolute()) if usual.is_file() else sys.executable


def _flags(backend: str, *, context: int, live: int, port: int) -> list[str]:
    return [
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--max-model-len", str(context)),
        *("--max-num-seqs", str(live)),
        # Log-probabilities of the distribution that was sampled from, temperature included.
        *("--logprobs-mode", "processed_logprobs"),
        # The folder's own sampling defaults (top-k, top-p) would come in unasked.
        *("--generation-config", "vllm"),
        "--enable-scale-out",
        "--disable-uvicorn-access-log",
        *("--weight-transfer-config", json.dumps({"backend": backend})),
        *("--worker-extension-cls", "_vllm_worker.Extension"),
    ]


def _cpu_flags(cache: int, *, context: int, live: int) -> list[str]:
    return [
        "--enforce-eager",
        *("--dtype", "float32"),
        # The CPU build's engine dies when a seeded request's prompt is read in parts (its
        # generators cannot be wound back), so prompts are read whole.
        "--no-enable-chunked-prefill",
        *("--max-num-batched-tokens", str(max(8192, context, live))),
        # Also the grain of prefix caching; the default of 128 is longer than most turns.
        *("--block-size", "32"),
        *("--kv-cache-memory-bytes", str(cache)),
        *("--distributed-executor-backend", "vllm.v1.executor.uniproc_executor.UniProcExecutor"),
    ]


def _cache_bytes(folder: Path, *, tokens: int) -> int:
    """Room for so many tokens in fp32, within bounds."""
    try:
        config = cast("dict[str, Any]", json.loads((folder / "config.json").read_text("utf-8")))
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        per_token = 8 * config["num_hidden_layers"] * config.get("num_key_value_heads", heads)
        needed = int(per_token * width) * tokens
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} is not a model folder that vLLM can serve: {error}") from error
    return min(max(needed, _LEAST_CACHE), _MOST_CACHE)


def _environment(threads: int, device: str) -> Mapping[str, str]:
    common = {
        # Opens the routes that pause, resume and change weights; we listen on this machine only.
        "VLLM_SERVER_DEV_MODE": "1",
        # The default of 5 s closes connections under a client that was about to use them.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "3600",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**common, "OMP_NUM_THREADS": str(threads)} if device == "cpu" else common


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
