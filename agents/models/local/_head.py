"""Log-probabilities of chosen tokens, without ever holding all their logits.

Axes: M selected tokens, E hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from ._qwen3 import Qwen3

_WHOLE = 2**23
"""Up to so many logits (32 MiB) the plain formula is fastest: nothing is computed twice."""

_TILE = 2**26
"""Logits held at a time beyond that: 256 MiB in float32, large enough to keep a GPU busy."""


def token_log_probs(
    model: Qwen3,
    hidden_ME: Tensor,
    targets_M: Tensor,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The log-probability of each target and the entropy it was drawn with: (logp_M, entropy_M).

    hidden_ME: the states that predict the targets, from `Qwen3.hidden`.
    chunk:     tokens whose logits exist at the same time; chosen by memory when None.

    Both results are float32 and differentiable in the hidden states and the head's weight, and the
    softmax is float32 whatever the model's dtype: log-probabilities rounded to bfloat16 are off by
    0.03 nat, which an importance ratio cannot take.
    """
    weight_VE = model.lm_head.weight
    if torch.is_autocast_enabled(hidden_ME.device.type):
        dtype = torch.get_autocast_dtype(hidden_ME.device.type)
        hidden_ME, weight_VE = hidden_ME.to(dtype), weight_VE.to(dtype)
    vocab = weight_VE.shape[0]
    if chunk is None and targets_M.numel() * vocab <= _WHOLE:
        return _whole(hidden_ME, weight_VE, targets_M, temperature)
    rows = chunk or max(1, _TILE // vocab)
    apply = cast(Any, _ChunkedLogProbs.apply)  # pyright: ignore[reportUnknownMemberType]
    return cast(
        "tuple[Tensor, Tensor]", apply(hidden_ME, weight_VE, targets_M, float(temperature), rows)
    )


def _whole(
    hidden_ME: Tensor, weight_VE: Tensor, targets_M: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logp_MV = (F.linear(hidden_ME, weight_VE).float() / temperature).log_softmax(-1)
    logp_M = logp_MV.gather(1, targets_M[:, None])[:, 0]
    return logp_M, -(logp_MV.exp() * logp_MV).sum(-1)


class _ChunkedLogProbs(Function):
    """`_whole` in chunks of tokens; the backward pass computes each chunk's logits again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ME: Tensor,
        weight_VE: Tensor,
        targets_M: Tensor,
        temperature: float,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        logp, entropy = hidden_ME.new_empty((2, hidden_ME.shape[0]), dtype=torch.float32)
        for at in range(0, hidden_ME.shape[0], rows):
            piece = slice(at, at + rows)
            logp[piece], entropy[piece] = _whole(
                hidden_ME[piece], weight_VE, targets_M[piece], temperature
            )
        ctx.save_for_backward(hidden_ME, weight_VE, targets_M, entropy)
        ctx.temperature, ctx.rows = temperature, rows
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_ME, weight_VE, targets_M, entropy_M = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        grad_logp_M, grad_entropy_M = cast("tuple[Tensor, Tensor]", grads)
        grad_hidden_ME = torch.empty_like(hidden_ME)
        # Summed in float32: rounding each chunk's share of the weight's gradient to bfloat16
        # biases training (the entropy drifts lower).
        grad_weight_VE = torch.zeros_like(weight_VE, dtype=torch.float32)
        for at in range(0, hidden_ME.shape[0], ctx.rows):
            piece = slice(at, at + ctx.rows)
            h, target = hidden_ME[piece], targets_M[piece][:, None]
            logp = (F.linear(h, weight_VE).float() / ctx.temperature).log_softmax(-1)
            p = logp.exp()
            # d logp[y] / d logit = [y] - p,   d entropy / d logit = -p (log p + entropy)
            up_logp, up_entropy = grad_logp_M[piece][:, None], grad_entropy_M[piece][:, None]
            grad = -p * (up_logp + up_entropy * (logp + entropy_M[piece][:, None]))
            grad.scatter_add_(1, target, up_logp)
            grad = (grad / ctx.temperature).to(h.dtype)
            grad_hidden_ME[piece] = grad @ weight_VE
            grad_weight_VE += grad.T @ h
        return grad_hidden_ME, grad_weight_VE.to(weight_VE.dtype), None, None, None
