"""Dialogues that tests share: three turns of small talk, half a second each, worth 0.5 a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from duologue.engine import (
    Action,
    Credits,
    Dialogue,
    End,
    Group,
    Key,
    MakeDialogue,
    Message,
    Observation,
    Reply,
    RolloutConfig,
    RolloutStats,
    Seed,
    Store,
    Task,
    Tokens,
    Trajectory,
    open_rollouts,
)
from duologue.engine.faults import (
    ENGINE_KINDS,
    Fault,
    FaultPlan,
    FaultReport,
    Faults,
    FaultyDialogues,
    Injection,
    Kind,
    check_invariants,
)

TURNS = 3
TURN_S = 0.5


class Talker:
    """An agent that says its turn's number."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.turn = 0
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        await anyio.sleep(self.pause_s)
        self.turn += 1
        return Reply(text=f"turn {self.turn}", actions=(Action("action", str(self.turn)),))

    def tokens(self) -> Tokens | None:
        return None

    def close(self) -> None:
        self.closed += 1


class Listener:
    """An environment that nods `TURNS` times and remembers what it was told."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.heard: list[str] = []

    async def receive(self, reply: Reply | None) -> Observation:
        await anyio.sleep(self.pause_s)
        if reply is None:
            return Observation(messages=(Message("user", "talk to me"),))
        self.heard.append(reply.text)
        end = End.DONE if len(self.heard) == TURNS else None
        return Observation(feedback=f"heard {len(self.heard)}", reward=0.5, end=end)


@dataclass
class Talks:
    """What rollouts with faults came to. `made` are all parties, in the order they were made.

    pause_s: how long each of them takes over what it says.
    """

    pause_s: float = TURN_S / 2
    groups: list[Group] = field(default_factory=list[Group])
    stats: RolloutStats = field(default_factory=RolloutStats)
    trace: list[Injection] = field(default_factory=list[Injection])
    made: list[tuple[Talker, Listener]] = field(default_factory=list[tuple[Talker, Listener]])
    report: FaultReport | None = None
    seconds: float = 0.0

    @property
    def trajectories(self) -> list[Trajectory]:
        return sorted((t for g in self.groups for t in g.trajectories), key=lambda t: t.key)

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        self.made.append((Talker(self.pause_s), Listener(self.pause_s)))
        agent, environment = self.made[-1]
        return Dialogue(agent=agent, environment=environment, max_turns=9)


def tasks(number: int) -> list[Task]:
    return [Task(env="talk", id=f"t{index}") for index in range(number)]


async def talk(
    *faults: Fault,
    plan_seed: int = 0,
    number: int = 1,
    config: RolloutConfig | None = None,
    kinds: Sequence[Kind] = ENGINE_KINDS,
    make: MakeDialogue | None = None,
    store: Store | None = None,
    jump: object = None,
    faulty: Faults | None = None,
) -> Talks:
    """Rollouts of `number` tasks under a plan, with the invariants checked when they are over."""
    talks = Talks()
    meets = faulty or Faults(
        FaultPlan(seed=plan_seed, faults=faults),
        kinds,
        jump=jump,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        trace=talks.trace.append,
    )
    dialogues = FaultyDialogues(make or talks.make, meets)
    credits = Credits(number)
    config = config or RolloutConfig(live=64, deadline_s=60.0)
    began = anyio.current_time()
    async with open_rollouts(
        tasks(number),
        dialogues.make,
        seed=Seed(0),
        config=config,
        store=store,
        credits=credits,
        observer=dialogues,
    ) as rollouts:
        async for group in rollouts:
            talks.groups.append(group)
            credits.release()
    talks.seconds = anyio.current_time() - began
    talks.stats = rollouts.stats
    talks.report = dialogues.ledger.report()
    assert all(agent.closed == 1 for agent, _ in talks.made)
    check_invariants(stats=talks.stats, groups=talks.groups, credits=[credits])
    return talks
