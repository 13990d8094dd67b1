"""From options to a result: settings are read, the job runs, what came of it is printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import anyio
import msgspec

from ..config import Config, load_config
from ..engine import UsageError, relaxed_collector
from ..progress import Reporter, open_reporter
from ._failures import fail

R = TypeVar("R")

_INTERRUPTED = "interrupted; what was durable is safe, and `duologue runs` shows what can go on"


def read_settings(path: Path | None, given: dict[str, Any], overrides: list[str] | None) -> Config:
    """Settings from the file, the named options, then `--set`; the last word counts."""
    named = {key: value for key, value in given.items() if value is not None}
    return load_config(path, named, overrides or ())


def fault_plan(word: str | None) -> dict[str, Any] | None:
    """The plan that `--faults` names, if it names one."""
    if word is None:
        return None
    from ..plans import read_plan

    return read_plan(word)


def run_job(job: Callable[[Reporter], Awaitable[R]], loop: str) -> R:
    """A job's result, on the event loop that `--loop` names."""
    if loop not in ("asyncio", "trio"):
        raise UsageError(f"--loop is {loop!r}; it is 'asyncio' or 'trio'")
    fast = loop == "asyncio" and find_spec("uvloop") is not None

    async def work() -> R:
        with open_reporter() as reporter:
            return await job(reporter)

    try:
        with relaxed_collector():
            options = {"use_uvloop": True} if fast else {}
            return anyio.run(work, backend=loop, backend_options=options)
    except BaseExceptionGroup as group:
        # trio hands the interrupt over with whatever it met on its way out.
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        fail(_INTERRUPTED, 130)
    except KeyboardInterrupt:
        fail(_INTERRUPTED, 130)


def run_now(job: Callable[[Reporter], R]) -> R:
    """The result of a job that needs no loop."""
    try:
        with open_reporter() as reporter:
            return job(reporter)
    except KeyboardInterrupt:
        fail("interrupted", 130)


def print_result(result: R, as_text: Callable[[R], str], json: bool) -> None:
    """A result for a person, or as the one JSON object that `--json` asks for."""
    if json:
        print(msgspec.json.encode(result).decode())
    else:
        print(as_text(result))
