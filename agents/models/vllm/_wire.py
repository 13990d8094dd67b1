"""What goes to vLLM and what is read of what comes back, as cheaply as it can be exact.

A dialogue sends its whole history at every turn. Its tokens are only ever appended to, so they are
rendered as JSON once; doing it anew each time would cost the square of the dialogue's length.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from ....engine import Span
from .._model import Generation, Request, Sampling
from ..text._arrays import floats, pack_ints

_Versions: TypeAlias = tuple[tuple[str, int, int], ...]

_Sampled: TypeAlias = tuple[bytes, bytes, str | None, _Versions, bytes]
"""Tokens (int32), their log-probabilities (float32), the finish reason, each version with the
tokens it begins and ends at, and the tokens as JSON."""

try:
    from ._answer import read as _read_sound
except ImportError:  # installed where there is no compiler

    def _read_sound(body: bytes, most: int, /) -> _Sampled | None:
        return None


class _Sampling(Struct, frozen=True, kw_only=True, gc=False):
    # A server's own defaults would bias the log-probabilities, so everything is said.
    temperature: float
    max_tokens: int
    seed: int
    stop_token_ids: tuple[int, ...]
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    ignore_eos: bool = True
    logprobs: int = 0
    detokenize: bool = False


class _Rest(Struct, frozen=True, kw_only=True, gc=False):
    sampling_params: _Sampling
    cache_salt: str


# The rest of an answer is skipped.


class _Logprob(Struct, frozen=True, gc=False):
    token_id: int
    logprob: float


class _Logprobs(Struct, frozen=True, gc=False):
    content: list[_Logprob]


class _Version(Struct, frozen=True, gc=False):
    version: str
    start: int
    end: int


class _Choice(Struct, frozen=True, gc=False):
    token_ids: list[int]
    logprobs: _Logprobs
    finish_reason: str | None = None
    weight_versions: list[_Version] | None = None


class _Answer(Struct, frozen=True, gc=False):
    choices: list[_Choice]


_encode = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(_Answer).decode

_ANY_SEED = (1 << 63) - 1

_LEAST = -1e30
"""No sum of log-probabilities is below; 32 bits hold what is above."""


class History:
    """A session's tokens as JSON: what was rendered stays, what was appended is added.

    An array of ints is taken to be the session's transcript, which grows and never changes (see
    `Request.tokens`); another array, and every other sequence, is rendered from the start.
    """

    __slots__ = ("_count", "_expected", "_rendered", "_tokens")

    def __init__(self) -> None:
        self._tokens: Sequence[int] | None = None
        self._rendered = bytearray()
        self._count = 0
        self._expected: tuple[array[int], bytes] | None = None

    def expect(self, ids: array[int], rendered: bytes) -> None:
        """These were sampled, and came as `rendered`: they need not be rendered again where they
        turn out to be what the transcript grows by."""
        self._expected = ids, rendered

    def render(self, tokens: Sequence[int]) -> bytearray:
        """`1,2,3`, to be used before the next call."""
        if tokens is not self._tokens or len(tokens) < self._count:
            self._tokens = tokens if isinstance(tokens, array) else None
            self._rendered, self._count = bytearray(), 0
        elif self._expected is not None:
            ids, rendered = self._expected
            end = self._count + len(ids)
            if self._count and tokens[self._count : end] == ids:
                self._rendered += b"," + rendered
                self._count = end
        self._expected = None
        if len(tokens) > self._count:
            if self._count:
                self._rendered += b","
            self._rendered += _encode(list(tokens[self._count :]))[1:-1]
            self._count = len(tokens)
        return self._rendered


def write_ask(history: bytearray, sampling: Sampling, *, seed: int, most: int, salt: str) -> bytes:
    """The body of a request for at most `most` tokens after `history`."""
    rest = _Rest(
        sampling_params=_Sampling(
            temperature=sampling.temperature,
            max_tokens=most,
            seed=seed & _ANY_SEED,
            stop_token_ids=sampling.stop,
        ),
        cache_salt=salt,
    )
    return b"".join((b'{"token_ids":[', history, b"],", _encode(rest)[1:]))


def read_answer(
    body: bytes,
    request: Request,
    *,
    most: int,
    version_of: Callable[[str], int],
    text_of: Callable[[Iterable[int]], str],
    history: History | None = None,
) -> Generation:
    """The generation in an answer, which `history` is told of.

    Raises `ValueError` for one that does not fit the request.
    """
    found = _read_sound(body, most) or _read_any(body, most)
    packed, logps, finish, versions, rendered = found
    ids = array("i", packed)
    stopped = ids[-1] in request.sampling.stop
    if finish != ("stop" if stopped else "length"):
        raise ValueError(f"finish reason {finish!r} after {len(ids)} tokens, the last {ids[-1]}")
    if history is not None:
        history.expect(ids, rendered)
    return Generation(
        text=text_of(ids[:-1] if stopped else ids),
        ids=ids,
        logps=array("f", logps),
        finish="stop" if stopped else "length",
        spans=_spans(versions, len(ids), version_of),
    )


def _read_any(body: bytes, most: int) -> _Sampled:
    """What `_answer.read` gives, of any answer that has it, sound or not."""
    choices = _decode_answer(body).choices
    if len(choices) != 1:
        raise ValueError(f"{len(choices)} choices instead of one")
    choice = choices[0]
    ids, sampled = choice.token_ids, choice.logprobs.content
    if not 1 <= len(ids) <= most:
        raise ValueError(f"{len(ids)} tokens instead of 1 to {most}")
    packed = pack_ints(ids)
    if pack_ints([one.token_id for one in sampled]) != packed:
        raise ValueError(f"log-probabilities of other tokens than the {len(ids)} it sampled")
    logps = [one.logprob for one in sampled]
    if max(logps) > 1e-3 or not sum(logps) > _LEAST:  # nan is not more either
        raise ValueError("log-probabilities that are none")
    return (
        packed,
        floats(logps).tobytes(),
        choice.finish_reason,
        tuple((one.version, one.start, one.end) for one in choice.weight_versions or ()),
        _encode(ids)[1:-1],
    )


def _spans(found: _Versions, count: int, version_of: Callable[[str], int]) -> tuple[Span, ...]:
    """Which version sampled what; together they cover all `count` tokens, in order."""
    if not found:
        raise ValueError("no weight versions; use a vLLM that reports them (0.32 does)")
    if len(found) == 1 and found[0][1:] == (0, count):
        return (Span(0, count, version_of(found[0][0])),)
    spans = tuple([Span(start, end, version_of(name)) for name, start, end in found if end > start])
    edges = [0, *[span.end for span in spans]]
    if [span.start for span in spans] != edges[:-1] or edges[-1] != count:
        raise ValueError(f"weight versions that do not cover its {count} tokens: {found}")
    return spans
