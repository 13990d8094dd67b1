"""Whole dialogues of the function gym with a scripted agent, as fast as they go.

Eight turns each: four trials, a look-up and three answers, the last one right. What the agent does
is written as tool-call text and read back from it, as a model's would be, and it is shown the whole
history every turn. A dialogue of scripts is over before the next begins, so here each waits in its
first turn until all are there. Then a scripted model yields to the loop once in a few answers;
`yielding` makes it yield at every one, as a dialogue whose every turn waits would: ten thousand of
them then take turns at each turn, and each finds the caches cold.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

from _gate import Gate

from duologue.agents import TextAgent, read_calls, write_call
from duologue.agents.models import Generation, Request, Sampling, ScriptedModel
from duologue.engine import (
    Agent,
    Dialogue,
    End,
    Key,
    Message,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    checkpoint,
    open_rollouts,
    open_store,
)
from duologue.envs import Step, find, make_dialogues

TURNS = 8
GYM = find("function")


def tasks(count: int) -> list[Task]:
    """Training tasks, each another rule."""
    return list(islice(GYM.tasks("train", Seed(0)), count))


class _Gated(ScriptedModel):
    """Waits at the gate in its first turn, and `yielding` yields to the loop in every other."""

    def __init__(
        self, script: Callable[[Sequence[Message]], str], gate: Gate, yielding: bool
    ) -> None:
        super().__init__(script)
        self._gate: Gate | None = gate
        self._yielding = yielding

    async def generate(self, request: Request) -> Generation:
        if self._gate is not None:
            gate, self._gate = self._gate, None
            await gate.arrive()
        elif self._yielding:
            await checkpoint()
        return await super().generate(request)


def _agent(task: Task, session: str, seed: Seed, *, gate: Gate, yielding: bool) -> Agent:
    """The gym's own scripted agent, whose model is gated."""
    script = GYM.scripts["benchmark"](task, (seed / "script").random())
    model = _Gated(lambda messages: write_call(script(messages)), gate, yielding)
    return TextAgent(model, session=session, seed=seed, sampling=Sampling())


async def dialogues(
    count: int, *, durable: bool = False, yielding: bool = False
) -> dict[str, float]:
    """Turns a second of `count` dialogues that are all alive at once, and the CPU of a turn,
    threads included; what of it is the gym's own."""
    rows = tasks(count)
    make = make_dialogues(GYM, partial(_agent, gate=Gate(count), yielding=yielding))
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            store = None
            if durable:
                store = await stack.enter_async_context(open_store(Path(folder) / "run.db"))
            began, cpu = time.perf_counter(), time.process_time()
            rollouts = await stack.enter_async_context(
                open_rollouts(
                    rows, make, seed=Seed(0), config=RolloutConfig(live=count), store=store
                )
            )
            async for _ in rollouts:
                pass
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            stats = rollouts.stats
    if stats.ends != {End.DONE: count} or stats.turns != TURNS * count:
        raise RuntimeError(f"not every dialogue was done in {TURNS} turns: {stats.ends}")
    return {
        "turns_per_s": stats.turns / wall,
        "cpu_us_per_turn": 1e6 * cpu / stats.turns,
        "gym_us_per_turn": _gym_alone(rows[: max(1, count // 10)]),
    }


def _gym_alone(rows: list[Task]) -> float:
    """Microseconds of a turn without an engine: the same script, text, parser and rules in a plain
    loop, one dialogue after the other in warm caches."""
    began = time.process_time()
    for row in rows:
        seed = Seed(0) / row.id
        env = GYM.make(row, seed, **GYM.options)
        script = GYM.scripts["benchmark"](row, seed.random())
        messages = list(env.prompt())
        for _ in range(TURNS):
            text = write_call(script(messages))
            (action,) = read_calls(text)
            messages.append(Message("assistant", text))
            messages.append(Message("tool", _now(env.step(action)).feedback))
    return 1e6 * (time.process_time() - began) / (TURNS * len(rows))


def _now(step: Awaitable[Step]) -> Step:
    """The result of a step that never waits."""
    try:
        step.__await__().send(None)
    except StopIteration as over:
        return cast("Step", over.value)
    raise RuntimeError("the function gym waited for something")


class _Silent:
    """An environment that is over before it began, and the agent that never speaks in it."""

    async def receive(self, reply: Reply | None) -> Observation:
        return Observation(end=End.DONE)


class _Mute:
    async def receive(self, observation: Observation) -> Reply:
        raise AssertionError("nobody asked")

    def tokens(self) -> None:
        return None

    def close(self) -> None:
        pass


async def admissions(count: int, live: int) -> dict[str, float]:
    """What a dialogue costs that has no turn: admission, a task, its group, its end."""

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(agent=_Mute(), environment=_Silent(), max_turns=1)

    rows = [Task(env="silent", id=str(number)) for number in range(count)]
    began, cpu = time.perf_counter(), time.process_time()
    config = RolloutConfig(live=live)
    async with open_rollouts(rows, make, seed=Seed(0), config=config) as rollouts:
        async for _ in rollouts:
            pass
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"dialogues_per_s": count / wall, "cpu_us_per_dialogue": 1e6 * cpu / count}
