"""Losses against the released code's numbers and against slow loops over the formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from duologue.train._loss_config import PRESETS, LossConfig, LossName
from duologue.train._losses import (
    KL,
    LOSSES,
    aggregate,
    drift,
    official_policy_loss,
    policy_loss,
)

torch.set_num_threads(1)

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "policy_loss.json"

Case = dict[str, Any]


def reference_cases() -> list[Case]:
    if not REFERENCE.exists():
        pytest.skip(f"no reference values: {REFERENCE} is absent")
    return cast("list[Case]", json.loads(REFERENCE.read_text())["cases"])


def numbers(values_M: Tensor) -> list[float]:
    return [float(value) for value in values_M.detach()]


# ---------------------------------------------------------------- the released code's numbers


def test_policy_loss_equals_the_released_codes() -> None:
    for case in reference_cases():
        arguments = {k: v for k, v in case.items() if k not in ("expected", "ref_log_prob")}
        got = official_policy_loss(**arguments)
        for name, value in got._asdict().items():
            assert value == pytest.approx(case["expected"][name], abs=1e-5, rel=1e-5), name


def test_divergence_estimators_equal_the_released_codes() -> None:
    for case in reference_cases():
        logp, reference = torch.tensor(case["log_prob"]), torch.tensor(case["ref_log_prob"])
        for name, expected in case["expected"]["kl_penalty"].items():
            torch.testing.assert_close(
                KL[name](logp, reference), torch.tensor(expected), atol=1e-5, rtol=1e-5
            )


def test_official_aggregations_by_hand() -> None:
    def loss(mode: str) -> float:
        zero = [[0.0, 0.0], [0.0, 0.0]]
        advantages = [[1.0, 3.0], [8.0, 100.0]]
        return official_policy_loss(
            old_log_prob=zero,
            log_prob=zero,
            advantages=advantages,
            mask=[[1, 1], [1, 0]],
            loss_agg_mode=mode,
        ).pg_loss

    assert loss("token-mean") == -4.0
    assert loss("seq-mean-token-mean") == -5.0
    assert loss("seq-mean-token-sum") == -6.0
    assert loss("seq-mean-token-sum-norm") == -6.0
    with pytest.raises(ValueError, match="loss_agg_mode"):
        loss("median")


# ---------------------------------------------------------------- slow loops over the formulas


def stream(seed: int, spread: float = 0.6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = Random(seed)
    sequence = [s for s in range(4) for _ in range(rng.randint(1, 5))]
    behaviour = [-rng.random() * 3 for _ in sequence]
    logp = [value + rng.gauss(0, spread) for value in behaviour]
    advantage = [rng.gauss(0, 1) for _ in sequence]
    return (
        torch.tensor(logp, dtype=torch.float64, requires_grad=True),
        torch.tensor(behaviour, dtype=torch.float64),
        torch.tensor(advantage, dtype=torch.float64),
        torch.tensor(sequence),
    )


def slow_clipped(ratio: float, advantage: float, config: LossConfig) -> tuple[float, float]:
    """(loss, d loss / d ratio) of one token under the clipped objective."""
    loss, slope = -ratio * advantage, -advantage
    if advantage > 0 and ratio > 1 + config.clip_high:
        loss, slope = -(1 + config.clip_high) * advantage, 0.0
    if advantage < 0 and ratio < 1 - config.clip_low:
        loss, slope = -(1 - config.clip_low) * advantage, 0.0
    if advantage < 0 and config.dual_clip is not None and ratio > config.dual_clip:
        loss, slope = -config.dual_clip * advantage, 0.0
    return loss, slope


def slow_loss(
    name: str,
    logp: list[float],
    behaviour: list[float],
    advantage: list[float],
    sequence: list[float],
    config: LossConfig,
) -> list[tuple[float, float]]:
    """(loss, d loss / d logp) of every token, one at a time."""
    answers: list[tuple[float, float]] = []
    for i in range(len(logp)):
        ratio = math.exp(logp[i] - behaviour[i])
        match name:
            case "clip":
                loss, slope = slow_clipped(ratio, advantage[i], config)
                answers.append((loss, slope * ratio))
            case "gspo":
                mine = [j for j in range(len(logp)) if sequence[j] == sequence[i]]
                ratio = math.exp(sum(logp[j] - behaviour[j] for j in mine) / len(mine))
                loss, slope = slow_clipped(ratio, advantage[i], config)
                answers.append((loss, slope * ratio))
            case "cispo":
                weight = min(ratio, 1 + config.clip_high) * advantage[i]
                answers.append((-weight * logp[i], -weight))
            case _:
                inside = 1 - config.clip_low <= ratio <= 1 + config.clip_high
                weight = ratio * advantage[i] if inside else 0.0
                answers.append((-weight * logp[i], -weight))
    return answers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "config",
    [*PRESETS.values(), LossConfig(dual_clip=1.2), LossConfig(name="cispo", clip_high=0.1)],
    ids=lambda config: f"{config.name}-{config.clip_high}",
)
def test_loss_and_gradient_equal_the_slow_loop(seed: int, config: LossConfig) -> None:
    logp_M, behaviour_M, advantage_M, sequence_M = stream(seed)
    got = policy_loss(logp_M, behaviour_M, advantage_M, sequence_M, config)
    (gradient_M,) = torch.autograd.grad(got.loss_M.sum(), logp_M)
    expected = slow_loss(
        config.name,
        numbers(logp_M),
        numbers(behaviour_M),
        numbers(advantage_M),
        numbers(sequence_M),
        config,
    )
    assert numbers(got.loss_M) == pytest.approx([loss for loss, _ in expected])
    assert numbers(gradient_M) == pytest.approx([slope for _, slope in expected])


def test_bounds_are_counted_on_the_side_that_held() -> None:
    behaviour = torch.zeros(5)
    logp = torch.tensor([0.5, 0.5, -0.5, -0.5, 2.0])
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0])
    got = policy_loss(logp, behaviour, advantage, torch.arange(5), LossConfig(dual_clip=3.0))
    assert numbers(got.high_M) == [True, False, False, False, False]
    assert numbers(got.low_M) == [False, False, False, True, False]
    assert numbers(got.dual_M) == [False, False, False, False, True]


@pytest.mark.parametrize("name", LOSSES)
def test_on_policy_every_loss_has_the_policy_gradient(name: LossName) -> None:
    logp_M, _, advantage_M, sequence_M = stream(0)
    got = policy_loss(logp_M, logp_M.detach(), advantage_M, sequence_M, LossConfig(name=name))
    (gradient_M,) = torch.autograd.grad(got.loss_M.sum(), logp_M)
    torch.testing.assert_close(gradient_M, -advantage_M)


def test_a_ratio_past_every_bound_stays_finite() -> None:
    logp = torch.tensor([0.0, 0.0], requires_grad=True)
    for config in PRESETS.values():
        got = policy_loss(
            logp, torch.tensor([-1e4, 1e4]), torch.tensor([-1.0, 1.0]), torch.arange(2), config
        )
        assert got.loss_M.isfinite().all()


# ---------------------------------------------------------------- aggregation


@pytest.mark.parametrize(
    "config",
    [
        LossConfig(),
        LossConfig(aggregate="sequence"),
        LossConfig(aggregate="budget", budget_tokens=100),
    ],
    ids=lambda config: str(config.aggregate),
)
def test_shares_of_two_packs_add_up_to_the_whole(config: LossConfig) -> None:
    loss = torch.tensor([1.0, 3.0, 8.0, 2.0, 2.0, 5.0])
    sequence = torch.tensor([0, 0, 1, 2, 2, 2])
    denominator = config.denominator(tokens=6, sequences=3)
    whole = aggregate(loss, sequence, config, denominator=denominator)
    left = aggregate(loss[:3], sequence[:3], config, denominator=denominator)
    right = aggregate(loss[3:], sequence[3:] - 2, config, denominator=denominator)
    torch.testing.assert_close(whole, left + right)
    by_hand = {"token": 21 / 6, "sequence": (2 + 8 + 3) / 3, "budget": 0.21}
    assert whole.item() == pytest.approx(by_hand[config.aggregate])


def test_drift_by_hand() -> None:
    got = drift(torch.tensor([0.0, -1.0]), torch.tensor([-0.5, -1.0]))
    assert got.k1_sum.item() == pytest.approx(-0.5)
    assert got.k3_sum.item() == pytest.approx(math.exp(0.5) - 1.5)
    assert got.gap_sum.item() == pytest.approx(0.5)
    assert got.gap_max.item() == pytest.approx(0.5)
    assert got.ratio_max.item() == pytest.approx(math.exp(0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "ppo"},
        {"aggregate": "median"},
        {"clip_low": 1.5},
        {"clip_high": -0.1},
        {"dual_clip": 0.5},
        {"aggregate": "budget"},
        {"budget_tokens": 5},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown name|must|goes with"):
        LossConfig(**wrong)
