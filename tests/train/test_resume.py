"""Where a resumed run goes on, against a slow reading of what a crash may have left behind."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from duologue.engine import (
    DuologueError,
    End,
    Fate,
    Key,
    Lineage,
    Span,
    Task,
    Trajectory,
    first_fate,
    open_reader,
    open_store,
    pack_tokens,
)
from duologue.train import _tenancy
from duologue.train._checkpoint import CheckpointError, State, checkpoint_path, commit, pack_keys
from duologue.train._loop import PHASE, Start
from duologue.train._resume import find_start, rewind
from duologue.train._tenancy import tenancy, vacancy

SAMPLES, LIVES, STEPS = 3, 3, 6


class Told(Struct, frozen=True):
    """One record of a dialogue: the life that ran it, how it ended, who sampled it."""

    life: int
    end: End
    version: int | None


class Left(Struct, frozen=True):
    """A group as the crash left it: its samples' records by life, and when it was settled."""

    members: tuple[tuple[Told, ...], ...]
    fates: tuple[Fate, ...]
    settled: int | None


class Crash(Struct, frozen=True):
    """A whole run: the parent of version n + 1 is `parents[n]`; `step` and `version` are the
    checkpoint's, None when there is none yet."""

    parents: tuple[int, ...]
    groups: tuple[Left, ...]
    step: int | None
    version: int

    @property
    def back(self) -> int:
        return self.step or 0


@st.composite
def crashes(draw: st.DrawFn) -> Crash:
    parents = tuple(draw(st.integers(0, n)) for n in range(draw(st.integers(0, 6))))
    step = draw(st.none() | st.integers(0, STEPS))
    version = draw(st.integers(0, len(parents))) if step else 0
    sampled_by = st.none() | st.integers(0, len(parents))

    def records(*, whole: bool) -> tuple[Told, ...]:
        """What the lives left of one dialogue; of a settled one, the last is no half thing."""
        lives = sorted(draw(st.sets(st.integers(0, LIVES - 1), min_size=int(whole))))
        told = [Told(life, draw(st.sampled_from(End)), draw(sampled_by)) for life in lives]
        if whole and told[-1].end is End.CANCELLED:
            told[-1] = Told(lives[-1], End.DONE, told[-1].version)
        return tuple(told)

    groups: list[Left] = []
    for _ in range(draw(st.integers(0, 6))):
        settled = draw(st.none() | st.integers(0, STEPS - 1))
        members = tuple(records(whole=settled is not None) for _ in range(SAMPLES))
        last = [told[-1].end if told else End.CANCELLED for told in members]
        used = st.sampled_from([Fate.TRAINED, Fate.FILTERED, Fate.STALE])
        fates = [
            draw(used) if settled is not None and first_fate(end) is Fate.READY else first_fate(end)
            for end in last
        ]
        groups.append(Left(members, tuple(fates), settled))
    return Crash(parents, tuple(groups), step, version)


def trajectory(key: Key, told: Told) -> Trajectory:
    spans = [] if told.version is None else [Span(0, 1, told.version)]
    tokens = pack_tokens([1], [1], [0.0], [0], spans)
    return Trajectory(
        key=key, task=f"t{key.group}", env="e", split="s", end=told.end, tokens=tokens
    )


async def leave(crash: Crash, folder: Path) -> None:
    """Write the run as its lives would have."""
    for life in range(LIVES):
        async with open_store(folder / "run.db") as store:
            for ordinal, group in enumerate(crash.groups):
                await store.open_group(PHASE, ordinal, Task(env="e", id=f"t{ordinal}"))
                for sample, records in enumerate(group.members):
                    for told in records:
                        if told.life == life:
                            one = trajectory(Key(ordinal, sample), told)
                            fate = first_fate(told.end)
                            await store.append(PHASE, one, seconds=0, fate=fate)
            if life == 0:
                for version, parent in enumerate((None, *crash.parents)):
                    await store.add_version(version, parent, 0)
            if life == LIVES - 1:
                for ordinal, group in enumerate(crash.groups):
                    if group.settled is not None:
                        keys = {
                            fate: [Key(ordinal, n) for n, f in enumerate(group.fates) if f is fate]
                            for fate in Fate
                        }
                        await store.settle(PHASE, [ordinal], group.settled, keys)
    if crash.step is not None:
        write_checkpoint(folder / "checkpoints", crash.step, crash.version, consumed(crash))


