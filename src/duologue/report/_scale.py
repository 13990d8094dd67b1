"""Axes whose ticks fall on round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ._numbers import MINUS


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values and the round numbers to mark on it."""

    low: float
    high: float
    step: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where the value falls, from 0 (low end) to 1."""
        return (value - self.low) / (self.high - self.low)

    def label(self, tick: float) -> str:
        """The tick in just as many digits as its neighbours need."""
        return _label(tick, self.step, max(abs(self.low), abs(self.high)))


def axis(values: Iterable[float], *, zero: bool = False, count: int = 4) -> Axis:
    """An axis whose ends are ticks, so that the grid closes around the data."""
    low, high = _range(values, zero=zero)
    step = _nice(low, high, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(i * step for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], step, ticks)


def step_axis(steps: Iterable[float], *, count: int = 5) -> Axis:
    """An axis of optimiser steps: it spans just the data, and marks whole numbers only."""
    low, high = _range(steps, zero=False, room=1.0)
    step = max(1.0, _nice(low, high, count))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, step, tuple(i * step for i in range(first, last + 1)))


def _range(values: Iterable[float], *, zero: bool, room: float = 0.0) -> tuple[float, float]:
    known = [*values, 0.0] if zero else list(values)
    low, high = min(known, default=0.0), max(known, default=0.0)
    size = max(abs(low), abs(high))
    if high - low <= max(size * 1e-9, 1e-90):  # one value: give it air, or nothing can be placed
        room = max(room, size * 0.1) or 1.0
        return (0.0, room) if zero and not size else (low - room, high + room)
    return low, high


def _nice(low: float, high: float, count: int) -> float:
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next((m * magnitude for m in (1, 2, 2.5, 5) if m * magnitude >= rough), 10 * magnitude)


def _label(tick: float, step: float, largest: float) -> str:
    if abs(tick) < step / 2:
        return "0"
    if largest >= 1e16 or step < 1e-4:
        return f"{tick:.3g}".replace("-", MINUS)
    # One letter for the whole axis, and only from 10k on: "900, 1k" would be read twice.
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size:
            return _decimals(tick / size, step / size) + letter
    return _decimals(tick, step)


def _decimals(tick: float, step: float) -> str:
    digits = next((d for d in range(6) if _is_whole(step * 10**d)), 6)
    return f"{tick:.{digits}f}".replace("-", MINUS)


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6 * value
