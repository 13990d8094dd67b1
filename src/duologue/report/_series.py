"""Curves read from rows of metrics: gaps kept, noise smoothed, long ones thinned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ._numbers import number

Point = tuple[float, float]

_SMOOTH_FROM = 12
_POINTS = 1200


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over the steps; None is a gap."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]

    def runs(self) -> list[list[Point]]:
        """The stretches without a gap; a lone point is a run of one."""
        runs: list[list[Point]] = [[]]
        for step, value in zip(self.steps, self.values, strict=True):
            if value is not None:
                runs[-1].append((step, value))
            elif runs[-1]:
                runs.append([])
        return [run for run in runs if run]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of metrics in step order, one a step."""

    steps: tuple[float, ...]
    rows: tuple[Mapping[str, object], ...]

    def metrics(self) -> list[str]:
        """Every metric with at least one value, `step` aside, in alphabetical order."""
        names = {name for row in self.rows for name in row} - {"step"}
        return sorted(name for name in names if self.series(name) is not None)

    def series(self, key: str, name: str | None = None) -> Series | None:
        """The metric under that key, or None when no row has a value for it."""
        values = tuple(number(row.get(key)) for row in self.rows)
        if all(value is None for value in values):
            return None
        return Series(key if name is None else name, self.steps, values)


def read(rows: Iterable[Mapping[str, object]]) -> Rows:
    """The rows in step order. A row without a step takes its position, and where two rows share a
    step the later one stands: it belongs to the lineage that survived."""
    by_step: dict[float, Mapping[str, object]] = {}
    for position, row in enumerate(rows, start=1):
        step = number(row.get("step"))
        by_step[float(position) if step is None else step] = row
    steps = tuple(sorted(by_step))
    return Rows(steps, tuple(by_step[step] for step in steps))


def smoothing_radius(series: Series) -> int:
    """How many neighbours on each side are averaged; 0 leaves a short curve alone."""
    count = len(series.known)
    return 0 if count < _SMOOTH_FROM else min(60, max(2, count // 16))


def smoothed(series: Series, radius: int) -> Series:
    """A centred, bell-weighted mean, which lags behind nothing; gaps stay gaps.

    A trailing average would shift every rise to the right of the step that caused it.
    """
    weights = [math.exp(-2.0 * (offset / (radius + 1)) ** 2) for offset in range(radius + 1)]
    values = series.values

    def mean(middle: int) -> float:
        total = mass = 0.0
        for i in range(max(0, middle - radius), min(len(values), middle + radius + 1)):
            value = values[i]
            if value is not None:
                weight = weights[abs(i - middle)]
                total += weight * value
                mass += weight
        return total / mass

    result = tuple(None if value is None else mean(i) for i, value in enumerate(values))
    return Series(series.name, series.steps, result)


def thinned(run: Sequence[Point], limit: int = _POINTS) -> Sequence[Point]:
    """At most about `limit` points: the lowest and the highest of each bucket, in order, so that
    no spike disappears."""
    if len(run) <= limit:
        return run
    size = math.ceil(2 * len(run) / limit)
    kept: list[Point] = [run[0]]
    for start in range(0, len(run), size):
        bucket = run[start : start + size]
        lowest, highest = min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1])
        kept.extend(sorted({lowest, highest}))
    kept.append(run[-1])
    return sorted(set(kept))
