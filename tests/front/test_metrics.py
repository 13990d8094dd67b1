"""Prometheus metrics: every dialogue once, gauges that return to where they were, a page to scrape."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import duologue
from duologue import Seed, Step, Task, UsageError
from duologue.agents.models import Generation, Request
from duologue.engine import (
    Action,
    Board,
    End,
    Hop,
    Key,
    Message,
    Reply,
    Service,
    ServiceRole,
    Trajectory,
    UserError,
    pack_tokens,
)
from duologue.metrics import Metrics, open_metrics
from duologue.metrics_server import open_metrics_server

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

pytestmark = pytest.mark.anyio


class World:
    """Plays its row: `bye` ends it, `sulk` fails the user, everything else goes on."""

    def __init__(self, task: Task, seed: Seed) -> None:
        self.script: str = task.data["script"]

    def prompt(self) -> Sequence[Message]:
        return [Message("user", self.script)]

    async def step(self, action: Action) -> Step:
        if action.content == "sulk":
            raise UserError("the user sulks")
        return Step(feedback=action.content, reward=-0.5, done=action.content == "bye")


def play(messages: Sequence[Message]) -> Action | str:
    word = messages[0].content.split()[len(messages) // 2]
    return "nothing to call" if word == "mumble" else Action("action", word)


def rows(*scripts: str) -> list[dict[str, str]]:
    return [{"script": script} for script in scripts]


class Readings:
    """What a scrape says, by name and labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def __call__(self, metric: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, labels)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_dialogues_are_counted_by_their_ends(registry: CollectorRegistry) -> None:
    read = Readings(registry)
    got: list[Trajectory] = []
    scripts = rows("say bye", "say more bye", "say mumble", "say sulk")
    async with open_metrics(registry) as metrics:
        for _ in range(2):
            block = duologue.open_rollouts(
                World, play, tasks=scripts, samples=3, observer=metrics, board=metrics.board
            )
            async with block as trajectories:
                got = [trajectory async for trajectory in trajectories]
    assert len(got) == 12
    assert read("duologue_dialogues_total", env="world", end="done") == 12
    assert read("duologue_dialogues_total", env="world", end="no_action") == 6
    assert read("duologue_dialogues_total", env="world", end="user_error") == 6
    assert read("duologue_dialogues_live", env="world") == 0
    # Of three attempts at the one that fails, two are discarded.
    assert read("duologue_dialogue_retries_total", env="world", end="user_error") == 12
    kept = 2 * sum(len(trajectory.turns) for trajectory in got)
    # A turn is counted when it ended: of each of the 18 attempts that failed, the first.
    assert kept == 6 * (2 + 3 + 2 + 1)
    assert read("duologue_turns_total", env="world") == kept + 12
    assert read("duologue_dialogue_seconds_count", env="world") == 24
    asked = read("duologue_turn_seconds_count", env="world", party="agent")
    answered = read("duologue_turn_seconds_count", env="world", party="environment")
    assert asked == kept + 12 + 18 and answered == kept + 12 - 6
    # A dialogue that failed has no reward, not even 0.
    assert read("duologue_reward_count", env="world") == 18
    assert read("duologue_reward_sum", env="world") == 6 * (-0.5 * (2 + 3 + 1))


class Stuck:
    def open(self, session: str) -> None: ...

    def close(self, session: str) -> None: ...

    async def generate(self, request: Request) -> Generation:
        await anyio.sleep_forever()
        raise AssertionError


class Buggy(Stuck):
    def close(self, session: str) -> None:
        raise ZeroDivisionError


async def test_gauges_return_to_zero_however_a_block_ends(registry: CollectorRegistry) -> None:
    read = Readings(registry)
    metrics = Metrics(registry)
    live: list[float | None] = []
    async with duologue.open_rollouts(
        World, Stuck(), tasks=rows(*["say"] * 5), observer=metrics
    ) as trajectories:
        while trajectories.snapshot().waits(duologue.engine.Wait.MODEL) < 5:
            await anyio.lowlevel.checkpoint()
        live.append(read("duologue_dialogues_live", env="world"))
    assert live == [5] and read("duologue_dialogues_live", env="world") == 0
    assert read("duologue_dialogues_total", env="world", end="cancelled") == 5
    with pytest.raises(ZeroDivisionError):
        async with duologue.open_rollouts(
            World, Buggy(), tasks=rows("say"), observer=metrics, deadline_s=0.01
        ) as trajectories:
            await anext(trajectories)
    assert read("duologue_dialogues_live", env="world") == 0
    assert read("duologue_dialogues_crashed_total", env="world") == 1


