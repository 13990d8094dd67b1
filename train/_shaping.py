"""From rewards to advantages: what each turn of each trajectory of a group is worth.

Three steps, all in plain floats, so the engine's side and offline re-scoring need no torch:

1. `turn_credits`: the rewards of one trajectory become one credit a turn (UserRL section 4.1);
2. `trajectory_score`: the rewards of one trajectory become the number GRPO compares;
3. `group_advantages`: scores are compared within their group and spread over the turns.

UserRL's paper and its released code disagree (its "Sum" is a mean, its std is the sample's); each
of the two is spelled out under a name of its own. The `official_*` functions at the end speak the
released code's own vocabulary and padded layout.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import Struct

from ..engine import Trajectory

CreditMethod = Literal["naive", "equalized", "r2g", "em"]
ScoreMethod = Literal["sum", "mean", "official_sum", "r2g", "last", "max"]
Combine = Literal["plain", "official", "paper"]
Scale = Literal["none", "sample", "population", "batch"]

EPSILON = 1e-6

# Scores closer than this (relative to their size) are the same score summed in another order. The
# released code divides such noise by epsilon and trains on it; here the group is worth nothing.
_NOISE = 1e-9


class Shaping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rewards become advantages.

    The defaults centre the undiscounted return and divide by nothing: dividing by the group's std
    collapsed the entropy of small models.
    """

    turn: CreditMethod = "equalized"
    score: ScoreMethod = "sum"
    combine: Combine = "plain"
    scale: Scale = "none"
    gamma: float = 0.8
    k: float = 2.0

    def __post_init__(self) -> None:
        _check_name(self.turn, CreditMethod, "turn-level method")
        _check_name(self.score, ScoreMethod, "trajectory score")
        _check_name(self.combine, Combine, "combination")
        _check_name(self.scale, Scale, "scale")
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], not {self.gamma}")
        if self.k == 0.0 or not math.isfinite(self.k):
            raise ValueError(f"k must be finite and not 0, not {self.k}: r2g and naive need no k")


def shape(trajectories: Sequence[Trajectory], shaping: Shaping) -> list[list[float]]:
    """One advantage a generation for each trajectory, grouped by `key.group`.

    The inner lists run parallel to `tokens.turns`. Give it only the members that are trained on:
    whoever is listed counts in the group's mean. Raises ValueError, naming the trajectory, when one
    has no tokens.
    """
    return group_advantages(
        [
            Scored(
                group=trajectory.key.group,
                score=trajectory_score(trajectory.rewards, shaping.score, gamma=shaping.gamma),
                credits=turn_credits(
                    trajectory.rewards, shaping.turn, gamma=shaping.gamma, k=shaping.k
                ),
                tokens=trained_tokens(trajectory),
            )
            for trajectory in trajectories
        ],
        combine=shaping.combine,
        scale=shaping.scale,
    )


def trained_tokens(trajectory: Trajectory) -> list[int]:
    """How many sampled tokens each generation of the trajectory holds."""
    tokens = trajectory.tokens
    if tokens is None:
        raise ValueError(f"trajectory {trajectory.key} has no tokens: it cannot be trained on")
    return [
        tokens.mask[start:end].count(1) for start, end in _turn_ranges(tokens.turns, len(tokens))
    ]


# ---------------------------------------------------------------- one trajectory


def turn_credits(
    rewards: Sequence[float],
    method: CreditMethod,
    *,
    gamma: float = 0.8,
    k: float = 2.0,
    equalized: float = 1.0,
    digits: int | None = None,
) -> list[float]:
    """One credit a turn (UserRL section 4.1).

    naive:     the reward itself.
    equalized: the same constant for every turn.
    r2g:       the discounted sum of this reward and all later ones.
    em:        0.5 + 0.5 (1 - e^(-k r)) / (1 - e^(-k)): 0.5 at r=0, 1 at r=1.

    `digits` rounds the `em` credits; the released code uses 4.
    """
    _check_name(method, CreditMethod, "turn-level method")
    match method:
        case "naive":
            return [float(reward) for reward in rewards]
        case "equalized":
            return [equalized] * len(rewards)
        case "r2g":
            return list(_rewards_to_go(rewards, gamma))[::-1]
        case "em":
            mapped = [0.5 + 0.5 * (1 - math.exp(-k * r)) / (1 - math.exp(-k)) for r in rewards]
            return mapped if digits is None else [round(credit, digits) for credit in mapped]


