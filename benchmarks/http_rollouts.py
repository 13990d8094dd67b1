"""What a turn costs when the model is behind HTTP: whole dialogues against a mock server.

The server runs in a process of its own and answers after 250 ms ± 20 % with 64 tokens, their
log-probabilities and a valid tool call. A dialogue is 8 turns with its whole history sent every
time, and no two of a million texts are the same. What runs is what `duologue rollout` runs for
`vllm:URL`: its model, its agent, its limits, its store on disk. What is measured is everything this
process does, threads included.

The baseline is the least that a Python client can do (`_bare.py`). A busy machine slows both, so
their ratio says more than either. Below each number its parts are shown, each measured alone.

Bars, on both loops (exit code 1 when one is missed; with --quick they are only shown):

| live, replies | bar |
|---|---|
| 64, 512, 2,048; 250 ms | every dialogue is done |
| 512, 2,048; 250 ms | at most 0.12 ms of CPU a turn |
| 2,048; 250 ms | at least 6,000 turns/s; loop late by at most 20 ms (p99) |
| 10,000; 2 s | every dialogue is done; loop late by at most 20 ms (p99) |
| 10,000; 250 ms | more than a core bears: done, and the longest wait is at most 3 times the median |

`--quick`: 512 live, one run, at most 0.2 ms.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from _bare import bare
from _common import machine
from _mock import cpu_of, mock_server
from _parts import client, parts
from _visits import CONTEXT, TURNS, dialogue, tokenizer_and_answers
from msgspec import Struct
from tokenizers import Tokenizer

from duologue.agents import ChatML
from duologue.agents.models import Generation, Model, Request
from duologue.agents.models.vllm._model import open_vllm
from duologue.engine import (
    End,
    RolloutConfig,
    Seed,
    Task,
    open_lateness,
    open_rollouts,
    open_store,
    relaxed_collector,
)

LOOPS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

PROBE_S = 0.025
"""Between two looks at how late the loop is. Every 10 ms they were a twentieth of what is measured,
because waking an idle processor is dear; a rollout looks every 50."""

AT_ONCE = 2048
"""Requests the server is given at once. More are live than that in the last two rows of the bars:
with 2 s replies it is given all of them, with 250 ms they wait their turn."""


class Scenario(Struct, frozen=True):
    """`live` dialogues on a server that answers after `latency_s`, `at_once` requests at a time.

    bars: what each figure may be at most (or, where negative, at least).
    """

    live: int
    latency_s: float
    at_once: int
    bars: dict[str, float]


COST = {"cpu_ms_per_turn": 0.12}
SCENARIOS = (
    Scenario(64, 0.25, 64, {}),
    Scenario(512, 0.25, 512, COST),
    Scenario(2048, 0.25, 2048, {**COST, "turns_per_s": -6000.0, "late_p99_ms": 20.0}),
    Scenario(10_000, 2.0, 10_000, {"late_p99_ms": 20.0}),
    Scenario(10_000, 0.25, AT_ONCE, {"longest_wait": 3.0}),
)
QUICK = Scenario(512, 0.25, 512, {"cpu_ms_per_turn": 0.2})


class Timed:
    """A model that notes how long each answer took."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.waits_s: list[float] = []

    def open(self, session: str) -> None:
        self._model.open(session)

    def close(self, session: str) -> None:
        self._model.close(session)

    async def generate(self, request: Request) -> Generation:
        began = time.perf_counter()
        generation = await self._model.generate(request)
        self.waits_s.append(time.perf_counter() - began)
        return generation


