"""What a run is doing right now, in one structure.

The progress line, metrics, the report and the watchdog all read a `Snapshot`, so that they cannot
contradict one another. `Board` (`_board.py`) takes it; here is what it says and what it means.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from ._messages import Key


class Wait(StrEnum):
    """What admission or a dialogue waits for."""

    NOTHING = "nothing"
    TASKS = "no tasks left"
    CREDITS = "credits"
    PLACES = "places"
    BUFFER = "buffer full"
    CONSUMER = "consumer"
    STORE = "store"
    MODEL = "model"
    ENDPOINT_LIMIT = "endpoint limit"
    ENDPOINT_DOWN = "endpoint down"
    USER = "user model"
    JUDGE = "judge model"
    ENVIRONMENT = "environment"
    LEARNER = "learner"


class ServiceRole(StrEnum):
    """Whom a service works for."""

    AGENT = "agent"
    USER = "user"
    JUDGE = "judge"
    LEARNER = "learner"


class Hop(Struct, frozen=True, kw_only=True, gc=False):
    """One bounded place that work passes through.

    depth, capacity:   what it holds and may hold, in messages, groups or credits.
    bytes, capacity_bytes: the same in bytes; 0 where bytes are not counted, or not bounded.
    waiting_in:        producers that wait for room. waiting_out: consumers that wait for work.
    blocked_s:         seconds in which a producer waited, as sampled by `Board.tick`.
    """

    name: str
    depth: int
    capacity: int
    bytes: int = 0
    capacity_bytes: int = 0
    waiting_in: int = 0
    waiting_out: int = 0
    blocked_s: float = 0.0


class Service(Struct, frozen=True, kw_only=True, gc=False):
    """Something that dialogues or the run ask and wait for: a model's endpoint, the learner.

    limit: calls it gets at once; 0 is no limit. up: False while nobody is sent there.
    doing: in words, where the service says.
    """

    name: str
    role: ServiceRole
    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    up: bool = True
    doing: str = ""


class Phase(Struct, frozen=True, kw_only=True):
    """One `open_rollouts` that is under way.

    admission: what admission waits for. waits: live dialogues by what each waits for.
    """

    name: str
    admitted: int
    live: int
    ended: int
    groups: int
    retried: int
    admission: Wait
    waits: dict[Wait, int]


class Waiting(Struct, frozen=True, kw_only=True, gc=False):
    """A live dialogue: what it waits for, for how many seconds already (to the length of a tick),
    in which turn and attempt, both counted from 1."""

    phase: str
    key: Key
    waits: Wait
    for_s: float
    turn: int
    attempt: int


class Snapshot(Struct, frozen=True, kw_only=True):
    """A run at one instant.

    at_s:    the loop's clock. idle_s: seconds since anything was last seen to progress.
    beats:   everything that progressed so far: turns, dialogues and groups that ended, steps.
    turns:   turns that ended, those of live dialogues included.
    late_p99_ms, late_worst_ms: lateness of the loop; 0 where it is not measured.
    """

    at_s: float
    idle_s: float
    beats: int
    turns: int
    phases: tuple[Phase, ...] = ()
    hops: tuple[Hop, ...] = ()
    services: tuple[Service, ...] = ()
    late_p99_ms: float = 0.0
    late_worst_ms: float = 0.0

    @property
    def live(self) -> int:
        return sum(phase.live for phase in self.phases)

    def waits(self, kind: Wait) -> int:
        """How many live dialogues wait for `kind`."""
        return sum(phase.waits.get(kind, 0) for phase in self.phases)

    def hop(self, name: str) -> Hop | None:
        return next((hop for hop in self.hops if hop.name == name), None)

    @property
    def why(self) -> tuple[Wait, str]:
        """Why there is no more sampling than there is: the cause, and a line for a person."""
        phase = self.phases[-1] if self.phases else None
        if phase is None:
            return Wait.NOTHING, "no rollouts are under way"
        learner = [s for s in self.services if s.role is ServiceRole.LEARNER and s.in_flight]
        match phase.admission:
            case Wait.NOTHING:
                return Wait.NOTHING, "admitting dialogues"
            case Wait.STORE:
                return self._store()
            case Wait.CREDITS if learner or not phase.live:
                credits = self._depth("credits")
                return Wait.CREDITS, f"credits{credits}: the learner is behind{_doing(learner)}"
            case Wait.TASKS if learner and not phase.live:
                return Wait.LEARNER, f"learner{_doing(learner)}"
            case Wait.TASKS if not phase.live:
                return Wait.TASKS, "no tasks left"
            case Wait.CONSUMER:
                return self._consumer(phase)
            case _:
                return self._dialogues(phase)

    def _dialogues(self, phase: Phase) -> tuple[Wait, str]:
        """What holds up most of the live dialogues."""
        most = max(phase.waits, key=lambda wait: phase.waits[wait], default=phase.admission)
        share = f"{phase.waits.get(most, 0):,} of {phase.live:,} dialogues"
        match most:
            case Wait.MODEL:
                return self._model(share)
            case Wait.ENVIRONMENT:
                return self._environment(share)
            case Wait.STORE:
                return self._store()
            case Wait.CONSUMER:
                return self._consumer(phase)
            case _:
                return most, f"{most}{self._depth(most)}"

    def _model(self, share: str) -> tuple[Wait, str]:
        agents = [s for s in self.services if s.role is ServiceRole.AGENT]
        down = [s for s in agents if not s.up]
        if agents and len(down) == len(agents):
            return Wait.ENDPOINT_DOWN, f"endpoint down: {share}; {_named(down)}"
        full = [s for s in agents if s.up and s.limit and s.waiting and s.in_flight >= s.limit]
        if full:
            return Wait.ENDPOINT_LIMIT, f"endpoint limit: {share}; {_named(full)}"
        return Wait.MODEL, f"model: {share}{'; ' if agents else ''}{_named(agents)}"

    def _environment(self, share: str) -> tuple[Wait, str]:
        called = [s for s in self.services if s.role in (ServiceRole.USER, ServiceRole.JUDGE)]
        busiest = max(called, key=lambda s: s.in_flight + s.waiting, default=None)
        if busiest is None or not busiest.in_flight + busiest.waiting:
            return Wait.ENVIRONMENT, f"environment: {share}"
        wait = Wait.USER if busiest.role is ServiceRole.USER else Wait.JUDGE
        return wait, f"{wait}: {share}; {_named([busiest])}"

    def _store(self) -> tuple[Wait, str]:
        return Wait.STORE, f"store{self._depth('store')}"

    def _consumer(self, phase: Phase) -> tuple[Wait, str]:
        buffer = self.hop("buffer")
        if buffer is not None and buffer.waiting_in:
            return Wait.BUFFER, f"buffer full{self._depth('buffer')}: the learner is behind"
        held = phase.waits.get(Wait.CONSUMER, 0)
        return Wait.CONSUMER, f"consumer: {held:,} finished groups are not taken"

    def _depth(self, name: str) -> str:
        hop = self.hop(name)
        return "" if hop is None else f" {hop.depth:,}/{hop.capacity:,}"


def _named(services: Iterable[Service]) -> str:
    words = [
        f"{s.name} {s.in_flight:,}{f'/{s.limit:,}' if s.limit else ''} in flight"
        f"{f', {s.waiting:,} waiting' if s.waiting else ''}{f' ({s.doing})' if s.doing else ''}"
        for s in services
    ]
    shown = ", ".join(words[:2])
    return f"{shown} and {len(words) - 2} more" if len(words) > 2 else shown


def _doing(services: Iterable[Service]) -> str:
    words = ", ".join(s.doing for s in services if s.doing)
    return f" ({words})" if words else ""
