"""How sure a mean over tasks is: bootstrap intervals that resample whole tasks.

Samples of one task resemble each other, so drawing single dialogues would make intervals too
narrow by a factor that grows with the samples per task. Whole tasks are drawn instead, each with
the mean of its samples, so every task weighs the same however many of its dialogues failed.
Intervals are percentile intervals (Efron 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..engine import Seed
from ._interval import Interval as Interval

ByTask = Mapping[str, Sequence[float]]
_Doubles = NDArray[np.float64]


def interval(values_by_task: ByTask, *, seed: Seed, n: int = 2000, level: float = 0.95) -> Interval:
    """The mean over tasks of each task's mean, from `n` resamples.

    Raises ValueError without tasks, or for a task without values.
    """
    means_T = _task_means(values_by_task)
    return _interval([means_T], lambda means: means[0], [values_by_task], seed, n, level)


def difference(
    values_by_task: ByTask,
    baseline_by_task: ByTask,
    *,
    seed: Seed,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of `values` minus that of `baseline` on the same tasks, drawn together: what makes
    a task hard cancels. Raises ValueError when the tasks are not the same."""
    pair = _paired(values_by_task, baseline_by_task)
    sources = [values_by_task, baseline_by_task]
    return _interval(pair, lambda means: means[0] - means[1], sources, seed, n, level)


def ratio(
    values_by_task: ByTask,
    baseline_by_task: ByTask,
    *,
    seed: Seed,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of `values` as a fraction of that of `baseline` (policy / expert) on the same tasks.

    Means are taken before dividing: a fraction per task would blow up where the baseline earned
    next to nothing. Resamples in which it earned exactly nothing are left out. Raises ValueError
    when the tasks are not the same, or the baseline's mean is 0.
    """
    pair = _paired(values_by_task, baseline_by_task)
    if pair[1].mean() == 0.0:
        raise ValueError("the baseline's mean is 0: nothing can be said as a fraction of it")

    def divided(means: Sequence[_Doubles]) -> _Doubles:
        numerator, denominator = means
        live = denominator != 0.0
        quotient: _Doubles = numerator[live] / denominator[live]
        return quotient

    return _interval(pair, divided, [values_by_task, baseline_by_task], seed, n, level)


def weighted_interval(
    values_by_group: Mapping[str, ByTask],
    weights: Mapping[str, float],
    *,
    seed: Seed,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of several groups' means, each with its weight; tasks are drawn within each group,
    as many as it has, so that no draw shifts the weights.

    Raises ValueError without groups, tasks or weight.
    """
    total = sum(weights[group] for group in values_by_group)
    if not total > 0.0:
        raise ValueError("no groups, or no weight on any: there is no mean to be sure of")
    _check(n, level)
    resampled_n = np.zeros(n)
    measured = 0.0
    for group, values_by_task in sorted(values_by_group.items()):
        means_T = _task_means(values_by_task)
        share = weights[group] / total
        drawn_nT = _draws(seed / group, n, len(means_T))
        resampled_n += share * means_T[drawn_nT].mean(axis=1)
        measured += share * float(means_T.mean())
    low, high = np.quantile(resampled_n, _ends(level))
    every = [values for tasks in values_by_group.values() for values in tasks.values()]
    return Interval(
        mean=measured, low=float(low), high=float(high), n=sum(map(len, every)), tasks=len(every)
    )


def _interval(
    means_of: Sequence[_Doubles],
    statistic: Callable[[Sequence[_Doubles]], _Doubles],
    sources: Sequence[ByTask],
    seed: Seed,
    n: int,
    level: float,
) -> Interval:
    _check(n, level)
    tasks = len(means_of[0])
    drawn_nT = _draws(seed, n, tasks)
    resampled = statistic([means_T[drawn_nT].mean(axis=1) for means_T in means_of])
    measured = statistic([means_T.mean(keepdims=True) for means_T in means_of])
    low, high = np.quantile(resampled, _ends(level))
    return Interval(
        mean=float(measured[0]),
        low=float(low),
        high=float(high),
        n=sum(len(values) for source in sources for values in source.values()),
        tasks=tasks,
    )


def _check(n: int, level: float) -> None:
    if n < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"n={n} must be at least 1 and level={level} between 0 and 1")


def _draws(seed: Seed, n: int, tasks: int) -> NDArray[np.int64]:
    """[n, T]: which task stands where in each resample."""
    return np.random.default_rng(seed.integer()).integers(tasks, size=(n, tasks))


def _ends(level: float) -> list[float]:
    return [(1.0 - level) / 2.0, (1.0 + level) / 2.0]


def _paired(values_by_task: ByTask, baseline_by_task: ByTask) -> list[_Doubles]:
    unpaired = sorted(values_by_task.keys() ^ baseline_by_task.keys())
    if unpaired:
        raise ValueError(
            f"{len(unpaired)} tasks are in one set only, such as {unpaired[0]!r}: "
            "compare over the same tasks"
        )
    return [_task_means(values_by_task), _task_means(baseline_by_task)]


def _task_means(values_by_task: ByTask) -> _Doubles:
    """[T], by task name, so that the order in which tasks finished changes nothing."""
    if not values_by_task:
        raise ValueError("no tasks: there is no mean to be sure of")
    empty = sorted(task for task, values in values_by_task.items() if not len(values))
    if empty:
        raise ValueError(f"task {empty[0]!r} has no values: leave it out, and count it apart")
    return np.array(
        [np.mean(values_by_task[task]) for task in sorted(values_by_task)], dtype=np.float64
    )
