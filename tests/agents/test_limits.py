"""Retries, the circuit and the number of calls at once, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from duologue.agents.models.http._parse import (
    BadResponse,
    BadStatus,
    ConnectFailed,
    ConnectionLost,
)
from duologue.agents.models.limits._limits import (
    CapReached,
    Circuit,
    EndpointDown,
    Limits,
    LimitsConfig,
    SpendingCap,
    Verdict,
    verdict,
)
from duologue.agents.models.limits._reports import Report
from duologue.engine import ModelError, Seed, Service, ServiceRole

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

DOWN = ConnectFailed("nobody listens")
BUSY = BadStatus("slow down", status=429)


def make(**settings: Any) -> Limits:
    return Limits("the server", LimitsConfig(**settings), seed=Seed(0))


def circuit(limits: Limits) -> Circuit:
    """Its state now; a type checker thinks that what it was asked once stays so."""
    return limits.stats.circuit


class Server:
    """Fails as its script says, then answers; remembers when it was asked."""

    def __init__(self, *script: Exception | None, takes_s: float = 0.0) -> None:
        self.script = list(script)
        self.takes_s = takes_s
        self.asked: list[float] = []
        self.busy = self.most = 0

    async def __call__(self) -> str:
        self.asked.append(anyio.current_time())
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await anyio.sleep(self.takes_s)
            error = self.script.pop(0) if self.script else None
            if error is not None:
                raise error
            return "answer"
        finally:
            self.busy -= 1

    def gaps(self) -> list[float]:
        return [later - sooner for sooner, later in zip(self.asked, self.asked[1:], strict=False)]


# ---------------------------------------------------------------- retries


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BUSY, Verdict(retry=True, busy=True)),
        (
            BadStatus("", status=429, retry_after_s=3.0),
            Verdict(retry=True, busy=True, after_s=3.0),
        ),
        (BadStatus("", status=503), Verdict(retry=True, busy=True, down=True)),
        (BadStatus("", status=500), Verdict(retry=True, down=True)),
        (BadStatus("", status=400), Verdict()),
        (BadStatus("", status=401), Verdict()),
        (DOWN, Verdict(retry=True, down=True)),
        (ConnectionLost("", begun=False), Verdict(retry=True, down=True)),
        (ConnectionLost("", begun=True), Verdict(down=True)),
        (BadResponse(""), Verdict()),
        (ValueError(""), Verdict()),
    ],
)
def test_what_an_error_says_about_its_server(error: Exception, expected: Verdict) -> None:
    assert verdict(error) == expected


def test_what_may_pass_is_tried_again_with_growing_jittered_waits(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        server = Server(DOWN, BUSY, BadStatus("", status=500))
        limits = make(attempts=4, backoff_s=1.0)
        assert await limits.call(server) == "answer"
        for gap, most in zip(server.gaps(), (1.0, 2.0, 4.0), strict=True):
            assert most / 2 <= gap <= most
        assert (limits.stats.calls, limits.stats.retries) == (1, 3)

    virtual_time(main)


def test_the_waits_of_two_seeds_differ_and_of_one_seed_agree(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        gaps: list[list[float]] = []
        for seed in (1, 1, 2):
            server = Server(DOWN, DOWN, DOWN)
            await Limits("x", LimitsConfig(), seed=Seed(seed)).call(server)
            gaps.append([round(gap, 6) for gap in server.gaps()])
        assert gaps[0] == gaps[1] != gaps[2]

    virtual_time(main)


def test_the_last_try_raises_what_it_met(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        server = Server(*[DOWN] * 9)
        with pytest.raises(ConnectFailed):
            await make(attempts=3).call(server)
        assert len(server.asked) == 3

    virtual_time(main)


@pytest.mark.parametrize("error", [BadStatus("", status=400), BadResponse(""), KeyError("bug")])
def test_what_will_not_pass_is_not_tried_again(virtual_time: VirtualTime, error: Exception) -> None:
    async def main() -> None:
        server = Server(error)
        with pytest.raises(type(error)):
            await make().call(server)
        assert len(server.asked) == 1

    virtual_time(main)


def test_retry_after_is_honoured_and_holds_back_everybody(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        server = Server(BadStatus("", status=429, retry_after_s=7.0))
        limits = make(backoff_s=1.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(limits.call, server)
            await anyio.sleep(2)
            tasks.start_soon(limits.call, server)
        first, second, third = server.asked
        assert second - first == pytest.approx(7.0)
        assert 7.5 <= third - first <= 8.0

    virtual_time(main)


def test_a_wait_longer_than_the_deadline_is_not_begun(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        refused = BadStatus("", status=429, retry_after_s=30.0)
        began = anyio.current_time()
        with anyio.fail_after(20), pytest.raises(BadStatus):
            await make().call(Server(refused))
        # Somebody new is told at once, too, instead of waiting into the deadline.
        limits = make()
        with pytest.raises(BadStatus):
            with anyio.fail_after(20):
                await limits.call(Server(refused))
        with anyio.fail_after(20), pytest.raises(EndpointDown, match="Retry-After"):
            await limits.call(Server())
        assert anyio.current_time() == pytest.approx(began)

    virtual_time(main)


def test_a_wait_longer_than_anybodys_patience_is_not_begun(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        server = Server(BadStatus("", status=429, retry_after_s=1e9))
        limits = make(patience_s=60)
        began = anyio.current_time()
        with pytest.raises(BadStatus):
            await limits.call(server)
        assert anyio.current_time() == began
        # Nor is the server left alone for longer than that.
        await anyio.sleep(61)
        assert await limits.call(server) == "answer"

    virtual_time(main)


def test_a_slow_try_does_not_use_up_the_patience_of_the_next(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        server = Server(ConnectionLost("", begun=False), takes_s=1000)
        assert await make(patience_s=10).call(server) == "answer"

    virtual_time(main)


def test_retries_stay_within_their_budget(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(concurrency=3, retry_budget=0.1, attempts=2, failures=10_000)
        server = Server(*[DOWN] * 10_000)
        for calls in range(1, 101):
            with pytest.raises(ConnectFailed):
                await limits.call(server)
            assert limits.stats.retries <= max(3, 0.1 * calls)
        assert limits.stats.retries == 10

    virtual_time(main)


# ---------------------------------------------------------------- how many at once


@given(
    concurrency=st.integers(1, 5),
    outcomes=st.lists(st.sampled_from([None, None, DOWN, BUSY, ValueError()]), max_size=40),
    takes=st.lists(st.sampled_from([0.0, 0.1, 1.0, 5.0]), min_size=1, max_size=5),
    deadlines=st.lists(st.sampled_from([0.05, 1.0, 50.0]), min_size=1, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_never_more_than_allowed_are_in_flight_and_every_place_comes_back(
    concurrency: int,
    outcomes: list[Exception | None],
    takes: list[float],
    deadlines: list[float],
) -> None:
    async def main() -> None:
        limits = make(concurrency=concurrency, failures=3, attempts=3, retry_budget=0.5)
        server = Server(*outcomes)

        async def caller(number: int) -> None:
            server.takes_s = takes[number % len(takes)]
            with anyio.move_on_after(deadlines[number % len(deadlines)]) as scope:
                try:
                    assert await limits.call(server) == "answer"
                except (ModelError, ValueError):
                    pass
                assert not anyio.current_time() > scope.deadline
            stats = limits.stats
            assert 1 <= stats.limit <= concurrency
            assert stats.retries <= max(concurrency, 0.5 * stats.calls)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(caller, number)
        assert server.most <= concurrency
        assert (limits.stats.in_flight, limits.stats.waiting) == (0, 0)
        # Whatever happened, a server that works again is reached again.
        server.script, server.takes_s = [], 0.0
        await anyio.sleep(1000)
        assert await limits.call(server) == "answer"
        assert circuit(limits) is Circuit.CLOSED

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_full_house_that_is_refused_halves_the_limit(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(concurrency=64)
        server = Server(*[BUSY] * 64, takes_s=1.0)
        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(limits.call, server)
            await anyio.sleep(1.01)
            assert limits.stats.limit == 32
        assert server.most == 64

    virtual_time(main)


def test_the_limit_settles_near_what_the_server_bears(virtual_time: VirtualTime) -> None:
    """A server that bears 10 at once: the limit finds it from above and stays near it."""

    async def main() -> None:
        limits = make(concurrency=64, attempts=50, patience_s=1e6, retry_budget=1e6)
        busy = 0
        seen: list[int] = []

        async def serve() -> None:
            nonlocal busy
            if busy >= 10:
                await anyio.sleep(0.001)
                raise BUSY
            busy += 1
            try:
                await anyio.sleep(1)
            finally:
                busy -= 1

        async def caller() -> None:
            while True:
                try:
                    await limits.call(serve)
                except BadStatus:
                    pass

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(caller)
            await anyio.sleep(30)
            for _ in range(300):
                await anyio.sleep(1)
                seen.append(limits.stats.limit)
            tasks.cancel_scope.cancel()
        assert 4 <= min(seen) and max(seen) <= 12
        assert limits.stats.in_flight == 0

    virtual_time(main)


def test_a_few_refusals_that_mean_nothing_cost_little(virtual_time: VirtualTime) -> None:
    """One call in 25 is refused whatever the load: no reason to leave the server idle."""

    async def main() -> None:
        limits = make(concurrency=100, attempts=9, retry_budget=1.0)
        number = 0

        async def serve() -> None:
            nonlocal number
            number += 1
            refused = number % 25 == 0
            await anyio.sleep(1)
            if refused:
                raise BUSY

        async def caller() -> None:
            for _ in range(60):
                await limits.call(serve)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(caller)
        assert limits.stats.limit >= 40

    virtual_time(main)


def test_reports_from_elsewhere_count_once_a_round(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(concurrency=16)
        limits.overloaded()
        limits.overloaded()
        assert limits.stats.limit == 12
        await limits.call(Server())
        limits.overloaded()
        assert limits.stats.limit == 9
        for _ in range(20):
            await limits.call(Server())
            limits.overloaded()
        # An eighth of them is left, whatever is said; only refusals take those.
        assert limits.stats.limit == 2

    virtual_time(main)


# ---------------------------------------------------------------- the circuit


def test_failures_in_a_row_open_the_circuit_and_one_probe_closes_it(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        limits = make(failures=3, attempts=1, circuit_s=5.0)
        server = Server(DOWN, DOWN, DOWN)
        for _ in range(3):
            assert circuit(limits) is Circuit.CLOSED
            with pytest.raises(ConnectFailed):
                await limits.call(server)
        assert circuit(limits) is Circuit.OPEN
        opened = anyio.current_time()
        server.takes_s = 1.0
        done: list[float] = []

        async def caller() -> None:
            await limits.call(server)
            done.append(anyio.current_time() - opened)

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(caller)
            await anyio.sleep(5.5)
            assert (circuit(limits), server.busy) == (Circuit.PROBING, 1)
        # The probe goes alone; the others follow when it has come back.
        assert done == pytest.approx([6.0, 7.0, 7.0, 7.0])
        assert circuit(limits) is Circuit.CLOSED

    virtual_time(main)


def test_a_success_in_between_keeps_the_circuit_closed(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(failures=2, attempts=1)
        refused = BadStatus("", status=400)  # an answer, though not to our liking
        for outcome in (DOWN, None, DOWN, refused, DOWN, BUSY, DOWN, None):
            try:
                await limits.call(Server(outcome))
            except ModelError:
                pass
            assert circuit(limits) is Circuit.CLOSED

    virtual_time(main)


def test_a_failed_probe_doubles_the_wait(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(failures=1, attempts=1, circuit_s=1.0, backoff_most_s=4.0)
        server = Server(*[DOWN] * 6)
        for _ in range(6):
            with pytest.raises(ConnectFailed):
                await limits.call(server)
        assert server.gaps() == pytest.approx([1.0, 2.0, 4.0, 4.0, 4.0])

    virtual_time(main)


def test_an_open_circuit_is_an_error_for_who_cannot_wait_that_long(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        limits = make(failures=1, attempts=1, circuit_s=10.0, patience_s=60.0)
        with pytest.raises(ConnectFailed):
            await limits.call(Server(DOWN))
        server = Server()
        with anyio.fail_after(5), pytest.raises(EndpointDown, match="1 failures in a row"):
            await limits.call(server)
        assert server.asked == []
        with anyio.fail_after(15):
            assert await limits.call(server) == "answer"

    virtual_time(main)


def test_a_cancelled_probe_hands_the_probe_on(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(failures=1, attempts=1, circuit_s=1.0)
        with pytest.raises(ConnectFailed):
            await limits.call(Server(DOWN))
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
            doomed.start_soon(limits.call, Server(takes_s=1e6))
            await anyio.sleep(2)
            tasks.start_soon(limits.call, Server())
            tasks.start_soon(limits.call, Server())
            await anyio.sleep(2)
            assert circuit(limits) is Circuit.PROBING
            doomed.cancel_scope.cancel()
        assert circuit(limits) is Circuit.CLOSED
        assert limits.stats.in_flight == 0

    virtual_time(main)


def test_a_probe_that_hangs_costs_the_others_their_patience_and_no_more(
    virtual_time: VirtualTime,
) -> None:
    async def main() -> None:
        limits = make(failures=1, attempts=1, circuit_s=1.0, patience_s=30.0)
        with pytest.raises(ConnectFailed):
            await limits.call(Server(DOWN))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(limits.call, Server(takes_s=1e6))
            await anyio.sleep(2)
            began = anyio.current_time()
            with pytest.raises(EndpointDown):
                await limits.call(Server())
            assert anyio.current_time() - began == pytest.approx(30.0)
            tasks.cancel_scope.cancel()

    virtual_time(main)


def test_a_board_is_shown_how_the_endpoint_is(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        limits = make(concurrency=2, failures=1, attempts=1, circuit_s=10.0)
        server = Server(takes_s=5.0)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(limits.call, server)
            await anyio.sleep(1)
            assert limits.service(ServiceRole.USER) == Service(
                name="the server", role=ServiceRole.USER, in_flight=2, waiting=1, limit=2
            )
        with pytest.raises(ConnectFailed):
            await limits.call(Server(DOWN))
        down = limits.service(ServiceRole.AGENT)
        assert (down.up, down.doing) == (False, "circuit open after 1 failures in a row")
        assert limits.stats.reported is None
        limits.heed(Report(running=1, waiting=0), 0)
        assert limits.stats.reported is True
        limits.unheard()
        assert limits.stats.reported is False

    virtual_time(main)


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": -1},
        {"concurrency": 4, "least": 5},
        {"concurrency": 0},
        {"attempts": 0},
        {"backoff_s": -1.0},
        {"patience_s": float("nan")},
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        LimitsConfig(**wrong)


# ---------------------------------------------------------------- the cap


@given(
    most=st.integers(0, 50),
    calls=st.lists(
        st.tuples(
            st.integers(0, 20), st.none() | st.integers(0, 20), st.sampled_from(["end", "fail"])
        ),
        max_size=20,
    ),
)
@settings(deadline=None)
def test_what_is_spent_never_passes_the_cap_while_estimates_hold(
    most: int, calls: list[tuple[int, int | None, str]]
) -> None:
    cap = SpendingCap(most)
    spent = 0.0
    for estimate, cost, how in calls:
        try:
            with cap.pay(estimate) as bill:
                assert cap.reserved == estimate
                if cost is not None:
                    bill.amount = min(cost, estimate)
                if how == "fail":
                    raise ConnectionLost("", begun=False)
        except CapReached:
            assert spent + estimate > most
            continue
        except ConnectionLost:
            spent += 0 if cost is None else min(cost, estimate)
        else:
            spent += estimate if cost is None else min(cost, estimate)
        assert (cap.spent, cap.reserved) == (spent, 0)
        assert cap.spent <= most


def test_calls_under_way_count_against_the_cap() -> None:
    cap = SpendingCap(1.0)
    with (
        cap.pay(0.75),
        pytest.raises(CapReached, match=r"0 are spent and 0.75 reserved"),
        cap.pay(0.5),
    ):
        pass
    assert cap.spent == 0.75


def test_a_cancelled_call_has_cost_its_estimate(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        cap = SpendingCap(1.0)
        with anyio.move_on_after(1):
            with cap.pay(0.25):
                await anyio.sleep_forever()
        assert (cap.spent, cap.reserved) == (0.25, 0.0)

    virtual_time(main)


@pytest.mark.parametrize("most", [-1.0, float("nan")])
def test_a_cap_that_cannot_be_is_refused(most: float) -> None:
    with pytest.raises(ValueError, match="spending cap"):
        SpendingCap(most)
    with pytest.raises(ValueError, match="cannot cost"), SpendingCap(1).pay(-1):
        pass
