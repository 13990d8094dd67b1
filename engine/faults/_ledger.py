"""What became of the dialogues that faults struck, kind by kind."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from .._messages import End, Trajectory
from ._kinds import GOES_ON, Kind
from ._plan import Attempt, Faults

SURPRISES = 20
"""How many dialogues that ended as they should not are kept by name."""


class FaultTally(Struct, frozen=True, kw_only=True):
    """One kind of fault in a run.

    injected:   how often it struck. dialogues: how many it struck in any attempt.
    ends:       how those ended at last. recovered: how many came to an end that counts.
    """

    kind: str
    injected: int
    dialogues: int
    recovered: int
    ends: dict[End, int]
    expected: str


class Surprise(Struct, frozen=True, kw_only=True):
    """An attempt that ended as none of the faults that struck it says."""

    phase: str
    group: int
    sample: int
    attempt: int
    end: End
    kinds: tuple[str, ...]


class FaultReport(Struct, frozen=True, kw_only=True):
    """What was injected and what became of it.

    dialogues: all there were; struck: those that a fault reached; recovered: those of them that
    came to an end that counts all the same. surprises: how many attempts ended as they should not,
    the first of them by name.
    """

    injected: int
    dialogues: int
    struck: int
    recovered: int
    surprises: int
    tallies: tuple[FaultTally, ...]
    surprised: tuple[Surprise, ...] = ()


class FaultLedger:
    """Books every dialogue that ended against the faults that struck it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._dialogues = self._struck = self._recovered = self._surprises = 0
        self._hit: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._ends: dict[str, dict[End, int]] = {}
        self._surprised: list[Surprise] = []

    def ended(self, trajectory: Trajectory, attempts: Sequence[Attempt]) -> None:
        """A dialogue is over after these attempts."""
        self._dialogues += 1
        kinds = set[str]().union(*(attempt.kinds for attempt in attempts))
        if not kinds:
            return
        end = trajectory.end
        recovered = end in GOES_ON
        self._struck += 1
        self._recovered += recovered
        for kind in kinds:
            self._hit[kind] = self._hit.get(kind, 0) + 1
            self._saved[kind] = self._saved.get(kind, 0) + recovered
            ends = self._ends.setdefault(kind, {})
            ends[end] = ends.get(end, 0) + 1
        for attempt, came_to in zip(attempts, (*trajectory.discarded, end), strict=True):
            self._judge(attempt, came_to)

    def report(self) -> FaultReport:
        injected = self._faults.injected
        tallies = tuple(
            FaultTally(
                kind=name,
                injected=injected.get(name, 0),
                dialogues=self._hit.get(name, 0),
                recovered=self._saved.get(name, 0),
                ends=dict(sorted(self._ends.get(name, {}).items())),
                expected=kind.expected,
            )
            for name, kind in self._faults.kinds.items()
        )
        return FaultReport(
            injected=sum(injected.values()),
            dialogues=self._dialogues,
            struck=self._struck,
            recovered=self._recovered,
            surprises=self._surprises,
            tallies=tallies,
            surprised=tuple(self._surprised),
        )

    def _judge(self, attempt: Attempt, end: End) -> None:
        kinds: list[Kind] = [self._faults.kinds[name] for name in sorted(attempt.kinds)]
        # A run that is stopped stops every dialogue, struck or not.
        if not kinds or end is End.CANCELLED or any(end in kind.ends for kind in kinds):
            return
        self._surprises += 1
        if len(self._surprised) < SURPRISES:
            self._surprised.append(
                Surprise(
                    phase=attempt.phase,
                    group=attempt.key.group,
                    sample=attempt.key.sample,
                    attempt=attempt.number,
                    end=end,
                    kinds=tuple(kind.name for kind in kinds),
                )
            )
