"""A run's dialogues for the report's browser, read from its store a group at a time."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ..config import Config, parse_toml, resolve
from ..engine import End, Fate, Lineage, Reader, Stored, UsageError
from ..report import Archive, Sample
from ..train import Shaping, shape
from ._spell import find_spell

Age = Callable[[Stored], int | None]


def archive_run(reader: Reader, run: Path, dialogues: int) -> Archive:
    """The dialogues of the run, as many as the page has room for. Only a page of the store's rows
    and what the report keeps of them is in memory."""
    phases = reader.phases()
    config = _config(reader)
    spell, why = find_spell(run, config)
    archive = Archive(
        {phase: reader.count(phase) - reader.pruned(phase) for phase in phases},
        dialogues=dialogues,
        spell=spell,
        replay=f"duologue replay {shlex.quote(str(run))}",
        unspelled=why,
        notes=_pruned(reader),
    )
    age = _Ages(reader).of
    shaping = None if config is None else config.train.shaping
    for phase in phases:
        for ordinal, members in _groups(reader, phase):
            if archive.wants(phase, ordinal):
                samples = _samples(members, age, shaping)
                archive.add(phase, ordinal, reader.task(phase, ordinal), samples)
    return archive


def _groups(reader: Reader, phase: str) -> Iterator[tuple[int, list[Stored]]]:
    stored = reader.trajectories(phase)
    for ordinal, members in groupby(stored, key=lambda each: each.trajectory.key.group):
        yield ordinal, list(members)


def _samples(members: Sequence[Stored], age: Age, shaping: Shaping | None) -> list[Sample]:
    latest = {stored.trajectory.key: stored.life for stored in members}  # lives come in order
    worth = _advantages(members, shaping)
    return [
        Sample(
            trajectory=stored.trajectory,
            fate=stored.fate,
            seconds=stored.seconds,
            life=stored.life,
            superseded=stored.life < latest[stored.trajectory.key],
            staleness=age(stored),
            advantages=advantages,
            replayable=_replayable(stored),
        )
        for stored, advantages in zip(members, worth, strict=True)
    ]


def _advantages(members: Sequence[Stored], shaping: Shaping | None) -> list[list[float] | None]:
    """What the learner was given for each: not stored, but a function of what is.

    Where the scale is the batch's, the group alone does not say it, and None is all we know.
    """
    unknown: list[list[float] | None] = [None] * len(members)
    trained = [
        place
        for place, stored in enumerate(members)
        if stored.fate is Fate.TRAINED and stored.trajectory.tokens is not None
    ]
    if shaping is None or shaping.scale == "batch" or not trained:
        return unknown
    shaped = shape([members[place].trajectory for place in trained], shaping)
    for place, advantages in zip(trained, shaped, strict=True):
        unknown[place] = advantages
    return unknown


def _replayable(stored: Stored) -> bool:
    """What `duologue replay` always refuses is not offered: the weights that spoke in training are
    gone, and the clock's word is nobody's to repeat. The rest it answers for itself."""
    by_the_clock = stored.trajectory.end in (End.TIMEOUT, End.CANCELLED)
    return stored.phase != "train" and not by_the_clock


class _Ages:
    """How stale a trajectory was when the learner drew it."""

    def __init__(self, reader: Reader) -> None:
        versions = reader.versions()
        self._lineage = Lineage((version, parent) for version, parent, _ in versions)
        self._made = [(step, version) for version, _, step in versions]

    def of(self, stored: Stored) -> int | None:
        if stored.step is None or stored.fate not in (Fate.TRAINED, Fate.STALE):
            return None
        # Of the versions made before that step the newest: after a crash the abandoned branch has
        # its share of low steps, but no higher numbers.
        known = [version for step, version in self._made if step <= stored.step]
        return self._lineage.staleness(stored.trajectory, max(known)) if known else None


def _config(reader: Reader) -> Config | None:
    """The run's settings; None where this release does not know one of them."""
    _, text, _ = reader.run()
    try:
        return resolve(parse_toml(text, "the run's settings"), "the run's settings")
    except UsageError:
        return None


def _pruned(reader: Reader) -> list[str]:
    gone = reader.pruned()
    return [f"{gone:,} more were pruned: their records are gone."] if gone else []
