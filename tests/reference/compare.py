"""What a check of a recorded case is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

Case = dict[str, Any]


class Differs(Exception):
    """Ours came to something else; says what was expected and what came."""


class Skip(Exception):
    """A case that cannot be run here; says why."""


def same(what: str, got: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Raise `Differs` unless the two are equal, numbers within `tolerance` (absolute or relative).

    The strings inf, -inf and nan stand for those floats.
    """
    if isinstance(expected, list) and isinstance(got, list | tuple):
        ours, wanted = list(cast("Sequence[Any]", got)), list(cast("Sequence[Any]", expected))
        if len(ours) != len(wanted):
            raise Differs(f"{what} has {len(ours)} items, not {len(wanted)}: {ours!r}")
        for i, (mine, theirs) in enumerate(zip(ours, wanted, strict=True)):
            same(f"{what}[{i}]", mine, theirs, tolerance)
        return
    if expected in ("inf", "-inf", "nan") and not isinstance(got, str):
        expected = float(expected)
    if isinstance(got, int | float) and isinstance(expected, int | float):
        if math.isnan(got) and math.isnan(expected):
            return
        close = tolerance and math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
        if got == expected or close:
            return
    elif got == expected:
        return
    raise Differs(f"{what} is {got!r}, not {expected!r}")
