"""Trajectories into packs: flat runs of tokens without padding, cut to a budget.

Shapes:

    N  tokens of one pack: its dialogues end to end, each with positions from 0
    M  trained tokens of one pack: those the policy sampled

The token at place i of a dialogue is predicted from the hidden state at i - 1, so `source_M` points
one place before each target, and the first token of a dialogue is never a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine import Key, Tokens, Trajectory

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

UNKNOWN_VERSION = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One dialogue's token stream with what each trained token is worth.

    ids_N int64; target_M int64, the places of the trained tokens, ascending and never 0; and for
    each of them behaviour_logp_M fp32, advantage_M fp32 and version_M int64, the weights that
    sampled it (`UNKNOWN_VERSION` where nobody recorded any).
    """

    key: Key
    ids_N: Ints
    target_M: Ints
    behaviour_logp_M: Floats
    advantage_M: Floats
    version_M: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pack:
    """Dialogues end to end, as the model reads them in one pass.

    keys, lengths: which dialogues, in order, and how long each one is; lengths sum to N.
    ids_N, positions_N: int64.
    source_M:      int64, the place in the pack whose hidden state predicts the trained token.
    targets_M:     int64, the trained token's id.
    sequence_M:    int64, which of the pack's dialogues it belongs to.
    behaviour_logp_M, advantage_M: fp32. version_M: int64.
    """

    keys: tuple[Key, ...]
    lengths: tuple[int, ...]
    ids_N: Ints
    positions_N: Ints
    source_M: Ints
    targets_M: Ints
    sequence_M: Ints
    behaviour_logp_M: Floats
    advantage_M: Floats
    version_M: Ints

    @property
    def tokens(self) -> int:
        return len(self.ids_N)

    @property
    def trained_tokens(self) -> int:
        return len(self.targets_M)

    @property
    def trained_sequences(self) -> int:
        """Dialogues with at least one trained token."""
        return len(np.unique(self.sequence_M))


def make_sample(trajectory: Trajectory, advantages: Sequence[float] | None = None) -> Sample:
    """`trajectory` as a `Sample`; `advantages` has one number a generation.

    Without advantages every trained token is worth 1, which is what supervised steps take. Raises
    ValueError, naming the trajectory, when it has no tokens or the numbers don't fit.
    """
    tokens = trajectory.tokens
    if tokens is None:
        raise ValueError(f"trajectory {trajectory.key} has no tokens: it cannot be trained on")
    ids_N = np.frombuffer(tokens.ids, dtype=np.int32).astype(np.int64)
    logps_N = np.frombuffer(tokens.logps, dtype=np.float32)
    mask_N = np.frombuffer(tokens.mask, dtype=np.uint8)
    if not len(ids_N) == len(logps_N) == len(mask_N):
        raise ValueError(
            f"trajectory {trajectory.key}: streams differ in length: "
            f"{len(ids_N)} ids, {len(mask_N)} mask, {len(logps_N)} log-probabilities"
        )
    # Nothing comes before the first token that could predict it.
    target_M = np.flatnonzero(mask_N[1:]) + 1
    if advantages is None:
        advantage_M = np.ones(len(target_M), dtype=np.float32)
    elif len(advantages) == len(tokens.turns):
        advantage_M = _of_turns(tokens, target_M, advantages)
    else:
        raise ValueError(
            f"trajectory {trajectory.key}: {len(advantages)} advantages for "
            f"{len(tokens.turns)} generations"
        )
    return Sample(
        key=trajectory.key,
        ids_N=ids_N,
        target_M=target_M,
        behaviour_logp_M=logps_N[target_M],
        advantage_M=advantage_M,
        version_M=_versions(tokens, target_M),
    )


def pack(samples: Iterable[Sample], budget_tokens: int) -> list[Pack]:
    """Every sample, once, in as few packs of at most `budget_tokens` as first-fit finds.

    Longest first, ties by key, so the packs depend on the set of samples and not on its order. A
    sample longer than the budget gets a pack of its own.
    """
    if budget_tokens < 1:
        raise ValueError(f"budget_tokens must be at least 1, not {budget_tokens}")
    bins: list[list[Sample]] = []
    room: list[int] = []
    for sample in sorted(samples, key=lambda sample: (-len(sample.ids_N), sample.key)):
        length = len(sample.ids_N)
        place = next((i for i, free in enumerate(room) if length <= free), len(bins))
        if place == len(bins):
            bins.append([])
            room.append(budget_tokens)
        bins[place].append(sample)
        room[place] -= length
    return [_join(members) for members in bins]


def _join(samples: Sequence[Sample]) -> Pack:
    lengths = [len(sample.ids_N) for sample in samples]
    offsets = np.cumsum([0, *lengths[:-1]])
    return Pack(
        keys=tuple(sample.key for sample in samples),
        lengths=tuple(lengths),
        ids_N=np.concatenate([sample.ids_N for sample in samples]),
        positions_N=np.concatenate([np.arange(length, dtype=np.int64) for length in lengths]),
        source_M=np.concatenate(
            [s.target_M - 1 + offset for s, offset in zip(samples, offsets, strict=True)]
        ),
        targets_M=np.concatenate([sample.ids_N[sample.target_M] for sample in samples]),
        sequence_M=np.repeat(
            np.arange(len(samples), dtype=np.int64), [len(s.target_M) for s in samples]
        ),
        behaviour_logp_M=np.concatenate([sample.behaviour_logp_M for sample in samples]),
        advantage_M=np.concatenate([sample.advantage_M for sample in samples]),
        version_M=np.concatenate([sample.version_M for sample in samples]),
    )


def _of_turns(tokens: Tokens, target_M: Ints, advantages: Sequence[float]) -> Floats:
    """Each trained token's turn's advantage; 0 before the first generation starts."""
    turn_M = np.searchsorted(np.asarray(tokens.turns, dtype=np.int64), target_M, side="right")
    return np.asarray([0.0, *advantages], dtype=np.float32)[turn_M]


def _versions(tokens: Tokens, target_M: Ints) -> Ints:
    version_N = np.full(len(tokens), UNKNOWN_VERSION, dtype=np.int64)
    for span in tokens.spans:
        version_N[span.start : span.end] = span.version
    return version_N[target_M]