async def measure(
    url: str, pid: int, tokenizer: Tokenizer, scenario: Scenario, count: int, durable: bool
) -> dict[str, float]:
    """`count` dialogues, from the first connection to the last answer and the last byte on disk."""
    tasks = [Task(env="visit", id=str(number)) for number in range(count)]
    config = RolloutConfig(live=scenario.live, deadline_s=300)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began, cpu, server = time.perf_counter(), time.process_time(), cpu_of(pid)
        async with (
            open_lateness(every_s=PROBE_S, window=1_000_000) as lateness,
            open_vllm(url, tokenizer, context=CONTEXT, live=scenario.at_once) as served,
        ):
            timed = Timed(served) if "longest_wait" in scenario.bars else None
            make = partial(dialogue, timed or served, ChatML(tokenizer))
            if durable:
                async with (
                    open_store(Path(folder) / "run.db") as store,
                    open_rollouts(tasks, make, seed=Seed(0), config=config, store=store) as running,
                ):
                    async for _ in running:
                        pass
            else:
                async with open_rollouts(tasks, make, seed=Seed(0), config=config) as running:
                    async for _ in running:
                        pass
            stats = running.stats
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        server = cpu_of(pid) - server
    if stats.ends != {End.DONE: count} or stats.turns != TURNS * count:
        raise RuntimeError(f"not every dialogue was done: {stats.ends}")
    figures = {
        "cpu_ms_per_turn": 1e3 * cpu / stats.turns,
        "turns_per_s": stats.turns / wall,
        "cpu_share": cpu / wall,
        "server_cpu_share": server / wall,
        "late_p50_ms": 1e3 * lateness.quantile(0.5),
        "late_p99_ms": 1e3 * lateness.quantile(0.99),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if timed is not None:
        figures["wait_p50_s"] = statistics.median(timed.waits_s)
        figures["longest_wait"] = max(timed.waits_s) / figures["wait_p50_s"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="512 live only, a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--live", type=int, nargs="*", help="only with so many dialogues alive")
    parser.add_argument("--loop", choices=tuple(LOOPS), help="only this one")
    parser.add_argument("-n", type=int, help="runs of each")
    options = parser.parse_args()
    tokenizer, answers = tokenizer_and_answers()
    runs_each = options.n or (1 if options.quick else 3)
    scenarios = [QUICK] if options.quick else SCENARIOS
    missed: list[str] = []
    for scenario in scenarios:
        if options.live and scenario.live not in options.live:
            continue
        with mock_server("--latency", str(scenario.latency_s), answers=answers) as (url, pid):
            for backend in [options.loop] if options.loop else list(LOOPS):
                rounds = 2 * TURNS if scenario.live <= 2048 else 2
                least = run(bare, url, min(scenario.live, 2048), rounds, backend="asyncio")
                one_run = partial(measure, url, pid, tokenizer, scenario, _count(scenario))
                runs = [run(one_run, True, backend=backend) for _ in range(runs_each)]
                figures = summary(runs, least)
                shares = parts(tokenizer, answers)
                shares["client"] = run(
                    client, url, min(scenario.live, 2048), rounds, backend=backend
                )
                if scenario.live <= 2048:
                    bare_run = run(one_run, False, backend=backend)["cpu_ms_per_turn"]
                    shares["store"] = figures["cpu_ms_per_turn"]["median"] - bare_run
                show(scenario, backend, figures, shares, len(runs), options.json)
                missed += judge(scenario, backend, figures, aloud=not options.json)
    if missed and not options.quick:
        sys.exit(f"{len(missed)} missed: " + "; ".join(missed))


def _count(scenario: Scenario) -> int:
    """Three waves of dialogues, and at 64 live more, so that starting up does not set the result;
    ten thousand dialogues are enough of a start."""
    return max(3 * scenario.live, 512) if scenario.live <= 2048 else scenario.live


def run(work: Callable[..., Any], *arguments: Any, backend: str) -> Any:
    with relaxed_collector():
        return anyio.run(work, *arguments, **LOOPS[backend])


def summary(runs: list[dict[str, float]], least: float) -> dict[str, dict[str, Any]]:
    """Median and spread of every figure, beside what the bare client costs."""
    runs = [{**one, "bare_ms": least, "times_bare": one["cpu_ms_per_turn"] / least} for one in runs]
    return {
        key: {
            "median": round(statistics.median(one[key] for one in runs), 4),
            "spread": [round(min(r[key] for r in runs), 4), round(max(r[key] for r in runs), 4)],
        }
        for key in runs[0]
    }


def judge(
    scenario: Scenario, backend: str, figures: dict[str, dict[str, Any]], *, aloud: bool
) -> list[str]:
    """What was missed; says of every bar whether it holds."""
    missed: list[str] = []
    for name, bar in scenario.bars.items():
        found = figures[name]["median"]
        held = found >= -bar if bar < 0 else found <= bar
        words = f"{name} {'>=' if bar < 0 else '<='} {abs(bar):g}: {found:,}"
        if aloud:
            print(f"    bar {words} {'held' if held else 'MISSED'}", flush=True)
        if not held:
            missed.append(f"{scenario.live} live on {backend}, {words}")
    return missed


def show(
    scenario: Scenario,
    backend: str,
    figures: dict[str, dict[str, Any]],
    shares: dict[str, float],
    count: int,
    as_json: bool,
) -> None:
    loop = "asyncio (uvloop)" if backend == "asyncio" else backend
    rest = figures["cpu_ms_per_turn"]["median"] - sum(shares.values())
    shares = {key: round(value, 4) for key, value in {**shares, "rest": rest}.items()}
    if as_json:
        what: dict[str, Any] = {
            "what": "rollouts over HTTP",
            "live": scenario.live,
            "loop": loop,
            "n": count,
        }
        what["latency_s"] = scenario.latency_s
        print(json.dumps({**what, **figures, "parts_ms": shares, **machine()}), flush=True)
        return
    print(f"{scenario.live:,} live, {scenario.latency_s:g} s replies, {loop} (n = {count})")
    for key, value in figures.items():
        low, high = value["spread"]
        print(f"    {key:18} {value['median']:>12,}   {low:,} .. {high:,}")
    words = ", ".join(f"{key} {value:.3f}" for key, value in shares.items())
    print(f"    parts, ms a turn:  {words} (engine, agent, loop)", flush=True)


if __name__ == "__main__":
    main()