async def test_two_environments_are_two_labels(registry: CollectorRegistry) -> None:
    read = Readings(registry)
    metrics = Metrics(registry)
    for env in ("intention", "function"):
        async with duologue.open_rollouts(
            env, "scripted:expert", count=4, observer=metrics
        ) as trajectories:
            got = [trajectory async for trajectory in trajectories]
        assert read("duologue_turns_total", env=env) == sum(len(each.turns) for each in got)
        for end, number in Counter(each.end.value for each in got).items():
            assert read("duologue_dialogues_total", env=env, end=end) == number


def test_tokens_are_those_that_were_sampled(registry: CollectorRegistry) -> None:
    watch = Metrics(registry).dialogue_began(Key(0, 0), Task(env="world", id="1"))
    assert watch is not None
    tokens = pack_tokens([1, 2, 3, 4], [0, 1, 1, 0], [0.0] * 4)
    watch.dialogue_ended(
        Trajectory(
            key=Key(0, 0), task="1", env="world", split="train", end=End.DONE, tokens=tokens
        ),
        1.0,
    )
    assert registry.get_sample_value("duologue_sampled_tokens_total", {"env": "world"}) == 2


async def test_a_reply_without_room_is_no_turn(registry: CollectorRegistry) -> None:
    watch = Metrics(registry).dialogue_began(Key(0, 0), Task(env="world", id="1"))
    assert watch is not None
    for end, turns in ((End.CONTEXT_FULL, 0), (End.TRUNCATED, 1)):
        watch.turn_began()
        watch.replied(Reply(end=end))
        watch.turn_ended(None)
        assert registry.get_sample_value("duologue_turns_total", {"env": "world"}) == turns


def test_the_board_is_shown_as_long_as_somebody_follows_it(
    registry: CollectorRegistry, virtual_time: VirtualTime
) -> None:
    read = Readings(registry)
    board = Board()

    def buffer() -> Hop:
        return Hop(name="buffer", depth=3, capacity=4, bytes=1000, waiting_in=2, waiting_out=1)

    def endpoint() -> Service:
        return Service(
            name="http://a", role=ServiceRole.AGENT, in_flight=7, waiting=5, limit=8, up=False
        )

    def block(metrics: Metrics) -> AbstractAsyncContextManager[duologue.Trajectories]:
        return duologue.open_rollouts(
            World, Stuck(), tasks=rows("say"), observer=metrics, board=metrics.board
        )

    async def main() -> None:
        async with open_metrics(registry, board=board) as metrics, block(metrics), block(metrics):
            await anyio.sleep(2.5)
            check()
            assert board.lateness is not None
            board.lateness.note(0.25)
            await anyio.sleep(1.0)
            assert read("duologue_loop_lateness_seconds", which="worst") == 0.25

    def check() -> None:
        assert read("duologue_dialogues_waiting", phase="rollout", what="model") == 2
        assert read("duologue_hop_depth", hop="buffer") == 6
        assert read("duologue_hop_capacity", hop="buffer") == 8
        assert read("duologue_hop_bytes", hop="buffer") == 2000
        assert read("duologue_hop_waiting", hop="buffer", side="in") == 4
        assert read("duologue_hop_waiting", hop="buffer", side="out") == 2
        assert (read("duologue_hop_blocked_seconds_total", hop="buffer") or 0) >= 2
        agent = {"service": "http://a", "role": "agent"}
        assert read("duologue_service_in_flight", **agent) == 7
        assert read("duologue_service_waiting", **agent) == 5
        assert read("duologue_service_limit", **agent) == 8
        assert read("duologue_service_up", **agent) == 0
        assert read("duologue_admission_waiting", phase="rollout", what="no tasks left") == 1
        assert 1 <= (read("duologue_idle_seconds") or 0) <= 2.5
        families = text_string_to_metric_families(generate_latest(registry).decode())
        for family in families:
            lines = [(each.name, tuple(sorted(each.labels.items()))) for each in family.samples]
            assert len(lines) == len(set(lines)), family.name

    # Twice: two parts of one name are one line, because a scrape with two of them is refused.
    with board.showing(buffer, buffer, endpoint, endpoint):
        virtual_time(main)
    assert board.lateness is None
    assert read("duologue_hop_depth", hop="buffer") is None
    assert read("duologue_dialogues_total", env="world", end="cancelled") == 2


