"""Resilience: how many calls an endpoint gets at once, when to try again, and when to leave it.

One `Limits` stands before each server, whatever speaks to it. It holds

* places: at most so many calls in flight, the others waiting in their order. Their number follows
  refusals and, with `open_reports`, what the server says of its load (`_pace.py`);
* retries: with growing, jittered waits, in a budget, and never past the caller's deadline;
* a circuit: after so many failures in a row nobody is sent but one probe at a time. Calls wait for
  it, within their deadline and patience: failing thousands of dialogues because a server restarts
  would only move the storm elsewhere.

A generation may be asked for twice, so a call that was lost on its way is tried again.

A call that finds a free place and no trouble costs no task and reads no clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

from anyio import current_effective_deadline, current_time, move_on_at, sleep
from msgspec import Struct

from ....engine import Lot, ModelError, Seed, Service, ServiceRole, checkpoint
from ..http._parse import BadStatus, ConnectFailed, ConnectionLost
from ._pace import Pace
from ._reports import Report

T = TypeVar("T")


class EndpointDown(ModelError):
    """The endpoint's circuit is open, and stays so for longer than the call can wait."""


class CapReached(ModelError):
    """The call could cost more than what is left to spend, so it was not made."""


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one endpoint may be asked.

    concurrency:   calls in flight at most.
    least:         calls in flight below which the server's reports take none away (refusals do);
                   0 is an eighth of `concurrency`.
    attempts:      times a call is tried, the first included.
    retry_budget:  retries in all, as a share of the calls so far; never fewer than `concurrency`,
                   because a server that restarts fails everything in flight at once.
    backoff_s:     wait before the first retry; it doubles up to `backoff_most_s`.
    failures:      failures in a row that open the circuit.
    circuit_s:     seconds from its opening to the first probe; they double with every probe that
                   fails, up to `backoff_most_s`.
    patience_s:    how long a try waits because the server said so, or for an open circuit.
    """

    concurrency: int = 1024
    least: int = 0
    attempts: int = 4
    retry_budget: float = 0.2
    backoff_s: float = 0.5
    backoff_most_s: float = 30.0
    failures: int = 20
    circuit_s: float = 1.0
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "attempts", "failures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.least <= self.concurrency:
            raise ValueError(
                f"least is {self.least}; it is from 0 to concurrency, which is {self.concurrency}"
            )
        for name in ("retry_budget", "backoff_s", "backoff_most_s", "circuit_s", "patience_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative")


class Verdict(Struct, frozen=True, kw_only=True):
    """What an error says about the endpoint.

    retry:    the same call may succeed later.
    busy:     the endpoint has too much to do.
    down:     the endpoint does not work.
    after_s:  how long it asked to be left alone.
    """

    retry: bool = False
    busy: bool = False
    down: bool = False
    after_s: float | None = None


def verdict(error: Exception) -> Verdict:
    """The verdict on an error of our own HTTP client. Errors it does not know are not retried."""
    match error:
        case BadStatus(status=429, retry_after_s=after_s):
            return Verdict(retry=True, busy=True, after_s=after_s)
        case BadStatus(status=503, retry_after_s=after_s):
            return Verdict(retry=True, busy=True, down=True, after_s=after_s)
        case BadStatus(status=status, retry_after_s=after_s) if status >= 500:
            return Verdict(retry=True, down=True, after_s=after_s)
        case ConnectFailed():
            return Verdict(retry=True, down=True)
        case ConnectionLost(begun=begun):
            return Verdict(retry=not begun, down=True)
        case _:
            return Verdict()


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class LimitsStats(Struct, frozen=True, kw_only=True):
    """An endpoint's numbers now; `calls` and `retries` are totals. `limit` is how many calls it
    gets at once at present, which `in_flight` exceeds only until those too many have ended."""

    calls: int
    retries: int
    in_flight: int
    waiting: int
    limit: int
    circuit: Circuit
    reported: bool | None = None
    """Whether the server says how it is: None when it never has, False when it has stopped to."""


class Limits:
    """What one server is asked, and how.

    judge: says what errors mean, for clients other than our own.
    """

    def __init__(
        self,
        name: str,
        config: LimitsConfig | None = None,
        *,
        seed: Seed,
        judge: Callable[[Exception], Verdict] = verdict,
    ) -> None:
        self.name = name
        self.config = config or LimitsConfig()
        self._judge = judge
        self._random = seed.random()
        floor = self.config.least or max(1, self.config.concurrency // 8)
        self._pace = Pace(self.config.concurrency, floor, name)
        self._breaker = _Breaker(self.config)
        self._calls = self._retries = 0

    @property
    def stats(self) -> LimitsStats:
        return LimitsStats(
            calls=self._calls,
            retries=self._retries,
            in_flight=self._pace.taken,
            waiting=self._pace.waiting,
            limit=self._pace.limit,
            circuit=self._breaker.state,
            reported=self._pace.reported,
        )

    def service(self, role: ServiceRole) -> Service:
        """The same for a board."""
        state, pace = self._breaker.state, self._pace
        doing = "" if state is Circuit.CLOSED else f"circuit {state} after {self._breaker.why}"
        return Service(
            name=self.name,
            role=role,
            in_flight=pace.taken,
            waiting=pace.waiting,
            limit=pace.limit,
            up=state is Circuit.CLOSED,
            doing=doing,
        )

    async def call(self, send: Callable[[], Awaitable[T]]) -> T:
        """The result of `send()`, which is called again when it fails in a way that may pass.

        Waits for a place, for the circuit, and between tries. Raises what the last try raised; or
        `EndpointDown` when the circuit would stay open past the caller's deadline or patience.
        Cancelled, it gives its place back and leaves no trace but the count.
        """
        self._calls += 1
        pace, breaker = self._pace, self._breaker
        tries = 0
        # One coroutine for all of it: a generation passes here, and each more costs it a microsecond.
        while True:
            began = pace.changes if pace.enter_nowait() else await pace.enter()
            try:
                if not breaker.calm:
                    await self._pass()
                probe = breaker.goes()
                try:
                    result = await send()
                except Exception as error:
                    judged = self._judge(error)
                    self._failed(began, probe, judged)
                    wait = self._wait(tries, judged)
                    if not self._may_retry(judged, tries, wait):
                        raise
                except BaseException:
                    breaker.left(probe)
                    raise
                else:
                    breaker.works(probe)
                    pace.served(began)
                    return result
            finally:
                pace.leave()
            tries += 1
            await sleep(wait)

    def overloaded(self) -> None:
        """Fewer calls at once, by a quarter: for a word from elsewhere than a refused call. Counts
        once a round trip."""
        self._pace.cut()

    def heed(self, report: Report, preempted: float) -> None:
        """Act on what the server says of its load; `open_reports` calls this."""
        self._pace.heed(report, preempted)

    def unheard(self) -> None:
        """The server says nothing of its load any more; `open_reports` calls this."""
        self._pace.unheard()

    async def _pass(self) -> None:
        """Wait until the circuit lets this call through."""
        breaker, now = self._breaker, current_time()
        give_up = self._give_up(now)
        while not breaker.lets_pass(now):
            if max(now, breaker.earliest) >= give_up:
                await checkpoint()
                raise EndpointDown(
                    f"{self.name} is left alone after {breaker.why}; it would be tried again in "
                    f"{max(0.0, breaker.earliest - now):.1f} s, which this call cannot wait"
                )
            # While a probe is out no time is known; its end is news.
            with move_on_at(breaker.earliest if breaker.earliest > now else give_up):
                await breaker.news.park()
            now = current_time()

    def _give_up(self, now: float) -> float:
        """Until when a call may wait for the server, beginning now."""
        return min(now + self.config.patience_s, current_effective_deadline())

    def _failed(self, began: int, probe: bool, judged: Verdict) -> None:
        now = current_time()
        if judged.after_s is not None:
            self._breaker.rest(now + min(judged.after_s, self.config.patience_s))
        if judged.down:
            self._breaker.fails(probe, now)
        else:
            self._breaker.works(probe)
        self._pace.failed(began, refused=judged.busy)

    def _wait(self, tries: int, judged: Verdict) -> float:
        config = self.config
        backoff = min(config.backoff_most_s, config.backoff_s * 2.0 ** min(tries, 60))
        jitter = self._random.uniform(0.5, 1.0) * backoff
        return jitter if judged.after_s is None else judged.after_s + jitter

    def _may_retry(self, judged: Verdict, tries: int, wait: float) -> bool:
        config = self.config
        budget = max(config.concurrency, config.retry_budget * self._calls)
        if not judged.retry or tries + 1 >= config.attempts or self._retries + 1 > budget:
            return False
        if (now := current_time()) + wait >= self._give_up(now):
            return False  # the error says more than the deadline would
        self._retries += 1
        return True


class _Breaker:
    """The circuit, and the rest a server has asked for. Knows the time only from its callers."""

    def __init__(self, config: LimitsConfig) -> None:
        self._config = config
        self._failures = 0
        self._opened = 0  # times in a row, for the doubling
        self._probe_at = 0.0
        self._rest_until = 0.0
        self.state = Circuit.CLOSED
        self.news = Lot()  # calls that wait for the circuit to change

    @property
    def earliest(self) -> float:
        """When somebody may pass, as far as time alone decides."""
        return max(self._rest_until, self._probe_at if self.state is Circuit.OPEN else 0.0)

    @property
    def why(self) -> str:
        if self.state is Circuit.CLOSED:
            return "it asked for it (Retry-After)"
        return f"{self._failures} failures in a row"

    @property
    def calm(self) -> bool:
        """Nothing is wrong, whatever the time."""
        return self.state is Circuit.CLOSED and not self._rest_until

    def lets_pass(self, now: float) -> bool:
        return self.state is not Circuit.PROBING and now >= self.earliest

    def goes(self) -> bool:
        """Somebody passes; True if as the probe."""
        self._rest_until = 0.0
        if self.state is Circuit.CLOSED:
            return False
        self.state = Circuit.PROBING
        return True

    def works(self, probe: bool) -> None:
        """The server has answered. While the circuit is open only the probe's answer counts."""
        if probe or self.state is Circuit.CLOSED:
            self._failures = self._opened = 0
            if probe:
                self.state = Circuit.CLOSED
                self.news.wake_all()

    def fails(self, probe: bool, now: float) -> None:
        self._failures += 1
        if probe or (self.state is Circuit.CLOSED and self._failures >= self._config.failures):
            wait = self._config.circuit_s * 2.0 ** min(self._opened, 60)
            self._opened += 1
            self._probe_at = now + min(wait, self._config.backoff_most_s)
            self.state = Circuit.OPEN
            self.news.wake_all()

    def left(self, probe: bool) -> None:
        """A call was cancelled, which says nothing about the server; the next one may probe."""
        if probe:
            self.state = Circuit.OPEN
            self.news.wake_all()

    def rest(self, until: float) -> None:
        self._rest_until = max(self._rest_until, until)


