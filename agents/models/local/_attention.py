"""Causal attention over a packed stream: several sequences back to back, no padding between.

Axes: N tokens of the stream, B sequences, S length of the longest, H query heads, K key/value
      heads, D head size.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F


class PackedAttention:
    """An `Attend` in which each of `lengths` tokens of the stream sees only its own sequence.

    On CUDA in half precision it calls torch's variable-length flash attention where this torch has
    it. Elsewhere queries, keys and values are padded to [B, S], inside attention only.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.lengths = tuple(lengths)
        self._longest = max(self.lengths, default=0)
        ends = list(accumulate(self.lengths, initial=0))
        self._ends_B1 = torch.tensor(ends, dtype=torch.int32, device=device)
        self._even = all(length == self._longest for length in self.lengths)
        places = [
            row * self._longest + place
            for row, length in enumerate(self.lengths)
            for place in range(length)
        ]
        self._places_N = torch.tensor(places, dtype=torch.int64, device=device)

    @property
    def positions_N(self) -> Tensor:
        """Each token's place in its own sequence: int64, counted from 0."""
        return self._places_N % max(self._longest, 1)

    def __call__(self, layer: int, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
        del layer
        if _VARLEN is not None and q_NHD.is_cuda and q_NHD.dtype in _FLASH_DTYPES:
            return _VARLEN(q_NHD, k_NKD, v_NKD, self._ends_B1, self._longest)
        if q_NHD.is_cuda:
            # CUDA's kernels for float32 do not group heads, and what torch falls back to holds
            # every score of every pair of tokens.
            k_NKD, v_NKD = _spread(k_NKD, q_NHD.shape[1]), _spread(v_NKD, q_NHD.shape[1])
        o_BHSD = F.scaled_dot_product_attention(
            self._pad(q_NHD).transpose(1, 2),
            self._pad(k_NKD).transpose(1, 2),
            self._pad(v_NKD).transpose(1, 2),
            is_causal=True,
            enable_gqa=True,
        )
        o_NHD = o_BHSD.transpose(1, 2).flatten(0, 1)
        return o_NHD if self._even else o_NHD.index_select(0, self._places_N)

    def _pad(self, x_N: Tensor) -> Tensor:
        # Padding stands behind each sequence, where causality hides it from every real query.
        shape = (len(self.lengths), self._longest)
        if self._even:
            return x_N.view(*shape, *x_N.shape[1:])
        padded = x_N.new_zeros(shape[0] * shape[1], *x_N.shape[1:])
        return padded.index_copy(0, self._places_N, x_N).view(*shape, *x_N.shape[1:])


def _spread(x_NKD: Tensor, heads: int) -> Tensor:
    """Keys or values as x_NHD, repeated for each query head that shares them."""
    return x_NKD.repeat_interleave(heads // x_NKD.shape[1], 1)


_FLASH_DTYPES = (torch.bfloat16, torch.float16)

_Varlen = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def _find_varlen() -> _Varlen | None:
    """torch's own variable-length attention as f(q, k, v, ends, longest), or None without one.

    torch 2.10 spells causality `is_causal` and wants as many key heads as query heads; later ones
    spell it `window_size` and group heads themselves.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    attend = cast(Callable[..., Any], varlen_attn)
    known = inspect.signature(attend).parameters
    causal: dict[str, Any]
    if "window_size" in known:
        causal = {"window_size": (-1, 0)}
    elif "is_causal" in known:
        causal = {"is_causal": True}
    else:
        return None
    groups = "enable_gqa" in known
    if groups:
        causal["enable_gqa"] = True

    def varlen(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, longest: int) -> Tensor:
        if not groups:
            k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
        return cast(Tensor, attend(q, k, v, ends, ends, longest, longest, **causal))

    return varlen


_VARLEN = _find_varlen()
