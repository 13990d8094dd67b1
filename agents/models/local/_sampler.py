"""A sampler for many conversations at once: each keeps its own length and its own place.

Plain synchronous torch, for one thread. Every call to `step` draws one token for every live
conversation: first one forward pass over the flat stream of all tokens not yet cached (one for a
row that is decoding, a whole observation for a row that just came in), then one draw. So a long
prompt beside 127 decoding rows costs its own tokens and no padding.

A session keeps its slot, and what is cached in it, between its generations; the next request,
which repeats the conversation and appends to it, pays only for what is new. The token sampled last
is not in the cache yet: it enters with the next chunk.

Axes: R live rows, N tokens of the stream, E hidden size, V vocabulary.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....engine import ModelError, Span, UsageError
from .._model import Sampling
from ._kvcache import CachedAttention, Chunk, KVCache, bucket
from ._noise import draw, uniforms
from ._qwen3 import Qwen3, load_weights
from ._slots import SlotTable

_NO_SLOTS: NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One finished generation; the fields are those of `Generation`."""

    ids: array[int]
    logps: array[float]
    finish: Literal["stop", "length"]
    spans: tuple[Span, ...]


class Sampler:
    """Draws tokens for up to `slots` conversations of up to `context` tokens each.

    The cache starts small and grows to those limits as they are needed. A session beyond them is
    not refused: it takes the slot of the session that has been idle longest, whose context is
    computed anew when it comes back. Only live sessions cannot be displaced; see `room`.

    forward_tokens: a forward pass is split, by rows, beyond so many tokens, so that recomputing
                    every context after a weight change does not need memory for all of them.
    """

    def __init__(
        self,
        model: Qwen3,
        *,
        slots: int = 256,
        context: int | None = None,
        version: int = 0,
        forward_tokens: int = 8192,
    ) -> None:
        self.model = model
        self.context = context or model.config.context
        self.version = version
        self._max_slots, self._forward_tokens = slots, forward_tokens
        weight = model.lm_head.weight
        self._cache = KVCache(model.config, weight.device, weight.dtype)
        self._table = SlotTable()
        self._slot: dict[str, int] = {}
        self._idle: dict[str, None] = {}  # in the order in which they became idle
        self._free: list[int] = []  # a heap, so that live rows stay close together
        self._live = _NO_SLOTS  # in the order of admission
        self._names: dict[int, str] = {}

    @property
    def live(self) -> int:
        """How many generations are under way."""
        return len(self._live)

    @property
    def room(self) -> int:
        """How many more generations can be started now."""
        return self._max_slots - len(self._live)

    def cached(self, session: str) -> int:
        """How many tokens of the session need not be computed again."""
        slot = self._slot.get(session)
        return 0 if slot is None else int(self._table.cached[slot])

    def start(self, session: str, tokens: Sequence[int], sampling: Sampling, seed: int) -> None:
        """Make the session live: the next `step` draws its first token.

        The longest prefix that `tokens` shares with what is cached is kept. Raises `ModelError`
        for tokens that cannot be sampled after: none at all, outside the vocabulary, no room left
        in the context, or a session that is live already.
        """
        ids = self._checked(session, tokens, sampling)
        if not self.room:
            raise UsageError(f"all {self._max_slots} slots are live; ask `room` before `start`")
        last = min(len(ids) + sampling.max_tokens, self.context)
        slot = self._take_slot(session, last)
        self._table.write(slot, ids, last, sampling, seed, self.version)
        self._idle.pop(session, None)
        self._live = np.append(self._live, slot)

    def step(self) -> list[tuple[str, Drawn]]:
        """Draw one token for every live row, and hand over the generations that this ends."""
        live, table = self._live, self._table
        if not len(live):
            return []
        with torch.inference_mode():
            logits_RV = self.model.head(self._forward(live))
            device = logits_RV.device
            length_R = table.length[live]
            u_R = uniforms(table.seed[live], length_R - table.start[live])
            token_R, logp_R = draw(
                logits_RV,
                torch.as_tensor(u_R, device=device),
                torch.as_tensor(table.temperature[live], device=device),
            )
        tokens, logps = token_R.cpu().numpy(), logp_R.cpu().numpy()
        if not np.isfinite(logps).all():
            raise FloatingPointError(f"weights of version {self.version} gave logits of nan or inf")
        table.ids[live, length_R] = tokens
        table.logps[live, length_R] = logps
        table.length[live] += 1
        stopped = (table.stops[live] == tokens[:, None]).any(1)
        over = stopped | (table.length[live] >= table.last[live])
        return self._finish(live, over, stopped) if over.any() else []

    def cancel(self, session: str) -> None:
        """Drop a live generation: the session is as it was before it, its prompt included."""
        slot = self._slot.get(session)
        if slot is None or session in self._idle:
            return
        self._table.forget_after(slot, int(self._table.start[slot]))
        self._idle[session] = None
        self._live = self._live[self._live != slot]

    def close(self, session: str) -> None:
        """Forget the session, live or not, and free its slot. Unknown names are fine."""
        self.cancel(session)
        if session in self._slot:
            slot = self._slot.pop(session)
            del self._idle[session], self._names[slot]
            self._table.cached[slot] = 0
            heapq.heappush(self._free, slot)

    def load(self, weights: Mapping[str, Tensor], version: int, source: str = "weights") -> None:
        """Sample with `weights` from the next step on.

        Nothing cached under the old weights is used again; generations under way have their
        context recomputed and say in their spans which token came from which version.
        """
        load_weights(self.model, weights, source)
        self.version = version
        self._table.cached[:] = 0
        for slot in self._live.tolist():
            self._table.mark(slot, version)

    def reset(self) -> list[str]:
        """Forget everything after a failure; returns the sessions whose generations are lost."""
        lost = [self._names[slot] for slot in self._live.tolist()]
        for session in list(self._slot):
            self.close(session)
        self._cache.clear()
        return lost

    def _checked(
        self, session: str, tokens: Sequence[int], sampling: Sampling
    ) -> NDArray[np.int64]:
        check_room(session, len(tokens), self.context)
        if session in self._slot and session not in self._idle:
            raise ModelError(f"session {session!r} has a generation under way; one at a time")
        if sampling.max_tokens < 1 or sampling.temperature < 0:
            raise ModelError(f"session {session!r} asks for the impossible: {sampling}")
        ids = np.asarray(tokens, dtype=np.int64)
        vocab = self.model.config.vocab
        if ids.min() < 0 or ids.max() >= vocab:
            raise ModelError(
                f"session {session!r} has token {ids[(ids < 0) | (ids >= vocab)][0]}, but the "
                f"vocabulary has {vocab}; was it tokenised for another model?"
            )
        return ids

    def _take_slot(self, session: str, positions: int) -> int:
        slot = self._slot.get(session)
        if slot is None:
            if not self._free:
                self._grow_or_evict()
            slot = heapq.heappop(self._free)
            self._slot[session], self._names[slot] = slot, session
        if positions > self._cache.positions:
            wanted = max(positions, 2 * self._cache.positions, 64)
            self._resize(self._cache.slots, min(wanted, self.context))
        return slot

    def _grow_or_evict(self) -> None:
        slots = self._cache.slots
        if slots == self._max_slots:
            self.close(next(iter(self._idle)))
            return
        self._resize(min(max(2 * slots, 16), self._max_slots), self._cache.positions)
        for slot in range(slots, self._cache.slots):
            heapq.heappush(self._free, slot)

    def _resize(self, slots: int, positions: int) -> None:
        self._cache.resize(slots, positions)
        self._table.resize(slots, positions)

    def _forward(self, live: NDArray[np.int64]) -> Tensor:
        """h_RE: the hidden state after each live row's last token, everything before it cached."""
        table = self._table
        chunk = Chunk(live, table.cached[live], table.length[live] - table.cached[live])
        if int(chunk.count_R.max()) == 1:
            return self._run(chunk)
        order = np.argsort(bucket(chunk.count_R), kind="stable")
        passes = np.cumsum(chunk.count_R[order]) // self._forward_tokens
        parts = np.split(order, np.flatnonzero(np.diff(passes)) + 1)
        hidden_RE = torch.cat([self._run(chunk.only(part)) for part in parts])
        return hidden_RE[torch.as_tensor(np.argsort(order), device=hidden_RE.device)]

    def _run(self, chunk: Chunk) -> Tensor:
        device = self._cache.device
        slots_N, positions_N = chunk.slots_N(), chunk.positions_N()
        hidden_NE = self.model.hidden(
            torch.as_tensor(self._table.ids[slots_N, positions_N], device=device),
            torch.as_tensor(positions_N, device=device),
            CachedAttention(self._cache, chunk),
        )
        self._table.cached[chunk.slots_R] += chunk.count_R
        if len(slots_N) == len(chunk.slots_R):
            return hidden_NE
        return hidden_NE[torch.as_tensor(np.cumsum(chunk.count_R) - 1, device=device)]

    def _finish(
        self, live: NDArray[np.int64], over: NDArray[np.bool_], stopped: NDArray[np.bool_]
    ) -> list[tuple[str, Drawn]]:
        done: list[tuple[str, Drawn]] = []
        for slot, stop in zip(live[over].tolist(), stopped[over].tolist(), strict=True):
            session = self._names[slot]
            ids, logps, spans = self._table.read(slot)
            drawn = Drawn(ids=ids, logps=logps, finish="stop" if stop else "length", spans=spans)
            done.append((session, drawn))
            self._idle[session] = None
        self._live = live[~over]
        return done


def check_room(session: str, length: int, context: int) -> None:
    """Raise `ModelError` unless a prompt of `length` tokens leaves room for one more."""
    if length == 0:
        raise ModelError(
            f"the request of session {session!r} has no tokens; this model reads token ids, not "
            "messages: render and tokenise the conversation first"
        )
    if length >= context:
        raise ModelError(
            f"session {session!r} has {length} tokens, which leaves no room in a context of "
            f"{context}; end the dialogue before, or open the model with a larger context"
        )
