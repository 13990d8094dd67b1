"""Intervals: deterministic, clustered by task, and right about as often as they say."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import Seed
from duologue.train._bootstrap import difference, interval, ratio

SEED = Seed(0) / "bootstrap"

rewards = st.lists(st.floats(0, 1), min_size=1, max_size=4)
by_task = st.dictionaries(st.text(max_size=3), rewards, min_size=1, max_size=8)


def noisy_tasks(seed: int, tasks: int, samples: int) -> dict[str, list[float]]:
    """Tasks differ a lot, samples of one task hardly at all; the true mean is 0."""
    rng = Random(seed)
    return {
        str(task): [level + rng.gauss(0, 0.01) for _ in range(samples)]
        for task, level in enumerate(rng.gauss(0, 1) for _ in range(tasks))
    }


@given(by_task)
def test_interval_is_deterministic_and_holds_the_mean_of_task_means(
    values: dict[str, list[float]],
) -> None:
    got = interval(values, seed=SEED, n=200)
    shuffled = dict(reversed(values.items()))
    assert got == interval(shuffled, seed=SEED, n=200)
    means = [sum(of) / len(of) for of in values.values()]
    assert got.mean == pytest.approx(sum(means) / len(means))
    assert min(means) - 1e-9 <= got.low <= got.high <= max(means) + 1e-9
    assert got.n == sum(len(of) for of in values.values())
    assert got.tasks == len(values)


def test_another_seed_draws_other_resamples() -> None:
    values = noisy_tasks(0, tasks=30, samples=2)
    assert interval(values, seed=SEED) != interval(values, seed=Seed(1))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    found = [interval(noisy_tasks(i, 40, 4), seed=SEED / i, n=400) for i in range(200)]
    covered = sum(one.low <= 0.0 <= one.high for one in found) / len(found)
    assert 0.88 <= covered <= 0.99


def test_more_samples_of_the_same_tasks_do_not_feign_certainty() -> None:
    few = interval(noisy_tasks(0, 40, 1), seed=SEED)
    many = interval({task: v * 50 for task, v in noisy_tasks(0, 40, 1).items()}, seed=SEED)
    assert many.high - many.low == pytest.approx(few.high - few.low)


def test_a_higher_level_is_wider() -> None:
    values = noisy_tasks(0, 40, 1)
    narrow, wide = (interval(values, seed=SEED, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_what_makes_a_task_hard_cancels_in_a_paired_difference() -> None:
    baseline = noisy_tasks(0, 40, 4)
    better = {task: [value + 0.1 for value in values] for task, values in baseline.items()}
    got = difference(better, baseline, seed=SEED)
    assert (got.mean, got.low, got.high) == pytest.approx((0.1, 0.1, 0.1))
    assert got.n == 320
    assert got.tasks == 40


def test_a_constant_fraction_of_the_expert_is_certain() -> None:
    expert = {str(task): [0.2 + task / 10] for task in range(8)}
    policy = {task: [0.5 * value for value in values] for task, values in expert.items()}
    got = ratio(policy, expert, seed=SEED)
    assert (got.mean, got.low, got.high) == pytest.approx((0.5, 0.5, 0.5))


def test_ratio_survives_tasks_where_the_expert_earned_nothing() -> None:
    got = ratio({"a": [0.5], "b": [0.5]}, {"a": [0.0], "b": [1.0]}, seed=SEED)
    assert got.mean == 1.0
    assert 0.5 == got.low < got.high == 1.0


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="no tasks"):
        interval({}, seed=SEED)
    with pytest.raises(ValueError, match="'b' has no values"):
        interval({"a": [1.0], "b": []}, seed=SEED)
    with pytest.raises(ValueError, match="such as 'b'"):
        difference({"a": [1.0]}, {"a": [1.0], "b": [1.0]}, seed=SEED)
    with pytest.raises(ValueError, match="mean is 0"):
        ratio({"a": [1.0]}, {"a": [0.0]}, seed=SEED)
    with pytest.raises(ValueError, match="level"):
        interval({"a": [1.0]}, seed=SEED, level=1.0)
