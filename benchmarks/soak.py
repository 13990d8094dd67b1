"""Hours of dialogues while everything goes wrong that a bad day brings: nothing may leak or drift.

    python benchmarks/soak.py                 one hour in virtual time, ten real minutes a loop
    python benchmarks/soak.py --quick         three virtual minutes, fifteen real seconds a loop

* `virtual`: the function gym's eight-turn script with replies of 2 s ± 20 %, on trio's mock clock,
  once on a calm day and once under the plan `storm`: 5 % of the calls fail, others are late or
  nonsense, messages are late or lost, tools fail, parties hang. Same tasks, same seeds.
* `real`: the same gym, with a model behind HTTP in a process of its own (`mock_server.py`), which
  refuses, fails and resets calls by itself; the rest of the storm is ours. Both loops.

Bars, each of them on each: every invariant holds (`check_invariants`); nothing that ended is other
than its faults explain; no task, thread, file or socket is left over; memory does not grow (the
slope's 95 % interval reaches 0, or what it allows is 2 % of what there is). Of the virtual hour:
finished dialogues per simulated second under the storm are at least 0.8 of the calm day's. Exit
code 1 when one is missed; with --quick only the invariants count, as minutes are warming up.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import trio
from _common import machine
from _mock import mock_server
from _steady import Slope, resident_mib, slope
from _visits import tokenizer_and_answers
from msgspec import Struct, structs
from trio.testing import MockClock

from duologue.agents import ChatML
from duologue.agents.models import Generation, Model, Request, Sampling
from duologue.agents.models._faulty import FaultyModel
from duologue.agents.models.limits._limits import Limits, LimitsConfig
from duologue.agents.models.vllm._model import open_vllm
from duologue.engine import (
    End,
    Key,
    RolloutConfig,
    Seed,
    Store,
    Trajectory,
    open_reader,
    open_rollouts,
    open_store,
    relaxed_collector,
)
from duologue.engine._commits import Commits, Committed
from duologue.engine._writer import Write
from duologue.engine.faults import (
    FaultLedger,
    FaultPlan,
    FaultReport,
    Faults,
    FaultyDialogues,
    InvariantBroken,
    Resources,
    check_invariants,
    make_store_faulty,
)
from duologue.envs import MakeAgent, find, make_dialogues, scripted_agent, token_agent
from duologue.envs._faulty import faulty_gym
from duologue.plans import KINDS, preset

PHASE = "soak"
BOOKS = "invariants, ends and resources hold"
GOODPUT = 0.8
REPLY_S = 2.0
JITTER = 0.2
DEADLINE_S = 60.0

TASKS = 512
"""Different tasks, tried again and again: caches of texts are full before memory is looked at."""

BY_THE_SERVER = {"server_error": "500", "rate_limited": "429", "reset": "reset"}
"""What the real server does by itself, and what it calls it."""


class Soaked(Struct, frozen=True, kw_only=True):
    """What one soak came to. goodput: dialogues that count, a second."""

    what: str
    seconds: float
    admitted: int
    finished: int
    turns: int
    goodput: float
    ends: dict[str, int]
    memory: Slope
    before: Resources
    after: Resources
    memory_mib: list[float]
    broken: str
    faults: FaultReport | None


class Paced:
    """A model that takes its time, drawn from each call's own seed."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def open(self, session: str) -> None:
        self._model.open(session)

    def close(self, session: str) -> None:
        self._model.close(session)

    async def generate(self, request: Request) -> Generation:
        draw = (Seed(request.seed) / "pace").random().uniform(-JITTER, JITTER)
        await anyio.sleep(REPLY_S * (1 + draw))
        return await self._model.generate(request)


# ---------------------------------------------------------------- a soak


