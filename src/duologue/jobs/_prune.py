"""`duologue prune`: give back the space that neither a resume nor a result needs any more.

Goes:   records (texts and tokens) of the phases `train` and `coldstart`; old checkpoints; the
        sampler's weights; drafts that a crash left behind.
Stays:  every trajectory's row (end, reward, turns, fate, version), tasks, metrics, versions,
        models, the report; records of results (`rollout`, `eval/...`) unless they are named.
Always: what a resume needs. A record of `train` goes only when its group was settled before the
        newest checkpoint, which is read whole first and stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import anyio.to_thread
from msgspec import Struct

from ..engine import UsageError, open_reader
from ..engine._prune import drop_records
from ..progress import Reporter
from ..rundir import DATABASE, hold
from ..train._checkpoint import newest
from ..train._loop import PHASE as TRAIN
from ._runs import disk_size

LEARNED_FROM = (TRAIN, "coldstart")
"""Phases whose result is a model: their records go without being named."""


class Pruned(Struct, frozen=True, kw_only=True):
    """What went, or would go. records: how many of each phase; checkpoints: their names."""

    run: str
    dry_run: bool
    records: dict[str, int]
    checkpoints: tuple[str, ...]
    weights: int
    drafts: int
    before: int
    freed: int


async def prune(
    run: Path,
    *,
    keep_phases: Sequence[str] = (),
    drop_phases: Sequence[str] = (),
    older_than: int = 0,
    keep_checkpoints: int = 1,
    dry_run: bool = False,
    reporter: Reporter,
) -> Pruned:
    """Free the space of a run that nobody uses. See the top of this module for what goes.

    older_than: records that the last so many steps before the checkpoint consumed stay as well.

    Raises `UsageError` when another process has the run, and `CheckpointError` or `StoreError`
    before anything is touched when what would have to stay is damaged.
    """
    if older_than < 0 or keep_checkpoints < 1:
        raise UsageError(
            f"--older-than is {older_than} and must not be negative; "
            f"--keep-checkpoints is {keep_checkpoints} and must be at least 1"
        )
    if not (run / DATABASE).exists():
        raise UsageError(f"{run} holds no run; `duologue runs {run.parent}` lists what there is")
    async with hold(run):
        return await anyio.to_thread.run_sync(
            _prune, run, keep_phases, drop_phases, older_than, keep_checkpoints, dry_run, reporter
        )


def _prune(
    run: Path,
    keep_phases: Sequence[str],
    drop_phases: Sequence[str],
    older_than: int,
    keep_checkpoints: int,
    dry_run: bool,
    reporter: Reporter,
) -> Pruned:
    before = disk_size(run)
    with open_reader(run / DATABASE) as reader:
        reader.check()
        phases = reader.phases()
    _check_phases(run, phases, keep_phases, drop_phases)
    checkpoint = newest(run / "checkpoints")
    chosen: dict[str, int | None] = {}
    for phase in phases:
        if phase in keep_phases or not (phase in LEARNED_FROM or phase in drop_phases):
            continue
        # Nothing is settled before step 0: a run without a checkpoint starts from its beginning.
        settled = 0 if checkpoint is None else checkpoint.state.step - older_than
        chosen[phase] = settled if phase == TRAIN else None
    old = sorted((run / "checkpoints").glob("step-*"))[:-keep_checkpoints]
    weights = sorted((run / "weights").glob("*.safetensors"))
    drafts = [
        draft
        for name in ("checkpoints", "models", "weights")
        for draft in sorted((run / name).glob(".*.tmp"))
    ]
    # Files first: where the disk is full, making the store smaller needs the room.
    files = [*old, *weights, *drafts]
    freed = sum(map(_size, files))
    if not dry_run:
        for path in files:
            _remove(path)
        reporter.say("making the run store smaller")
    dropped = drop_records(run / DATABASE, chosen, dry_run=dry_run)
    freed += sum(size for _, size in dropped.values())
    return Pruned(
        run=str(run),
        dry_run=dry_run,
        records={phase: count for phase, (count, _) in dropped.items()},
        checkpoints=tuple(path.name for path in old),
        weights=len(weights),
        drafts=len(drafts),
        before=before,
        freed=freed if dry_run else max(0, before - disk_size(run)),
    )


def _check_phases(
    run: Path, phases: Sequence[str], keep: Iterable[str], drop: Iterable[str]
) -> None:
    for name in (*keep, *drop):
        if name not in phases:
            raise UsageError(f"{run} has no phase {name!r}; it has: {', '.join(phases) or 'none'}")
    if both := sorted(set(keep) & set(drop)):
        raise UsageError(f"phase {both[0]!r} is both to be kept and to be dropped; say one")


def _size(path: Path) -> int:
    return disk_size(path) if path.is_dir() else path.stat().st_size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
