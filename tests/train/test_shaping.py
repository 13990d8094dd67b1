"""Credits, scores and advantages: the released code's own numbers, and what must always hold."""

from __future__ import annotations

import json
import math
from array import array
from pathlib import Path
from random import Random
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import End, Key, Trajectory, Turn, pack_tokens
from duologue.train._shaping import (
    Combine,
    CreditMethod,
    Scale,
    Scored,
    Shaping,
    group_advantages,
    official_outcome_advantages,
    official_token_advantages,
    official_turn_credits,
    shape,
    trained_tokens,
    trajectory_score,
    turn_credits,
)

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"

Case = dict[str, Any]


def reference_cases(name: str) -> list[Case]:
    path = REFERENCE / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no reference values: {path} is absent")
    return cast("list[Case]", json.loads(path.read_text())["cases"])


# ---------------------------------------------------------------- the released code's numbers


def test_credits_and_scores_equal_the_released_codes() -> None:
    for case in reference_cases("turn_credits"):
        arguments = {key: value for key, value in case.items() if key != "expected"}
        expected = case["expected"]
        if "raises" in expected:
            with pytest.raises(ValueError, match="unknown"):
                official_turn_credits(**arguments)
        else:
            credits, score = official_turn_credits(**arguments)
            assert credits == expected["turn_credits"], case
            assert score == expected["trajectory_score"], case


def test_exponential_mapping_equals_the_released_codes() -> None:
    for case in reference_cases("em_mapping"):
        assert turn_credits([case["r"]], "em", k=2.0, digits=4) == [case["expected"]]


def test_multi_turn_advantages_equal_the_released_codes() -> None:
    for case in reference_cases("group_advantages"):
        advantages = official_token_advantages(
            turn_rewards=case["turn_rewards"],
            turn_starts=case["turn_starts"],
            response_mask=case["response_mask"],
            group_ids=case["group_ids"],
            gamma=case["gamma"],
            turn_level_method=case["turn_level_method"],
            trajectory_score_method=case["trajectory_score_method"],
            norm_by_std=case["norm_by_std"],
            epsilon=case["epsilon"],
        )
        noise = 1e-3 if case["name"].startswith("all_same") else 1e-5
        for got, expected in zip(advantages, case["expected_advantages"], strict=True):
            assert got == pytest.approx(expected, abs=noise, rel=1e-5), case["name"]


def test_outcome_advantages_equal_the_released_codes() -> None:
    for case in reference_cases("grpo_outcome"):
        advantages = official_outcome_advantages(
            token_level_rewards=case["token_level_rewards"],
            mask=case["mask"],
            group_ids=case["group_ids"],
            norm_by_std=case["norm_by_std"],
            epsilon=case["epsilon"],
        )
        for got, expected in zip(advantages, case["expected_advantages"], strict=True):
            assert got == pytest.approx(expected, abs=1e-5)


# ---------------------------------------------------------------- one trajectory, by hand


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("naive", [0.0, 0.5, 1.0]),
        ("equalized", [1.0, 1.0, 1.0]),
        ("r2g", [0.5, 1.0, 1.0]),
        ("em", [0.5, 0.8655292893150, 1.0]),
    ],
)
def test_credit_methods_by_hand(method: CreditMethod, expected: list[float]) -> None:
    assert turn_credits([0.0, 0.5, 1.0], method, gamma=0.5) == pytest.approx(expected)


def test_scores_by_hand() -> None:
    rewards = [1.0, 0.0, 0.5]
    assert trajectory_score(rewards, "sum") == 1.5
    assert trajectory_score(rewards, "mean") == 0.5
    assert trajectory_score([1.0, 0.0, 0.0], "official_sum") == 0.3333
    assert trajectory_score(rewards, "r2g", gamma=0.5) == 1.125
    assert trajectory_score(rewards, "last") == 0.5
    assert trajectory_score(rewards, "max") == 1.0
    assert trajectory_score([], "max") == 0.0


