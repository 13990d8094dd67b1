"""Keys and values of many conversations of different lengths, and attention over them.

A slot is one conversation's row in the cache; slots are filled from position 0 on and never
shifted. What lies behind a conversation's end is garbage that no query sees, but it is always
finite: a weight of zero times infinity would still be not a number.

Axes: N tokens of the stream, R rows of a group, S new tokens of the longest row, T positions,
      H query heads, K key/value heads, G query heads per key head, X = S·G, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ._qwen3 import Qwen3Config


class KVCache:
    """Per layer one tensor of keys and one of values, [slots, K, positions, D]."""

    def __init__(self, config: Qwen3Config, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.slots = self.positions = 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.resize(0, 0)

    def resize(self, slots: int, positions: int) -> None:
        """Make room; what is cached stays. Nothing ever shrinks."""
        slots, positions = max(slots, self.slots), max(positions, self.positions)
        keys = self._resized(self.keys, slots, positions)
        values = self._resized(self.values, slots, positions)
        # Only now, so that running out of memory leaves the old cache whole.
        self.keys, self.values, self.slots, self.positions = keys, values, slots, positions

    def clear(self) -> None:
        """Zero everything, so that no value that is not a number survives."""
        for tensor in (*self.keys, *self.values):
            tensor.zero_()

    def _resized(self, old: list[Tensor], slots: int, positions: int) -> list[Tensor]:
        shape = (slots, self.config.kv_heads, positions, self.config.head_dim)
        # Zeroed by hand: `torch.zeros` leaves that to the first touch of each page, and pages
        # that come in the order of the rows' growth make every later pass 1.2 times as slow.
        new = [
            torch.empty(shape, device=self.device, dtype=self.dtype).zero_()
            for _ in range(self.config.layers)
        ]
        for target, source in zip(new, old, strict=False):
            target[: self.slots, :, : self.positions] = source
        return new


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one forward pass adds to the cache: rows in order, each with its new tokens.

    slots_R: int64; where each row lives. before_R: int64; how much of it is cached already.
    count_R: int64; how many tokens it adds, at least one. Rows of like count should stand
    together: each run of them is one attention call, padded to its longest row.
    """

    slots_R: NDArray[np.int64]
    before_R: NDArray[np.int64]
    count_R: NDArray[np.int64]

    def only(self, rows: NDArray[np.int64]) -> Chunk:
        """The part of the chunk that belongs to some of its rows, by index."""
        return Chunk(self.slots_R[rows], self.before_R[rows], self.count_R[rows])

    def slots_N(self) -> NDArray[np.int64]:
        return np.repeat(self.slots_R, self.count_R)

    def positions_N(self) -> NDArray[np.int64]:
        ends_R: NDArray[np.int64] = np.cumsum(self.count_R)
        shift_N: NDArray[np.int64] = np.repeat(self.before_R - ends_R + self.count_R, self.count_R)
        return np.arange(len(shift_N)) + shift_N


