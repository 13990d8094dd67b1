"""Pruning frees space, and takes nothing that a resume or a result needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue.config import Config
from duologue.engine import (
    End,
    Fate,
    Key,
    Span,
    StoreError,
    Task,
    Trajectory,
    Turn,
    UsageError,
    open_reader,
    pack_tokens,
)
from duologue.jobs._prune import Pruned, prune
from duologue.progress import open_reporter
from duologue.rundir import hold, open_run
from duologue.train._checkpoint import CheckpointError, State, checkpoint_path, commit, pack_keys
from duologue.train._resume import find_start

STEPS, GROUPS, SAMPLES = 6, 2, 2
PHASES = ("coldstart", "train", "eval/trained")


def trajectory(group: int, sample: int) -> Trajectory:
    noise = random.Random(group * SAMPLES + sample)  # incompressible, so sizes mean something
    ids = [noise.randrange(1 << 30) for _ in range(2000)]
    version = group // GROUPS
    return Trajectory(
        key=Key(group, sample),
        task=f"t{group}",
        env="e",
        split="train",
        end=End.DONE,
        turns=(Turn(text="x", reward=float(sample)),),
        tokens=pack_tokens(ids, [1] * 2000, [0.0] * 2000, [0], [Span(0, 2000, version)]),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """As training leaves it when it is killed after step 6, with its last checkpoint at step 4:
    steps 0 to 5 are settled, and two more groups are done and wait."""
    folder = tmp_path / "run"

    async def fill() -> None:
        async with open_run(folder, "train", Config()) as opened:
            store = opened.store
            for phase in PHASES:
                for group in range((STEPS + 1) * GROUPS):
                    await store.open_group(phase, group, Task(env="e", id=f"t{group}"))
                    for sample in range(SAMPLES):
                        await store.append(phase, trajectory(group, sample), seconds=1)
            for step in range(STEPS + 1):
                await store.add_version(step, step - 1 if step else None, step)
            for step in range(STEPS):
                groups = [step * GROUPS, step * GROUPS + 1]
                keys = [Key(group, sample) for group in groups for sample in range(SAMPLES)]
                await store.settle("train", groups, step, {Fate.TRAINED: keys})

    anyio.run(fill)
    for step in (0, 2, 4):
        draft = folder / "checkpoints" / ".draft"
        draft.mkdir(parents=True)
        (draft / "model.safetensors").write_bytes(bytes(50_000))
        consumed = [Key(group, s) for group in range(step * GROUPS) for s in range(SAMPLES)]
        target = checkpoint_path(folder / "checkpoints", step)
        commit(draft, target, State(step=step, version=step), pack_keys(consumed))
    (folder / "weights" / "v5.safetensors").write_bytes(bytes(50_000))
    (folder / "checkpoints" / ".step-0000006.77.tmp").mkdir()
    (folder / "models" / "init").mkdir(parents=True)
    (folder / "models" / "init" / "model.safetensors").write_bytes(bytes(1000))
    return folder


def do(run: Path, **options: Any) -> Pruned:
    async def work() -> Pruned:
        with open_reporter() as reporter:
            return await prune(run, reporter=reporter, **options)

    return anyio.run(work)


def left(run: Path, phase: str) -> set[int]:
    with open_reader(run / "run.db") as reader:
        return {stored.trajectory.key.group for stored in reader.trajectories(phase)}


def everything(run: Path) -> dict[str, bytes]:
    files = [path for path in run.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files if "run.db-" not in path.name}


def test_a_resume_finds_what_it_found_before(run: Path) -> None:
    def start() -> Any:
        with open_reader(run / "run.db") as reader:
            return find_start(reader, run / "checkpoints", max_staleness=1, deterministic=False)

    before, checkpoint, stale = start()
    do(run)
    after, same, old = start()
    assert (after.step, after.version, after.next_group) == (4, 4, before.next_group)
    assert (after.consumed, after.carried, old) == (before.consumed, before.carried, stale)
    assert same == checkpoint
    carried = sum(len(group.trajectories) for group in after.carried)
    assert (carried, len(old)) == (2 * GROUPS * SAMPLES, GROUPS * SAMPLES)


def test_what_was_learned_from_goes_and_results_stay(run: Path) -> None:
    every = set(range((STEPS + 1) * GROUPS))
    with open_reader(run / "run.db") as reader:
        counts, fates, ends = reader.count(), reader.fates(), reader.ends()
    result = do(run)
    assert result.records == {"coldstart": 28, "train": 16}
    assert result.checkpoints == ("step-0000000", "step-0000002")
    assert (result.weights, result.drafts) == (1, 1)
    assert left(run, "coldstart") == set()
    assert left(run, "train") == set(range(4 * GROUPS, (STEPS + 1) * GROUPS))
    assert left(run, "eval/trained") == every
    with open_reader(run / "run.db") as reader:
        reader.check()
        assert (reader.count(), reader.fates(), reader.ends()) == (counts, fates, ends)
        assert (reader.pruned(), reader.pruned("train")) == (44, 16)
        assert reader.lives() == 1
        assert reader.phases() == list(PHASES)
    assert (run / "models" / "init" / "model.safetensors").exists()


def test_it_says_how_much_was_freed_and_a_rehearsal_says_nearly_that(run: Path) -> None:
    untouched = everything(run)
    rehearsal = do(run, dry_run=True)
    assert everything(run) == untouched
    result = do(run)
    assert rehearsal.dry_run and not result.dry_run
    assert (rehearsal.records, rehearsal.checkpoints) == (result.records, result.checkpoints)
    assert rehearsal.before == result.before
    assert rehearsal.freed == pytest.approx(result.freed, rel=0.2)
    assert result.freed > 44 * 18_000 + 150_000
    again = do(run)
    assert again.records == {} and again.checkpoints == () and again.freed < 1000


def test_phases_can_be_kept_and_results_named(run: Path) -> None:
    result = do(run, keep_phases=["coldstart"], drop_phases=["eval/trained"])
    assert result.records == {"train": 16, "eval/trained": 28}
    with pytest.raises(UsageError, match="no phase 'evil'; it has: coldstart, train, eval/tr"):
        do(run, drop_phases=["evil"])
    with pytest.raises(UsageError, match="'train' is both to be kept and to be dropped"):
        do(run, keep_phases=["train"], drop_phases=["train"])


def test_the_last_steps_and_checkpoints_can_stay(run: Path) -> None:
    result = do(run, older_than=3, keep_checkpoints=2)
    assert result.records == {"coldstart": 28, "train": 4}
    assert result.checkpoints == ("step-0000000",)
    for wrong in ({"older_than": -1}, {"keep_checkpoints": 0}):
        with pytest.raises(UsageError, match="must"):
            do(run, **wrong)


def test_training_that_was_named_keeps_what_a_resume_needs(run: Path) -> None:
    do(run, drop_phases=["train"])
    assert left(run, "train") == set(range(4 * GROUPS, (STEPS + 1) * GROUPS))


def test_without_a_checkpoint_nothing_of_the_training_goes(run: Path) -> None:
    for path in (run / "checkpoints").glob("step-*"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    assert do(run).records == {"coldstart": 28}


def test_a_damaged_checkpoint_or_store_stops_it_before_anything_goes(run: Path) -> None:
    model = run / "checkpoints" / "step-0000004" / "model.safetensors"
    model.write_bytes(b"x" + model.read_bytes()[1:])
    untouched = everything(run)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing or damaged"):
        do(run)
    assert everything(run) == untouched
    store = run / "run.db"
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 1
    store.write_bytes(data)
    untouched = everything(run)
    with pytest.raises(StoreError, match=r"run\.db is damaged"):
        do(run)
    assert everything(run) == untouched


async def _while_held(run: Path) -> None:
    async with hold(run):
        with open_reporter() as reporter:
            await prune(run, reporter=reporter)


def test_a_run_in_use_and_no_run_at_all_are_refused(run: Path) -> None:
    untouched = everything(run)
    with pytest.raises(UsageError, match="is in use by another process"):
        anyio.run(_while_held, run)
    with pytest.raises(UsageError, match="holds no run"):
        do(run.parent)
    assert everything(run) == untouched
