"""Faults on a plan: what goes wrong where, decided by seeds and so the same in every run.

A `FaultPlan` is data: it is written in TOML, stored with a run, and says of each fault what kind it
is, how often or when it strikes, for how long, and whom. A `Faults` makes the decisions. Each is
drawn from the path of what it strikes (dialogue, attempt, site, number), never from a stream, so
the same plan hits the same dialogues whatever else is going on, alone or among ten thousand. Only
what belongs to no dialogue (a transaction of the store, a batch) is counted in order of arrival.

Nothing here injects anything: wrappers do, in the room of what they wrap, and ask `strike` first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase

from msgspec import Struct

from .._errors import UsageError
from .._messages import Key, Task
from .._seed import Seed
from ._kinds import ENGINE_KINDS, Kind, Site

Numbers = int | tuple[int, ...]


class Where(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a fault may strike; the defaults are everybody.

    phase, env, task, party: names, or patterns with `*`. party: `agent` or `environment`.
    group, sample, attempt:  numbers from 0, one or a list.
    """

    phase: str = "*"
    env: str = "*"
    task: str = "*"
    party: str = "*"
    group: Numbers = ()
    sample: Numbers = ()
    attempt: Numbers = ()


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a plan.

    kind:   the fault's name, as `duologue faults list` has it.
    rate:   the share of the opportunities that it strikes.
    at:     only these opportunities, counted from 1 (a model's calls within an attempt, say).
    for_s:  how long it lasts, in seconds; by default the kind's own.
    mib:    how large it is, in MiB; by default the kind's own.
    tries:  of a call that is tried several times, only the first so many; 0 is all of them.
    where:  whom it may strike.
    """

    kind: str
    rate: float = 1.0
    at: Numbers = ()
    for_s: float | None = None
    mib: int | None = None
    tries: int = 0
    where: Where = Where()

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate is {self.rate}; it is a share, from 0 to 1")
        if any(number < 1 for number in _numbers(self.at)):
            raise ValueError(f"at is {self.at}; opportunities are counted from 1")
        if self.for_s is not None and not self.for_s >= 0.0:
            raise ValueError(f"for_s is {self.for_s}; it cannot be negative")
        if self.mib is not None and not 1 <= self.mib <= 1024:
            raise ValueError(f"mib is {self.mib}; it is 1 to 1024")
        if self.tries < 0:
            raise ValueError(f"tries is {self.tries}; it cannot be negative")


class FaultPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong in a run; nothing, by default.

    seed:       beside the run's own: another one strikes others.
    deadline_s: the dialogues' deadline under this plan, where it is less than the run's: a message
                that was dropped is waited for that long. 0 leaves the run's.
    faults:     each opportunity is struck by the first that applies to it.
    """

    seed: int = 0
    deadline_s: float = 0.0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.deadline_s >= 0.0:
            raise ValueError(f"deadline_s is {self.deadline_s}; it cannot be negative")


class Injected(Exception):
    """Raised by a fault on purpose, where an environment or an actor would raise its own."""


class Attempt:
    """One attempt at a dialogue, as faults see it."""

    __slots__ = ("dialogue", "env", "identity", "key", "kinds", "number", "phase", "task")

    def __init__(
        self, phase: str, env: str, task: str, key: Key, number: int, identity: int, dialogue: int
    ) -> None:
        self.phase: str = phase
        self.env: str = env
        self.task: str = task
        self.key: Key = key
        self.number: int = number
        self.identity: int = identity  # names its chances; `dialogue` those that all attempts share
        self.dialogue: int = dialogue
        self.kinds: set[str] = set()


class Injection(Struct, frozen=True, kw_only=True):
    """One fault that struck, as the trace has it. `phase` is empty outside of dialogues."""

    kind: str
    site: Site
    number: int
    tried: int = 0
    phase: str = ""
    task: str = ""
    group: int = -1
    sample: int = -1
    attempt: int = 0


class Hit(Struct, frozen=True):
    """A fault that strikes now; `chance` decides its details (where a text is cut, say)."""

    kind: Kind
    fault: Fault
    chance: Seed

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def for_s(self) -> float | None:
        """Seconds it lasts; None is for ever."""
        return self.kind.for_s if self.fault.for_s is None else self.fault.for_s

    @property
    def mib(self) -> int:
        return self.kind.mib if self.fault.mib is None else self.fault.mib


class Faults:
    """A plan at work: asked at every opportunity, it says what strikes.

    kinds: the kinds that the plan may name. sites: where faults can be injected in this run; a
    plan that names a kind which none of them has is refused rather than silently without effect.
    jump:  moves the clock, where it is a virtual one. trace: told of every fault that strikes.

    Raises `UsageError` for a kind that does not exist, or not here.
    """

    def __init__(
        self,
        plan: FaultPlan,
        kinds: Iterable[Kind] = ENGINE_KINDS,
        *,
        sites: Iterable[Site] = tuple(Site),
        jump: Callable[[float], None] | None = None,
        trace: Callable[[Injection], None] | None = None,
    ) -> None:
        self.plan: FaultPlan = plan
        self.jump: Callable[[float], None] | None = jump
        self.kinds: dict[str, Kind] = {}
        """The kinds that the plan names, in its order."""
        self.injected: dict[str, int] = {}
        self.setting_up: Attempt | None = None
        """The attempt whose parties are being made: they can keep it. Making never waits."""
        self._trace = trace
        self._aims: dict[Site, list[_Aim]] = {}
        self._counts: dict[Site, int] = {}
        known = {kind.name: kind for kind in kinds}
        here = frozenset(sites)
        for place, fault in enumerate(plan.faults):
            kind = _find(fault.kind, known)
            self._check(kind, here)
            self.kinds[kind.name] = kind
            aim = _Aim(kind, fault, Seed(plan.seed).at("fault", place))
            for site in here.intersection(kind.sites):
                self._aims.setdefault(site, []).append(aim)

    def at(self, site: Site) -> bool:
        """Whether anything can strike there; where nothing can, nothing need be wrapped."""
        return site in self._aims

    def strike(
        self,
        site: Site,
        number: int,
        *,
        attempt: Attempt | None = None,
        party: str = "",
        tried: int = 0,
    ) -> Hit | None:
        """What strikes the opportunity, counted from 1; None leaves it alone."""
        for aim in self._aims.get(site, ()):
            hit = aim.hit(site, number, attempt, party, tried)
            if hit is not None:
                self._note(hit, site, number, attempt, tried)
                return hit
        return None

    def strike_next(self, site: Site) -> Hit | None:
        """The same for what belongs to no dialogue, counted as it comes."""
        self._counts[site] = self._counts.get(site, 0) + 1
        return self.strike(site, self._counts[site])

    @contextmanager
    def making(self, attempt: Attempt) -> Generator[None]:
        """While the block makes the attempt's parties, they find it in `setting_up`."""
        self.setting_up = attempt
        try:
            yield
        finally:
            self.setting_up = None

    def _check(self, kind: Kind, here: frozenset[Site]) -> None:
        if not here.intersection(kind.sites):
            raise UsageError(
                f"the fault {kind.name!r} strikes a {' or '.join(kind.sites)}, and nothing of that "
                f"sort is wrapped here; there are: {', '.join(sorted(here))}"
            )
        if kind.name == "clock_jump" and self.jump is None:
            raise UsageError(
                "the fault 'clock_jump' needs a virtual clock, which only tests have; "
                "`busy` delays everybody in real time"
            )

    def _note(self, hit: Hit, site: Site, number: int, attempt: Attempt | None, tried: int) -> None:
        self.injected[hit.name] = self.injected.get(hit.name, 0) + 1
        if attempt is not None:
            attempt.kinds.add(hit.name)
        if self._trace is None:
            return
        injection = Injection(kind=hit.name, site=site, number=number, tried=tried)
        if attempt is not None:
            injection = Injection(
                kind=hit.name,
                site=site,
                number=number,
                tried=tried,
                phase=attempt.phase,
                task=attempt.task,
                group=attempt.key.group,
                sample=attempt.key.sample,
                attempt=attempt.number,
            )
        self._trace(injection)


class _Aim:
    """A line of the plan, ready to be asked."""

    __slots__ = ("_at", "_fault", "_kind", "_limit", "_seed", "_sets", "_where")

    def __init__(self, kind: Kind, fault: Fault, seed: Seed) -> None:
        self._kind = kind
        self._fault = fault
        self._seed = seed
        self._at = frozenset(_numbers(fault.at))
        self._limit = int(fault.rate * 2.0**63)
        where = fault.where
        self._where = where if where != Where() else None
        self._sets = tuple(
            frozenset(_numbers(each)) for each in (where.group, where.sample, where.attempt)
        )

    def hit(
        self, site: Site, number: int, attempt: Attempt | None, party: str, tried: int
    ) -> Hit | None:
        fault = self._fault
        if self._at and number not in self._at:
            return None
        if fault.tries and tried >= fault.tries:
            return None
        if self._where is not None and not self._matches(self._where, attempt, party):
            return None
        chance = self._seed
        if attempt is None:
            chance = chance.at(site, number, tried)
        elif self._kind.once:
            chance = chance / attempt.dialogue
        else:
            chance = chance.at(attempt.identity, site, party, number, tried)
        # `rate = 1` is certain: the integer is below 2**63, always.
        return Hit(self._kind, fault, chance) if chance.integer() < self._limit else None

    def _matches(self, where: Where, attempt: Attempt | None, party: str) -> bool:
        if attempt is None:
            return False
        names = (
            (attempt.phase, where.phase),
            (attempt.env, where.env),
            (attempt.task, where.task),
            (party, where.party),
        )
        numbers = (attempt.key.group, attempt.key.sample, attempt.number)
        return all(fnmatchcase(name, pattern) for name, pattern in names) and all(
            not wanted or number in wanted
            for number, wanted in zip(numbers, self._sets, strict=True)
        )


def attempt_at(
    phase: str, task: Task, key: Key, seed: Seed, number: int = 0, first: int | None = None
) -> Attempt:
    """An attempt as faults see it. first: the identity of the dialogue's first attempt."""
    identity = seed.integer()
    shared = identity if first is None else first
    return Attempt(phase, task.env, task.id, key, number, identity, shared)


def _numbers(numbers: Numbers) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else numbers


def _find(name: str, known: Mapping[str, Kind]) -> Kind:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
    raise UsageError(f"no fault is called {name!r}; {hint}")
