"""What live dialogues hold: each scenario in a process of its own, which measures itself.

    python benchmarks/_live.py text|token BACKEND COUNT

Prints one JSON object. The dialogues are the function gym's: four turns, then all of them stand in
`Model.generate` at the same time, then they go on to their end.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from _scripted import GYM, TURNS, tasks

from duologue.agents import ChatML, TextAgent, write_call
from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models.text._tokenizer import train_tokenizer
from duologue.engine import (
    Action,
    Agent,
    End,
    Lot,
    RolloutConfig,
    Rollouts,
    Seed,
    Span,
    Task,
    checkpoint,
    open_rollouts,
    relaxed_collector,
)
from duologue.envs import make_dialogues, token_agent

BEFORE_WAIT = 4
"""Turns a dialogue has behind it when it waits."""

TOKEN_BYTES = 9
"""What a token is in a transcript: its id, its log-probability, its mask."""


class Gate:
    """Where the dialogues stand until all of them are there."""

    def __init__(self, count: int) -> None:
        self.all_here = anyio.Event()
        self.own_bytes = 0
        self._missing = count
        self._standing = Lot()

    def stand(self, request: Request) -> Awaitable[None]:
        # The opening is one text, shared by all dialogues; their tokens are not.
        said = sum(len(m.content) for m in request.messages if m.role in ("assistant", "tool"))
        self.own_bytes += said + TOKEN_BYTES * len(request.tokens)
        self._missing -= 1
        if not self._missing:
            self.all_here.set()
        return self._standing.park()

    def open(self) -> None:
        self._standing.wake_all()


class Waits:
    """The one model of all dialogues, as an endpoint is. It answers eight turns by their number,
    and makes every dialogue stand at the gate once."""

    def __init__(self, gate: Gate, chat: ChatML | None) -> None:
        self._gate = gate
        self._chat = chat

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        if self._chat is None:
            turn = sum(message.role == "assistant" for message in request.messages)
        else:
            # Two messages stand before the first turn; every turn adds its own and the answer.
            turn = request.tokens.count(self._chat.stop) // 2 - 1
        if turn == BEFORE_WAIT:
            await self._gate.stand(request)
        else:
            await checkpoint()
        text = write_call(_action(turn, request.seed))
        if self._chat is None:
            return Generation(text=text)
        ids = array("i", self._chat.wrote(text))
        return Generation(
            text=text,
            ids=ids,
            logps=array("f", bytes(4 * len(ids))),
            spans=(Span(0, len(ids), 0),),
        )


def _action(turn: int, seed: int) -> Action:
    """Four trials, a look-up, three answers. All wrong: no result has five decimals."""
    if turn < 4:
        return Action("action", " ".join(str(1 + (seed >> shift) % 10) for shift in (0, 8, 16, 24)))
    return Action("search", "test") if turn == 4 else Action("answer", f"{turn}.00001")


def agents(kind: str, gate: Gate) -> Callable[[Task, str, Seed], Agent]:
    """Seats agents that read text, or agents that read tokens."""
    if kind == "text":
        model = Waits(gate, None)
        return lambda task, session, seed: TextAgent(
            model, session=session, seed=seed, sampling=Sampling()
        )
    prompts = [m.content for row in tasks(1) for m in GYM.make(row, Seed(0)).prompt()]
    chat = ChatML(train_tokenizer(prompts * 3, 600))
    return token_agent(Waits(gate, chat), chat, sampling=Sampling(), context=32_768)


async def run(kind: str, count: int) -> dict[str, float]:
    """Bring `count` dialogues before the gate, measure, and let them go to their end."""
    rows = tasks(count)
    gate = Gate(count)
    make = make_dialogues(GYM, agents(kind, gate))
    config = RolloutConfig(live=count, deadline_s=3600)
    gc.collect()
    before = resident_bytes()
    began, cpu = time.perf_counter(), time.process_time()
    async with open_rollouts(rows, make, seed=Seed(0), config=config) as rollouts:
        await gate.all_here.wait()
        gc.collect()
        held = resident_bytes() - before
        gate.open()
        await _to_the_end(rollouts, count)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "live": count,
        "kib_each": (held - gate.own_bytes) / count / 1024,
        "own_kib_each": gate.own_bytes / count / 1024,
        "peak_gib": peak / 2**30,
        "turns_per_s": TURNS * count / wall,
        "cpu_us_per_turn": 1e6 * cpu / (TURNS * count),
    }


async def _to_the_end(rollouts: Rollouts, count: int) -> None:
    async for _ in rollouts:
        pass
    if rollouts.stats.ends != {End.DONE: count} or rollouts.stats.turns != TURNS * count:
        raise RuntimeError(f"not every dialogue was done: {rollouts.stats}")


def resident_bytes() -> int:
    """What the process holds of the machine's memory now (Linux)."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def in_a_process(kind: str, backend: str, count: int) -> dict[str, float]:
    """The scenario in a fresh process: memory that this one has had does not come back."""
    done = subprocess.run(
        [sys.executable, __file__, kind, backend, str(count)],
        check=True,
        stdout=subprocess.PIPE,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    kind, backend, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    options = {"use_uvloop": True} if backend == "asyncio" else {}
    with relaxed_collector():
        # Once around with a few, so that what every process holds anyhow is there before.
        anyio.run(run, kind, 50, backend=backend, backend_options=options)
        figures = anyio.run(run, kind, count, backend=backend, backend_options=options)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
