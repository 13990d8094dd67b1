"""Whether something grows: memory sampled along a run, and the line through it with its interval."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from itertools import pairwise
from math import inf, sqrt
from pathlib import Path

from msgspec import Struct

MIB = 2**20
_STATM = Path("/proc/self/statm")

T_95 = (inf, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for a two-sided 95 % interval, by degrees of freedom; 2.1 is near enough above."""


class Slope(Struct, frozen=True, kw_only=True):
    """A line through samples: growth in MiB an hour with its 95 % interval; n samples with this
    mean; `growth` is the upper end of the interval over the time that was sampled, in MiB."""

    mib_per_hour: float
    low: float
    high: float
    n: int
    mean_mib: float
    growth_mib: float

    @property
    def flat(self) -> bool:
        """Not distinguishable from no growth, or at most 2 % of what there is."""
        return self.low <= 0 or self.growth_mib <= 0.02 * self.mean_mib


def resident_mib() -> float:
    """What the process holds now, in MiB. Garbage that only the collector finds is found first:
    when it runs is chance, and not what is asked."""
    gc.collect()
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def slope(at_s: Sequence[float], mib: Sequence[float]) -> Slope:
    """The least-squares line through the samples after the first third, which is warming up.

    Memory moves in steps, so neighbours are alike: the interval is widened by the correlation of
    neighbouring residuals.
    """
    start = len(at_s) // 3
    x = [second / 3600 for second in at_s[start:]]
    y = list(mib[start:])
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    spread = sum((each - mean_x) ** 2 for each in x)
    rate = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    left = [b - mean_y - rate * (a - mean_x) for a, b in zip(x, y, strict=True)]
    squares = sum(each**2 for each in left)
    alike = sum(a * b for a, b in pairwise(left)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), 0.95)
    error = sqrt(squares / max(1, n - 2) / spread * (1 + alike) / (1 - alike))
    reach = (T_95[n - 2] if n - 2 < len(T_95) else 2.1) * error
    return Slope(
        mib_per_hour=round(rate, 3),
        low=round(rate - reach, 3),
        high=round(rate + reach, 3),
        n=n,
        mean_mib=round(mean_y, 1),
        growth_mib=round((rate + reach) * (x[-1] - x[0]), 3),
    )
