"""Numbers as a reader meets them: rounded, signed, and in shares that sum to the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsFloat

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ARROW = "\N{RIGHTWARDS ARROW}"
THIN = "\N{NARROW NO-BREAK SPACE}"

# Beyond this a value is a fault, and the arithmetic of axes would overflow.
_LARGEST = 1e100


def number(value: object) -> float | None:
    """The value as a float that can be drawn, else None."""
    if not isinstance(value, SupportsFloat):
        return None
    try:
        result = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return result if abs(result) <= _LARGEST else None


def figure(value: float | None) -> str:
    """Three significant digits (whole numbers in full), or a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-4:
        text = f"{value:.3g}"
    elif size >= 100 or value == int(value):
        text = f"{value:,.0f}"
    elif size >= 1:
        text = f"{value:.{2 if size < 10 else 1}f}"
    else:
        text = f"{value:.{3 if size >= 0.1 else 4}f}"
    return text.replace("-", MINUS)


def signed(value: float) -> str:
    """A reward as a badge: its sign always written, two or three decimals."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    digits = 2 if round(value, 2) == round(value, 3) else 3
    text = f"{value:+.{digits}f}" if abs(value) < 1e6 else f"{value:+.3g}"
    return text.replace("-", MINUS)


def percent(fraction: float | None) -> str:
    if fraction is None or not math.isfinite(fraction):
        return DASH
    return f"{fraction * 100:.1f}{THIN}%".replace("-", MINUS)


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shares(counts: Sequence[int], parts: int = 1000) -> list[int]:
    """`parts` split in proportion to the counts, summing exactly to `parts`.

    Largest remainder: each count gets its floor, and what is left goes to those that lost most.
    Rounding each alone would print fates that sum to 99.9 or 100.1.
    """
    total = sum(counts)
    if total <= 0:
        return [0 for _ in counts]
    floors = [count * parts // total for count in counts]
    lost = sorted(range(len(counts)), key=lambda i: (-(counts[i] * parts % total), i))
    for i in lost[: parts - sum(floors)]:
        floors[i] += 1
    return floors


def permille(share: int) -> str:
    """A share of 1000 written as a percentage."""
    return f"{share // 10}.{share % 10}{THIN}%"
