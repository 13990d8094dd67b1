"""Lives of a run that only append: forked one after another, because starting Python costs more.

    python appender.py    reads lines `STORE ACKS BACKEND`, answers each with the process id
                          of the life it has begun, and with its exit status once it has ended

A life says its number in the first line of the file ACKS. It opens the store, appends `GROUPS` groups of `SAMPLES` trajectories from many tasks at once
and settles each whole group. What the store has acknowledged goes to ACKS too: a group and a sample, or a group and -1 once it was settled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio

from duologue.engine import (
    End,
    Fate,
    Key,
    Span,
    Store,
    Task,
    Trajectory,
    Turn,
    open_store,
    pack_tokens,
)

GROUPS, SAMPLES = 1250, 8
AT_ONCE = 100
"""Groups that are being appended at the same time."""


def record(key: Key, life: int) -> Trajectory:
    """What a life appends under a key: no two are alike, and some are longer than a page."""
    length = 20 + (key.group * 37 + key.sample * 11) % 60 + 1200 * (key.group % 50 == 0)
    ids = [(key.group * 7919 + key.sample * 104729 + life * 31 + n) % 1200 for n in range(length)]
    return Trajectory(
        key=key,
        task=f"t{key.group}",
        env="e",
        split="train",
        end=End.DONE,
        turns=(Turn(text=f"{key.group} {key.sample} {life} " * 5, reward=float(life)),),
        tokens=pack_tokens(ids, [1] * length, [-0.5] * length, [0], [Span(0, length, life)]),
    )


async def live(path: Path, acks: Path) -> None:
    async with open_store(path) as store:
        with acks.open("ab", buffering=0) as told:
            told.write(b"%d life\n" % store.life)
            places = anyio.CapacityLimiter(AT_ONCE)
            async with anyio.create_task_group() as tasks:
                for group in range(GROUPS):
                    await places.acquire_on_behalf_of(group)
                    tasks.start_soon(_group, store, group, told.write, places)


async def _group(
    store: Store,
    group: int,
    told: Callable[[bytes], object],
    places: anyio.CapacityLimiter,
) -> None:
    keys = [Key(group, sample) for sample in range(SAMPLES)]
    await store.open_group("train", group, Task(env="e", id=f"t{group}"))

    async def append(key: Key) -> None:
        await store.append("train", record(key, store.life), seconds=0.0)
        told(b"%d %d\n" % (key.group, key.sample))

    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(append, key)
    fates = {Fate.TRAINED: keys[1:], Fate.FILTERED: keys[:1]}
    await store.settle("train", [group], store.life, fates)
    told(b"%d -1\n" % group)
    places.release_on_behalf_of(group)


def main() -> None:
    for line in sys.stdin:
        path, acks, backend = line.split()
        child = os.fork()
        if child == 0:
            anyio.run(live, Path(path), Path(acks), backend=backend)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
