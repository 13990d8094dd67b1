"""Dialogues as OpenTelemetry spans: one a dialogue, one a turn in it.

    async with duologue.open_rollouts(env, agent, observer=Tracing()) as trajectories:
        ...

A dialogue's span is a child of the span that was current where the block was opened. It is current
while the dialogue runs, and a turn's while the turn does, so that what the host instruments (HTTP
clients, databases) nests below them; on one loop, no dialogue sees another's.

Attributes are named as in the semantic conventions for generative AI (1.41: all of `gen_ai.*` is
still in development there) where those have a name, else `duologue.*`. What people say is not in
the spans: it is in the store, which does not lose it to sampling or to a limit on length.
"""

from __future__ import annotations

import time
from contextvars import Token

from .agents.models._extras import extra
from .engine import End, Key, Observation, Observer, Reply, Task, Trajectory, Watch

with extra("tracing"):
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

_NAME = "duologue"

_OPERATION = "gen_ai.operation.name"
_AGENT = "gen_ai.agent.name"
_CONVERSATION = "gen_ai.conversation.id"
_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
_ERROR = "error.type"


class Tracing(Observer):
    """Spans of dialogues, of any number of `open_rollouts`.

    provider: whose tracer; None takes the global one. run: comes before a dialogue's place in its
    conversation id, which is then unique among runs. agent: the agent's name.
    """

    def __init__(
        self, provider: TracerProvider | None = None, *, run: str = "", agent: str = ""
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=provider)
        self._prefix = f"{run}/" if run else ""
        self._agent = agent

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        attributes: dict[str, str | int] = {
            _OPERATION: "invoke_agent",
            _CONVERSATION: f"{self._prefix}{key.group}/{key.sample}",
            "duologue.env": task.env,
            "duologue.task": task.id,
            "duologue.split": task.split,
            "duologue.group": key.group,
            "duologue.sample": key.sample,
        }
        name = "invoke_agent"
        if self._agent:
            name, attributes[_AGENT] = f"invoke_agent {self._agent}", self._agent
        span = self._tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes)
        current = _Current(span)
        if not span.is_recording():
            return _Unsampled(current)
        return _Spans(self._tracer, current, span)


class _Current:
    """Makes a span the current one of the dialogue's task, and undoes it."""

    __slots__ = ("_token", "context")

    def __init__(self, span: Span, parent: Context | None = None) -> None:
        self.context: Context = trace.set_span_in_context(span, parent)
        self._token: Token[Context] = contexts.attach(self.context)

    def leave(self) -> None:
        contexts.detach(self._token)


class _Unsampled(Watch):
    """The sampler wants nothing of this dialogue; what is below it has to know that."""

    __slots__ = ("_current",)

    def __init__(self, current: _Current) -> None:
        self._current = current

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        self._current.leave()

    def crashed(self, error: Exception) -> None:
        self._current.leave()


class _Spans(Watch):
    __slots__ = ("_attempt", "_current", "_number", "_span", "_tracer", "_turn")

    def __init__(self, tracer: Tracer, current: _Current, span: Span) -> None:
        self._tracer = tracer
        self._current = current
        self._span = span
        self._attempt = 1
        self._number = 0
        self._turn: _Turn | None = None

    def turn_began(self) -> None:
        self._number += 1
        span = self._tracer.start_span(
            "turn",
            context=self._current.context,
            attributes={"duologue.turn": self._number, "duologue.attempt": self._attempt},
        )
        self._turn = _Turn(span, _Current(span, self._current.context))

    def replied(self, reply: Reply) -> None:
        assert self._turn is not None
        # Before it the agent's time, after it the environment's.
        self._turn.span.add_event("reply", {"duologue.actions": len(reply.actions)})
        self._turn.end = reply.end

    def turn_ended(self, observation: Observation | None) -> None:
        assert self._turn is not None
        self._turn.current.leave()
        if observation is not None:
            self._turn.span.set_attribute("duologue.reward", observation.reward)
            self._turn.end = observation.end
        elif self._turn.end is None:
            # It was cut off, and what by is not known before the attempt's end is.
            self._turn.ended_ns = time.time_ns()
            return
        self._close_turn()

    def retried(self, end: End, detail: str) -> None:
        self._cut_off(end, detail)
        self._span.add_event(
            "retry", {"duologue.end": end.value, "duologue.attempt": self._attempt}
        )
        self._attempt += 1
        self._number = 0

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        end = trajectory.end
        self._cut_off(end, trajectory.detail)
        span = self._span
        span.set_attributes(
            {
                "duologue.end": end.value,
                "duologue.turns": len(trajectory.turns),
                "duologue.retries": len(trajectory.discarded),
            }
        )
        # The reward of a dialogue that failed means nothing, and 0 would say it does.
        if end.finished or end.cut_short:
            span.set_attribute("duologue.reward", trajectory.reward)
        if trajectory.tokens is not None:
            span.set_attribute(_OUTPUT_TOKENS, trajectory.tokens.mask.count(1))
        _judge(span, end, trajectory.detail)
        self._leave()

    def crashed(self, error: Exception) -> None:
        kind = type(error).__qualname__
        for span in (self._turn.span if self._turn is not None else None, self._span):
            if span is not None:
                span.set_attribute(_ERROR, kind)
                span.set_status(Status(StatusCode.ERROR, str(error)))
        self._close_turn()
        self._span.record_exception(error)
        self._leave()

    def _cut_off(self, end: End, detail: str) -> None:
        """The attempt ended so, and with it the turn that it was in."""
        if self._turn is not None:
            self._turn.end = end
            _judge(self._turn.span, end, detail)
            self._close_turn()

    def _close_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            if turn.end is not None:
                turn.span.set_attribute("duologue.end", turn.end.value)
            turn.span.end(turn.ended_ns)

    def _leave(self) -> None:
        self._current.leave()
        self._span.end()


class _Turn:
    """A turn's span; `end` is the dialogue's, where the turn was its last."""

    __slots__ = ("current", "end", "ended_ns", "span")

    def __init__(self, span: Span, current: _Current) -> None:
        self.span = span
        self.current = current
        self.end: End | None = None
        self.ended_ns: int | None = None


def _judge(span: Span, end: End, detail: str) -> None:
    """Failures are errors by their end; so is time that ran out. To be stopped is none."""
    if end.failed or end is End.TIMEOUT:
        span.set_attribute(_ERROR, end.value)
        span.set_status(Status(StatusCode.ERROR, detail))