class Bill:
    """What a call has cost: set `amount` when it is known."""

    __slots__ = ("amount",)

    def __init__(self) -> None:
        self.amount: float | None = None


class SpendingCap:
    """A sum that all calls together never exceed, as far as their estimates are not too low.

        with cap.pay(estimate) as bill:
            ...
            bill.amount = cost

    What is under way counts with its estimate. A call that raises without naming an amount has
    cost nothing; one that is cancelled, or ends without naming one, has cost its estimate.
    """

    def __init__(self, most: float, unit: str = "USD") -> None:
        if not most >= 0:
            raise ValueError(f"a spending cap of {most} {unit} cannot be; it is 0 or more")
        self.most, self.unit = most, unit
        self.spent = 0.0
        self.reserved = 0.0

    @contextmanager
    def pay(self, estimate: float) -> Generator[Bill]:
        """Reserve `estimate` for the block, then book what it cost. Raises `CapReached`."""
        if estimate < 0:
            raise ValueError(f"a call cannot cost {estimate} {self.unit}")
        if self.spent + self.reserved + estimate > self.most:
            raise CapReached(
                f"a call of about {estimate:g} {self.unit} would pass the cap of {self.most:g}: "
                f"{self.spent:g} are spent and {self.reserved:g} reserved; raise the cap to go on"
            )
        self.reserved += estimate
        bill = Bill()
        try:
            yield bill
        except Exception:
            bill.amount = bill.amount or 0.0
            raise
        finally:
            self.reserved -= estimate
            self.spent += estimate if bill.amount is None else bill.amount
