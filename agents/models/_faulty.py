"""A model that meets faults: what servers, networks and models do on a bad day, on plan.

Failures are raised as our HTTP client raises them, and behind the same `Limits` that stand before
every server: what is tried again, waited for or given up is decided by the code that decides it in
earnest. What is said wrongly is made of what the model really said. The tokens of a model that
gives some stay those that were sampled, cut but never made up: they are what is trained on.
"""

from __future__ import annotations

from anyio import current_time, move_on_after, sleep
from msgspec.structs import replace

from ...engine import End, Key, ModelError, Seed, Span, Task, checkpoint
from ...engine.faults import GOES_ON, Attempt, Faults, Hit, Kind, Site, attempt_at
from ._model import Generation, Model, Request, WeightSink
from .http._parse import BadStatus, ConnectionLost
from .limits._limits import Limits

SLOWER = 20.0
"""How much slower the slow replica is than it would be."""

NOISE = "\ud800\x00\u202e\ufeff\U0001f469\u200d\U0001f467e\u0301"
"""Half a character, a NUL, a change of direction, a byte-order mark, a family and an accent."""

REFUSAL = "I'm sorry, but I can't help with that."
OTHER_ROLE = "<|im_start|>user\nThank you, that was all.<|im_end|>"
UNKNOWN_CALL = '<tool_call>\n{"name": "wire_money", "arguments": {"sum": 1}}\n</tool_call>'
BROKEN_CALL = '<tool_call>\n{"name": "interact_with_env", "arguments": {"choice":\n</tool_call>'

_FAILS = frozenset({End.MODEL_ERROR})
_LATE = GOES_ON | {End.TIMEOUT}
_SAVED = "the call is tried again within its budget; model_error when every try failed"


def _kind(
    name: str, what: str, expected: str, ends: frozenset[End], for_s: float | None = None
) -> Kind:
    return Kind(
        name=name,
        sites=(Site.MODEL,),
        what=what,
        expected=expected,
        ends=ends,
        for_s=for_s,
        once=name == "slow_replica",
    )


MODEL_KINDS: tuple[Kind, ...] = (
    _kind(
        "timeout",
        "no answer for `for_s`, then the call is given up",
        "model_error; the dialogue is tried again, whole",
        _FAILS,
        60.0,
    ),
    _kind("rate_limited", "429 without Retry-After", _SAVED, _LATE | _FAILS),
    _kind(
        "retry_after",
        "429 with a Retry-After of `for_s`",
        "nobody calls before that; then as rate_limited",
        _LATE | _FAILS,
        1.0,
    ),
    _kind("server_error", "500", _SAVED, _LATE | _FAILS),
    _kind(
        "reset",
        "the connection is reset when a part of the answer has come",
        "model_error, since the answer may have cost something; the dialogue is tried again",
        _FAILS,
    ),
    _kind(
        "slow_drip",
        "the answer drips in over `for_s`",
        "nothing but the time; timeout where that was too long",
        _LATE,
        10.0,
    ),
    _kind("empty", "an empty completion", "no_action", frozenset({End.NO_ACTION})),
    _kind(
        "truncated",
        "the answer is cut in its middle, and says so",
        "truncated; what is there of it is not acted on",
        frozenset({End.TRUNCATED}),
    ),
    _kind(
        "duplicate_chunk",
        "a piece of the answer comes twice",
        "no_action where that spoils the call; never a guess at what was meant",
        _LATE,
    ),
    _kind("bad_json", "a tool call that is no JSON", "no_action", frozenset({End.NO_ACTION})),
    _kind("unknown_tool", "a call of another tool", "no_action", frozenset({End.NO_ACTION})),
    _kind("refusal", "the model declines", "no_action", frozenset({End.NO_ACTION})),
    _kind(
        "context_overflow",
        "400: the context is longer than the model's",
        "model_error, not tried again by the endpoint: the same call would fail the same way",
        _FAILS,
    ),
    _kind(
        "wrong_role",
        "the model speaks as the user, markers and all",
        "no_action; its text stays text",
        frozenset({End.NO_ACTION}),
    ),
    _kind(
        "unicode_noise",
        "half characters, NULs and the like around the answer",
        "the dialogue goes on, and its record can be stored and read",
        _LATE,
    ),
    _kind(
        "weights_swapped",
        "the weights change in the middle of the answer",
        "both versions are on record; staleness counts from the older",
        _LATE,
    ),
    _kind(
        "slow_replica",
        f"the replica that has the dialogue takes {SLOWER:g} times as long (of `for_s` at least)",
        "its dialogues end later, or by timeout; nobody else's do",
        _LATE,
        0.05,
    ),
    _kind(
        "no_time",
        "the call is made with no time left",
        "model_error at once; the place at the endpoint is given back",
        _FAILS,
    ),
)


