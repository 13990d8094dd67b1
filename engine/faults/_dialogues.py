"""Dialogues that meet faults: their two parties are wrapped, nothing of the engine is.

A party that is struck fails as a party does (`ModelError` for the agent, any exception for the
environment), is late, or never answers. What it says is a message, which may be lost, late or far
too long on its way. What comes of it is the engine's business, and is what the tests look at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import isinf
from time import perf_counter
from typing import TypeVar

import anyio
from msgspec import structs

from .._dialogue import Agent, Dialogue, Environment, MakeDialogue, Observation, Reply
from .._errors import ModelError
from .._messages import Key, Message, Task, Tokens, Trajectory
from .._observer import Observer, Watch
from .._park import checkpoint
from .._seed import Seed
from ._kinds import Site
from ._ledger import FaultLedger
from ._plan import Attempt, Faults, Hit, Injected, attempt_at

R = TypeVar("R")

MIB = 2**20
LONGEST_BUSY_S = 5.0


class FaultyDialogues(Observer):
    """A `MakeDialogue` whose dialogues meet faults, and the observer that books what comes of it:

        faulty = FaultyDialogues(make, faults, phase="rollout", ledger=ledger)
        async with open_rollouts(tasks, faulty.make, observer=faulty, phase="rollout", ...):

    It must be the observer too: an attempt is known by the ones before it, until the dialogue ends.
    """

    def __init__(
        self,
        make: MakeDialogue,
        faults: Faults,
        *,
        ledger: FaultLedger | None = None,
        phase: str = "rollout",
    ) -> None:
        self.ledger: FaultLedger = FaultLedger(faults) if ledger is None else ledger
        self._make = make
        self._faults = faults
        self._phase = phase
        self._attempts: dict[Key, list[Attempt]] = {}
        self._wrapped = faults.at(Site.MESSAGE) or faults.at(Site.PARTY)

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        """A dialogue with its parties wrapped, as far as anything can strike them."""
        earlier = self._attempts.setdefault(key, [])
        first = earlier[0].identity if earlier else None
        attempt = attempt_at(self._phase, task, key, seed, len(earlier), first)
        earlier.append(attempt)
        with self._faults.making(attempt):
            dialogue = self._make(task, key, seed)
        if not self._wrapped:
            return dialogue
        return structs.replace(
            dialogue,
            agent=_FaultyAgent(dialogue.agent, attempt, self._faults),
            environment=_FaultyEnvironment(dialogue.environment, attempt, self._faults),
        )

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        return _Booking(self._attempts, key, self.ledger)


class _Booking(Watch):
    """Hands a dialogue's attempts to the ledger when it is over."""

    def __init__(self, attempts: dict[Key, list[Attempt]], key: Key, ledger: FaultLedger) -> None:
        self._attempts = attempts
        self._key = key
        self._ledger = ledger

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        self._ledger.ended(trajectory, self._attempts.pop(self._key))


class _FaultyAgent:
    def __init__(self, agent: Agent, attempt: Attempt, faults: Faults) -> None:
        self._agent = agent
        self._attempt = attempt
        self._faults = faults
        self._asked = 0

    async def receive(self, observation: Observation) -> Reply:
        self._asked += 1
        number, attempt, faults = self._asked, self._attempt, self._faults

        async def work() -> Reply:
            return await self._agent.receive(observation)

        hit = faults.strike(Site.PARTY, number, attempt=attempt, party="agent")
        reply = await (work() if hit is None else suffer(hit, work, ModelError, faults.jump))
        hit = faults.strike(Site.MESSAGE, 2 * number, attempt=attempt)
        if hit is None:
            return reply
        await travel(hit)
        if hit.name == "oversize":
            return structs.replace(reply, text=reply.text + _ballast(hit))
        return reply

    def tokens(self) -> Tokens | None:
        return self._agent.tokens()

    def close(self) -> None:
        self._agent.close()


class _FaultyEnvironment:
    def __init__(self, environment: Environment, attempt: Attempt, faults: Faults) -> None:
        self._environment = environment
        self._attempt = attempt
        self._faults = faults
        self._asked = 0

    async def receive(self, reply: Reply | None) -> Observation:
        self._asked += 1
        number, attempt, faults = self._asked, self._attempt, self._faults

        async def work() -> Observation:
            return await self._environment.receive(reply)

        hit = faults.strike(Site.PARTY, number, attempt=attempt, party="environment")
        observation = await (work() if hit is None else suffer(hit, work, Injected, faults.jump))
        hit = faults.strike(Site.MESSAGE, 2 * number - 1, attempt=attempt)
        if hit is None:
            return observation
        await travel(hit)
        if hit.name == "oversize":
            more = Message("tool", _ballast(hit))
            return structs.replace(observation, messages=(*observation.messages, more))
        return observation


async def suffer(
    hit: Hit,
    work: Callable[[], Awaitable[R]],
    error: Callable[[str], Exception],
    jump: Callable[[float], None] | None,
) -> R:
    """What becomes of a handler's work when a fault of its kind strikes it.

    error: what the handler raises when it fails. jump: moves the clock.
    """
    match hit.name:
        case "hang":
            await linger(hit.for_s)
        case "busy":
            burn(hit.for_s or 0.0)
        case "memory":
            # Before the room is taken: a task that is being stopped need not fill it first.
            await checkpoint()
            size = exhaust(hit.mib)
            raise error(f"injected: out of memory after {size / MIB:,.0f} MiB")
        case "clock_jump" if jump is not None:
            jump(hit.for_s or 0.0)
        case "raise_after":
            await work()
            raise error("injected: failed when the work was done")
        case "expiry":
            result = await work()
            deadline = anyio.current_effective_deadline()
            if not isinf(deadline):
                await anyio.sleep_until(deadline)
            return result
        case _:
            await checkpoint()
            raise error("injected: failed before the work began")
    return await work()


async def travel(hit: Hit) -> None:
    """What a message that was sent goes through before it arrives, if it ever does."""
    if hit.name == "drop":
        await anyio.sleep_forever()
    elif hit.name == "delay":
        await linger(hit.for_s)
    else:
        await checkpoint()


async def linger(for_s: float | None) -> None:
    """Wait that long; None is for ever."""
    if for_s is None:
        await anyio.sleep_forever()
    else:
        await anyio.sleep(for_s)


def burn(for_s: float) -> None:
    """Hold the loop. Timed by the processor's clock: the loop's own may be virtual, and then
    stands still for as long as we hold it."""
    until = perf_counter() + min(for_s, LONGEST_BUSY_S)
    while perf_counter() < until:
        pass


def exhaust(mib: int) -> int:
    """Take so much memory, touch every page of it and give it back; how many bytes it was."""
    blocks = [bytearray(b"\xff") * MIB for _ in range(mib)]
    return sum(map(len, blocks))


def _ballast(hit: Hit) -> str:
    return "x" * (hit.mib * MIB)