def test_unknown_names_are_refused_with_the_known_ones_listed() -> None:
    with pytest.raises(ValueError, match="unknown turn-level method 'greedy'; known: naive"):
        turn_credits([1.0], cast("CreditMethod", "greedy"))
    with pytest.raises(ValueError, match="unknown trajectory score"):
        trajectory_score([1.0], cast("Any", "median"))
    with pytest.raises(ValueError, match="unknown combination"):
        group_advantages([], combine=cast("Any", "both"))
    with pytest.raises(ValueError, match="unknown scale"):
        Shaping(scale=cast("Any", "max"))
    with pytest.raises(ValueError, match="gamma"):
        Shaping(gamma=1.5)
    with pytest.raises(ValueError, match="k must"):
        Shaping(k=0.0)


# ---------------------------------------------------------------- a group, by hand


def pair(first: float, second: float) -> list[Scored]:
    return [
        Scored(group=0, score=first, credits=[1.0, 3.0], tokens=[2, 2]),
        Scored(group=0, score=second, credits=[1.0, 3.0], tokens=[2, 2]),
    ]


def test_plain_is_the_centred_score_on_every_turn() -> None:
    assert group_advantages(pair(1.0, 0.0)) == [[0.5, 0.5], [-0.5, -0.5]]


def test_paper_centres_the_credits_by_the_groups_scores() -> None:
    got = group_advantages(pair(1.0, 0.0), combine="paper", scale="population", epsilon=0.0)
    assert got == [[1.0, 5.0], [1.0, 5.0]]


def test_official_spreads_the_score_by_credit() -> None:
    assert group_advantages(pair(1.0, 0.0), combine="official") == [[0.25, 0.75], [-0.25, -0.75]]


def test_batch_scale_divides_by_the_std_of_all_scores() -> None:
    batch = [
        Scored(group=group, score=score, credits=[1.0], tokens=[1])
        for group, score in [(0, 0.0), (0, 2.0), (1, 4.0), (1, 6.0)]
    ]
    std = math.sqrt(20 / 3)
    got = group_advantages(batch, scale="batch", epsilon=0.0)
    assert [turns[0] for turns in got] == pytest.approx([-1 / std, 1 / std, -1 / std, 1 / std])


def test_group_of_one_is_worth_its_score_officially_and_nothing_otherwise() -> None:
    alone = [Scored(group=0, score=0.5, credits=[1.0], tokens=[3])]
    assert group_advantages(alone, combine="official") == [[0.5]]
    assert group_advantages(alone) == [[0.0]]
    assert group_advantages(alone, combine="paper", scale="population") == [[0.0]]


def test_credits_that_cancel_are_worth_nothing_officially() -> None:
    batch = [
        Scored(group=0, score=1.0, credits=[1.0, -1.0], tokens=[2, 2]),
        Scored(group=0, score=0.0, credits=[1.0, 1.0], tokens=[2, 2]),
    ]
    assert group_advantages(batch, combine="official")[0] == [0.0, 0.0]


# ---------------------------------------------------------------- what always holds

finite = st.floats(-10, 10).map(lambda x: round(x, 6))
positive = st.floats(0.01, 10)


@st.composite
def scored_batches(draw: st.DrawFn, credit: st.SearchStrategy[float] = finite) -> list[Scored]:
    batch: list[Scored] = []
    for group in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(2, 5))):
            turns = draw(st.integers(1, 4))
            batch.append(
                Scored(
                    group=group,
                    score=draw(finite),
                    credits=draw(st.lists(credit, min_size=turns, max_size=turns)),
                    tokens=draw(st.lists(st.integers(1, 9), min_size=turns, max_size=turns)),
                )
            )
    return batch


def of_group(batch: list[Scored], values: list[list[float]], group: int) -> list[list[float]]:
    return [turns for scored, turns in zip(batch, values, strict=True) if scored.group == group]


@given(scored_batches())
def test_plain_advantages_sum_to_zero_in_every_group(batch: list[Scored]) -> None:
    values = group_advantages(batch)
    for group in {scored.group for scored in batch}:
        assert isinstance(group, int)
        total = math.fsum(turns[0] for turns in of_group(batch, values, group))
        assert total == pytest.approx(0.0, abs=1e-9)


