"""A mean and how sure it is."""

from __future__ import annotations

from msgspec import Struct


class Interval(Struct, frozen=True, kw_only=True):
    """`mean` as measured, and where it would lie in `level` of all draws of as many tasks.

    n:     values that went in.
    tasks: how many tasks they come from; with a single one, low and high are the mean itself and
           say nothing about other tasks.
    """

    mean: float
    low: float
    high: float
    n: int
    tasks: int
