"""Dialogues as Prometheus metrics, in a registry that the host owns.

    registry = CollectorRegistry()
    async with (
        open_metrics(registry) as metrics,
        duologue.open_rollouts(env, agent, observer=metrics, board=metrics.board) as trajectories,
    ):
        ...

Serve the registry as the host serves its own (`prometheus_client.make_asgi_app(registry)`), or
with `open_metrics_server`. What happens is counted as it happens; what only *is* (who waits, how
full a queue is, how late the loop runs) is read off the board once a second, on the loop. A scrape
may come from any thread.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio

from .agents.models._extras import extra
from .engine import (
    Board,
    End,
    Key,
    Observation,
    Observer,
    Reply,
    Snapshot,
    Task,
    Trajectory,
    Watch,
    one_error,
    open_lateness,
)

with extra("metrics"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_TURN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_DIALOGUE_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics(Observer):
    """Counts dialogues, of any number of `open_rollouts`. One a registry.

    `board` is what to hand to them beside the observer, so that bounds and waits are shown too.
    """

    def __init__(self, registry: CollectorRegistry, *, board: Board | None = None) -> None:
        self.registry: CollectorRegistry = registry
        self.board: Board = board or Board()
        self._families = _Families(registry)
        self._shown = _Shown()
        registry.register(self._shown)
        self._envs: dict[str, _EnvMetrics] = {}

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        env = self._envs.get(task.env)
        if env is None:
            env = self._envs[task.env] = _EnvMetrics(self._families, task.env)
        return _Counted(env)

    def step_ended(self, step: int, version: int, values: Mapping[str, float]) -> None:
        """Show a training step's values (staleness among them) until the next."""
        self._families.step.set(step)
        self._families.version.set(version)
        for name, value in values.items():
            self._families.values.labels(name).set(value)

    async def _follow(self, every_s: float) -> None:
        while True:
            self._shown.snapshot = self.board.snapshot()
            await anyio.sleep(every_s)


@asynccontextmanager
async def open_metrics(
    registry: CollectorRegistry, *, board: Board | None = None, every_s: float = 1.0
) -> AsyncGenerator[Metrics]:
    """Metrics whose gauges follow the board for as long as the block lasts.

    The loop's lateness is measured too, unless the board has it already. A registry takes one set
    of these metrics: a second is a `ValueError` of prometheus_client's, so a host that opens
    blocks again and again opens this once, around them.
    """
    metrics = Metrics(registry, board=board)
    with one_error():
        async with _measuring(metrics.board), anyio.create_task_group() as tasks:
            tasks.start_soon(metrics._follow, every_s, name="metrics")
            try:
                yield metrics
            finally:
                # Counters stay as they are; of what only was, nothing is left to show.
                metrics._shown.snapshot = None
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def _measuring(board: Board) -> AsyncGenerator[None]:
    if board.lateness is not None:
        yield
        return
    async with open_lateness() as lateness:
        board.lateness = lateness
        try:
            yield
        finally:
            board.lateness = None


