"""One optimiser step: packs in, changed weights and a row of numbers out.

Shapes: N tokens of a pack, M trained tokens of a pack, E hidden size.

Gradients are summed over the packs of a step with denominators counted over the whole step, so how
the batch was cut into packs does not change the result. A step whose loss or gradient is not
finite leaves weights and optimiser as they were, and says so.

Weights are fp32 whatever the forward pass computes in: at the learning rates of RL, a bf16 weight
rounds nearly every update away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from msgspec import Struct
from msgspec.structs import asdict
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer

from ..agents.models.local._attention import PackedAttention
from ..agents.models.local._head import token_log_probs
from ..agents.models.local._qwen3 import Qwen3
from ._loss_config import LossConfig
from ._losses import aggregate, drift, policy_loss
from ._packing import Pack

Skipped = Literal["empty", "loss", "gradient"]


def make_optimizer(
    model: Qwen3, *, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.0
) -> AdamW:
    """AdamW over every weight; each step sets the learning rate it is told.

    Raises ValueError for weights that are not fp32.
    """
    for name, weight in model.named_parameters():
        if weight.dtype != torch.float32:
            raise ValueError(f"{name} is {weight.dtype}: train fp32 weights, compute in bf16")
    return AdamW(model.parameters(), lr=0.0, betas=betas, weight_decay=weight_decay, fused=True)


class StepStats(Struct, frozen=True, kw_only=True):
    """What a step did. Means are over the step's trained tokens.

    skipped:        why the weights were left alone: `empty` (nothing to train on), `loss` or
                    `gradient` (not finite); None when they were changed.
    grad_norm:      before clipping.
    entropy:        of the distributions the tokens were drawn from, in nats.
    tokens:         what the model read; trained_tokens: what it learned from.
    sequences:      dialogues with trained tokens.
    """

    skipped: Skipped | None
    loss: float
    grad_norm: float
    learning_rate: float
    entropy: float
    tokens: int
    trained_tokens: int
    sequences: int
    packs: int
    seconds: float


class PolicyStats(StepStats, frozen=True, kw_only=True):
    """A policy step's numbers, all measured before the weights changed.

    clip_low, clip_high, clip_dual: shares of trained tokens held by each bound of the loss.
    kl_k1, kl_k3:  estimates of KL(sampler || policy): staleness and numerics together.
    gap_mean, gap_max: |log-probability here - the sampler's|; on policy, what numerics cost.
    ratio_max:     the largest policy / sampler ratio.
    own_tokens:    trained tokens that the weights under training sampled themselves.
    own_gap_max:   the largest gap among those: sampler and learner compute the same, or do not.
    """

    clip_low: float
    clip_high: float
    clip_dual: float
    kl_k1: float
    kl_k3: float
    gap_mean: float
    gap_max: float
    ratio_max: float
    own_tokens: int
    own_gap_max: float


def policy_step(
    model: Qwen3,
    optimizer: Optimizer,
    packs: Sequence[Pack],
    *,
    loss: LossConfig,
    learning_rate: float,
    max_grad_norm: float = 1.0,
    temperature: float = 1.0,
    bf16: bool = False,
    version: int | None = None,
) -> PolicyStats:
    """One step of policy gradient over all of `packs`.

    `version` is what the weights are called, to know their own tokens.

    `temperature` is the sampler's: the behaviour log-probabilities are of its distribution. `bf16`
    runs the model in bf16; the softmax and the weights stay fp32.
    """
    started = time.perf_counter()
    total = _Total.of(packs)
    denominator = loss.denominator(tokens=total.trained_tokens, sequences=total.sequences)

    def share(pack: Pack) -> _Share:
        logp_M, entropy_M = _forward(model, pack, temperature=temperature, bf16=bf16)
        device = logp_M.device
        behaviour_logp_M = _tensor(pack.behaviour_logp_M, device)
        advantage_M = _tensor(pack.advantage_M, device)
        sequence_M = _tensor(pack.sequence_M, device)
        token = policy_loss(logp_M, behaviour_logp_M, advantage_M, sequence_M, loss)
        gone = drift(logp_M, behaviour_logp_M)
        own_M = _tensor(pack.version_M == version, device)
        own_gap_M = (logp_M.detach() - behaviour_logp_M).abs() * own_M
        return _Share(
            loss=aggregate(token.loss_M, sequence_M, loss, denominator=denominator),
            entropy_sum=entropy_M.detach().sum(),
            sums={
                "clip_low": token.low_M.sum(),
                "clip_high": token.high_M.sum(),
                "clip_dual": token.dual_M.sum(),
                "kl_k1": gone.k1_sum,
                "kl_k3": gone.k3_sum,
                "gap": gone.gap_sum,
                "own": own_M.sum(),
            },
            peaks={"gap": gone.gap_max, "ratio": gone.ratio_max, "own_gap": own_gap_M.max()},
        )

    taken = _take(model, optimizer, packs, share, learning_rate, max_grad_norm)
    step = _stats(taken, total, learning_rate, started)

    def mean(name: str) -> float:
        return _mean(taken.sums.get(name, 0.0), total.trained_tokens)

    return PolicyStats(
        **asdict(step),
        clip_low=mean("clip_low"),
        clip_high=mean("clip_high"),
        clip_dual=mean("clip_dual"),
        kl_k1=mean("kl_k1"),
        kl_k3=mean("kl_k3"),
        gap_mean=mean("gap"),
        gap_max=taken.peaks.get("gap", 0.0),
        ratio_max=taken.peaks.get("ratio", 0.0),
        own_tokens=int(taken.sums.get("own", 0.0)),
        own_gap_max=taken.peaks.get("own_gap", 0.0),
    )


def supervised_step(
    model: Qwen3,
    optimizer: Optimizer,
    packs: Sequence[Pack],
    *,
    learning_rate: float,
    max_grad_norm: float = 1.0,
    bf16: bool = False,
) -> StepStats:
    """One step of cross-entropy over all of `packs`: the mean over their trained tokens."""
    started = time.perf_counter()
    total = _Total.of(packs)

    def share(pack: Pack) -> _Share:
        logp_M, entropy_M = _forward(model, pack, temperature=1.0, bf16=bf16)
        return _Share(
            loss=-logp_M.sum() / total.trained_tokens,
            entropy_sum=entropy_M.detach().sum(),
            sums={},
            peaks={},
        )

    taken = _take(model, optimizer, packs, share, learning_rate, max_grad_norm)
    return _stats(taken, total, learning_rate, started)


# ---------------------------------------------------------------- what both kinds share


class _Total(NamedTuple):
    """What a step's packs hold together."""

    tokens: int
    trained_tokens: int
    sequences: int
    packs: int

    @classmethod
    def of(cls, packs: Sequence[Pack]) -> _Total:
        return cls(
            tokens=sum(pack.tokens for pack in packs),
            trained_tokens=sum(pack.trained_tokens for pack in packs),
            sequences=sum(pack.trained_sequences for pack in packs),
            packs=len(packs),
        )


