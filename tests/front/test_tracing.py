"""Spans: one a dialogue, one a turn, in the right places, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import anyio.lowlevel
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import duologue
from duologue import End, Seed, Step, Task, Trajectory
from duologue.agents.models import Generation, Request
from duologue.engine import Action, Message, UserError
from duologue.tracing import Tracing

pytestmark = pytest.mark.anyio

ROWS = [{"script": "say bye"}]


class World:
    """Plays its row: `bye` ends it, `sulk` fails the user, everything else goes on."""

    def __init__(self, task: Task, seed: Seed) -> None:
        self.script: str = task.data["script"]

    def prompt(self) -> Sequence[Message]:
        return [Message("user", self.script)]

    async def step(self, action: Action) -> Step:
        await anyio.lowlevel.checkpoint()
        if action.content == "sulk":
            raise UserError("the user sulks")
        return Step(feedback=action.content, reward=0.5, done=action.content == "bye")


def play(messages: Sequence[Message]) -> Action | str:
    """Says the row's words, one a turn."""
    word = messages[0].content.split()[len(messages) // 2]
    if word == "boom":
        raise LookupError("boom")
    return "nothing to call" if word == "mumble" else Action("action", word)


class Spans:
    """What was exported, by name."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def dialogues(self) -> list[ReadableSpan]:
        return [s for s in self.exporter.get_finished_spans() if "invoke_agent" in s.name]

    @property
    def turns(self) -> list[ReadableSpan]:
        return [s for s in self.exporter.get_finished_spans() if s.name == "turn"]


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


async def collect(spans: Spans, script: str, **options: Any) -> list[Trajectory]:
    tracing = Tracing(spans.provider, run="run-7", agent="player")
    block = duologue.open_rollouts(
        World, play, tasks=[{"script": script}], observer=tracing, **options
    )
    async with block as trajectories:
        return [trajectory async for trajectory in trajectories]


def inside(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert child.parent is not None and parent.context is not None
    assert child.start_time is not None and parent.start_time is not None
    assert child.end_time is not None and parent.end_time is not None
    return (
        child.parent.span_id == parent.context.span_id
        and parent.start_time <= child.start_time <= child.end_time <= parent.end_time
    )


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_dialogue_and_its_turns(spans: Spans) -> None:
    await collect(spans, "say bye")
    (dialogue,) = spans.dialogues
    assert dialogue.name == "invoke_agent player"
    assert attributes(dialogue) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "player",
        "gen_ai.conversation.id": "run-7/0/0",
        "duologue.env": "world",
        "duologue.task": "0",
        "duologue.split": "train",
        "duologue.group": 0,
        "duologue.sample": 0,
        "duologue.end": "done",
        "duologue.turns": 2,
        "duologue.retries": 0,
        "duologue.reward": 1.0,
    }
    assert dialogue.status.status_code is StatusCode.UNSET
    assert [attributes(turn) for turn in spans.turns] == [
        {"duologue.turn": 1, "duologue.attempt": 1, "duologue.reward": 0.5},
        {
            "duologue.turn": 2,
            "duologue.attempt": 1,
            "duologue.reward": 0.5,
            "duologue.end": "done",
        },
    ]
    assert all(inside(turn, dialogue) for turn in spans.turns)
    for turn in spans.turns:
        (reply,) = turn.events
        assert reply.name == "reply" and reply.attributes == {"duologue.actions": 1}
        assert turn.start_time is not None and turn.end_time is not None
        assert turn.start_time <= reply.timestamp <= turn.end_time
    first, second = spans.turns
    assert first.end_time is not None and second.start_time is not None
    assert first.end_time <= second.start_time


@pytest.mark.parametrize(
    ("script", "end", "detail"),
    [
        ("say boom", End.MODEL_ERROR, "ModelError: LookupError: boom"),
        ("say sulk", End.USER_ERROR, "UserError: the user sulks"),
    ],
)
async def test_a_failure_is_a_status_with_the_typed_end(
    spans: Spans, script: str, end: End, detail: str
) -> None:
    await collect(spans, script, settings={"rollout.attempts": 2})
    (dialogue,) = spans.dialogues
    assert attributes(dialogue)["error.type"] == end.value
    assert attributes(dialogue)["duologue.retries"] == 1
    assert "duologue.reward" not in attributes(dialogue)
    (again,) = dialogue.events
    assert again.name == "retry"
    assert again.attributes == {"duologue.end": end.value, "duologue.attempt": 1}
    places = [
        (attributes(t)["duologue.attempt"], attributes(t)["duologue.turn"]) for t in spans.turns
    ]
    assert places == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for failed in (dialogue, spans.turns[1], spans.turns[3]):
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.status.description == detail
        assert attributes(failed)["error.type"] == attributes(failed)["duologue.end"] == end.value
    assert spans.turns[0].status.status_code is StatusCode.UNSET
    assert all(inside(turn, dialogue) for turn in spans.turns)


async def test_a_turn_that_the_agent_ends_is_no_error(spans: Spans) -> None:
    await collect(spans, "say mumble")
    (dialogue,) = spans.dialogues
    for span in (dialogue, spans.turns[1]):
        assert attributes(span)["duologue.end"] == "no_action"
        assert span.status.status_code is StatusCode.UNSET


class Stuck:
    def open(self, session: str) -> None: ...

    def close(self, session: str) -> None: ...

    async def generate(self, request: Request) -> Generation:
        await anyio.sleep_forever()
        raise AssertionError


async def test_time_that_runs_out_is_an_error_and_being_stopped_is_none(spans: Spans) -> None:
    tracing = Tracing(spans.provider)
    async with duologue.open_rollouts(
        World, Stuck(), tasks=ROWS, observer=tracing, deadline_s=0.02
    ) as trajectories:
        assert [t.end async for t in trajectories] == [End.TIMEOUT]
    async with duologue.open_rollouts(World, Stuck(), tasks=ROWS, observer=tracing) as trajectories:
        while not trajectories.snapshot().live:
            await anyio.lowlevel.checkpoint()
    late, stopped = spans.dialogues
    assert late.name == stopped.name == "invoke_agent"
    assert attributes(late)["error.type"] == "timeout"
    assert late.status.status_code is StatusCode.ERROR
    assert attributes(stopped)["duologue.end"] == "cancelled"
    assert stopped.status.status_code is StatusCode.UNSET
    assert [attributes(turn)["duologue.end"] for turn in spans.turns] == ["timeout", "cancelled"]
    assert spans.turns[0].status.status_code is StatusCode.ERROR
    assert spans.turns[1].status.status_code is StatusCode.UNSET


async def test_a_bug_ends_the_spans_that_it_was_in(spans: Spans) -> None:
    class Broken(Stuck):
        def close(self, session: str) -> None:
            raise ZeroDivisionError("a bug of the host's")

    with pytest.raises(ZeroDivisionError):
        async with duologue.open_rollouts(
            World, Broken(), tasks=ROWS, observer=Tracing(spans.provider), deadline_s=0.01
        ) as trajectories:
            await anext(trajectories)
    (dialogue,) = spans.dialogues
    for span in (dialogue, *spans.turns):
        assert attributes(span)["error.type"] == "ZeroDivisionError"
        assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in dialogue.events] == ["exception"]


async def test_what_is_called_in_a_turn_is_below_it_and_dialogues_do_not_mix(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("a http client of the host's")
    heard: dict[str, set[str]] = {}

    async def calls(messages: Sequence[Message]) -> Action:
        name = messages[0].content
        for _ in range(3):
            with tracer.start_as_current_span("call") as span:
                heard.setdefault(name, set()).add(format(span.get_span_context().trace_id, "x"))
                await anyio.lowlevel.checkpoint()
        return Action("action", "bye" if len(messages) > 3 else "more")

    class Calls(World):
        async def step(self, action: Action) -> Step:
            with tracer.start_as_current_span("user"):
                return await super().step(action)

    rows = [{"script": f"dialogue {number}"} for number in range(25)]
    host = spans.provider.get_tracer("the host")
    with host.start_as_current_span("request") as request:
        async with duologue.open_rollouts(
            Calls, calls, tasks=rows, observer=Tracing(spans.provider)
        ) as trajectories:
            async for _ in trajectories:
                # The host's own context is as it was.
                assert trace.get_current_span() is request
    assert not trace.get_current_span().get_span_context().is_valid
    finished = {s.context.span_id: s for s in spans.exporter.get_finished_spans() if s.context}
    assert len(spans.dialogues) == 25 and len(spans.turns) == 75
    assert len(heard) == 25 and len({tuple(ids) for ids in heard.values()}) == 1
    for span in finished.values():
        if span.name == "request":
            continue
        assert span.parent is not None
        parent = finished[span.parent.span_id]
        expected = {"call": "turn", "user": "turn", "turn": "invoke_agent"}
        assert parent.name == expected.get(span.name, "request")
        assert inside(span, parent)
    for turn in spans.turns:
        assert turn.context is not None
        below = [
            s for s in finished.values() if s.parent and s.parent.span_id == turn.context.span_id
        ]
        assert sorted(s.name for s in below) == ["call", "call", "call", "user"]


async def test_what_the_sampler_leaves_out_is_left_out_whole(spans: Spans) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    sampled: set[bool] = set()

    def look(messages: Sequence[Message]) -> Action:
        sampled.add(trace.get_current_span().get_span_context().trace_flags.sampled)
        assert trace.get_current_span().get_span_context().is_valid
        return Action("action", "bye")

    async with duologue.open_rollouts(
        World, look, tasks=ROWS * 3, observer=Tracing(provider)
    ) as trajectories:
        assert len([t async for t in trajectories]) == 3
    assert sampled == {False}
    with pytest.raises(ZeroDivisionError):
        async with duologue.open_rollouts(
            World, Raises(), tasks=ROWS, observer=Tracing(provider), deadline_s=0.01
        ) as trajectories:
            await anext(trajectories)
    assert not trace.get_current_span().get_span_context().is_valid


class Raises(Stuck):
    def close(self, session: str) -> None:
        raise ZeroDivisionError


async def test_without_an_sdk_it_does_nothing() -> None:
    async with duologue.open_rollouts(World, play, tasks=ROWS, observer=Tracing()) as trajectories:
        assert [t.end async for t in trajectories] == [End.DONE]
