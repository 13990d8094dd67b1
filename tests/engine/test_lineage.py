"""The family tree of versions against plain lists of ancestors."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    End,
    Group,
    Key,
    Lineage,
    Span,
    StoreError,
    Task,
    Trajectory,
    pack_tokens,
)

# The parent of version n + 1 is any earlier one, as when a run goes back and goes on.
parents = st.integers(0, 30).flatmap(
    lambda size: st.tuples(*(st.integers(0, number) for number in range(size)))
)


def ancestors(parent: dict[int, int], version: int) -> list[int]:
    line = [version]
    while line[-1] in parent:
        line.append(parent[line[-1]])
    return line


def tree(chosen: tuple[int, ...]) -> tuple[Lineage, dict[int, int]]:
    parent = {number + 1: above for number, above in enumerate(chosen)}
    return Lineage([(0, None), *parent.items()]), parent


def sampled_by(*versions: int) -> Trajectory:
    spans = [Span(0, 1, version) for version in versions]
    return Trajectory(
        key=Key(0, 0),
        task="t",
        env="e",
        split="s",
        end=End.DONE,
        tokens=pack_tokens([1], [1], [0.0], (), spans),
    )


@given(parents, st.data())
def test_the_distance_is_the_way_up_and_down_the_tree(
    chosen: tuple[int, ...], data: st.DataObject
) -> None:
    lineage, parent = tree(chosen)
    a, b = (data.draw(st.integers(0, len(chosen))) for _ in range(2))
    ups, downs = ancestors(parent, a), ancestors(parent, b)
    shared = set(ups) & set(downs)
    expected = sum(v not in shared for v in ups) + sum(v not in shared for v in downs)
    assert lineage.distance(a, b) == lineage.distance(b, a) == expected
    assert lineage.next_version == len(chosen) + 1


def test_numbers_are_used_once() -> None:
    lineage = Lineage()
    assert 5 not in lineage
    lineage.add(5, 0)
    assert 5 in lineage and lineage.next_version == 6
    with pytest.raises(StoreError, match="version 5 exists already"):
        lineage.add(5, 0)
    with pytest.raises(StoreError, match="version 7 names parent 6"):
        lineage.add(7, 6)
    assert Lineage([]).next_version == 0


def test_two_trees_are_no_distance_apart() -> None:
    with pytest.raises(StoreError, match="no common ancestor"):
        Lineage([(0, None), (1, None)]).distance(0, 1)


def test_staleness_is_that_of_the_oldest_token() -> None:
    lineage, _ = tree((0, 1, 2, 1))  # 0 - 1 - 2 - 3, and 4 from 1
    assert lineage.staleness(sampled_by(0, 2), 3) == 3
    assert lineage.staleness(sampled_by(3), 4) == 3  # two taken back, one taken
    assert lineage.staleness(sampled_by(4), 4) == 0
    assert lineage.staleness(sampled_by(), 4) is None
    untrained = msgspec.structs.replace(sampled_by(), tokens=None)
    assert lineage.staleness(untrained, 4) is None


def test_a_group_is_as_fresh_as_its_stalest_member() -> None:
    lineage, _ = tree((0, 1, 2))
    group = Group(
        ordinal=0,
        task=Task(env="e", id="t"),
        trajectories=(sampled_by(3), sampled_by(1), sampled_by()),
    )
    assert lineage.is_fresh(group, 3, max_staleness=2)
    assert not lineage.is_fresh(group, 3, max_staleness=1)
