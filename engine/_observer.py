"""Watching dialogues from outside: the seam that metrics, traces and live displays hang on.

An `Observer` is told of each dialogue that begins, and may return a `Watch` for it, which is told
of its turns and its end. Nothing of this is on the hot path: a dialogue that is watched gets its
two parties wrapped, one that is not runs the very same code as if observers did not exist.

All methods are called in the dialogue's own task, so a context variable set there is seen by that
dialogue's calls and by nobody else's. They must not wait, and what they raise is a bug that stops
the run: a watch that is wrong is not a failure of the environment it looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from ._dialogue import Agent, Dialogue, Environment, Observation, Reply
from ._messages import End, Key, Task, Tokens, Trajectory


class Watch:
    """One dialogue, watched. Subclass it and override what you care for: nothing is required.

    The order is `turn_began`, `replied`, `turn_ended` for each turn; `retried` when the attempt
    failed and another begins; and one `dialogue_ended` (or `crashed`, when a bug ended it).
    """

    def turn_began(self) -> None:
        """The agent is about to be asked."""

    def replied(self, reply: Reply) -> None:
        """The agent has answered. Left out when it failed, or was stopped."""

    def turn_ended(self, observation: Observation | None) -> None:
        """What the environment said; None when it never did: the agent ended the dialogue
        (`reply.end`), a party failed, time ran out, or the run was stopped."""

    def retried(self, end: End, detail: str) -> None:
        """The attempt failed and is discarded; the dialogue begins again from its opening."""

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        """The dialogue is over and, with a store, durable. seconds: all attempts together."""

    def crashed(self, error: Exception) -> None:
        """A bug ended the dialogue, and stops the run; there is no trajectory."""


class Observer:
    """Whoever wants to know of dialogues."""

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        """A dialogue begins; None does not watch it."""
        return None


def watched(dialogue: Dialogue, watch: Watch) -> Dialogue:
    """The dialogue with its parties under watch."""
    environment = _WatchedEnvironment(dialogue.environment)
    agent = _WatchedAgent(dialogue.agent, environment, watch)
    return structs.replace(dialogue, agent=agent, environment=environment)


def join_observers(observers: Sequence[Observer]) -> Observer | None:
    """Several observers as one; None for none."""
    if len(observers) < 2:
        return observers[0] if observers else None
    return _Observers(observers)


class _WatchedEnvironment:
    """Keeps the last answer. It reports nothing itself: what is raised from in here would count
    as the environment's own failure."""

    __slots__ = ("_environment", "answer")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.answer: Observation | None = None

    async def receive(self, reply: Reply | None) -> Observation:
        self.answer = None
        self.answer = await self._environment.receive(reply)
        return self.answer


class _WatchedAgent:
    """Reports for both parties: it is asked at the start of every turn and closed at the end."""

    __slots__ = ("_agent", "_environment", "_in_turn", "_watch")

    def __init__(self, agent: Agent, environment: _WatchedEnvironment, watch: Watch) -> None:
        self._agent = agent
        self._environment = environment
        self._watch = watch
        self._in_turn = False

    async def receive(self, observation: Observation) -> Reply:
        self._end_turn(observation)
        self._environment.answer = None
        self._in_turn = True
        self._watch.turn_began()
        reply = await self._agent.receive(observation)
        self._watch.replied(reply)
        return reply

    def tokens(self) -> Tokens | None:
        return self._agent.tokens()

    def close(self) -> None:
        try:
            self._end_turn(self._environment.answer)
        finally:
            self._agent.close()

    def _end_turn(self, observation: Observation | None) -> None:
        if self._in_turn:
            self._in_turn = False
            self._watch.turn_ended(observation)


class _Observers(Observer):
    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        began = [observer.dialogue_began(key, task) for observer in self._observers]
        watches = [watch for watch in began if watch is not None]
        if len(watches) < 2:
            return watches[0] if watches else None
        return _Watches(watches)


class _Watches(Watch):
    """The first one is told first of what begins and last of what ends, so that they nest."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = tuple(watches)
        self._backwards = self._watches[::-1]

    def turn_began(self) -> None:
        for watch in self._watches:
            watch.turn_began()

    def replied(self, reply: Reply) -> None:
        for watch in self._watches:
            watch.replied(reply)

    def turn_ended(self, observation: Observation | None) -> None:
        for watch in self._backwards:
            watch.turn_ended(observation)

    def retried(self, end: End, detail: str) -> None:
        for watch in self._watches:
            watch.retried(end, detail)

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        for watch in self._backwards:
            watch.dialogue_ended(trajectory, seconds)

    def crashed(self, error: Exception) -> None:
        for watch in self._backwards:
            watch.crashed(error)