@given(scored_batches(credit=positive), st.sampled_from(["none", "sample", "population", "batch"]))
def test_official_keeps_the_token_weighted_mean_and_the_sign(
    batch: list[Scored], scale: Scale
) -> None:
    plain = group_advantages(batch, scale=scale)
    official = group_advantages(batch, scale=scale, combine="official")
    for scored, want, got in zip(batch, plain, official, strict=True):
        tokens = sum(scored.tokens)
        mean = math.fsum(a * n for a, n in zip(got, scored.tokens, strict=True)) / tokens
        assert mean == pytest.approx(want[0], rel=1e-9, abs=1e-12)
        assert all(math.copysign(1, a) == math.copysign(1, want[0]) for a in got if a)


@given(scored_batches(), st.sampled_from(get_args(Combine)), st.sampled_from(get_args(Scale)))
def test_order_of_the_batch_changes_nothing(
    batch: list[Scored], combine: Combine, scale: Scale
) -> None:
    order = list(range(len(batch)))
    Random(0).shuffle(order)
    straight = group_advantages(batch, combine=combine, scale=scale)
    shuffled = group_advantages([batch[i] for i in order], combine=combine, scale=scale)
    for place, i in enumerate(order):
        assert shuffled[place] == pytest.approx(straight[i], rel=1e-9)


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=2, max_size=5),
    st.sampled_from(get_args(Combine)),
    st.sampled_from(get_args(Scale)),
)
def test_group_with_one_score_is_worth_exactly_nothing(
    rewards: list[float], combine: Combine, scale: Scale
) -> None:
    # The same rewards summed in two orders differ in the last bits.
    batch = [
        Scored(group=0, score=trajectory_score(order, "sum"), credits=[0.7], tokens=[1])
        for order in (rewards, rewards[::-1], sorted(rewards))
    ]
    assert group_advantages(batch, combine=combine, scale=scale) == [[0.0]] * 3


@given(scored_batches())
def test_more_score_in_a_group_is_never_less_advantage(batch: list[Scored]) -> None:
    values = group_advantages(batch, scale="sample")
    for a, x in zip(batch, values, strict=True):
        for b, y in zip(batch, values, strict=True):
            if a.group == b.group and a.score > b.score:
                assert x[0] >= y[0]


# ---------------------------------------------------------------- whole trajectories


def trajectory(sample: int, rewards: list[float], counts: list[int]) -> Trajectory:
    """A prompt of two tokens, then per turn its sampled tokens and one token of observation."""
    mask, starts = [0, 0], list[int]()
    for count in counts:
        starts.append(len(mask))
        mask += [1] * count + [0]
    return Trajectory(
        key=Key(group=7, sample=sample),
        task="t",
        env="e",
        split="train",
        end=End.DONE,
        turns=tuple(Turn(text="", reward=reward) for reward in rewards),
        tokens=pack_tokens(array("i", mask), mask, [0.0] * len(mask), starts),
    )


def test_trained_tokens_are_counted_per_generation() -> None:
    assert trained_tokens(trajectory(0, [0.0, 1.0], [3, 5])) == [3, 5]


def test_shape_gives_one_advantage_a_generation() -> None:
    group = [trajectory(0, [0.0, 1.0], [3, 5]), trajectory(1, [0.0], [2])]
    assert shape(group, Shaping()) == [[0.5, 0.5], [-0.5]]
    r2g = shape(group, Shaping(turn="r2g", combine="official", gamma=0.5))
    assert r2g == [pytest.approx([0.5 * 0.5 * 8 / 6.5, 0.5 * 8 / 6.5]), [0.0]]


def test_shape_names_the_trajectory_without_tokens() -> None:
    bare = Trajectory(key=Key(3, 4), task="t", env="e", split="train", end=End.DONE)
    with pytest.raises(ValueError, match=r"group=3, sample=4.*no tokens"):
        shape([bare], Shaping())
