"""One optimiser step: independent of the packing, honest about what it did, safe to fail."""

from __future__ import annotations

import math
from random import Random
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._head import token_log_probs
from duologue.agents.models.local._qwen3 import Qwen3, Qwen3Config, initialise
from duologue.engine import End, Key, Trajectory, pack_tokens
from duologue.train._loss_config import PRESETS, LossConfig
from duologue.train._packing import Pack, Sample, make_sample, pack
from duologue.train._schedule import Schedule, learning_rate
from duologue.train._step import make_optimizer, policy_step, supervised_step

torch.set_num_threads(1)

VOCAB = 32


def tiny_model() -> Qwen3:
    model = Qwen3(
        Qwen3Config(
            vocab=VOCAB, hidden=16, layers=2, heads=2, kv_heads=1, head_dim=8, intermediate=24
        )
    )
    initialise(model, seed=0)
    return model


def batch(seed: int = 0, count: int = 6) -> list[Sample]:
    """Dialogues of one to three turns; log-probabilities as if from slightly other weights."""
    rng, samples = Random(seed), list[Sample]()
    for number in range(count):
        mask, turns = [0] * rng.randint(1, 4), list[int]()
        for _ in range(rng.randint(1, 3)):
            turns.append(len(mask))
            mask += [1] * rng.randint(1, 5) + [0] * rng.randint(0, 4)
        ids = [rng.randrange(VOCAB) for _ in mask]
        logps = [rng.gauss(-math.log(VOCAB), 0.3) if flag else 0.0 for flag in mask]
        samples.append(
            make_sample(
                Trajectory(
                    key=Key(0, number),
                    task="t",
                    env="e",
                    split="train",
                    end=End.DONE,
                    tokens=pack_tokens(ids, mask, logps, turns),
                ),
                [rng.gauss(0, 1) for _ in turns],
            )
        )
    return samples


def logps_of(model: Qwen3, packed: Pack, temperature: float = 1.0) -> Tensor:
    with torch.no_grad():
        hidden = model.hidden(
            torch.as_tensor(packed.ids_N),
            torch.as_tensor(packed.positions_N),
            PackedAttention(packed.lengths),
        )
        return token_log_probs(
            model,
            hidden[torch.as_tensor(packed.source_M)],
            torch.as_tensor(packed.targets_M),
            temperature,
        )[0]


def weights(model: Qwen3) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def moved(model: Qwen3, before: Tensor) -> float:
    return float((weights(model) - before).abs().max())


@pytest.mark.parametrize(
    "loss",
    [*PRESETS.values(), LossConfig(aggregate="budget", budget_tokens=50)],
    ids=lambda loss: f"{loss.name}-{loss.aggregate}",
)
def test_gradient_does_not_depend_on_how_the_batch_was_packed(loss: LossConfig) -> None:
    # Plain gradient descent at rate 1, unclipped: the weights move by exactly the gradient.
    after: list[Tensor] = []
    rows: list[tuple[float, ...]] = []
    for budget in (1, 30, 10_000):
        model = tiny_model()
        packs = pack(batch(), budget)
        stats = policy_step(
            model,
            SGD(model.parameters(), lr=1.0),
            packs,
            loss=loss,
            learning_rate=1.0,
            max_grad_norm=math.inf,
        )
        after.append(weights(model))
        rows.append((stats.loss, stats.grad_norm, stats.entropy, stats.kl_k3, stats.gap_max))
        assert stats.packs == len(packs)
        assert stats.skipped is None
    for other, row in zip(after[1:], rows[1:], strict=True):
        torch.testing.assert_close(other, after[0], atol=1e-5, rtol=0.0)
        assert row == pytest.approx(rows[0], abs=1e-5)


