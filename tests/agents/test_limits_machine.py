"""The limits before a server against what they promise, in every order that hypothesis finds.

Calls are begun, answered, refused, lost and cancelled while virtual time passes. The server keeps
books of its own: which tries it has, in which order they came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stage import Errand, Stage
from trio.testing import MockClock

from duologue.agents.models.http._parse import BadStatus, ConnectFailed, ConnectionLost
from duologue.agents.models.limits._limits import Circuit, EndpointDown, Limits, LimitsConfig
from duologue.engine import ModelError, OneShot, Seed

ANSWERS: dict[str, Callable[[], Exception] | None] = {
    "served": None,
    "refused": lambda: BadStatus("busy", status=429),
    "told to wait": lambda: BadStatus("busy", status=429, retry_after_s=3.0),
    "failed": lambda: BadStatus("broken", status=500),
    "not reached": lambda: ConnectFailed("nobody"),
    "lost": lambda: ConnectionLost("lost", begun=False),
    "lost midway": lambda: ConnectionLost("lost", begun=True),
    "wrong": lambda: ModelError("no such model"),
}
TRIED_AGAIN = {"refused", "told to wait", "failed", "not reached", "lost"}


class Call:
    """One call as the server knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tries = 0
        self.last = ""
        self.pending: OneShot[str] | None = None
        self.errand: Errand[str]

    async def send(self) -> str:
        self.tries += 1
        self.pending = OneShot()
        try:
            answer = await self.pending.wait()
        finally:
            self.pending = None
        error = ANSWERS[answer]
        if error is not None:
            raise error()
        return answer


class LimitsMachine(RuleBasedStateMachine):
    """Nothing is lost, nobody barges, nobody waits without a reason, and the bounds are bounds."""

    @initialize(concurrency=st.integers(1, 4), failures=st.integers(1, 4))
    def open(self, concurrency: int, failures: int) -> None:
        self.clock = MockClock()
        self.stage = Stage("trio", {"clock": self.clock})
        config = LimitsConfig(
            concurrency=concurrency, attempts=3, failures=failures, retry_budget=9.0,
            backoff_s=0.5, circuit_s=1.0, patience_s=60.0,
        )  # fmt: skip
        self.limits = Limits("server", config, seed=Seed(0))
        self.calls: list[Call] = []
        self.firsts: list[int] = []
        self.disturbed = False

    def teardown(self) -> None:
        try:
            self._everybody_comes_home()
        finally:
            self.stage.close()

    def _everybody_comes_home(self) -> None:
        """A server that works again serves whoever is left, in bounded time."""
        for _ in range(400):
            for call in self._pending():
                self._answer(call, "served")
            if all(call.errand.state != "waiting" for call in self.calls):
                break
            self._pass_time(5.0)
        assert all(call.errand.state != "waiting" for call in self.calls)
        stats = self.limits.stats
        assert (stats.in_flight, stats.waiting, stats.calls) == (0, 0, len(self.calls))
        again = sum(max(0, call.tries - 1) for call in self.calls)
        cancelled = sum(call.errand.state == "cancelled" for call in self.calls)
        # One that was cancelled while it waited to be tried again is counted as tried.
        assert again <= stats.retries <= again + cancelled

    def _pending(self) -> list[Call]:
        return [call for call in self.calls if call.pending is not None]

    def _watching(self, work: Callable[[], Any]) -> Any:
        """Do it, and note what the server saw begin meanwhile."""
        before = {call.number: call.tries for call in self.calls}
        circuit = self.limits.stats.circuit
        self.disturbed |= circuit is not Circuit.CLOSED
        result = work()
        begun = [call for call in self.calls if call.tries > before.get(call.number, 0)]
        self.firsts += [c.number for c in begun if not before.get(c.number, 0)]
        if circuit is Circuit.OPEN and self.limits.stats.circuit is not Circuit.CLOSED:
            # Only as the one probe.
            assert len(begun) <= 1
        return result

    def _answer(self, call: Call, answer: str) -> None:
        call.last = answer
        pending = call.pending
        assert pending is not None
        self._watching(lambda: self.stage.do(lambda: pending.give(answer)))

    def _pass_time(self, seconds: float) -> None:
        self._watching(lambda: self.stage.do(lambda: self.clock.jump(seconds)))

    @precondition(lambda self: len(self.calls) < 30)
    @rule()
    def call(self) -> None:
        call = Call(len(self.calls))
        self.calls.append(call)

        def begin() -> None:
            work: Callable[[], Awaitable[str]] = lambda: self.limits.call(call.send)
            call.errand = self.stage.begin(work)

        self._watching(begin)

    @precondition(lambda self: self._pending())
    @rule(data=st.data(), answer=st.sampled_from(sorted(ANSWERS)))
    def answer(self, data: st.DataObject, answer: str) -> None:
        self._answer(data.draw(st.sampled_from(self._pending())), answer)

    @precondition(lambda self: any(c.errand.state == "waiting" for c in self.calls))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [call for call in self.calls if call.errand.state == "waiting"]
        call = data.draw(st.sampled_from(waiting))
        self._watching(lambda: self.stage.cancel(call.errand))
        assert call.errand.state == "cancelled" and call.pending is None

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.1, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self._pass_time(seconds)

    @rule()
    def hear_of_overload(self) -> None:
        self._watching(lambda: self.stage.do(self.limits.overloaded))

    @invariant()
    def bounds_are_bounds(self) -> None:
        stats, config = self.limits.stats, self.limits.config
        pending = len(self._pending())
        assert pending <= config.concurrency
        assert 1 <= stats.limit <= config.concurrency
        assert pending <= stats.in_flight <= config.concurrency
        # Nobody waits for a place that is free.
        assert not stats.waiting or stats.in_flight >= stats.limit
        assert all(call.tries <= config.attempts for call in self.calls)

    @invariant()
    def nobody_barges(self) -> None:
        """The server meets new calls in the order in which they were made. (Those whom an open
        circuit has sent away hold places already, and are let in when it closes.)"""
        if not self.disturbed:
            assert self.firsts == sorted(self.firsts)

    @invariant()
    def every_call_ends_as_its_last_try_did(self) -> None:
        for call in self.calls:
            errand = call.errand
            if errand.state == "done":
                assert errand.result == call.last == "served"
            elif errand.state == "failed":
                assert isinstance(errand.error, EndpointDown) or call.last != "served"
                if call.last in TRIED_AGAIN and not isinstance(errand.error, EndpointDown):
                    assert call.tries == self.limits.config.attempts


def test_limits_keep_what_they_promise() -> None:
    run_state_machine_as_test(
        LimitsMachine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
