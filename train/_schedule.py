"""The learning rate over steps."""

from __future__ import annotations

from msgspec import Struct


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A learning rate over steps: linear warm-up to `peak`, then constant, or, with `decay_steps`,
    falling in a line that would reach 0 at that step but stops at `floor` times the peak."""

    peak: float
    warmup_steps: int = 0
    decay_steps: int | None = None
    floor: float = 0.05

    def __post_init__(self) -> None:
        if self.peak <= 0.0 or not 0.0 <= self.floor <= 1.0:
            raise ValueError(f"peak={self.peak} must be above 0, floor={self.floor} in [0, 1]")
        if self.warmup_steps < 0 or (self.decay_steps is not None and self.decay_steps < 1):
            raise ValueError(
                f"warmup_steps={self.warmup_steps} must not be negative, "
                f"decay_steps={self.decay_steps} not below 1"
            )


def learning_rate(step: int, schedule: Schedule) -> float:
    """The rate of step `step`, counted from 0; no warm-up step has rate 0."""
    warm = min(1.0, (step + 1) / max(1, schedule.warmup_steps))
    if schedule.decay_steps is None:
        return schedule.peak * warm
    return schedule.peak * warm * max(schedule.floor, 1.0 - step / schedule.decay_steps)