class _Families:
    """Every metric that is counted as things happen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter(
            "duologue_dialogues", "Dialogues that ended, by how.", ["env", "end"], registry=registry
        )
        self.live = Gauge("duologue_dialogues_live", "Dialogues alive.", ["env"], registry=registry)
        self.crashed = Counter(
            "duologue_dialogues_crashed",
            "Dialogues that a bug ended, and the run with them.",
            ["env"],
            registry=registry,
        )
        self.retried = Counter(
            "duologue_dialogue_retries",
            "Attempts that failed and were discarded, by how.",
            ["env", "end"],
            registry=registry,
        )
        self.turns = Counter(
            "duologue_turns", "Turns that ended, of discarded attempts too.", ["env"],
            registry=registry,
        )  # fmt: skip
        self.tokens = Counter(
            "duologue_sampled_tokens",
            "Tokens that the agent's model sampled in dialogues that ended.",
            ["env"],
            registry=registry,
        )
        self.reward = Summary(
            "duologue_reward", "Rewards of the dialogues that count.", ["env"], registry=registry
        )
        self.dialogue_s = Histogram(
            "duologue_dialogue_seconds",
            "How long dialogues took, all attempts together.",
            ["env"],
            buckets=_DIALOGUE_S,
            registry=registry,
        )
        self.turn_s = Histogram(
            "duologue_turn_seconds",
            "How long the agent, and the environment with its user, took for a turn.",
            ["env", "party"],
            buckets=_TURN_S,
            registry=registry,
        )
        self.step = Gauge("duologue_step", "The last training step.", registry=registry)
        self.version = Gauge("duologue_policy_version", "The policy's version.", registry=registry)
        self.values = Gauge(
            "duologue_step_value", "The last training step's values.", ["name"], registry=registry
        )


class _EnvMetrics:
    """The metrics of one environment: looked up once, because labels cost more than counting."""

    def __init__(self, families: _Families, env: str) -> None:
        self.families = families
        self.env = env
        self.live = families.live.labels(env)
        self.turns = families.turns.labels(env)
        self.tokens = families.tokens.labels(env)
        self.reward = families.reward.labels(env)
        self.dialogue_s = families.dialogue_s.labels(env)
        self.agent_s = families.turn_s.labels(env, "agent")
        self.environment_s = families.turn_s.labels(env, "environment")


class _Counted(Watch):
    __slots__ = ("_env", "_since_s")

    def __init__(self, env: _EnvMetrics) -> None:
        self._env = env
        self._since_s = 0.0
        env.live.inc()

    def turn_began(self) -> None:
        self._since_s = anyio.current_time()

    def replied(self, reply: Reply) -> None:
        now = anyio.current_time()
        self._env.agent_s.observe(now - self._since_s)
        self._since_s = now
        # The turn ends here when the agent ends the dialogue; without room there was none.
        if reply.end is not None and reply.end is not End.CONTEXT_FULL:
            self._env.turns.inc()

    def turn_ended(self, observation: Observation | None) -> None:
        if observation is not None:
            self._env.environment_s.observe(anyio.current_time() - self._since_s)
            self._env.turns.inc()

    def retried(self, end: End, detail: str) -> None:
        self._env.families.retried.labels(self._env.env, end.value).inc()

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        env, end = self._env, trajectory.end
        env.live.dec()
        env.families.ended.labels(env.env, end.value).inc()
        env.dialogue_s.observe(seconds)
        if end.finished or end.cut_short:
            env.reward.observe(trajectory.reward)
        if trajectory.tokens is not None:
            env.tokens.inc(trajectory.tokens.mask.count(1))

    def crashed(self, error: Exception) -> None:
        self._env.live.dec()
        self._env.families.crashed.labels(self._env.env).inc()


class _Shown:
    """The newest snapshot, as metrics. It is immutable, so that any thread may read it."""

    snapshot: Snapshot | None = None

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing to look at yet when it is registered

    def collect(self) -> Iterable[Metric]:
        snapshot = self.snapshot
        if snapshot is None:
            return
        yield from _waits(snapshot)
        yield from _hops(snapshot)
        yield from _services(snapshot)
        late = GaugeMetricFamily(
            "duologue_loop_lateness_seconds", "How late the loop runs.", labels=["which"]
        )
        late.add_metric(["p99"], snapshot.late_p99_ms / 1e3)
        late.add_metric(["worst"], snapshot.late_worst_ms / 1e3)
        yield late
        yield GaugeMetricFamily(
            "duologue_idle_seconds", "Since anything progressed.", value=snapshot.idle_s
        )


def _waits(snapshot: Snapshot) -> Iterable[Metric]:
    dialogues = GaugeMetricFamily(
        "duologue_dialogues_waiting",
        "Live dialogues, by what they wait for.",
        labels=["phase", "what"],
    )
    admission = GaugeMetricFamily(
        "duologue_admission_waiting",
        "1 for what admission waits for ('nothing' while it admits).",
        labels=["phase", "what"],
    )
    # Blocks that share a board may share a name, and a metric may say a thing only once.
    waits: dict[tuple[str, str], int] = {}
    admissions: set[tuple[str, str]] = set()
    for phase in snapshot.phases:
        for wait, number in phase.waits.items():
            key = (phase.name, wait.value)
            waits[key] = waits.get(key, 0) + number
        admissions.add((phase.name, phase.admission.value))
    for key, number in waits.items():
        dialogues.add_metric(key, number)
    for key in sorted(admissions):
        admission.add_metric(key, 1)
    yield dialogues
    yield admission


def _hops(snapshot: Snapshot) -> Iterable[Metric]:
    depth = GaugeMetricFamily("duologue_hop_depth", "What a bounded place holds.", labels=["hop"])
    capacity = GaugeMetricFamily("duologue_hop_capacity", "What it may hold.", labels=["hop"])
    size = GaugeMetricFamily("duologue_hop_bytes", "The same, in bytes.", labels=["hop"])
    waiting = GaugeMetricFamily(
        "duologue_hop_waiting", "Who waits for room (in) or work (out).", labels=["hop", "side"]
    )
    blocked = CounterMetricFamily(
        "duologue_hop_blocked_seconds", "In which somebody waited for room.", labels=["hop"]
    )
    # As for the waits: places of the same name are added up.
    for name in dict.fromkeys(hop.name for hop in snapshot.hops):
        hops = [hop for hop in snapshot.hops if hop.name == name]
        depth.add_metric([name], sum(hop.depth for hop in hops))
        capacity.add_metric([name], sum(hop.capacity for hop in hops))
        size.add_metric([name], sum(hop.bytes for hop in hops))
        waiting.add_metric([name, "in"], sum(hop.waiting_in for hop in hops))
        waiting.add_metric([name, "out"], sum(hop.waiting_out for hop in hops))
        blocked.add_metric([name], max(hop.blocked_s for hop in hops))
    yield from (depth, capacity, size, waiting, blocked)


def _services(snapshot: Snapshot) -> Iterable[Metric]:
    names = ["service", "role"]
    flying = GaugeMetricFamily("duologue_service_in_flight", "Calls under way.", labels=names)
    waiting = GaugeMetricFamily("duologue_service_waiting", "Calls that wait.", labels=names)
    limit = GaugeMetricFamily(
        "duologue_service_limit", "Calls it gets at once; 0 is no limit.", labels=names
    )
    up = GaugeMetricFamily("duologue_service_up", "0 while nobody is sent there.", labels=names)
    for service in {(each.name, each.role): each for each in snapshot.services}.values():
        labels = [service.name, service.role.value]
        flying.add_metric(labels, service.in_flight)
        waiting.add_metric(labels, service.waiting)
        limit.add_metric(labels, service.limit)
        up.add_metric(labels, service.up)
    yield from (flying, waiting, limit, up)