class CachedAttention:
    """An `Attend` that writes a chunk's keys and values, then attends over the whole rows."""

    def __init__(self, cache: KVCache, chunk: Chunk) -> None:
        self._cache = cache
        kv_heads = cache.config.kv_heads
        heads_NK = chunk.slots_N()[:, None] * kv_heads + np.arange(kv_heads)
        places_NK = heads_NK * cache.positions + chunk.positions_N()[:, None]
        self._places = torch.as_tensor(places_NK.ravel(), device=cache.device)
        breaks = np.flatnonzero(np.diff(bucket(chunk.count_R))) + 1
        self._groups: list[_Group] = []
        for rows in np.split(np.arange(len(chunk.slots_R)), breaks):
            start = self._groups[-1].end if self._groups else 0
            self._groups.append(_Group(cache, chunk.only(rows), start))

    def __call__(self, layer: int, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys.flatten(0, 2).index_copy_(0, self._places, k_NKD.flatten(0, 1))
        values.flatten(0, 2).index_copy_(0, self._places, v_NKD.flatten(0, 1))
        outputs = [
            group.attend(q_NHD[group.start : group.end], keys, values) for group in self._groups
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def bucket(count_R: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which rows may share a padded attention call: the same power of two, so at most half of
    the queries are padding."""
    return np.ceil(np.log2(count_R)).astype(np.int64)


class _Group:
    """Rows of like length inside a chunk: tokens [start, end) of the stream."""

    def __init__(self, cache: KVCache, chunk: Chunk, start: int) -> None:
        self._rows, self._longest = len(chunk.slots_R), int(chunk.count_R.max())
        self._positions = int((chunk.before_R + chunk.count_R).max())
        self._share = cache.config.heads // cache.config.kv_heads
        self.start, self.end = start, start + int(chunk.count_R.sum())
        self._pick_rows(chunk.slots_R, cache.device)
        place_RS = np.broadcast_to(np.arange(self._longest), (self._rows, self._longest))
        self._real_N: Tensor | None = None
        if self.end - start < place_RS.size:
            real_N = np.flatnonzero(place_RS < chunk.count_R[:, None])
            self._real_N = torch.as_tensor(real_N, device=cache.device)
        # A padded query sees what its row's last token sees; nobody reads its answer.
        sees_RS = chunk.before_R[:, None] + np.minimum(place_RS, chunk.count_R[:, None] - 1)
        seen_RST = np.arange(self._positions) <= sees_RS[:, :, None]
        mask_RST = torch.as_tensor(np.where(seen_RST, np.float32(0), np.float32(-np.inf)))
        mask_RST = self._spread(mask_RST.to(cache.device, cache.dtype))
        # One more axis for the query heads that share a key head, beside their token.
        self._mask_R1XT = mask_RST.repeat_interleave(self._share, 1)[:, None]
        if self._longest == 1:
            self._mask_R1XT = mask_RST[:, None].expand(-1, -1, self._share, -1)

    def _pick_rows(self, slots_R: NDArray[np.int64], device: torch.device) -> None:
        """Decide how to get at the rows: as they lie where they lie densely, else as a copy.

        A decode step over most of the slots must not copy their caches: the few idle rows between
        the live ones take part with a query of zeros instead.
        """
        low, high = int(slots_R.min()), int(slots_R.max()) + 1
        self._span = slice(low, high)
        self._dense = high - low <= self._rows * (2 if self._longest == 1 else 1)
        self._in_order = self._dense and bool((np.diff(slots_R) == 1).all())
        index_R = slots_R - low if self._dense else slots_R
        self._index_R = torch.as_tensor(index_R, device=device)

    def attend(self, q_NHD: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """o_NHD for the group's part of the stream."""
        heads, size = q_NHD.shape[1:]
        q_RSHD = self._spread(self._pad(q_NHD).view(-1, self._longest, heads, size))
        # The query heads that share a key head stand beside each other as more queries of it: so
        # the keys are never copied, and with one key head the queries neither.
        rows, kv_heads = q_RSHD.shape[0], heads // self._share
        q_RSKGD = q_RSHD.view(rows, self._longest, kv_heads, self._share, size)
        attend = _attend_one if self._longest == 1 else F.scaled_dot_product_attention
        o_RKXD = attend(
            q_RSKGD.transpose(1, 2).flatten(2, 3),
            self._cached(keys),
            self._cached(values),
            self._mask_R1XT,
        )
        o_RKSGD = o_RKXD.view(rows, kv_heads, self._longest, self._share, size)
        o_NHD = self._gather(o_RKSGD.transpose(1, 2)).reshape(-1, heads, size)
        return o_NHD if self._real_N is None else o_NHD.index_select(0, self._real_N)

    def _pad(self, q_NHD: Tensor) -> Tensor:
        if self._real_N is None:
            return q_NHD
        padded = q_NHD.new_zeros(self._rows * self._longest, *q_NHD.shape[1:])
        return padded.index_copy_(0, self._real_N, q_NHD)

    def _cached(self, tensor: Tensor) -> Tensor:
        rows = tensor[self._span] if self._dense else tensor.index_select(0, self._index_R)
        return rows[:, :, : self._positions]

    def _spread(self, x_R: Tensor) -> Tensor:
        """The group's rows, laid out as they lie in the cache if they are used there."""
        if not self._dense or self._in_order:
            return x_R
        span = x_R.new_zeros(self._span.stop - self._span.start, *x_R.shape[1:])
        return span.index_copy_(0, self._index_R, x_R)

    def _gather(self, x_R: Tensor) -> Tensor:
        """The inverse of `_spread`."""
        return x_R if not self._dense or self._in_order else x_R.index_select(0, self._index_R)


def _attend_one(q_RKGD: Tensor, k_RKTD: Tensor, v_RKTD: Tensor, mask_R1GT: Tensor) -> Tensor:
    """Attention for one new token a row, by its formula.

    The fused kernel is made for long queries; with one it takes 1.3 times as long on a CPU.
    """
    scale = q_RKGD.shape[-1] ** -0.5
    scores_RKGT = torch.matmul(q_RKGD * scale, k_RKTD.transpose(2, 3)) + mask_R1GT
    return torch.matmul(scores_RKGT.softmax(-1), v_RKTD)