def test_policy_step_moves_probability_towards_what_was_worth_more() -> None:
    model = tiny_model()
    (packed,) = pack(batch(), 10_000)
    before = logps_of(model, packed)
    policy_step(model, make_optimizer(model), [packed], loss=LossConfig(), learning_rate=1e-3)
    gain = logps_of(model, packed) - before
    assert float((gain * torch.as_tensor(packed.advantage_M)).sum()) > 0


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_on_policy_there_is_no_gap_to_the_sampler(temperature: float) -> None:
    model = tiny_model()
    (packed,) = pack(batch(), 10_000)
    packed.behaviour_logp_M[:] = logps_of(model, packed, temperature).numpy()
    stats = policy_step(
        model,
        make_optimizer(model),
        [packed],
        loss=LossConfig(),
        learning_rate=1e-3,
        temperature=temperature,
    )
    assert stats.gap_max == pytest.approx(0.0, abs=1e-6)
    assert stats.ratio_max == pytest.approx(1.0, abs=1e-5)
    assert stats.kl_k3 == pytest.approx(0.0, abs=1e-6)
    assert stats.clip_low == stats.clip_high == 0.0


def test_stats_by_hand() -> None:
    model = tiny_model()
    packs = pack(batch(), 30)
    logp = torch.cat([logps_of(model, packed) for packed in packs])
    behaviour = torch.cat([torch.as_tensor(packed.behaviour_logp_M) for packed in packs])
    advantage = torch.cat([torch.as_tensor(packed.advantage_M) for packed in packs])
    version = torch.cat([torch.as_tensor(packed.version_M) for packed in packs])
    own = int(version[0])
    stats = policy_step(
        model,
        make_optimizer(model),
        packs,
        loss=LossConfig(),
        learning_rate=1e-3,
        version=own,
    )
    gap, ratio = (logp - behaviour).abs(), (logp - behaviour).exp()
    assert stats.gap_mean == pytest.approx(float(gap.mean()), rel=1e-4)
    assert stats.gap_max == pytest.approx(float(gap.max()), rel=1e-4)
    assert stats.ratio_max == pytest.approx(float(ratio.max()), rel=1e-4)
    assert stats.kl_k1 == pytest.approx(float((behaviour - logp).mean()), abs=1e-5)
    assert stats.clip_high == pytest.approx(
        float(((ratio > 1.28) & (advantage > 0)).float().mean())
    )
    assert stats.clip_low == pytest.approx(float(((ratio < 0.8) & (advantage < 0)).float().mean()))
    assert stats.trained_tokens == len(logp)
    assert 0 < stats.own_tokens == int((version == own).sum())
    assert stats.own_gap_max == pytest.approx(float(gap[version == own].max()), rel=1e-4)
    assert stats.tokens == sum(packed.tokens for packed in packs)
    assert stats.sequences == 6
    assert 0.0 < stats.entropy < math.log(VOCAB)


def test_tokens_of_other_weights_are_not_called_ones_own() -> None:
    model = tiny_model()
    (packed,) = pack(batch(), 10_000)
    packed.version_M[:] = 3
    packed.version_M[:2] = 4
    packed.behaviour_logp_M[:] = logps_of(model, packed).numpy()
    packed.behaviour_logp_M[2:] -= 1.0
    stats = policy_step(
        model,
        make_optimizer(model),
        [packed],
        loss=LossConfig(),
        learning_rate=1e-3,
        version=4,
    )
    assert stats.own_tokens == 2
    assert stats.own_gap_max == pytest.approx(0.0, abs=1e-6)
    assert stats.gap_max == pytest.approx(1.0, abs=1e-5)


def test_supervised_loss_is_the_mean_over_trained_tokens_and_falls() -> None:
    model = tiny_model()
    optimizer = make_optimizer(model)
    packs = pack(batch(), 30)
    expected = -float(torch.cat([logps_of(model, packed) for packed in packs]).mean())
    losses = [supervised_step(model, optimizer, packs, learning_rate=5e-3).loss for _ in range(60)]
    assert losses[0] == pytest.approx(expected, rel=1e-5)
    assert losses[-1] < 0.3 * losses[0]


def test_learning_rate_of_the_step_scales_the_move() -> None:
    moves: list[float] = []
    for rate in (1e-3, 2e-3):
        model = tiny_model()
        before = weights(model)
        supervised_step(model, make_optimizer(model), pack(batch(), 99), learning_rate=rate)
        moves.append(moved(model, before))
    assert moves[1] == pytest.approx(2 * moves[0], rel=1e-3)


