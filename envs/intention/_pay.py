"""What a question earns by the details it covers."""

from __future__ import annotations

from collections.abc import Iterable

_PAY = {3: 1.0, 2: 0.7, 1: 0.4}

EXTRA = 0.2
"""What each further detail of the same question costs."""


def coverage_reward(
    importances: Iterable[str | int], *, extra: float = EXTRA, scale: float = 1.0
) -> float:
    """What one question earns by the importances of the details it newly covers.

    The most important one pays; with the default `scale` the reward lies in [0, 1].
    """
    covered = [int(importance) for importance in importances]
    if not covered:
        return 0.0
    base = _PAY.get(max(covered), _PAY[1])
    if len(covered) > 1:
        base = max(0.0, base - extra * (len(covered) - 1))
    return base * scale