async def soak(
    what: str,
    plan: FaultPlan,
    live: int,
    seconds: float,
    seat: Callable[[Faults], MakeAgent],
    *,
    pooled: bool = False,
) -> Soaked:
    """Dialogues for so many seconds of the loop's clock, then everything is stopped and counted.

    pooled: the model keeps connections for its next calls; they are looked at when it has closed.
    """
    gym = find("function")
    faults = Faults(plan, KINDS)
    ledger = FaultLedger(faults)
    make = make_dialogues(faulty_gym(gym, faults), seat(faults), max_turns=8)
    dialogues = FaultyDialogues(make, faults, ledger=ledger, phase=PHASE)
    config = RolloutConfig(
        live=live, deadline_s=min(DEADLINE_S, plan.deadline_s or inf), retry_budget=0.5
    )
    await anyio.to_thread.run_sync(int)  # the thread that a loop keeps for its next use is there
    broken = ""
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "run.db"
        before = Resources.now()
        began = anyio.current_time()
        finished = 0
        async with open_store(path) as store:
            await _fill(store)
            make_store_faulty(store, faults)
            async with (
                open_rollouts(
                    cycle(islice(gym.tasks("train", Seed(0)), TASKS)),
                    dialogues.make,
                    seed=Seed(0),
                    config=config,
                    store=store,
                    phase=PHASE,
                    observer=dialogues,
                ) as rollouts,
                anyio.create_task_group() as watch,
            ):
                watch.start_soon(_sample, samples, seconds / 60)
                with anyio.move_on_after(seconds):
                    async for group in rollouts:
                        check_invariants(groups=[group])
                finished = rollouts.stats.counted
                watch.cancel_scope.cancel()
        took = anyio.current_time() - began
        after = Resources.now()
        if pooled:
            after = structs.replace(after, files=before.files, sockets=before.sockets)
        stats = rollouts.stats
        report = ledger.report()
        try:
            with open_reader(path) as reader:
                check_invariants(
                    stats=stats, reader=reader, phase=PHASE, before=before, after=after
                )
            if report.surprises:
                raise InvariantBroken(f"{report.surprises} surprises: {report.surprised}")
        except InvariantBroken as error:
            broken = str(error)
    return Soaked(
        what=what,
        seconds=round(took, 1),
        admitted=stats.admitted,
        finished=finished,
        turns=stats.turns,
        goodput=finished / seconds,
        ends={end.value: number for end, number in sorted(stats.ends.items())},
        memory=slope(*zip(*samples, strict=True)),
        before=before,
        after=after,
        memory_mib=[round(mib, 2) for _, mib in samples],
        broken=broken,
        faults=report if plan.faults else None,
    )


async def _fill(store: Store) -> None:
    """SQLite keeps 2 MiB of pages, which the first 8,000 dialogues fill: here they are."""

    async def append(group: int) -> None:
        for sample in range(128):
            key = Key(group, sample)
            empty = Trajectory(key=key, task="t", env="e", split="train", end=End.DONE)
            await store.append("warming up", empty, seconds=0.0)

    async with anyio.create_task_group() as tasks:
        for group in range(64):
            tasks.start_soon(append, group)


async def _sample(samples: list[tuple[float, float]], every_s: float) -> None:
    while True:
        await anyio.sleep(every_s)
        samples.append((anyio.current_time(), resident_mib()))


def _faulty(faults: Faults, model: Model, limits: Limits) -> Model:
    return FaultyModel(model, faults, limits)


# ---------------------------------------------------------------- virtual time


def virtual(plan: FaultPlan, live: int, seconds: float) -> Soaked:
    """The scripted agent on a clock that jumps when everybody waits."""
    clock = MockClock(autojump_threshold=0)

    def seat(faults: Faults) -> MakeAgent:
        limits = Limits("model", LimitsConfig(concurrency=live), seed=Seed(0))

        def through(model: Model) -> Model:
            return _faulty(faults, Paced(model), limits)

        return scripted_agent(find("function"), "benchmark", through=through)

    async def main() -> Soaked:
        with _threads_hold(clock):
            what = "storm" if plan.faults else "calm"
            return await soak(f"virtual, {what}", plan, live, seconds, seat)

    return trio.run(main, clock=clock)


