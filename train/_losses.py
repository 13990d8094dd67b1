"""Policy losses: small pure functions over one flat stream of trained tokens.

Shapes: M trained tokens, of whichever dialogues share a pack. All floats are fp32.

    logp_M            log-probability under the weights being trained; carries the gradient
    behaviour_logp_M  log-probability the sampler recorded when it drew the token
    advantage_M       what the token's turn was worth
    sequence_M        int64, which dialogue of the pack a token belongs to, 0..S-1

The ratio is always against the sampler's own log-probabilities ("bypass"): no second forward, and a
trajectory whose tokens come from several weight versions needs no special care.

A loss gives one number a token; an aggregation makes one number of those. Denominators are passed
in, so that the packs of one step add up to the step's own mean however they were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._loss_config import Aggregation, LossConfig, LossName

# exp of a larger difference overflows fp32 soon after; no such token should steer anything.
_LOG_RATIO_LIMIT = 20.0


class TokenLoss(NamedTuple):
    """A loss a token, and which tokens a bound took hold of (bool, no gradient)."""

    loss_M: Tensor
    low_M: Tensor
    high_M: Tensor
    dual_M: Tensor


def clip(
    logp_M: Tensor,
    behaviour_logp_M: Tensor,
    advantage_M: Tensor,
    sequence_M: Tensor,
    config: LossConfig,
) -> TokenLoss:
    """-min(r A, clip(r, 1 - low, 1 + high) A) per token: PPO, GRPO, DAPO, Dr.GRPO.

    With `dual_clip` c, where A < 0 the loss is at most -c A (Ye et al. 2020).
    """
    return _clipped(_ratio(logp_M, behaviour_logp_M), advantage_M, config)


def gspo(
    logp_M: Tensor,
    behaviour_logp_M: Tensor,
    advantage_M: Tensor,
    sequence_M: Tensor,
    config: LossConfig,
) -> TokenLoss:
    """The clipped loss with the geometric mean of its dialogue's ratios for each token's ratio.

    GSPO-token (arXiv 2507.18071, equation 14): the value is the sequence's, the gradient goes
    through the token's own log-probability, so turns may differ in advantage.
    """
    log_ratio_M = (logp_M - behaviour_logp_M).detach()
    mean_S = _sequence_means(log_ratio_M, sequence_M)
    log_ratio_seq_M = mean_S[sequence_M].clamp(-_LOG_RATIO_LIMIT, _LOG_RATIO_LIMIT)
    # exp(logp - logp) is 1 in value and the token's own score function in gradient.
    ratio_M = log_ratio_seq_M.exp() * (logp_M - logp_M.detach()).exp()
    return _clipped(ratio_M, advantage_M, config)


def cispo(
    logp_M: Tensor,
    behaviour_logp_M: Tensor,
    advantage_M: Tensor,
    sequence_M: Tensor,
    config: LossConfig,
) -> TokenLoss:
    """-sg(min(r, 1 + high)) A logp: truncated importance sampling (MiniMax-M1, ScaleRL).

    Every token keeps a gradient; only its weight is bounded.
    """
    ratio_M = _ratio(logp_M.detach(), behaviour_logp_M)
    bound = 1.0 + config.clip_high
    none_M = torch.zeros_like(ratio_M, dtype=torch.bool)
    loss_M = -ratio_M.clamp(max=bound) * advantage_M * logp_M
    return TokenLoss(loss_M, none_M, ratio_M > bound, none_M)


def icepop(
    logp_M: Tensor,
    behaviour_logp_M: Tensor,
    advantage_M: Tensor,
    sequence_M: Tensor,
    config: LossConfig,
) -> TokenLoss:
    """-sg(r) A logp where r lies in [1 - low, 1 + high], else 0: masked importance sampling."""
    ratio_M = _ratio(logp_M.detach(), behaviour_logp_M)
    low_M, high_M = ratio_M < 1.0 - config.clip_low, ratio_M > 1.0 + config.clip_high
    weight_M = ratio_M.masked_fill(low_M | high_M, 0.0)
    none_M = torch.zeros_like(low_M)
    return TokenLoss(-weight_M * advantage_M * logp_M, low_M, high_M, none_M)


Loss = Callable[[Tensor, Tensor, Tensor, Tensor, LossConfig], TokenLoss]

LOSSES: dict[LossName, Loss] = {"clip": clip, "gspo": gspo, "cispo": cispo, "icepop": icepop}


def policy_loss(
    logp_M: Tensor,
    behaviour_logp_M: Tensor,
    advantage_M: Tensor,
    sequence_M: Tensor,
    config: LossConfig,
) -> TokenLoss:
    """The loss `config` names."""
    return LOSSES[config.name](logp_M, behaviour_logp_M, advantage_M, sequence_M, config)


def aggregate(
    loss_M: Tensor, sequence_M: Tensor, config: LossConfig, *, denominator: int
) -> Tensor:
    """This pack's share of the step's loss, a scalar; the shares of all packs add up to it.

    `denominator` is the whole step's, from `LossConfig.denominator`. A sequence must lie in one
    pack whole.
    """
    if config.aggregate == "sequence":
        return _sequence_means(loss_M, sequence_M).sum() / denominator
    return loss_M.sum() / denominator


def _ratio(logp_M: Tensor, behaviour_logp_M: Tensor) -> Tensor:
    return (logp_M - behaviour_logp_M).clamp(-_LOG_RATIO_LIMIT, _LOG_RATIO_LIMIT).exp()


def _clipped(ratio_M: Tensor, advantage_M: Tensor, config: LossConfig) -> TokenLoss:
    bounded_M = ratio_M.clamp(1.0 - config.clip_low, 1.0 + config.clip_high)
    free_M, held_M = -advantage_M * ratio_M, -advantage_M * bounded_M
    loss_M = torch.maximum(free_M, held_M)
    holds_M = held_M > free_M
    low_M, high_M = holds_M & (advantage_M < 0), holds_M & (advantage_M > 0)
    dual_M = torch.zeros_like(holds_M)
    if config.dual_clip is not None:
        most_M = -advantage_M * config.dual_clip
        dual_M = (advantage_M < 0) & (loss_M > most_M)
        loss_M = torch.where(advantage_M < 0, torch.minimum(loss_M, most_M), loss_M)
    return TokenLoss(loss_M, low_M, high_M, dual_M)


def _sequence_means(value_M: Tensor, sequence_M: Tensor) -> Tensor:
    """Mean over each sequence's tokens, [S]; 0 for a sequence without any."""
    sequences = int(sequence_M.max().item()) + 1 if sequence_M.numel() else 0
    zero_S = value_M.new_zeros(sequences)
    count_S = zero_S.index_add(0, sequence_M, torch.ones_like(value_M))
    return zero_S.index_add(0, sequence_M, value_M) / count_S.clamp(min=1.0)