class _Share(NamedTuple):
    """One pack's part of a step: scalars, of which only `loss` carries a gradient."""

    loss: Tensor
    entropy_sum: Tensor
    sums: dict[str, Tensor]
    peaks: dict[str, Tensor]


class _Taken(NamedTuple):
    """A step's outcome, as plain numbers."""

    skipped: Skipped | None
    loss: float
    grad_norm: float
    entropy_sum: float
    sums: dict[str, float]
    peaks: dict[str, float]


def _take(
    model: Qwen3,
    optimizer: Optimizer,
    packs: Sequence[Pack],
    share: Callable[[Pack], _Share],
    learning_rate: float,
    max_grad_norm: float,
) -> _Taken:
    """Sum the packs' gradients, and step unless something is not finite."""
    optimizer.zero_grad(set_to_none=True)
    shares: list[_Share] = []
    for pack in packs:
        # A pack of prompts alone teaches nothing, and its maxima would be of nothing.
        if pack.trained_tokens:
            one = share(pack)
            cast(Any, one.loss).backward()  # untyped in torch
            shares.append(one._replace(loss=one.loss.detach()))
    if not shares:
        return _Taken("empty", 0.0, 0.0, 0.0, {}, {})
    norm = clip_grad_norm_(model.parameters(), max_grad_norm)
    loss = torch.stack([one.loss for one in shares]).sum()
    # Here the host waits for the device; until here it only queued work.
    finite_loss, finite_norm = bool(loss.isfinite()), bool(norm.isfinite())
    skipped: Skipped | None = None
    if finite_loss and finite_norm:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
    else:
        skipped = "gradient" if finite_loss else "loss"
    optimizer.zero_grad(set_to_none=True)
    return _Taken(
        skipped=skipped,
        loss=float(loss),
        grad_norm=float(norm),
        entropy_sum=float(torch.stack([one.entropy_sum for one in shares]).sum()),
        sums={
            name: float(torch.stack([one.sums[name] for one in shares]).sum())
            for name in shares[0].sums
        },
        peaks={
            name: float(torch.stack([one.peaks[name] for one in shares]).max())
            for name in shares[0].peaks
        },
    )


def _stats(taken: _Taken, total: _Total, learning_rate: float, started: float) -> StepStats:
    return StepStats(
        skipped=taken.skipped,
        loss=taken.loss,
        grad_norm=taken.grad_norm,
        learning_rate=learning_rate,
        entropy=_mean(taken.entropy_sum, total.trained_tokens),
        tokens=total.tokens,
        trained_tokens=total.trained_tokens,
        sequences=total.sequences,
        packs=total.packs,
        seconds=time.perf_counter() - started,
    )


def _mean(total: float, count: int) -> float:
    return total / count if count else 0.0


class _Reader(nn.Module):
    """The model as one call, which is the shape `functional_call` can lend other weights to."""

    def __init__(self, model: Qwen3) -> None:
        super().__init__()
        self.model = model

    def forward(self, pack: Pack, temperature: float) -> tuple[Tensor, Tensor]:
        device = self.model.lm_head.weight.device
        hidden_NE = self.model.hidden(
            _tensor(pack.ids_N, device),
            _tensor(pack.positions_N, device),
            PackedAttention(pack.lengths, device),
        )
        # The head sees trained places only: two thirds of a dialogue are read, not learned.
        hidden_ME = hidden_NE.index_select(0, _tensor(pack.source_M, device))
        return token_log_probs(self.model, hidden_ME, _tensor(pack.targets_M, device), temperature)


def _forward(model: Qwen3, pack: Pack, *, temperature: float, bf16: bool) -> tuple[Tensor, Tensor]:
    """(logp_M, entropy_M) of the pack's trained tokens, fp32, on the model's device.

    In bf16 the whole model runs on rounded copies of its weights, as the sampler does, and the
    gradients come back to the fp32 originals. Autocast would leave the residual stream and the
    rotary angles in fp32, which keeps queries and keys out of flash attention.
    """
    reader = _Reader(model)
    if not bf16:
        return cast("tuple[Tensor, Tensor]", reader(pack, temperature))
    rounded = {name: weight.bfloat16() for name, weight in reader.named_parameters()}
    return cast("tuple[Tensor, Tensor]", functional_call(reader, rounded, args=(pack, temperature)))


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.as_tensor(array, device=device)