@contextmanager
def _threads_hold(clock: MockClock) -> Generator[None]:
    """While a thread works the clock must not jump: it cannot see the store's disk.

    The store's own thread lives as long as the store, and works while something is handed over.
    """
    in_thread = anyio.to_thread.run_sync
    hand_over, take_back = Commits.hand_over, Commits.take_back
    working = 0
    writing: set[Commits] = set()

    def look() -> None:
        clock.autojump_threshold = inf if working or writing else 0

    async def run_sync(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal working
        if isinstance(getattr(work, "__self__", None), Commits):
            return await in_thread(work, *arguments, **options)
        working += 1
        look()
        try:
            return await in_thread(work, *arguments, **options)
        finally:
            working -= 1
            look()

    def handed_over(self: Commits, writes: list[Write]) -> None:
        writing.add(self)
        look()
        hand_over(self, writes)

    def taken_back(self: Commits) -> Iterator[Committed]:
        yield from take_back(self)
        if self.idle:
            writing.discard(self)
            look()

    anyio.to_thread.run_sync = run_sync  # type: ignore[assignment]
    Commits.hand_over, Commits.take_back = handed_over, taken_back  # type: ignore[method-assign]
    try:
        yield
    finally:
        anyio.to_thread.run_sync = in_thread
        Commits.hand_over, Commits.take_back = hand_over, take_back  # type: ignore[method-assign]


# ---------------------------------------------------------------- real time


def real(plan: FaultPlan, live: int, seconds: float, loop: str) -> Soaked:
    """The real client against a server that has its own bad day."""
    tokenizer, answers = tokenizer_and_answers()
    shares = {fault.kind: fault.rate for fault in plan.faults if fault.kind in BY_THE_SERVER}
    ours = tuple(fault for fault in plan.faults if fault.kind not in BY_THE_SERVER)
    theirs = [f"--fault={BY_THE_SERVER[kind]}={rate}" for kind, rate in shares.items()]

    async def main(url: str) -> Soaked:
        async with open_vllm(url, tokenizer, context=8192, live=live) as served:
            limits = Limits("model", LimitsConfig(concurrency=live), seed=Seed(0))

            def seat(faults: Faults) -> MakeAgent:
                return token_agent(
                    _faulty(faults, served, limits),
                    ChatML(tokenizer),
                    sampling=Sampling(max_tokens=64),
                    context=8192,
                )

            here = structs.replace(plan, faults=ours)
            return await soak(f"real, {loop}", here, live, seconds, seat, pooled=True)

    with mock_server("--latency", "0.25", *theirs, answers=answers) as (url, _):
        options = {"use_uvloop": True} if loop == "asyncio" else {}
        outside = Resources.now()
        found: Soaked = anyio.run(partial(main, url), backend=loop, backend_options=options)
    return structs.replace(found, broken=found.broken or _left_over(outside))


def _left_over(before: Resources) -> str:
    """What the client's own block left behind, where there is no loop any more."""
    try:
        # Threads that a loop keeps for reuse go some seconds after it.
        now = structs.replace(Resources.now(), threads=before.threads)
        check_invariants(before=before, after=now)
    except InvariantBroken as error:
        return str(error)
    return ""


# ---------------------------------------------------------------- the script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute instead of half an hour")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--only", choices=("virtual", "real"))
    parser.add_argument("--loop", choices=("asyncio", "trio"), help="of the real ones, this")
    parser.add_argument("--minutes", type=float, help="how long each real one lasts")
    parser.add_argument("--live", type=int, default=64)
    options = parser.parse_args()
    storm = msgspec.toml.decode(preset("storm"), type=FaultPlan)

    missed: list[str] = []
    for found, bars in _soaks(options, storm):
        show(found, bars, options.json)
        counted = [BOOKS] if options.quick else list(bars)
        missed += [f"{found.what}: {name}" for name in counted if not bars[name]]
    if missed:
        sys.exit(f"{len(missed)} missed: " + "; ".join(missed))


def _soaks(
    options: argparse.Namespace, storm: FaultPlan
) -> Iterator[tuple[Soaked, dict[str, bool]]]:
    with relaxed_collector():
        if options.only != "real":
            seconds = 180.0 if options.quick else 3600.0
            calm = virtual(FaultPlan(), options.live, seconds)
            yield calm, _bars(calm)
            rough = virtual(storm, options.live, seconds)
            share = rough.goodput / calm.goodput
            name = f"goodput {share:.3f} of the calm day's, at least {GOODPUT}"
            yield rough, {**_bars(rough), name: share >= GOODPUT}
        if options.only != "virtual":
            seconds = 60 * (options.minutes or (0.25 if options.quick else 10.0))
            for loop in [options.loop] if options.loop else ["asyncio", "trio"]:
                found = real(storm, options.live, seconds, loop)
                yield found, _bars(found)


def _bars(found: Soaked) -> dict[str, bool]:
    memory = found.memory
    words = f"{memory.mib_per_hour:+.2f} MiB/h ({memory.low:+.2f} .. {memory.high:+.2f})"
    return {
        BOOKS: not found.broken,
        f"memory is flat: {words}, n = {memory.n}": memory.flat,
    }


def show(found: Soaked, bars: dict[str, bool], as_json: bool) -> None:
    if as_json:
        print(json.dumps({**msgspec.to_builtins(found), "bars": bars, **machine()}), flush=True)
        return
    print(
        f"{found.what}, {found.seconds:,.0f} s: {found.admitted:,} dialogues, "
        f"{found.finished:,} finished ({found.goodput:.2f}/s), {found.turns:,} turns; "
        f"{found.memory.mean_mib:,.0f} MiB"
    )
    print(f"    ends: {', '.join(f'{number:,} {end}' for end, number in found.ends.items())}")
    if found.faults is not None:
        report = found.faults
        print(
            f"    {report.injected:,} faults struck {report.struck:,} dialogues; "
            f"{report.recovered:,} came to an end that counts"
        )
    if found.broken:
        print(f"    BROKEN: {found.broken}")
    for name, held in bars.items():
        print(f"    {'held' if held else 'MISSED'}: {name}", flush=True)


if __name__ == "__main__":
    main()