class FaultyModel:
    """A `Model` (and `WeightSink`, where `model` is one) whose calls meet faults.

    limits: what stands before the server; several models may share them. Their concurrency must
            not be lower than that of what they stand before.

    In dialogues made by `FaultyDialogues` a call is known by attempt and turn; elsewhere by its
    own seed.
    """

    def __init__(self, model: Model, faults: Faults, limits: Limits) -> None:
        self._model = model
        self._faults = faults
        self._limits = limits
        self._sessions: dict[str, _Session] = {}

    def open(self, session: str) -> None:
        self._model.open(session)
        self._sessions[session] = _Session(self._faults.setting_up)

    def close(self, session: str) -> None:
        self._sessions.pop(session, None)
        self._model.close(session)

    async def generate(self, request: Request) -> Generation:
        session = self._sessions.get(request.session) or _Session(None)
        session.calls += 1
        number, attempt = session.calls, session.attempt or _stranger(request)
        tries = 0

        async def send() -> Generation:
            nonlocal tries
            tries += 1
            hit = self._faults.strike(Site.MODEL, number, attempt=attempt, tried=tries - 1)
            if hit is None:
                return await self._model.generate(request)
            return await self._suffer(hit, request)

        return await self._limits.call(send)

    async def push(self, version: int, path: str) -> None:
        sink: WeightSink = self._model  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        await sink.push(version, path)

    async def _suffer(self, hit: Hit, request: Request) -> Generation:
        for_s = hit.for_s or 0.0
        match hit.name:
            case "timeout":
                await sleep(for_s)
                raise ModelError(f"injected: no answer within {for_s:g} s")
            case "rate_limited" | "retry_after":
                await checkpoint()
                after_s = for_s if hit.name == "retry_after" else None
                raise BadStatus("injected: too many calls", status=429, retry_after_s=after_s)
            case "server_error":
                await checkpoint()
                raise BadStatus("injected: internal error", status=500)
            case "context_overflow":
                await checkpoint()
                raise BadStatus("injected: the context is too long", status=400)
            case "no_time":
                with move_on_after(0):
                    return await self._model.generate(request)
                raise ModelError("injected: the call had no time left")
            case _:
                began = current_time()
                generation = await self._model.generate(request)
        match hit.name:
            case "reset":
                raise ConnectionLost("injected: connection reset", begun=True)
            case "slow_drip":
                await sleep(for_s)
            case "slow_replica":
                await sleep((SLOWER - 1) * max(for_s, current_time() - began))
            case _:
                return spoil(hit, generation)
        return generation


class _Session:
    """A session's attempt, where it is part of a dialogue, and its calls so far."""

    __slots__ = ("attempt", "calls")

    def __init__(self, attempt: Attempt | None) -> None:
        self.attempt = attempt
        self.calls = 0


def _stranger(request: Request) -> Attempt:
    task = Task(env="", id=request.session)
    return attempt_at("", task, Key(-1, -1), Seed(request.seed))


def spoil(hit: Hit, generation: Generation) -> Generation:
    """What arrives of an answer, or in its place, when such a fault strikes it."""
    text = generation.text
    match hit.name:
        case "empty":
            return replace(
                generation, text="", ids=generation.ids[:0], logps=generation.logps[:0], spans=()
            )
        case "truncated":
            return _cut(generation)
        case "duplicate_chunk":
            start = hit.chance.integer() % (len(text) + 1)
            end = start + max(1, len(text) // 4)
            return replace(generation, text=text[:end] + text[start:])
        case "bad_json":
            return replace(generation, text=BROKEN_CALL)
        case "unknown_tool":
            return replace(generation, text=UNKNOWN_CALL)
        case "refusal":
            return replace(generation, text=REFUSAL)
        case "wrong_role":
            return replace(generation, text=OTHER_ROLE)
        case "unicode_noise":
            return replace(generation, text=f"{NOISE}{text}{NOISE[::-1]}")
        case _:
            return replace(generation, spans=_swapped(generation.spans))


def _cut(generation: Generation) -> Generation:
    kept = len(generation.ids) // 2
    return replace(
        generation,
        text=generation.text[: len(generation.text) // 2],
        ids=generation.ids[:kept],
        logps=generation.logps[:kept],
        spans=tuple(
            Span(span.start, min(span.end, kept), span.version)
            for span in generation.spans
            if span.start < kept
        ),
        finish="length",
    )


def _swapped(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The same tokens, of which the latter half of the last span is the next version's."""
    if not spans:
        return spans
    *before, last = spans
    middle = (last.start + last.end) // 2
    halves = (
        Span(last.start, middle, last.version),
        Span(middle, last.end, last.version + 1),
    )
    return (*before, *(half for half in halves if half.start < half.end))
