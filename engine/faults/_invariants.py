"""What must hold whatever goes wrong, as one check that tests, soaks and embedders run.

Each statement is about counts that two parties keep independently, or about the world before and
after, so a check that passes says something.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from .._buffer import BufferStats
from .._credits import Credits
from .._errors import DuologueError
from .._mailbox import MailboxStats
from .._messages import End, Fate, Group
from .._reader import Reader
from .._rollout_config import RolloutStats
from .._rollouts import first_fate

DESCRIPTORS = Path("/proc/self/fd")


class InvariantBroken(DuologueError):
    """Something that must hold does not: a bug of the engine's. Every breach is named."""


class Resources(Struct, frozen=True, kw_only=True):
    """What a process holds: tasks of the running loop, threads, open files, and the sockets among
    them. Files and sockets are counted where the system lists them (Linux), else 0."""

    tasks: int
    threads: int
    files: int
    sockets: int

    @staticmethod
    def now() -> Resources:
        """What is held at this moment. Called on the loop, or where none runs: then 0 tasks."""
        links = _links()
        return Resources(
            tasks=_tasks(),
            threads=threading.active_count(),
            files=len(links),
            sockets=sum(link.startswith("socket:") for link in links),
        )


def check_invariants(
    *,
    stats: RolloutStats | None = None,
    groups: Iterable[Group] = (),
    reader: Reader | None = None,
    phase: str | None = None,
    mailboxes: Iterable[MailboxStats] = (),
    buffers: Iterable[BufferStats] = (),
    credits: Iterable[Credits] = (),
    before: Resources | None = None,
    after: Resources | None = None,
) -> None:
    """Raise `InvariantBroken` unless all of it holds, as far as it was given.

    stats:     of rollouts whose block has ended: each admitted dialogue ended exactly once.
    groups:    what the rollouts gave: whole, in order, and nothing that failed has a reward.
    reader:    the store of the rollouts: it is whole, has the same dialogues with one fate each,
               and no failure has a reward. phase: the rollouts' phase, if it has others.
    mailboxes, buffers: what went in is what came out, what is left, and what is counted dead.
    credits:   none is out, nobody waits.
    before, after: the process has no more of anything than it had.
    """
    breaches = [
        *(_of_rollouts(stats) if stats is not None else ()),
        *_of_groups(groups),
        *(_of_store(reader, phase, stats) if reader is not None else ()),
        *(breach for each in mailboxes for breach in _of_mailbox(each)),
        *(breach for each in buffers for breach in _of_buffer(each)),
        *(breach for each in credits for breach in _of_credits(each)),
    ]
    if before is not None and after is not None:
        breaches += _of_resources(before, after)
    if breaches:
        raise InvariantBroken("; ".join(breaches))


def _of_rollouts(stats: RolloutStats) -> list[str]:
    found: list[str] = []
    if stats.live:
        found.append(f"{stats.live} dialogues are live after their owner has gone")
    if stats.admitted != stats.ended:
        found.append(f"{stats.admitted} dialogues were admitted and {stats.ended} ended")
    if sum(stats.ends.values()) != stats.ended:
        found.append(f"{stats.ended} dialogues ended with {sum(stats.ends.values())} reasons")
    counted = sum(n for end, n in stats.ends.items() if end.finished or end.cut_short)
    if counted != stats.counted:
        found.append(f"{stats.counted} rewards are counted for {counted} dialogues that count")
    return found


def _of_groups(groups: Iterable[Group]) -> list[str]:
    found: list[str] = []
    seen: set[int] = set()
    for group in groups:
        if group.ordinal in seen:
            found.append(f"group {group.ordinal} was given twice")
        seen.add(group.ordinal)
        samples = [trajectory.key.sample for trajectory in group.trajectories]
        if samples != list(range(len(samples))):
            found.append(f"group {group.ordinal} has the samples {samples}")
        for trajectory in group.trajectories:
            if trajectory.end is End.CANCELLED:
                found.append(f"group {group.ordinal} was given with a cancelled dialogue in it")
    return found


def _of_store(reader: Reader, phase: str | None, stats: RolloutStats | None) -> list[str]:
    found: list[str] = []
    reader.check()
    ends = reader.ends(phase)
    if stats is not None and ends != stats.ends:
        found.append(f"the store has the ends {_words(ends)}, the run had {_words(stats.ends)}")
    count, fates = reader.count(phase), sum(reader.fates(phase).values())
    if count != fates:
        found.append(f"{count} stored dialogues have {fates} fates")
    for stored in reader.trajectories(phase):
        key = stored.trajectory.key
        name = f"dialogue {stored.phase}:{key.group}/{key.sample}"
        lost = first_fate(stored.trajectory.end) is not Fate.READY
        if lost and stored.fate in (Fate.READY, Fate.TRAINED):
            found.append(f"{name} ended as {stored.trajectory.end} and its fate is {stored.fate}")
    found += _of_rewards(reader)
    return found


def _of_rewards(reader: Reader) -> list[str]:
    """Failures whose row has a reward: a query would take it for one."""
    rows = reader._all(
        """SELECT phase, ordinal, sample, "end" FROM trajectories
           WHERE reward IS NOT NULL ORDER BY phase, ordinal, sample"""
    )
    return [
        f"dialogue {phase}:{group}/{sample} ended as {end} and has a reward"
        for phase, group, sample, end in rows
        if not (End(end).finished or End(end).cut_short)
    ]


def _of_mailbox(stats: MailboxStats) -> list[str]:
    if stats.sent == stats.received + stats.buffered + stats.dead:
        return []
    books = f"{stats.received} received, {stats.buffered} buffered, {stats.dead} dead"
    return [f"a mailbox was sent {stats.sent}: {books}"]


def _of_buffer(stats: BufferStats) -> list[str]:
    if stats.put == stats.taken + stats.stale + stats.buffered:
        return []
    books = f"{stats.taken} taken, {stats.stale} stale, {stats.buffered} buffered"
    return [f"a buffer was given {stats.put} groups: {books}"]


def _of_credits(credits: Credits) -> list[str]:
    if not credits.outstanding and not credits.waiting:
        return []
    out = f"{credits.outstanding} of {credits.limit} are out and {credits.waiting} wait"
    return [f"{credits.name}: {out} after all is over"]


def _of_resources(before: Resources, after: Resources) -> list[str]:
    return [
        f"{now - then} more {name} than before ({then}, now {now})"
        for name in Resources.__struct_fields__
        if (now := getattr(after, name)) > (then := getattr(before, name))
    ]


def _words(ends: dict[End, int]) -> str:
    return ", ".join(f"{count} x {end}" for end, count in sorted(ends.items())) or "none"


def _tasks() -> int:
    """The tasks of the running loop."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return int(trio.lowlevel.current_statistics().tasks_living)
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return 0
    return len(asyncio.all_tasks())


def _links() -> list[str]:
    """Where each open file leads; the one that lists them is not among them."""
    links: list[str] = []
    if DESCRIPTORS.is_dir():
        for name in os.listdir(DESCRIPTORS):
            try:
                links.append(os.readlink(DESCRIPTORS / name))
            except FileNotFoundError:
                continue
    return links
