"""The family tree of policy versions.

Numbers are never used twice, so after a crash they have gaps: a run that went back to version 40
after it had reached 43 continues with 44, whose parent is 40. How stale a token is counts the
optimiser steps between two versions along the tree, not the difference of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from ._errors import StoreError
from ._messages import Group, Trajectory


class Lineage:
    """Which version came from which."""

    def __init__(self, versions: Iterable[tuple[int, int | None]] = ((0, None),)) -> None:
        self._parent: dict[int, int | None] = {}
        self._depth: dict[int, int] = {}
        for version, parent in sorted(versions):
            self.add(version, parent)

    def add(self, version: int, parent: int | None) -> None:
        """A new version. Raises `StoreError` for a number used before or an unknown parent."""
        if version in self._parent:
            raise StoreError(f"policy version {version} exists already; numbers are used once")
        if parent is not None and parent not in self._parent:
            raise StoreError(f"policy version {version} names parent {parent}, which is unknown")
        self._parent[version] = parent
        self._depth[version] = 0 if parent is None else self._depth[parent] + 1

    def __contains__(self, version: int) -> bool:
        return version in self._parent

    @property
    def next_version(self) -> int:
        """The lowest number above all that were ever used."""
        return max(self._parent, default=-1) + 1

    def distance(self, a: int, b: int) -> int:
        """Optimiser steps between two versions, up one branch and down the other.

        For an ancestor this is how many steps ago it was; for a version of an abandoned branch
        it counts the steps that were taken back as well.
        """
        steps = 0
        while a != b:
            if self._depth[a] < self._depth[b]:
                a, b = b, a
            above = self._parent[a]
            if above is None:
                raise StoreError(f"policy versions {a} and {b} have no common ancestor")
            a = above
            steps += 1
        return steps

    def staleness(self, trajectory: Trajectory, version: int) -> int | None:
        """How far the oldest of a trajectory's tokens is from `version`; None without a policy."""
        if trajectory.tokens is None or not trajectory.tokens.spans:
            return None
        sampled = {span.version for span in trajectory.tokens.spans}
        return max(self.distance(version, other) for other in sampled)

    def is_fresh(self, group: Group, version: int, max_staleness: int) -> bool:
        """Whether no token of the group is more than `max_staleness` steps away."""
        ages = (self.staleness(trajectory, version) for trajectory in group.trajectories)
        return all(age is None or age <= max_staleness for age in ages)
