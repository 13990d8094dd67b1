"""The paper's metrics, against what they say in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.train._paper_metrics import (
    Answer,
    Item,
    effective_turns,
    official_comparison,
    official_summary,
    time_weighted,
    travel_score,
    weighted_mean,
)

REWARDS = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), max_size=8)


@given(REWARDS)
def test_efficiency_by_hand(rewards: list[float]) -> None:
    last = effective_turns(rewards)
    assert not any(rewards[last:])
    assert last == 0 or rewards[last - 1]
    slow = 0.0
    for i in range(len(rewards)):
        slow += rewards[i] / (i + 2)
    assert time_weighted(rewards) == pytest.approx(slow)
    assert time_weighted(rewards, base=0) >= time_weighted(rewards, base=1)


@given(st.lists(st.lists(REWARDS, min_size=1, max_size=3), min_size=1, max_size=4))
def test_the_best_rollout_is_no_worse_than_the_mean(items: list[list[list[float]]]) -> None:
    for env in ("turtle", "travel22"):
        summary = official_summary(env, items)
        assert summary["micro_max"] >= summary["micro_avg"] - 1e-12


def test_a_travel_rollout_is_what_was_chosen_at_its_best() -> None:
    history = [
        Answer("answer", "F1", 0.8),
        Answer("answer", "F2", 1.0),
        Answer("answer", "H1", 0.0),
        Answer("search", "F3", 1.0),
        Answer("answer", "", 1.0),
    ]
    assert travel_score("travel22", history) == 0.5
    assert travel_score("travel", history) == 0.0


def test_models_are_weighted_by_test_sizes() -> None:
    travel = {"a": Item(history=[[Answer("answer", "F1", 1.0)]])}
    models = {"m": {"turtle": {n: Item(rewards=[[1.0, 1.0]]) for n in "xyz"}, "travel2": travel}}
    found = official_comparison(models)
    assert found.per_gym == {"m": {"turtle": 2.0, "travel": 1.0}}
    assert found.counts == {"turtle": 3, "travel": 1}
    assert found.weighted == {"m": 1.75}
    with pytest.raises(KeyError, match="travel"):
        official_comparison({"m": {"turtle": {}}})


def test_nothing_scores_nothing() -> None:
    assert weighted_mean({}, {}) == 0.0
    assert official_summary("turtle", []) == {"micro_avg": 0.0, "micro_max": 0.0}