def trajectory_score(rewards: Sequence[float], method: ScoreMethod, *, gamma: float = 0.8) -> float:
    """The number by which GRPO compares trajectories; 0 when there are no turns.

    `sum` is the paper's; `official_sum` is what the released code calls "Sum": the mean over turns,
    rounded to 4 decimals. `r2g` discounts from the first turn.
    """
    _check_name(method, ScoreMethod, "trajectory score")
    if not rewards:
        return 0.0
    match method:
        case "sum":
            return _plain_sum(rewards)
        case "mean":
            return _plain_sum(rewards) / len(rewards)
        case "official_sum":
            return round(_plain_sum(rewards) / len(rewards), 4)
        case "r2g":
            return list(_rewards_to_go(rewards, gamma))[-1]
        case "last":
            return float(rewards[-1])
        case "max":
            return float(max(rewards))


def _rewards_to_go(rewards: Sequence[float], gamma: float) -> Iterator[float]:
    """Horner's scheme from the last turn to the first, in that order."""
    to_go = 0.0
    for reward in reversed(rewards):
        to_go = reward + gamma * to_go
        yield to_go


def _plain_sum(rewards: Sequence[float]) -> float:
    """Left to right, one rounding a step. Python 3.12's `sum` compensates; reference values don't."""
    total = 0.0
    for reward in rewards:
        total += reward
    return total


# ---------------------------------------------------------------- a batch of groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One trajectory as the comparison within its group sees it.

    group:   which trajectories it is compared with.
    credits: one a turn; turns without one get 0, credits without a turn are ignored.
    tokens:  how many trained tokens each turn holds.
    """

    group: Hashable
    score: float
    credits: Sequence[float]
    tokens: Sequence[int]


def group_advantages(
    batch: Sequence[Scored],
    *,
    combine: Combine = "plain",
    scale: Scale = "none",
    epsilon: float = EPSILON,
) -> list[list[float]]:
    """Advantages parallel to each trajectory's `tokens`; all tokens of a turn share one.

    With mean mu of the group's scores, z = (score - mu) / (sigma + epsilon), where sigma is the
    group's `sample` or `population` std, the sample std of the `batch`'s scores, or 1 (`none`, and
    then without epsilon):

    plain:    z on every turn: GRPO.
    official: z * credit / (mean of the non-zero credits, weighted by tokens), or 0 throughout when
              the credits cancel: what UserRL's code runs. A group of one has mu 0 and sigma 1.
    paper:    (credit - mu) / (sigma + epsilon); the paper's sigma is `population`.

    A group whose scores are all the same is worth exactly 0 on every turn, and so is a group of
    one except under `official`.
    """
    _check_name(combine, Combine, "combination")
    _check_name(scale, Scale, "scale")
    scores_of: dict[Hashable, list[float]] = {}
    for scored in batch:
        scores_of.setdefault(scored.group, []).append(scored.score)
    batch_std = _std([scored.score for scored in batch], ddof=1)
    norms = {
        group: _norm(scores, combine, scale, batch_std, epsilon)
        for group, scores in scores_of.items()
    }
    return [_turn_advantages(scored, combine, *norms[scored.group]) for scored in batch]


def _norm(
    scores: Sequence[float], combine: Combine, scale: Scale, batch_std: float, epsilon: float
) -> tuple[float, float]:
    """What to subtract from a group's scores, and what to multiply the difference with."""
    if len(scores) == 1 and combine == "official":
        return 0.0, 1.0 if scale == "none" else 1.0 / (1.0 + epsilon)
    low, high = min(scores), max(scores)
    if high - low <= _NOISE * max(1.0, abs(low), abs(high)):
        return low, 0.0
    mean = math.fsum(scores) / len(scores)
    match scale:
        case "none":
            return mean, 1.0
        case "sample":
            return mean, 1.0 / (_std(scores, ddof=1) + epsilon)
        case "population":
            return mean, 1.0 / (_std(scores, ddof=0) + epsilon)
        case "batch":
            return mean, 1.0 / (batch_std + epsilon)


def _turn_advantages(scored: Scored, combine: Combine, mean: float, factor: float) -> list[float]:
    turns = len(scored.tokens)
    if factor == 0.0:
        return [0.0] * turns
    z = (scored.score - mean) * factor
    credits = [*scored.credits[:turns], *[0.0] * (turns - len(scored.credits))]
    match combine:
        case "plain":
            return [z] * turns
        case "paper":
            return [(credit - mean) * factor for credit in credits]
        case "official":
            live = sum(n for credit, n in zip(credits, scored.tokens, strict=True) if credit != 0.0)
            total = math.fsum(credit * n for credit, n in zip(credits, scored.tokens, strict=True))
            if total == 0.0:
                return [0.0] * turns
            return [credit * z * live / total for credit in credits]


