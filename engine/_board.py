"""The board: where the parts of a run show how they are, and a `Snapshot` is taken.

Nothing on a turn's path reads a clock or allocates for it: a dialogue writes into its `Slot` what
it is about to wait for, and the time as of the board's last tick. Whoever looks at the board ticks
it, so what it says of times is exact to the interval between two looks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sized
from contextlib import contextmanager
from math import inf
from typing import Protocol

import anyio
from msgspec.structs import replace

from ._health import Lateness
from ._messages import Key
from ._snapshot import Hop, Phase, Service, Snapshot, Wait, Waiting

Source = Callable[[], Hop | Service]
"""One part's reading of itself. Called at every tick, so it is cheap; it never waits."""

_TALKING = (Wait.MODEL, Wait.ENVIRONMENT)

_DIALOGUES = (Wait.MODEL, Wait.ENVIRONMENT, Wait.STORE, Wait.CONSUMER)
"""What a live dialogue can wait for, as far as it knows itself."""


class Pulse:
    """What the hot path writes to.

    now_s: the loop's clock at the last tick. turns: turns that ended. beats: whatever else
    progressed: attempts, dialogues, groups, learner steps.
    """

    __slots__ = ("beats", "now_s", "turns")

    def __init__(self) -> None:
        self.now_s: float = 0.0
        self.beats: int = 0
        self.turns: int = 0


class Slot:
    """A live dialogue's place on the board. turns: the list that its present attempt fills."""

    __slots__ = ("attempt", "pulse", "since_s", "turns", "waits")

    def __init__(self, pulse: Pulse) -> None:
        self.pulse: Pulse = pulse
        self.waits: Wait = Wait.ENVIRONMENT
        self.since_s: float = pulse.now_s
        self.attempt: int = 0
        self.turns: Sized = ()

    def wait(self, wait: Wait) -> None:
        """Say what the dialogue is about to wait for."""
        self.waits = wait
        self.since_s = self.pulse.now_s

    def begin(self) -> None:
        """An attempt begins."""
        self.attempt += 1
        self.turns = ()
        self.pulse.beats += 1

    def end(self) -> None:
        """The dialogue has ended; now it waits to be kept."""
        self.pulse.beats += 1
        self.wait(Wait.STORE)


class Counts(Protocol):
    """The totals of one `open_rollouts`."""

    @property
    def admitted(self) -> int: ...
    @property
    def ended(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def retried(self) -> int: ...


class Roster:
    """The live dialogues of one `open_rollouts`, and what its admission waits for."""

    __slots__ = ("_counts", "admission", "deadline_s", "name", "pulse", "slots")

    def __init__(self, name: str, pulse: Pulse, counts: Counts, *, deadline_s: float = inf) -> None:
        self.name: str = name
        self.pulse: Pulse = pulse
        self.deadline_s: float = deadline_s
        self.slots: dict[Key, Slot] = {}
        self.admission: Wait = Wait.NOTHING
        self._counts = counts

    def enter(self, key: Key) -> Slot:
        slot = self.slots[key] = Slot(self.pulse)
        return slot

    def leave(self, key: Key) -> None:
        del self.slots[key]
        self.pulse.beats += 1

    @property
    def promise_s(self) -> float:
        """Within how many seconds of the last progress something here must progress, because a
        dialogue's own deadline ends it; 0 when there is no such promise."""
        if self.deadline_s == inf:
            return 0.0
        talking = any(slot.waits in _TALKING for slot in self.slots.values())
        return self.deadline_s if talking else 0.0

    def phase(self) -> Phase:
        # By `list.count`, because it compares by identity first: 10,000 slots in half a
        # millisecond, where hashing an enum's members takes four.
        waits = [slot.waits for slot in self.slots.values()]
        counts = self._counts
        return Phase(
            name=self.name,
            admitted=counts.admitted,
            live=len(waits),
            ended=counts.ended,
            groups=counts.groups,
            retried=counts.retried,
            admission=self.admission,
            waits={wait: number for wait in _DIALOGUES if (number := waits.count(wait))},
        )

    def waiting(self, now_s: float) -> list[Waiting]:
        return [
            Waiting(
                phase=self.name,
                key=key,
                waits=slot.waits,
                for_s=max(0.0, now_s - slot.since_s),
                turn=len(slot.turns) + 1,
                attempt=max(1, slot.attempt),
            )
            for key, slot in self.slots.items()
        ]


class Board:
    """One run's parts, as they are now. Belongs to one loop; costs nothing until it is looked at.

    lateness: where the loop's lateness is measured, if it is.
    """

    def __init__(self) -> None:
        self.pulse: Pulse = Pulse()
        self.lateness: Lateness | None = None
        self._rosters: list[Roster] = []
        self._sources: list[Source] = []
        self._blocked: dict[str, float] = {}
        self._ticked_s: float | None = None
        self._seen = -1
        self._moved_s = 0.0

    @contextmanager
    def showing(self, *sources: Source) -> Generator[None]:
        """Read these parts, too, for as long as the block lasts."""
        self._sources.extend(sources)
        try:
            yield
        finally:
            for source in sources:
                self._sources.remove(source)

    @contextmanager
    def listing(self, roster: Roster) -> Generator[None]:
        """Count the roster's dialogues, too, for as long as the block lasts."""
        self._rosters.append(roster)
        try:
            yield
        finally:
            self._rosters.remove(roster)

    @property
    def beats(self) -> int:
        """Whatever progressed so far; equal at two instants when nothing did between them."""
        return self.pulse.beats + self.pulse.turns

    @property
    def promise_s(self) -> float:
        """The longest of the rosters' promises."""
        return max((roster.promise_s for roster in self._rosters), default=0.0)

    def tick(self) -> float:
        """Note the time, who is blocked and whether anything progressed; the loop's clock, in
        seconds. A second between ticks is often enough."""
        now = anyio.current_time()
        passed = 0.0 if self._ticked_s is None else now - self._ticked_s
        self._ticked_s = self.pulse.now_s = now
        for source in self._sources:
            part = source()
            if isinstance(part, Hop) and part.waiting_in:
                self._blocked[part.name] = self._blocked.get(part.name, 0.0) + passed
        if (beats := self.beats) != self._seen:
            self._seen, self._moved_s = beats, now
        return now

    def snapshot(self) -> Snapshot:
        """Everything as it is now. Some 0.1 µs a live dialogue."""
        now = self.tick()
        parts = [source() for source in self._sources]
        late = self.lateness
        return Snapshot(
            at_s=now,
            idle_s=now - self._moved_s,
            beats=self._seen,
            turns=self.pulse.turns,
            phases=tuple(roster.phase() for roster in self._rosters),
            hops=tuple(
                replace(part, blocked_s=self._blocked.get(part.name, 0.0))
                for part in parts
                if isinstance(part, Hop)
            ),
            services=tuple(part for part in parts if isinstance(part, Service)),
            late_p99_ms=0.0 if late is None else 1e3 * late.quantile(0.99),
            late_worst_ms=0.0 if late is None else 1e3 * late.worst_s,
        )

    def waiting(self) -> list[Waiting]:
        """What each live dialogue waits for, the longest first. For when something is wrong: it
        makes one object a dialogue."""
        now = self.tick()
        waiting = [one for roster in self._rosters for one in roster.waiting(now)]
        return sorted(waiting, key=lambda one: (-one.for_s, one.phase, one.key))