def test_gradient_is_clipped_to_the_norm_and_reported_before() -> None:
    model = tiny_model()
    before = weights(model)
    stats = supervised_step(
        model,
        SGD(model.parameters(), lr=1.0),
        pack(batch(), 99),
        learning_rate=1.0,
        max_grad_norm=0.01,
    )
    assert stats.grad_norm > 0.01
    assert math.sqrt((weights(model) - before).square().sum()) == pytest.approx(0.01, rel=1e-3)


# ---------------------------------------------------------------- steps that must not be taken


def test_step_with_a_loss_that_is_not_finite_changes_nothing_and_says_so() -> None:
    model = tiny_model()
    optimizer = make_optimizer(model)
    packs = pack(batch(), 30)
    packs[1].advantage_M[0] = math.nan
    before = weights(model)
    stats = policy_step(model, optimizer, packs, loss=LossConfig(), learning_rate=1e-3)
    assert stats.skipped == "loss"
    assert moved(model, before) == 0.0
    assert not optimizer.state
    assert all(weight.grad is None for weight in model.parameters())


def test_step_with_a_gradient_that_is_not_finite_changes_nothing_and_says_so() -> None:
    model = tiny_model()
    optimizer = make_optimizer(model)

    def explode(gradient: Tensor) -> Tensor:
        return gradient * math.inf

    cast(Any, model.lm_head.weight).register_hook(explode)  # untyped in torch
    before = weights(model)
    stats = supervised_step(model, optimizer, pack(batch(), 30), learning_rate=1e-3)
    assert stats.skipped == "gradient"
    assert math.isfinite(stats.loss)
    assert not math.isfinite(stats.grad_norm)
    assert moved(model, before) == 0.0
    assert not optimizer.state


def prompt_only(number: int) -> Sample:
    return make_sample(
        Trajectory(
            key=Key(1, number),
            task="t",
            env="e",
            split="train",
            end=End.DONE,
            tokens=pack_tokens([1] * 40, [0] * 40, [0.0] * 40),
        )
    )


def test_step_with_nothing_to_train_on_is_empty() -> None:
    model = tiny_model()
    before = weights(model)
    for packs in ([], pack([prompt_only(0)], 64)):
        stats = policy_step(
            model, make_optimizer(model), packs, loss=LossConfig(), learning_rate=1e-3
        )
        assert stats.skipped == "empty"
        assert stats.entropy == stats.gap_max == 0.0
    assert moved(model, before) == 0.0


@pytest.mark.parametrize("name", PRESETS)
def test_dialogues_without_trained_tokens_weigh_nothing(name: str) -> None:
    losses: list[float] = []
    for samples in (batch(), [*batch(), prompt_only(0)]):
        model = tiny_model()
        packs = pack(samples, 45)
        losses.append(
            policy_step(
                model, make_optimizer(model), packs, loss=PRESETS[name], learning_rate=1e-3
            ).loss
        )
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


# ---------------------------------------------------------------- precision and rates


def test_bf16_computes_coarsely_and_keeps_fp32_weights() -> None:
    losses: list[float] = []
    for bf16 in (False, True):
        model = tiny_model()
        stats = supervised_step(
            model, make_optimizer(model), pack(batch(), 30), learning_rate=1e-3, bf16=bf16
        )
        losses.append(stats.loss)
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def test_optimizer_refuses_weights_that_would_round_updates_away() -> None:
    with pytest.raises(ValueError, match=r"embed_tokens\.weight is torch\.bfloat16"):
        make_optimizer(tiny_model().to(torch.bfloat16))


def test_schedules_by_hand() -> None:
    constant = Schedule(peak=1.0, warmup_steps=4)
    assert [learning_rate(step, constant) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    falling = Schedule(peak=2.0, decay_steps=10, floor=0.25)
    assert [learning_rate(step, falling) for step in (0, 5, 7, 9, 99)] == pytest.approx(
        [2.0, 1.0, 0.6, 0.5, 0.5]
    )


def test_impossible_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="peak"):
        Schedule(peak=0.0)
    with pytest.raises(ValueError, match="warmup_steps"):
        Schedule(peak=1.0, warmup_steps=-1)
    with pytest.raises(ValueError, match="decay_steps"):
        Schedule(peak=1.0, decay_steps=0)