def write_checkpoint(folder: Path, step: int, version: int, keys: set[Key]) -> None:
    draft = folder / ".draft"
    draft.mkdir(parents=True)
    state = State(step=step, version=version)
    commit(draft, checkpoint_path(folder, step), state, pack_keys(keys))


def consumed(crash: Crash) -> set[Key]:
    return {
        Key(ordinal, sample)
        for ordinal, group in enumerate(crash.groups)
        if group.settled is not None and group.settled < crash.back
        for sample, fate in enumerate(group.fates)
        if fate is Fate.TRAINED
    }


def steps_apart(parents: Sequence[int], a: int, b: int) -> int:
    """The distance in the tree of versions, from whole lists of ancestors."""

    def line(version: int) -> list[int]:
        return [version] if version == 0 else [version, *line(parents[version - 1])]

    return len(set(line(a)) ^ set(line(b)))


def expected_fates(
    crash: Crash, *, max_staleness: int, deterministic: bool
) -> dict[int, dict[int, Fate | None]]:
    """Open group → sample → what its last record has become; None where there is none."""
    found: dict[int, dict[int, Fate | None]] = {}
    for ordinal, group in enumerate(crash.groups):
        if group.settled is not None and group.settled < crash.back:
            continue
        found[ordinal] = {}
        for sample, records in enumerate(group.members):
            if not records or records[-1].end is End.CANCELLED:
                found[ordinal][sample] = Fate.CANCELLED if records else None
                continue
            by = records[-1].version
            age = None if by is None else steps_apart(crash.parents, by, crash.version)
            old = deterministic or (age is not None and age > max_staleness)
            found[ordinal][sample] = Fate.STALE if old else first_fate(records[-1].end)
    return found


def fates(folder: Path) -> dict[Key, list[tuple[int, Fate]]]:
    """Key → what became of each life's record, the latest last."""
    found: dict[Key, list[tuple[int, Fate]]] = {}
    with open_reader(folder / "run.db") as reader:
        for one in reader.trajectories(PHASE):
            assert one.fate is not None
            found.setdefault(one.trajectory.key, []).append((one.life, one.fate))
    return {key: sorted(lives) for key, lives in found.items()}


def look(folder: Path, *, max_staleness: int, deterministic: bool) -> tuple[Start, list[Key]]:
    with open_reader(folder / "run.db") as reader:
        start, checkpoint, stale = find_start(
            reader,
            folder / "checkpoints",
            max_staleness=max_staleness,
            deterministic=deterministic,
        )
    assert start.committed == (checkpoint is not None)
    return start, stale


def facts(start: Start, stale: list[Key]) -> Mapping[str, object]:
    return {
        "step": start.step,
        "version": start.version,
        "consumed": start.consumed,
        "carried": start.carried,
        "next": start.next_group,
        "numbers": start.lineage.next_version,
        "stale": stale,
    }


