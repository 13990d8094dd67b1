"""The one verb of a model: `generate`."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from msgspec import Struct

from ...engine import Message, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw tokens. `temperature=0` is greedy; `stop` lists the token ids that end a
    generation (the stop token itself is kept: it was sampled, so it is trained on)."""

    temperature: float = 1.0
    max_tokens: int = 64
    stop: tuple[int, ...] = ()


_USUAL = Sampling()


class Request(Struct, frozen=True, kw_only=True):
    """One call to a model.

    session:  the dialogue's name; the same for all its calls (prefix-cache affinity).
    seed:     names this call's noise, so that a reply does not depend on its neighbours.
    messages: the conversation so far, for models that read text.
    tokens:   the conversation so far as token ids, for models we own; append-only per session.
    schema:   the JSON schema that the reply must fit, for models that can be held to one.
    """

    session: str
    seed: int = 0
    messages: Sequence[Message] = ()
    tokens: Sequence[int] = ()
    sampling: Sampling = _USUAL
    schema: Mapping[str, Any] | None = None


# One for all: a frozen answer's tokens are nobody's to change.
_NO_IDS, _NO_LOGPS = array("i"), array("f")


class Generation(Struct, frozen=True, kw_only=True):
    """What a model answered. Models that read text leave the token fields empty.

    ids, logps: the sampled tokens and their log-probabilities under the distribution they were
                drawn from (temperature included), same length.
    spans:      which weights sampled which of `ids`; positions count from the first sampled token.
    """

    text: str = ""
    ids: array[int] = _NO_IDS
    logps: array[float] = _NO_LOGPS
    finish: Literal["stop", "length"] = "stop"
    spans: tuple[Span, ...] = ()


class Model(Protocol):
    """What an agent, a user or a judge speaks with.

    `open` and `close` bracket a session; they never wait. A model that keeps something per
    dialogue (a cache slot, a place in a lockstep batch) does it there.
    """

    def open(self, session: str) -> None: ...

    def close(self, session: str) -> None: ...

    async def generate(self, request: Request) -> Generation:
        """Answer, or raise `ModelError`. Cancelling abandons the generation for good."""
        ...


class WeightSink(Protocol):
    """Where new policy weights go: a sampler that can change its weights while it serves."""

    async def push(self, version: int, path: str) -> None:
        """Load the safetensors file at `path` and sample with it from now on as `version`.

        Returns when every later token comes from the new weights. Contexts of requests in flight
        are recomputed, so that each token's log-probability belongs to its version.
        """
        ...
