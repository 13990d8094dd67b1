"""The run store against dictionaries: every write is there, once, as it was asked for, also after
the store was closed and opened again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stage import Stage

from duologue.engine import (
    End,
    Fate,
    Key,
    StoreError,
    Task,
    Trajectory,
    Turn,
    first_fate,
    open_reader,
    open_store,
)

PHASE = "train"


def task(ordinal: int) -> Task:
    return Task(env="e", id=f"t{ordinal}", data={"ordinal": ordinal})


class StoreMachine(RuleBasedStateMachine):
    """Rows by what names them; the latest life's fate of a sample is the one that counts."""

    backend: ClassVar[str] = ""

    @initialize()
    def make(self) -> None:
        self.stage = Stage(self.backend)
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "run.db"
        self.life = -1
        self.groups: dict[int, Task] = {}
        self.settled: dict[int, int] = {}
        self.rows: dict[tuple[Key, int], Trajectory] = {}
        self.fates: dict[tuple[Key, int], Fate] = {}
        self.metrics: list[dict[str, float]] = []
        self.versions: list[tuple[int, int | None, int]] = []
        self.open()

    def teardown(self) -> None:
        self.close()
        self.stage.close()
        shutil.rmtree(self.folder)

    def open(self) -> None:
        self.block = self.stage.open(open_store(self.path))
        self.store = self.block.__enter__()
        self.life += 1
        assert self.store.life == self.life

    def close(self) -> None:
        self.block.__exit__(None, None, None)

    def _latest(self, key: Key) -> tuple[Key, int] | None:
        lives = [life for one, life in self.rows if one == key]
        return (key, max(lives)) if lives else None

    def _keys(self) -> list[Key]:
        return sorted({key for key, _ in self.rows})

    # ------------------------------------------------------------ writes

    @rule(ordinal=st.integers(0, 4))
    def open_group(self, ordinal: int) -> None:
        async def write() -> None:
            await self.store.open_group(PHASE, ordinal, task(ordinal))
            # It does not wait to be durable; the writer keeps the order, so this one waits for it.
            await self.store.set_fates(PHASE, [], Fate.READY)

        self.stage.wait(write)
        self.groups.setdefault(ordinal, task(ordinal))

    @precondition(lambda self: self.groups)
    @rule(data=st.data(), sample=st.integers(0, 2), end=st.sampled_from(sorted(End)))
    def append(self, data: st.DataObject, sample: int, end: End) -> None:
        ordinal = data.draw(st.sampled_from(sorted(self.groups)))
        key = Key(ordinal, sample)
        turns = tuple(Turn(text=f"{n}", reward=0.25) for n in range(sample))
        one = Trajectory(
            key=key, task=task(ordinal).id, env="e", split="train", end=end, turns=turns
        )

        async def write() -> None:
            await self.store.append(PHASE, one, seconds=0.5, fate=first_fate(end))

        if (key, self.life) in self.rows:
            with pytest.raises(StoreError, match="UNIQUE"):
                self.stage.wait(write)
            return
        self.stage.wait(write)
        self.rows[key, self.life] = one
        self.fates[key, self.life] = first_fate(end)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), fate=st.sampled_from(sorted(Fate)), step=st.integers(0, 5))
    def set_fates(self, data: st.DataObject, fate: Fate, step: int) -> None:
        keys = data.draw(st.lists(st.sampled_from(self._keys()), unique=True))
        self.stage.wait(lambda: self.store.set_fates(PHASE, keys, fate, step))
        self._decide(keys, fate)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), step=st.integers(0, 5))
    def settle(self, data: st.DataObject, step: int) -> None:
        groups = data.draw(st.lists(st.sampled_from(sorted(self.groups)), unique=True))
        keys = [key for key in self._keys() if key.group in groups]
        half = len(keys) // 2
        fates = {Fate.TRAINED: keys[:half], Fate.FILTERED: keys[half:]}
        self.stage.wait(lambda: self.store.settle(PHASE, groups, step, fates))
        for fate, those in fates.items():
            self._decide(those, fate)
        self.settled |= dict.fromkeys(groups, step)

    @precondition(lambda self: self.rows)
    @rule(step=st.integers(0, 5), stale=st.booleans())
    def rewind(self, step: int, stale: bool) -> None:
        self.settled = {group: at for group, at in self.settled.items() if at < step}
        keys = [key for key in self._keys() if key.group not in self.settled]
        ready, gone = ([], keys) if stale else (keys, [])
        self.stage.wait(lambda: self.store.rewind(PHASE, step, ready=ready, stale=gone))
        self._decide(keys, Fate.STALE if stale else Fate.READY)

    @rule(value=st.floats(-1e6, 1e6), step=st.integers(0, 5))
    def add_metrics(self, value: float, step: int) -> None:
        self.stage.wait(lambda: self.store.add_metrics("curve", step, {"value": value}))
        self.metrics.append({"step": step, "value": value})

    @rule(step=st.integers(0, 5))
    def add_version(self, step: int) -> None:
        version = len(self.versions)
        parent = version - 1 if version else None
        self.stage.wait(lambda: self.store.add_version(version, parent, step))
        self.versions.append((version, parent, step))

    @rule()
    def reopen(self) -> None:
        self.close()
        self.open()

    def _decide(self, keys: list[Key], fate: Fate) -> None:
        for key in keys:
            place = self._latest(key)
            assert place is not None
            self.fates[place] = fate

    # ------------------------------------------------------------ what is read back

    @invariant()
    def is_what_was_written(self) -> None:
        with open_reader(self.path) as reader:
            reader.check()
            found = {(s.trajectory.key, s.life): s for s in reader.trajectories(PHASE)}
            assert {place: s.trajectory for place, s in found.items()} == self.rows
            assert {place: s.fate for place, s in found.items()} == self.fates
            assert reader.count() == len(self.rows)
            assert reader.tasks(PHASE) == [self.groups[n] for n in sorted(self.groups)]
            assert reader.next_group(PHASE) == max(self.groups, default=-1) + 1
            assert reader.metrics("curve") == self.metrics
            assert reader.versions() == self.versions
            assert reader.lives() == self.life + 1

    @invariant()
    def open_groups_are_those_not_settled(self) -> None:
        with open_reader(self.path) as reader:
            for step in (0, 3):
                wanted = [g for g in sorted(self.groups) if self.settled.get(g, step) >= step]
                found = reader.open_groups(PHASE, step)
                assert [group.ordinal for group in found] == wanted
                for group in found:
                    latest = {s.trajectory.key: s.life for s in group.stored}
                    places = [self._latest(k) for k in self._keys() if k.group == group.ordinal]
                    assert latest == dict(place for place in places if place is not None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_store_holds_what_it_was_given(backend: str) -> None:
    machine = type(f"StoreMachineOn{backend}", (StoreMachine,), {"backend": backend})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None)
    )
