"""Drawing tokens with noise that has a name.

The number that decides token t of a call is a hash of the call's seed and t. No generator is
shared, so a reply does not depend on which other dialogues were in its batch, or in what order.

Axes: R rows, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniforms(seeds_R: NDArray[np.uint64], turns_R: NDArray[np.int64]) -> NDArray[np.float32]:
    """u_R in [0, 1), a function of each row's (seed, turn) alone; 24 bits, exact in float32."""
    # The seed is mixed before the counter is added: else the streams of two seeds that differ by
    # a multiple of gamma would be one stream, shifted.
    state = _mix(seeds_R) + turns_R.astype(np.uint64) * _GAMMA
    bits = _mix(state) >> np.uint64(40)
    return bits.astype(np.float32) * np.float32(2.0**-24)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # Arrays wrap around silently, which is what is wanted here; numpy scalars would warn.
    z = z + _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def draw(logits_RV: Tensor, u_R: Tensor, temperature_R: Tensor) -> tuple[Tensor, Tensor]:
    """One token a row by inverse CDF, and its log-probability: (token_R int64, logp_R float32).

    The log-probability belongs to the distribution the token was drawn from, temperature included.
    A row of temperature 0 takes its likeliest token and reports the log-probability it has at
    temperature 1: under the distribution it was drawn from that would be 0, and tell nothing.
    A token of probability 0 is never drawn. Where the logits are not finite neither is the result.
    """
    greedy_R = temperature_R == 0
    heat_R1 = torch.where(greedy_R, 1.0, temperature_R)[:, None]
    p_RV = (logits_RV.float() / heat_R1).softmax(-1)
    cdf_RV = p_RV.cumsum(-1)
    # The target must stay below the last bin's edge, which rounding can reach. Then the first bin
    # whose edge lies above it exists, and has a width: an empty bin's edge equals its neighbour's.
    total_R1 = cdf_RV[:, -1:]
    below_R1 = torch.nextafter(total_R1, torch.zeros_like(total_R1))
    target_R1 = torch.minimum(u_R[:, None] * total_R1, below_R1)
    token_R1 = torch.searchsorted(cdf_RV, target_R1, right=True)
    token_R1 = token_R1.clamp_(max=p_RV.shape[-1] - 1)  # not a number: keep the index valid
    p_R1 = p_RV.gather(1, token_R1)
    # A parallel scan (CUDA) need not be monotone in its last bits, so it can hit an empty bin.
    likeliest_R = greedy_R | (p_R1[:, 0] == 0)
    if bool(likeliest_R.any()):
        token_R1 = torch.where(likeliest_R[:, None], p_RV.argmax(-1, keepdim=True), token_R1)
        p_R1 = p_RV.gather(1, token_R1)
    return token_R1[:, 0], p_R1[:, 0].log()
