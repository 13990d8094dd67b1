"""Cancellation at every step: a scenario is run, and run again cut one step later, until it comes
to its end uncut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from itertools import count
from types import TracebackType
from typing import Any

import anyio


class Cut:
    """A scope that is cancelled after so many steps of whatever runs on the loop meanwhile."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.fired = False
        self.scope: anyio.CancelScope | None = None

    def __enter__(self) -> None:
        self.scope = anyio.CancelScope()
        self.scope.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self.scope is not None
        scope, self.scope = self.scope, None
        return bool(scope.__exit__(kind, error, trace))

    def step(self) -> None:
        if self.scope is None or self.fired:
            return
        self.left -= 1
        if self.left <= 0:
            self.fired = True
            self.scope.cancel()

    def after_task_step(self, task: object) -> None:
        """trio's instruments call this."""
        self.step()

    def loop(self) -> asyncio.AbstractEventLoop:
        """An asyncio loop whose callbacks, each step of a task among them, are the steps."""
        cut = self

        class Loop(asyncio.SelectorEventLoop):
            def call_soon(  # type: ignore[override]
                self,
                callback: Callable[..., object],
                *args: Any,
                context: Context | None = None,
            ) -> asyncio.Handle:
                def counted(*args: Any) -> None:
                    callback(*args)
                    cut.step()

                return super().call_soon(counted, *args, context=context)

        return Loop()


def sweep(backend: str, scenario: Callable[[Cut], Awaitable[None]], at_least: int) -> None:
    for after in count(1):
        cut = Cut(after)
        options = {"loop_factory": cut.loop} if backend == "asyncio" else {"instruments": [cut]}
        anyio.run(scenario, cut, backend=backend, backend_options=options)
        if not cut.fired:
            assert after > at_least, "the scenario was over before anything could be cut"
            return
