"""Every async test runs on both loops; virtual time where it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, settings
from trio.testing import MockClock

# A busy machine is no bug: an example may take as long as its test may, and drawing one too.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops, for every test marked `anyio`."""
    backend: str = request.param
    return backend


@pytest.fixture
def virtual_time() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run an async function on trio with a clock that jumps when everybody waits.

    An hour passes in milliseconds. Only for code without real I/O or threads: the clock would
    jump while they work.
    """

    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        return trio.run(main, clock=MockClock(autojump_threshold=0))

    return run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded cases and official data; tests that need it skip, aloud."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED}")
    return SHARED
