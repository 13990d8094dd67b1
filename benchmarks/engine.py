"""What the engine costs: hops between actors, whole dialogues, and what live ones hold.

| scenario | bar, on each loop |
|---|---|
| `hops`: round trips between two tasks, 10,000 pairs at once: joined by a deque and the loop's own primitive, by our mailboxes, by actors that tell each other, by a task that asks an actor | mailboxes, and actors that tell, >= 0.45 of the bare pair each, in CPU time |
| `dialogues`: 10,000 dialogues of the function gym, eight turns each, that all wait in their first turn until the last is there | >= 30,000 turns/s |
| `dialogues, durable`: the same, every trajectory on disk before its group is offered | >= 20,000 turns/s |
| `dialogues, a yield a turn`: in memory, by agents that let others run at every turn | |
| `dialogues, usual collector`: the same in memory with the cyclic collector left as it is | |
| `admission`: a dialogue without a turn | |
| `waiting, text` and `waiting, tokens`: memory of a dialogue that stands in its model's `generate` in its fifth turn, beyond its own text or tokens | <= 12 KiB |
| `100,000 live`: that many stand there at once, then all finish | peak < 3 GiB |

A turn is one agent message and the reply to it. The process is held to one core where the system
can do that; threads (the store's) share it. Exit code 1 when a bar is missed, except under
`--quick`, whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import anyio
from _common import LOOPS, hold_to_one_core, machine
from _hops import hops
from _live import in_a_process
from _scripted import admissions, dialogues

from duologue.engine import relaxed_collector


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure's median must be at least, or at most."""

    figure: str
    least: float | None = None
    most: float | None = None

    def verdict(self, found: float) -> tuple[bool, str]:
        """Whether it holds, and that in words."""
        if self.least is not None:
            held, words = found >= self.least, f"bar >= {self.least:,}"
        else:
            assert self.most is not None
            held, words = found <= self.most, f"bar <= {self.most:,}"
        return held, f"{words}: {self.figure} {found:,} {'held' if held else 'MISSED'}"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One measurement, repeated `times`; `measure` runs it once on the loop named."""

    name: str
    times: int
    measure: Callable[[str], dict[str, float]]
    bars: tuple[Bar, ...] = ()


def scenarios(*, quick: bool) -> Iterator[Scenario]:
    """All of them, or all of them small."""
    times = 1 if quick else 5
    pairs, count, many = (100, 300, 500) if quick else (10_000, 10_000, 100_000)

    def on_loop(
        run: Callable[[str], Awaitable[dict[str, float]]], *, relaxed: bool = True
    ) -> Callable[[str], dict[str, float]]:
        def measure(backend: str) -> dict[str, float]:
            options = {"use_uvloop": True} if backend == "asyncio" else {}
            with relaxed_collector() if relaxed else nullcontext():
                return anyio.run(run, backend, backend=backend, backend_options=options)

        return measure

    async def memory(backend: str) -> dict[str, float]:
        return await dialogues(count)

    async def yielding(backend: str) -> dict[str, float]:
        return await dialogues(count, yielding=True)

    async def durable(backend: str) -> dict[str, float]:
        return await dialogues(count, durable=True)

    async def admission(backend: str) -> dict[str, float]:
        return await admissions(count, count)

    yield Scenario(
        name="hops",
        times=times,
        measure=on_loop(partial(hops, pairs, 10)),
        bars=(Bar(figure="mailboxes_share", least=0.45), Bar(figure="told_share", least=0.45)),
    )
    yield Scenario(
        name="dialogues",
        times=times,
        measure=on_loop(memory),
        bars=(Bar(figure="turns_per_s", least=30_000),),
    )
    yield Scenario(
        name="dialogues, durable",
        times=times,
        measure=on_loop(durable),
        bars=(Bar(figure="turns_per_s", least=20_000),),
    )
    yield Scenario(name="dialogues, a yield a turn", times=times, measure=on_loop(yielding))
    yield Scenario(
        name="dialogues, usual collector", times=times, measure=on_loop(memory, relaxed=False)
    )
    yield Scenario(name="admission", times=times, measure=on_loop(admission))
    for kind, name in (("text", "waiting, text"), ("token", "waiting, tokens")):
        yield Scenario(
            name=name,
            times=1 if quick else 3,
            measure=partial(in_a_process, kind, count=count),
            bars=(Bar(figure="kib_each", most=12),),
        )
    yield Scenario(
        name=f"{many:,} live",
        times=1,
        measure=partial(in_a_process, "text", count=many),
        bars=(Bar(figure="peak_gib", most=3),),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds; no bar is held")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--loop", choices=tuple(LOOPS), help="only this one")
    parser.add_argument("--only", help="only the scenarios whose names begin so")
    options = parser.parse_args()
    core = hold_to_one_core()
    if not options.json:
        print(f"{json.dumps(machine())}, held to core {core}", flush=True)
    missed: list[str] = []
    for backend in [options.loop] if options.loop else LOOPS:
        for scenario in scenarios(quick=options.quick):
            if options.only and not scenario.name.startswith(options.only):
                continue
            runs = [scenario.measure(backend) for _ in range(scenario.times)]
            for verdict in show(scenario, backend, runs, core, as_json=options.json):
                missed.append(f"{scenario.name} on {LOOPS[backend]}: {verdict}")
    if missed and not options.quick:
        sys.exit("\n".join(missed))


def show(
    scenario: Scenario,
    backend: str,
    runs: list[dict[str, float]],
    core: int | None,
    *,
    as_json: bool,
) -> list[str]:
    """Print medians and spread; of the bars those that were missed, in words."""
    figures: dict[str, dict[str, float | list[float]]] = {}
    verdicts: list[str] = []
    missed: list[str] = []
    for key in runs[0]:
        values = sorted(round(run[key], 3) for run in runs)
        median = round(statistics.median(values), 3)
        figures[key] = {"median": median, "spread": [values[0], values[-1]]}
        for bar in scenario.bars:
            if bar.figure == key:
                held, verdict = bar.verdict(median)
                verdicts.append(verdict)
                if not held:
                    missed.append(verdict)
    loop = LOOPS[backend]
    if as_json:
        facts = {
            "what": scenario.name,
            "loop": loop,
            "n": len(runs),
            "bar": "; ".join(verdicts),
            "core": core,
        }
        print(json.dumps({**facts, **figures, **machine()}), flush=True)
        return missed
    print(f"{scenario.name} on {loop} (n = {len(runs)})", flush=True)
    for key, figure in figures.items():
        low, high = figure["spread"]  # type: ignore[misc]
        print(f"    {key} {figure['median']:,} ({low:,} .. {high:,})")
    for verdict in verdicts:
        print(f"    {verdict}", flush=True)
    return missed


if __name__ == "__main__":
    main()
