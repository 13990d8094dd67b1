"""Going back to the last checkpoint: what is done, what is ready, what must be run again."""

from __future__ import annotations

from pathlib import Path

from ..engine import Carried, End, Key, Lineage, OpenGroup, Reader, Store, Trajectory
from ._checkpoint import Checkpoint, State, newest
from ._loop import PHASE, Start


def find_start(
    reader: Reader, checkpoints: Path, *, max_staleness: int, deterministic: bool
) -> tuple[Start, Checkpoint | None, list[Key]]:
    """Where to go on, the checkpoint it rests on, and the trajectories that are too old for it.

    Without a checkpoint (the run ended before its first) that is the very beginning.

    Every trajectory the checkpoint has not consumed is offered again if it is fresh enough, and
    its dialogue is run again if not. In deterministic mode all of them are run again: a batch
    formed of what happens to be missing would have another shape, and other last bits.

    Raises `CheckpointError` when the latest is damaged.
    """
    checkpoint = newest(checkpoints)
    state = State(step=0, version=0) if checkpoint is None else checkpoint.state
    lineage = Lineage((version, parent) for version, parent, _ in reader.versions())
    carried: list[Carried] = []
    stale: list[Key] = []
    for group in reader.open_groups(PHASE, state.step):
        kept: list[Trajectory] = []
        for trajectory in _finished(group):
            age = lineage.staleness(trajectory, state.version)
            if deterministic or (age is not None and age > max_staleness):
                stale.append(trajectory.key)
            else:
                kept.append(trajectory)
        carried.append(Carried(ordinal=group.ordinal, task=group.task, trajectories=tuple(kept)))
    start = Start(
        step=state.step,
        version=state.version,
        committed=checkpoint is not None,
        lineage=lineage,
        consumed=frozenset() if checkpoint is None else checkpoint.consumed,
        carried=tuple(carried),
        next_group=reader.next_group(PHASE),
    )
    return start, checkpoint, stale


async def rewind(store: Store, start: Start, stale: list[Key]) -> None:
    """Write into the store what `find_start` decided."""
    ready = [
        trajectory.key
        for group in start.carried
        for trajectory in group.trajectories
        if not (trajectory.end.failed or trajectory.end is End.TIMEOUT)
    ]
    await store.rewind(PHASE, start.step, ready=ready, stale=stale)


def _finished(group: OpenGroup) -> list[Trajectory]:
    """The samples that need not be run again. One we stopped ourselves never had its chance."""
    return [s.trajectory for s in group.stored if s.trajectory.end is not End.CANCELLED]