# ---------------------------------------------------------------- divergence


def kl_k1(logp_M: Tensor, reference_logp_M: Tensor) -> Tensor:
    """logp - reference: unbiased, noisy, may be negative (Schulman 2020 for all of these)."""
    return logp_M - reference_logp_M


def kl_abs(logp_M: Tensor, reference_logp_M: Tensor) -> Tensor:
    """|logp - reference|."""
    return (logp_M - reference_logp_M).abs()


def kl_k2(logp_M: Tensor, reference_logp_M: Tensor) -> Tensor:
    """Half the squared difference; its gradient is that of the divergence."""
    return 0.5 * (logp_M - reference_logp_M).square()


def kl_k3(logp_M: Tensor, reference_logp_M: Tensor) -> Tensor:
    """q - 1 - log q with q = reference / policy: unbiased, never negative; clamped to 10."""
    log_q_M = (reference_logp_M - logp_M).clamp(-_LOG_RATIO_LIMIT, _LOG_RATIO_LIMIT)
    return (log_q_M.exp() - log_q_M - 1.0).clamp(-10.0, 10.0)


KL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": kl_k1,
    "k2": kl_k2,
    "k3": kl_k3,
    "abs": kl_abs,
    # verl's names for the same.
    "kl": kl_k1,
    "mse": kl_k2,
    "low_var_kl": kl_k3,
}


class Drift(NamedTuple):
    """How far the weights are from what sampled the tokens; scalars, no gradient. Sums, not means,
    so that packs add up."""

    k1_sum: Tensor
    k3_sum: Tensor
    gap_sum: Tensor
    gap_max: Tensor
    ratio_max: Tensor


def drift(logp_M: Tensor, behaviour_logp_M: Tensor) -> Drift:
    """`Drift` of at least one token. k1 and k3 estimate KL(behaviour || policy): the behaviour
    drew the tokens."""
    logp_M = logp_M.detach()
    gap_M = (logp_M - behaviour_logp_M).abs()
    return Drift(
        k1_sum=kl_k1(behaviour_logp_M, logp_M).sum(),
        k3_sum=kl_k3(behaviour_logp_M, logp_M).sum(),
        gap_sum=gap_M.sum(),
        gap_max=gap_M.max(),
        ratio_max=_ratio(logp_M, behaviour_logp_M).max(),
    )


# ---------------------------------------------------------------- the released code's own words


class OfficialLoss(NamedTuple):
    """What verl's `compute_policy_loss` returns."""

    pg_loss: float
    clipfrac: float
    ppo_kl: float
    clipfrac_lower: float


def official_policy_loss(
    *,
    old_log_prob: Sequence[Sequence[float]],
    log_prob: Sequence[Sequence[float]],
    advantages: Sequence[Sequence[float]],
    mask: Sequence[Sequence[float]],
    cliprange: float = 0.2,
    cliprange_low: float | None = None,
    cliprange_high: float | None = None,
    clip_ratio_c: float = 3.0,
    loss_agg_mode: str = "token-mean",
) -> OfficialLoss:
    """verl's `compute_policy_loss` on its padded layout [batch][response position]."""
    mask_BT = torch.tensor(mask) > 0
    rows, width = mask_BT.shape
    tokens = int(mask_BT.sum())
    sequence_M = mask_BT.nonzero()[:, 0]
    how: Aggregation
    match loss_agg_mode:
        case "token-mean":
            how, denominator = "token", tokens
        case "seq-mean-token-mean":
            how, denominator = "sequence", rows
        case "seq-mean-token-sum":
            how, denominator = "budget", rows
        case "seq-mean-token-sum-norm":
            how, denominator = "budget", width
        case _:
            raise ValueError(f"unknown loss_agg_mode: {loss_agg_mode!r}")
    config = LossConfig(
        clip_low=cliprange if cliprange_low is None else cliprange_low,
        clip_high=cliprange if cliprange_high is None else cliprange_high,
        dual_clip=clip_ratio_c,
        aggregate=how,
        budget_tokens=denominator if how == "budget" else 0,
    )
    old_M, logp_M, advantage_M = (
        torch.tensor(values, dtype=torch.float32)[mask_BT]
        for values in (old_log_prob, log_prob, advantages)
    )
    loss = policy_loss(logp_M, old_M, advantage_M, sequence_M, config)
    return OfficialLoss(
        pg_loss=float(aggregate(loss.loss_M, sequence_M, config, denominator=denominator)),
        clipfrac=float((loss.low_M | loss.high_M).sum()) / tokens,
        ppo_kl=float(kl_k1(old_M, logp_M).sum()) / tokens,
        clipfrac_lower=float(loss.dual_M.sum()) / tokens,
    )
