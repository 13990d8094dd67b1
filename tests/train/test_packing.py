"""Packs lose nothing, repeat nothing, and keep each token beside what it is worth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import End, Key, Span, Tokens, Trajectory, pack_tokens
from duologue.train._packing import UNKNOWN_VERSION, Pack, Sample, make_sample, pack


def trajectory(key: Key, tokens: Tokens | None) -> Trajectory:
    return Trajectory(key=key, task="t", env="e", split="train", end=End.DONE, tokens=tokens)


@st.composite
def trajectories(draw: st.DrawFn) -> list[Trajectory]:
    """Dialogues whose log-probabilities are all different, so that each token can be recognised."""
    drawn: list[Trajectory] = []
    marks = iter(range(1, 100_000))
    for sample in range(draw(st.integers(1, 8))):
        mask: list[int] = draw(st.lists(st.integers(0, 1), min_size=0, max_size=3))
        turns: list[int] = []
        for _ in range(draw(st.integers(1, 3))):
            turns.append(len(mask))
            mask += [1] * draw(st.integers(1, 4)) + [0] * draw(st.integers(0, 3))
        marked = [next(marks) for _ in mask]
        spans = [Span(start, len(mask), sample) for start in turns]
        drawn.append(
            trajectory(
                Key(0, sample), pack_tokens(marked, mask, [-m for m in marked], turns, spans)
            )
        )
    return drawn


def worth(of: Trajectory) -> list[float]:
    assert of.tokens is not None
    return [10.0 * of.key.sample + k for k in range(len(of.tokens.turns))]


def trained(of: Trajectory) -> list[tuple[int, float, float]]:
    """(id, log-probability, advantage) of each trained token, by a plain loop."""
    tokens = of.tokens
    assert tokens is not None
    ids, logps, found = tokens.ids_array(), tokens.logps_array(), list[tuple[int, float, float]]()
    for i in range(1, len(tokens)):
        if tokens.mask[i]:
            turn = sum(1 for start in tokens.turns if start <= i) - 1
            found.append((ids[i], logps[i], worth(of)[turn] if turn >= 0 else 0.0))
    return found


def rows(packed: Pack) -> list[tuple[int, float, float]]:
    return [
        (int(target), float(logp), float(advantage))
        for target, logp, advantage in zip(
            packed.targets_M, packed.behaviour_logp_M, packed.advantage_M, strict=True
        )
    ]


@given(trajectories(), st.integers(1, 60))
def test_every_trained_token_is_packed_exactly_once(batch: list[Trajectory], budget: int) -> None:
    packs = pack([make_sample(one, worth(one)) for one in batch], budget)
    assert Counter(row for p in packs for row in rows(p)) == Counter(
        row for one in batch for row in trained(one)
    )
    assert Counter(key for p in packs for key in p.keys) == Counter(one.key for one in batch)


@given(trajectories(), st.integers(1, 60))
def test_packs_keep_to_the_budget_unless_one_sequence_is_longer(
    batch: list[Trajectory], budget: int
) -> None:
    for p in pack([make_sample(one) for one in batch], budget):
        assert p.tokens == sum(p.lengths)
        assert p.tokens <= budget or len(p.keys) == 1


@given(trajectories(), st.integers(1, 60))
def test_a_target_is_predicted_from_the_place_before_it_in_its_own_dialogue(
    batch: list[Trajectory], budget: int
) -> None:
    for p in pack([make_sample(one) for one in batch], budget):
        owner_N = np.repeat(np.arange(len(p.lengths)), p.lengths)
        assert (p.ids_N[p.source_M + 1] == p.targets_M).all()
        assert (owner_N[p.source_M] == p.sequence_M).all()
        assert (owner_N[p.source_M + 1] == p.sequence_M).all()
        of_sample_M = np.array([key.sample for key in p.keys])[p.sequence_M]
        known_M = p.version_M != UNKNOWN_VERSION
        assert (p.version_M[known_M] == of_sample_M[known_M]).all()
        starts = np.cumsum([0, *p.lengths[:-1]])
        assert (p.positions_N == np.arange(p.tokens) - np.repeat(starts, p.lengths)).all()


@given(trajectories(), st.integers(1, 60))
def test_packs_do_not_depend_on_the_order_of_the_samples(
    batch: list[Trajectory], budget: int
) -> None:
    samples = [make_sample(one) for one in batch]
    straight, reverse = pack(samples, budget), pack(samples[::-1], budget)
    assert [p.keys for p in straight] == [p.keys for p in reverse]
    assert all((a.ids_N == b.ids_N).all() for a, b in zip(straight, reverse, strict=True))


def test_longest_first_leaves_no_pack_half_empty() -> None:
    def of_length(sample: int, length: int) -> Sample:
        zeros = [0] * length
        return make_sample(trajectory(Key(0, sample), pack_tokens(zeros, zeros, zeros)))

    packs = pack([of_length(i, n) for i, n in enumerate([2, 4, 6, 8])], 10)
    assert [p.lengths for p in packs] == [(8, 2), (6, 4)]
    assert [p.trained_tokens for p in packs] == [0, 0]


def test_a_mask_without_turns_or_spans_counts_as_worth_one_of_unknown_version() -> None:
    sample = make_sample(trajectory(Key(0, 0), pack_tokens([5, 6, 7], [1, 0, 1], [-1, 0, -2])))
    assert [int(i) for i in sample.target_M] == [2]
    assert [float(a) for a in sample.advantage_M] == [1.0]
    assert [int(v) for v in sample.version_M] == [UNKNOWN_VERSION]


def test_arrays_have_the_types_the_model_takes() -> None:
    tokens = pack_tokens([5, 6, 7], [0, 1, 1], [0, -1, -2], [1], [Span(1, 3, 4)])
    (packed,) = pack([make_sample(trajectory(Key(0, 0), tokens), [0.5])], 8)
    for name in ("ids_N", "positions_N", "source_M", "targets_M", "sequence_M", "version_M"):
        assert getattr(packed, name).dtype == np.int64, name
    assert packed.behaviour_logp_M.dtype == packed.advantage_M.dtype == np.float32
    assert packed.trained_sequences == 1


def test_what_cannot_be_packed_is_named() -> None:
    with pytest.raises(ValueError, match=r"group=3, sample=4.*no tokens"):
        make_sample(trajectory(Key(3, 4), None))
    with pytest.raises(ValueError, match=r"group=3, sample=4.*2 advantages for 1 generations"):
        make_sample(trajectory(Key(3, 4), pack_tokens([1, 2], [0, 1], [0, -1], [1])), [1.0, 2.0])
    torn = Tokens(ids=b"\0" * 8, mask=b"\0", logps=b"\0" * 4)
    with pytest.raises(ValueError, match="differ in length"):
        make_sample(trajectory(Key(3, 4), torn))
    with pytest.raises(ValueError, match="budget_tokens"):
        pack([], 0)