def _std(values: Sequence[float], *, ddof: int) -> float:
    """Standard deviation with `ddof` degrees of freedom lost; 0 where there are none left."""
    if len(values) <= ddof:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - ddof))


def _turn_ranges(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """[start, end) of each turn in a stream of `length`; the last one runs to the end."""
    return list(zip(starts, [*starts[1:], length], strict=True))


def _check_name(name: str, names: object, what: str) -> None:
    known: tuple[str, ...] = get_args(names)
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(known)}")


# ---------------------------------------------------------------- the released code's own words

_OFFICIAL_CREDITS: dict[str, CreditMethod] = {"Equalized": "equalized", "R2G": "r2g", "EM": "em"}
_OFFICIAL_SCORES: dict[str, ScoreMethod] = {"Sum": "official_sum", "R2G": "r2g"}


def official_turn_credits(
    turn_rewards: Sequence[float],
    gamma: float,
    turn_level_method: str,
    trajectory_score_method: str,
) -> tuple[list[float], float]:
    """UserRL's `compute_turn_credits`: (credits, score). ValueError for a name it doesn't know."""
    if turn_level_method not in _OFFICIAL_CREDITS:
        raise ValueError(f"unknown turn level method: {turn_level_method!r}")
    if trajectory_score_method not in _OFFICIAL_SCORES:
        raise ValueError(f"unknown trajectory score method: {trajectory_score_method!r}")
    return (
        turn_credits(turn_rewards, _OFFICIAL_CREDITS[turn_level_method], gamma=gamma, digits=4),
        trajectory_score(turn_rewards, _OFFICIAL_SCORES[trajectory_score_method], gamma=gamma),
    )


def official_token_advantages(
    *,
    turn_rewards: Sequence[Sequence[float]],
    turn_starts: Sequence[Sequence[int]],
    response_mask: Sequence[Sequence[int]],
    group_ids: Sequence[Hashable],
    gamma: float,
    turn_level_method: str,
    trajectory_score_method: str,
    norm_by_std: bool = True,
    epsilon: float = EPSILON,
) -> list[list[float]]:
    """UserRL's `compute_grpo_multiturn_advantage`: advantages [batch][response position].

    Turn k covers the response positions from its start to the next one's; a trajectory without a
    recorded start is a single turn. Starts beyond the response were cut off with it, though their
    rewards still count in the score.
    """
    batch: list[Scored] = []
    layout: list[list[tuple[int, int]]] = []
    for rewards, starts, mask, group in zip(
        turn_rewards, turn_starts, response_mask, group_ids, strict=True
    ):
        credits, score = official_turn_credits(
            rewards, gamma, turn_level_method, trajectory_score_method
        )
        kept = [start for start in starts if start < len(mask)]
        ranges = _turn_ranges(kept if starts else [0], len(mask))
        counts = [sum(1 for flag in mask[start:end] if flag) for start, end in ranges]
        batch.append(Scored(group=group, score=score, credits=credits, tokens=counts))
        layout.append(ranges)
    advantages = group_advantages(
        batch, combine="official", scale="sample" if norm_by_std else "none", epsilon=epsilon
    )
    return [
        _spread(turns, ranges, mask)
        for turns, ranges, mask in zip(advantages, layout, response_mask, strict=True)
    ]


def official_outcome_advantages(
    *,
    token_level_rewards: Sequence[Sequence[float]],
    mask: Sequence[Sequence[float]],
    group_ids: Sequence[Hashable],
    norm_by_std: bool = True,
    epsilon: float = EPSILON,
) -> list[list[float]]:
    """verl's `compute_grpo_outcome_advantage`: each row's reward total, compared in its group."""
    batch = [
        # One credit of 1 over one turn: `official` then leaves z as it is.
        Scored(group=group, score=_plain_sum(rewards), credits=[1.0], tokens=[1])
        for rewards, group in zip(token_level_rewards, group_ids, strict=True)
    ]
    advantages = group_advantages(
        batch, combine="official", scale="sample" if norm_by_std else "none", epsilon=epsilon
    )
    return [
        [turn[0] if flag else 0.0 for flag in row]
        for turn, row in zip(advantages, mask, strict=True)
    ]


def _spread(
    turns: Sequence[float], ranges: Sequence[tuple[int, int]], mask: Sequence[int]
) -> list[float]:
    """Each turn's advantage on its masked positions, 0 elsewhere."""
    row = [0.0] * len(mask)
    for advantage, (start, end) in zip(turns, ranges, strict=True):
        for position in range(start, end):
            row[position] = advantage if mask[position] else 0.0
    return row
