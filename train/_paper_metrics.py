"""The paper's numbers: what its evaluation prints, bug for bug, and what its tables call efficiency.

UserRL 2509.19736, sections 5 and 6, and the released `eval.py` and `analyze.py`. An item is a task;
a rollout is one dialogue on it, given by its turns' rewards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

TRAVEL = "travel"

Rollout = Sequence[float]


class Answer(NamedTuple):
    """One call of the tool, as the released history keeps it."""

    choice: str
    content: str
    reward: float


class Item(NamedTuple):
    """A task's rollouts: rewards by turn for most gyms, calls for travel."""

    rewards: Sequence[Rollout] = ()
    history: Sequence[Sequence[Answer]] = ()


class Comparison(NamedTuple):
    """`analyze.py`'s table: scores by model and gym, their weighted means, and the weights."""

    per_gym: dict[str, dict[str, float]]
    weighted: dict[str, float]
    counts: dict[str, int]


def official_summary(env: str, items: Sequence[Sequence[Rollout]]) -> dict[str, float]:
    """What `eval.py` prints for one environment.

    micro_avg: mean over items of the mean over rollouts of a rollout's summed rewards.
    micro_max: the same with the best rollout.

    For travel only an item's last rollout is read: the mean and the largest of its rewards, and how
    often a reward is exactly 0.8 and 1.
    """
    if env.startswith(TRAVEL):
        last = [list(rollouts[-1]) if rollouts else [] for rollouts in items]
        return {
            "micro_avg": _mean(_mean(rewards) for rewards in last),
            "micro_max": _mean(max(rewards, default=0.0) for rewards in last),
            "avg_number_of_08": _mean(rewards.count(0.8) for rewards in last),
            "avg_number_of_1": _mean(rewards.count(1.0) for rewards in last),
        }
    sums = [[sum(rollout) for rollout in rollouts] for rollouts in items]
    return {
        "micro_avg": _mean(_mean(rollouts) for rollouts in sums),
        "micro_max": _mean(max(rollouts, default=0.0) for rollouts in sums),
    }


def travel_score(env: str, history: Iterable[Answer]) -> float:
    """`analyze.py`'s score of a travel rollout: what was chosen for each aspect, at its best.

    An aspect goes by the first character of an answer's content, whatever that is; the sum over
    aspects is divided by the number of digits in the environment's name. An answer of several ids
    counts whole for the first one's aspect.
    """
    best: dict[str, float] = {}
    for answer in history:
        if answer.choice == "answer" and answer.content:
            key = answer.content[0]
            best[key] = max(best.get(key, answer.reward), answer.reward)
    digits = sum(letter.isdigit() for letter in env)
    return sum(best.values()) / digits if digits else 0.0


def official_comparison(
    models: Mapping[str, Mapping[str, Mapping[str, Item]]],
) -> Comparison:
    """`analyze.py`: models by environment by item.

    A gym's score is the mean over its items of the mean over rollouts; all travel environments are
    one gym. The weighted mean takes a gym's number of items, all models' environments together,
    over the gyms that a model has. Raises `KeyError`, as the released script does, for a model
    without a travel environment.
    """
    per_gym: dict[str, dict[str, float]] = {}
    sizes: dict[str, int] = {}
    for model, environments in models.items():
        scores: dict[str, list[float]] = {}
        for env, items in environments.items():
            sizes[env] = max(sizes.get(env, 0), len(items))
            gym = scores.setdefault(_gym(env), [])
            for item in items.values():
                if _gym(env) == TRAVEL:
                    gym.append(_mean(travel_score(env, history) for history in item.history))
                else:
                    gym.append(_mean(sum(rollout) for rollout in item.rewards))
        if TRAVEL not in scores:
            raise KeyError(TRAVEL)
        per_gym[model] = {gym: _mean(values) for gym, values in scores.items()}
    counts: dict[str, int] = {}
    for env, size in sizes.items():
        counts[_gym(env)] = counts.get(_gym(env), 0) + size
    weighted = {
        model: weighted_mean(scores, {gym: counts[gym] for gym in scores})
        for model, scores in per_gym.items()
    }
    return Comparison(per_gym=per_gym, weighted=weighted, counts=counts)


def weighted_mean(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mean of `scores`, each with its weight: the paper's micro average, with test sizes."""
    total = sum(weights[name] for name in scores)
    return sum(score * weights[name] for name, score in scores.items()) / total if total else 0.0


def effective_turns(rewards: Rollout) -> int:
    """Turns up to the last reward that is not 0, from 1; 0 when there is none (section 5.3)."""
    return max((turn for turn, reward in enumerate(rewards, 1) if reward), default=0)


def time_weighted(rewards: Rollout, *, base: int = 1) -> float:
    """Sum of r_i / (i + 1) over turns i, counted from `base`: the paper does not say 0 or 1."""
    return sum(reward / (turn + 1) for turn, reward in enumerate(rewards, base))


def _gym(env: str) -> str:
    return TRAVEL if env.startswith(TRAVEL) else env


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every) if every else 0.0
