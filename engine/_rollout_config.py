"""How rollouts are run, and what they count."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ._dialogue import MOST_CHARS
from ._messages import End, Key, Task, Trajectory

MayRetry = Callable[[str, Key, int, bool], bool]
"""Whether a dialogue that failed is tried again: (phase, key, tries so far, what the budget says)."""


class RolloutConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How dialogues are run.

    samples:       trajectories per task, compared with one another as a group.
    live:          dialogues alive at once.
    deadline_s:    seconds one attempt at a dialogue may take, all its waiting included (but not
                   the wait for a place before it, nor for the store after it). Each of `attempts`
                   has its own: an attempt is a fresh dialogue, and one that inherited what is left
                   would fail for what the last one met. So a dialogue takes at most
                   `attempts * deadline_s`. `inf` is no deadline.
    attempts:      times a dialogue whose party fails is tried, the first included.
    retry_budget:  retries allowed in all, as a share of the dialogues admitted so far (and never
                   fewer than 10): an outage must not turn into a storm of retries.
    wave:          lockstep: admit this many groups at once and wait for all of them to end before
                   the next. 0 admits whenever there is room.
    dialogue_chars: characters of text that one dialogue may hold, the agent's and the
                   environment's together; also the tokens that it may hold. Memory is bounded by
                   this times `live`.
    """

    samples: int = 1
    live: int = 1024
    deadline_s: float = 600.0
    attempts: int = 3
    retry_budget: float = 0.2
    wave: int = 0
    dialogue_chars: int = MOST_CHARS

    def __post_init__(self) -> None:
        for name in ("samples", "live", "attempts", "dialogue_chars"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.deadline_s > 0:
            raise ValueError(f"deadline_s is {self.deadline_s}; it must be positive")
        if self.wave < 0:
            raise ValueError(f"wave is {self.wave}; it is a number of groups, or 0 for no waves")
        if self.wave and self.wave * self.samples > self.live:
            raise ValueError(
                f"a wave of {self.wave} groups of {self.samples} needs live = "
                f"{self.wave * self.samples}, but live is {self.live}"
            )


class RolloutStats(Struct, kw_only=True):
    """Running counts. `admitted` = `live` + `ended`."""

    admitted: int = 0
    live: int = 0
    ended: int = 0
    groups: int = 0
    retried: int = 0
    turns: int = 0
    reward: float = 0.0
    counted: int = 0
    ends: dict[End, int] = {}

    @property
    def mean_reward(self) -> float:
        """Mean over the dialogues that count; nan before the first."""
        return self.reward / self.counted if self.counted else float("nan")


class Carried(Struct, frozen=True, kw_only=True):
    """A group that an earlier life of the run began: its finished samples, none to be run again."""

    ordinal: int
    task: Task
    trajectories: tuple[Trajectory, ...] = ()