@given(crash=crashes(), max_staleness=st.integers(0, 2), deterministic=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_group_is_done_or_carried_or_new_and_every_fate_says_which(
    crash: Crash, max_staleness: int, deterministic: bool
) -> None:
    expected = expected_fates(crash, max_staleness=max_staleness, deterministic=deterministic)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        anyio.run(leave, crash, folder)
        before = fates(folder)
        start, stale = look(folder, max_staleness=max_staleness, deterministic=deterministic)

        assert (start.step, start.version) == (crash.back, crash.version)
        assert start.committed == (crash.step is not None)
        assert start.consumed == consumed(crash)
        assert start.lineage.next_version == len(crash.parents) + 1

        # Every ordinal once: settled for good, carried over, or still to come.
        carried = [group.ordinal for group in start.carried]
        done = set(range(len(crash.groups))) - set(expected)
        assert carried == sorted(expected)
        assert sorted([*done, *carried]) == list(range(start.next_group))
        for group in start.carried:
            fate_of = expected[group.ordinal]
            assert group.task.id == f"t{group.ordinal}"
            # What is not carried is run again; what is, is the latest record.
            assert [t.key.sample for t in group.trajectories] == [
                sample for sample, fate in fate_of.items() if fate in (Fate.READY, Fate.FAILED)
            ]
            for one in group.trajectories:
                last = crash.groups[group.ordinal].members[one.key.sample][-1]
                assert one == trajectory(one.key, last)
        assert not start.consumed & {t.key for g in start.carried for t in g.trajectories}

        async def go_back() -> None:
            async with open_store(folder / "run.db") as store:
                await rewind(store, start, stale)

        anyio.run(go_back)
        after = fates(folder)
        for key, lives in before.items():
            assert after[key][:-1] == lives[:-1], "an earlier life was touched"
            if key.group in done:
                assert after[key] == lives, "what was settled for good was touched"
            else:
                assert after[key][-1] == (lives[-1][0], expected[key.group][key.sample])
        # The checkpoint is the commit: what it has not consumed was not trained on.
        trained = {key for key, lives in after.items() if lives[-1][1] is Fate.TRAINED}
        assert trained == start.consumed
        with closing(sqlite3.connect(folder / "run.db")) as store:
            rows = store.execute("SELECT ordinal, settled FROM groups").fetchall()
        assert {ordinal for ordinal, step in rows if step is not None} == done

        # Killed here, the next life finds the same.
        again = look(folder, max_staleness=max_staleness, deterministic=deterministic)
        assert facts(*again) == facts(start, stale)


@pytest.mark.anyio
async def test_run_without_a_checkpoint_goes_on_from_its_beginning(tmp_path: Path) -> None:
    async with open_store(tmp_path / "run.db"):
        pass
    start, stale = look(tmp_path, max_staleness=1, deterministic=False)
    assert (start.step, start.version, start.committed, stale) == (0, 0, False, [])
    assert (start.carried, start.next_group, start.consumed) == ((), 0, frozenset())
    assert 0 not in start.lineage  # and is named as in a run that nothing happened to
    assert 0 not in Start().lineage and 0 in Lineage()


@pytest.mark.anyio
async def test_damaged_checkpoint_is_an_error_and_not_an_older_start(tmp_path: Path) -> None:
    async with open_store(tmp_path / "run.db") as store:
        await store.add_version(0, None, 0)
    for step in (2, 4):
        write_checkpoint(tmp_path / "checkpoints", step, 0, {Key(step, 0)})
    (checkpoint_path(tmp_path / "checkpoints", 4) / "consumed.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-0000004: consumed\.bin is missing or"):
        look(tmp_path, max_staleness=1, deterministic=False)


@pytest.mark.anyio
async def test_resume_waits_for_the_learner_of_an_earlier_life(tmp_path: Path) -> None:
    left = False

    async def earlier() -> None:
        nonlocal left
        with tenancy(tmp_path):
            message = f"another learner works in {tmp_path}"
            with pytest.raises(DuologueError, match=message), tenancy(tmp_path):
                raise AssertionError("two learners in one folder")
            began.set()
            await anyio.sleep(0.1)
            left = True

    began = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(earlier)
        await began.wait()
        await vacancy(tmp_path)
        assert left


@pytest.mark.anyio
async def test_learner_that_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tenancy, "PATIENCE_S", 0.1)
    with tenancy(tmp_path), pytest.raises(DuologueError, match=f"still works in {tmp_path}"):
        await vacancy(tmp_path)
