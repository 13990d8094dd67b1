"""Dialogues on their way into the page: packed, and thinned where there is no room for all.

A page that a browser opens at once holds so many dialogues and so many bytes. Where a run has
more, whole groups are left out, evenly over each phase: the phase that holds most gives up every
second of its groups, again and again, until there is room. So the step between the groups that
stay is a power of two, the same tasks stay in every phase that counts from 0, no group is seen
without its other samples, and nothing about a dialogue decides whether it stays. The page says
what was left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engine import Task
from ._record import Sample, Spell, Vocabulary, encode, encode_group, finite

DIALOGUES = 20_000
"""The most dialogues a page holds, unless asked for more."""

BYTES = 24 << 20
"""The most bytes of packed dialogues: 32 MiB of page. A browser takes that in a second or two."""

_CHUNK = 1 << 18
"""Bytes of JSON packed together: little enough to unpack for one dialogue, enough to pack well."""

_MANY_FIRST = 64
"""Rewards by turn that the list draws of one dialogue; the dialogue itself shows all."""


class Coverage(NamedTuple):
    """How much of a phase is in the page: one group in `stride`."""

    phase: str
    shown: int
    total: int
    stride: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    ordinals: tuple[int, ...]
    """Whose lines these are, in order."""
    data: bytes

    def lines(self) -> list[tuple[int, bytes]]:
        lines = zlib.decompress(self.data).split(b"\n")
        return list(zip(self.ordinals, lines, strict=True))


@dataclass(slots=True)
class _Shelf:
    """What is kept of one phase."""

    total: int
    stride: int = 1
    rows: dict[int, list[dict[str, object]]] = field(
        default_factory=dict[int, list[dict[str, object]]]
    )
    """By ordinal: what the list shows of each sample."""
    chunks: list[_Chunk] = field(default_factory=list[_Chunk])
    open: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    """Lines that are not packed yet."""
    waiting: int = 0
    """Bytes of them."""

    @property
    def shown(self) -> int:
        return sum(map(len, self.rows.values()))

    @property
    def packed(self) -> int:
        return sum(len(chunk.data) for chunk in self.chunks)

    def put(self, ordinal: int, line: bytes) -> None:
        self.open.append((ordinal, line))
        self.waiting += len(line)
        if self.waiting >= _CHUNK:
            self.pack()

    def pack(self) -> None:
        if self.open:
            data = zlib.compress(b"\n".join(line for _, line in self.open))
            self.chunks.append(_Chunk(tuple(ordinal for ordinal, _ in self.open), data))
            self.open, self.waiting = [], 0

    def thin(self) -> None:
        """Give up every second group."""
        self.stride *= 2
        chunks, tail = self.chunks, self.open
        self.chunks, self.open, self.waiting = [], [], 0
        for chunk in chunks:
            self._keep(chunk.lines())
        self._keep(tail)
        self.rows = {o: rows for o, rows in self.rows.items() if o % self.stride == 0}

    def _keep(self, lines: Sequence[tuple[int, bytes]]) -> None:
        for ordinal, line in lines:
            if ordinal % self.stride == 0:
                self.put(ordinal, line)


class Archive:
    """The dialogues of a page, packed as they come; never more than its bounds in memory.

    counts:    how many dialogues each phase has, in the order in which the page names the phases.
    dialogues, size: the bounds; `size` is in bytes of packed dialogues. One group is always kept.
    spell:     how tokens read; without it the page shows their numbers.
    unspelled: why there is no `spell`.
    replay:    the command that runs a dialogue again, without the dialogue's name.
    notes:     what else to say beside the list.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        *,
        dialogues: int = DIALOGUES,
        size: int = BYTES,
        spell: Spell | None = None,
        unspelled: str = "",
        replay: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        self.replay = replay
        self.shown: int = 0
        self._notes = tuple(notes)
        self._unspelled = unspelled or "the tokenizer does not read them as they were recorded"
        self._dialogues, self._size = dialogues, size
        self._vocabulary = Vocabulary(spell)
        self._shelves = {phase: _Shelf(total) for phase, total in counts.items()}
        # Known beforehand from the counts, so that little is packed only to be given up.
        while self._expected() > dialogues:
            most = max(self._shelves.values(), key=lambda s: s.total // s.stride)
            if most.total <= most.stride:
                break
            most.stride *= 2

    def wants(self, phase: str, ordinal: int) -> bool:
        """Whether there is room for that group of the phase."""
        return ordinal % self._shelves[phase].stride == 0

    def add(self, phase: str, ordinal: int, task: Task | None, samples: Sequence[Sample]) -> None:
        """Pack one whole group; call it in the order of the groups. Nothing if it is not wanted."""
        if not self.wants(phase, ordinal):
            return
        shelf = self._shelves[phase]
        before = len(shelf.chunks)
        shelf.rows[ordinal] = [_row(sample) for sample in samples]
        self.shown += len(samples)
        shelf.put(ordinal, encode_group(task, samples, self._vocabulary))
        if self.shown > self._dialogues or len(shelf.chunks) > before:
            self._make_room()

    def coverage(self) -> list[Coverage]:
        """How much of each phase is there."""
        return [
            Coverage(phase, shelf.shown, shelf.total, shelf.stride)
            for phase, shelf in self._shelves.items()
        ]

    def notes(self) -> list[str]:
        """What else to say beside the list."""
        numbered = self._vocabulary.numbered
        if not numbered:
            return list(self._notes)
        return [*self._notes, f"{numbered:,} tokens are shown by number: {self._unspelled}."]

    def columns(self) -> dict[str, list[object]]:
        """The list's columns, one entry a dialogue, and where each one's record is: `chunk`,
        `line` of it, `place` among the group's samples."""
        columns: dict[str, list[object]] = {}
        chunk = 0
        for phase, shelf in self._shelves.items():
            shelf.pack()
            for packed in shelf.chunks:
                for line, ordinal in enumerate(packed.ordinals):
                    for place, row in enumerate(shelf.rows[ordinal]):
                        where = {"phase": phase, "chunk": chunk, "line": line, "place": place}
                        for name, value in (where | row).items():
                            columns.setdefault(name, []).append(value)
                chunk += 1
        return columns

    def chunks(self) -> Iterator[bytes]:
        """The packed records (zlib), in the order that `columns` counts them in. Each is lines of
        JSON, one a group."""
        for shelf in self._shelves.values():
            shelf.pack()
            yield from (chunk.data for chunk in shelf.chunks)

    def vocabulary(self) -> bytes:
        """The tokens' texts as JSON, packed."""
        return zlib.compress(encode(self._vocabulary.pieces))

    def _expected(self) -> int:
        return sum(-(-shelf.total // shelf.stride) for shelf in self._shelves.values())

    def _make_room(self) -> None:
        shelves = list(self._shelves.values())
        while True:
            self.shown = sum(shelf.shown for shelf in shelves)
            if sum(shelf.packed for shelf in shelves) > self._size:
                most = max(shelves, key=lambda shelf: shelf.packed)
            elif self.shown > self._dialogues:
                most = max(shelves, key=lambda shelf: shelf.shown)
            else:
                return
            if len(most.rows) < 2:
                return
            most.thin()


def _row(sample: Sample) -> dict[str, object]:
    """What the list shows, sorts and filters by. A failed dialogue has no reward: not 0 either."""
    one = sample.trajectory
    counts = one.end.finished or one.end.cut_short
    spans = () if one.tokens is None else one.tokens.spans
    versions = [span.version for span in spans]
    return {
        "env": one.env,
        "split": one.split,
        "task": one.task,
        "group": one.key.group,
        "sample": one.key.sample,
        "life": sample.life,
        "superseded": int(sample.superseded),
        "end": one.end.value,
        "fate": None if sample.fate is None else sample.fate.value,
        "reward": finite(one.reward) if counts else None,
        "rewards": [finite(reward) for reward in one.rewards[:_MANY_FIRST]],
        "turns": len(one.turns),
        "tokens": None if one.tokens is None else one.tokens.mask.count(1),
        "oldest": min(versions, default=None),
        "newest": max(versions, default=None),
        "staleness": sample.staleness,
        "seconds": finite(sample.seconds),
        "advantage": _advantage(sample.advantages),
        "replayable": int(sample.replayable),
    }


def _advantage(advantages: Sequence[float] | None) -> list[float | None] | None:
    """Lowest and highest of the turns'; most often they are one number."""
    if not advantages:
        return None
    return [finite(min(advantages)), finite(max(advantages))]