async def test_lateness_that_is_measured_already_is_left_alone(
    registry: CollectorRegistry,
) -> None:
    board = Board()
    async with duologue.engine.open_lateness() as lateness:
        board.lateness = lateness
        async with open_metrics(registry, board=board):
            assert board.lateness is lateness
        assert board.lateness is lateness


def test_a_training_step_shows_its_values(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    metrics.step_ended(3, 4, {"staleness_mean": 0.5, "reward": 1.25})
    metrics.step_ended(4, 5, {"staleness_mean": 0.75})
    read = Readings(registry)
    assert (read("duologue_step"), read("duologue_policy_version")) == (4, 5)
    assert read("duologue_step_value", name="staleness_mean") == 0.75
    assert read("duologue_step_value", name="reward") == 1.25


async def scrape(port: int, request: bytes) -> tuple[bytes, bytes]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        answer = b""
        try:
            while True:
                answer += await stream.receive()
        except anyio.EndOfStream:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_a_page_to_scrape(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    before = set(threading.enumerate())
    async with open_metrics_server(registry, 0) as port:
        async with duologue.open_rollouts(
            "intention", "scripted:expert", count=3, observer=metrics
        ) as trajectories:
            async for _ in trajectories:
                pass
        for path in (b"/metrics", b"/", b"/metrics?x=1"):
            head, body = await scrape(port, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert f"Content-Length: {len(body)}".encode() in head
            names = {family.name for family in text_string_to_metric_families(body.decode())}
            assert {"duologue_dialogues", "duologue_turn_seconds"} <= names
        head, _ = await scrape(port, b"GET /secret HTTP/1.1\r\n\r\n")
        assert b"404" in head
        head, _ = await scrape(port, b"POST /metrics HTTP/1.1\r\n\r\n")
        assert b"405" in head
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}: it is taken"):
            async with open_metrics_server(registry, port):
                pass
    with pytest.raises(OSError, match=r"[Aa]ll connection attempts failed|refused"):
        await anyio.connect_tcp("127.0.0.1", port)
    # The loop's own worker threads may stay; nobody else's does.
    started = {thread.name.partition(" ")[0] for thread in set(threading.enumerate()) - before}
    assert {name.partition("_")[0] for name in started} <= {"AnyIO", "asyncio", "Trio"}


async def test_a_port_that_cannot_be_is_refused(registry: CollectorRegistry) -> None:
    with pytest.raises(UsageError, match="70000"):
        async with open_metrics_server(registry, 70_000):
            pass


async def test_who_is_slow_long_or_many_is_turned_away(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duologue import metrics_server

    monkeypatch.setattr(metrics_server, "_HEAD_S", 0.2)
    async with open_metrics_server(registry, 0) as port:
        head, _ = await scrape(port, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000)
        assert head == b""
        head, _ = await scrape(port, b"GET /metrics HT")  # and then nothing
        assert head == b""
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(9)]
        await anyio.sleep(0.05)
        # Eight are heard; the ninth and whoever comes after is not.
        head, _ = await scrape_or_nothing(port)
        assert head == b""
        for connection in idle:
            connection.close()
        await anyio.sleep(0.05)
        head, _ = await scrape_or_nothing(port)
        assert b"200 OK" in head


async def scrape_or_nothing(port: int) -> tuple[bytes, bytes]:
    try:
        return await scrape(port, b"GET / HTTP/1.1\r\n\r\n")
    except anyio.BrokenResourceError:
        return b"", b""  # reset, because what was sent was never read


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("duologue.metrics", "duologue.metrics_server", "duologue.tracing"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    missing: dict[str, Any] = {"prometheus_client": None, "opentelemetry": None}
    for name, nothing in missing.items():
        monkeypatch.setitem(sys.modules, name, nothing)
    with pytest.raises(UsageError, match=r"duologue\[metrics\]"):
        __import__("duologue.metrics")
    with pytest.raises(UsageError, match=r"duologue\[tracing\]"):
        __import__("duologue.tracing")
