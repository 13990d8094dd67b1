"""All gyms at once: scripted experts and rule-based users over `--env mixture`, on one core.

| what | bar, on each loop |
|---|---|
| 10,000 dialogues, as many of each gym as the draw gives: turns a second | >= 8,000 |
| dialogues that did not run their course (a failed party, no action, cut off) or have no record | 0 |
| the same seed again gives the same records, byte for byte | yes |
| each gym alone: CPU of a turn | |

A turn is one agent message, written as tool-call text and read back, and the reply to it. The
process is held to one core where the system can do that. Turns a second are of the wall clock;
`turns_per_cpu_s` is what a machine busy with other work can be judged by. Exit code 1 when a bar is
missed; under `--quick` the speed is no bar, because its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from hashlib import blake2b
from itertools import islice

import anyio
import msgspec
from _common import LOOPS, hold_to_one_core, machine

from duologue.engine import RolloutConfig, Seed, Trajectory, open_rollouts, relaxed_collector
from duologue.envs import Gym, find, make_dialogues, scripted_agent

LEAST_TURNS_PER_S = 8_000
SEED = Seed(0)


class Played(msgspec.Struct, frozen=True):
    """One run of `count` dialogues. `digest` is of all its records in order."""

    turns: int
    wall_s: float
    cpu_s: float
    untyped: int
    ends: dict[str, int]
    digest: str

    @property
    def turns_per_s(self) -> float:
        return self.turns / self.wall_s

    @property
    def turns_per_cpu_s(self) -> float:
        return self.turns / self.cpu_s


async def play(gym: Gym, count: int) -> Played:
    """`count` dialogues of the gym's expert with its rule-based user."""
    tasks = list(islice(gym.tasks("train", SEED), count))
    make = make_dialogues(gym, scripted_agent(gym, "expert"))
    found: list[Trajectory] = []
    began, cpu = time.perf_counter(), time.process_time()
    async with open_rollouts(tasks, make, seed=SEED, config=RolloutConfig()) as rollouts:
        async for group in rollouts:
            found.extend(group.trajectories)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    found.sort(key=lambda trajectory: trajectory.key)
    digest = blake2b(digest_size=16)
    for trajectory in found:
        digest.update(msgspec.msgpack.encode(trajectory))
    return Played(
        turns=sum(len(trajectory.turns) for trajectory in found),
        wall_s=wall,
        cpu_s=cpu,
        untyped=count - sum(trajectory.end.finished for trajectory in found),
        ends=dict(Counter(trajectory.end.value for trajectory in found)),
        digest=digest.hexdigest(),
    )


def run(backend: str, gym: Gym, count: int) -> Played:
    options = {"use_uvloop": True} if backend == "asyncio" else {}
    with relaxed_collector():
        return anyio.run(play, gym, count, backend=backend, backend_options=options)


def measure(backend: str, *, quick: bool) -> tuple[dict[str, object], list[str]]:
    """The figures of a loop, and the bars that were missed."""
    gym = find("mixture")
    count, times, each = (600, 2, 50) if quick else (10_000, 5, 500)
    runs = [run(backend, gym, count) for _ in range(times)]
    speeds = [one.turns_per_s for one in runs]
    missed = [
        f"{one.untyped} dialogues without a proper end: {one.ends}" for one in runs if one.untyped
    ]
    if len({one.digest for one in runs}) > 1:
        missed.append("the same seed gave other records")
    if statistics.median(speeds) < LEAST_TURNS_PER_S and not quick:
        missed.append(f"{statistics.median(speeds):,.0f} turns/s, bar >= {LEAST_TURNS_PER_S:,}")
    figures: dict[str, object] = {
        "what": f"{count:,} dialogues of {len(gym.parts)} gyms",
        "loop": LOOPS[backend],
        "n": times,
        "turns": runs[0].turns,
        "turns_per_s": _spread(speeds),
        "turns_per_cpu_s": _spread([one.turns_per_cpu_s for one in runs]),
        "untyped": sum(one.untyped for one in runs),
        "ends": runs[0].ends,
        "same_records": len({one.digest for one in runs}) == 1,
        "digest": runs[0].digest,
        "cpu_us_per_turn": {
            name: round(1e6 / run(backend, part, each).turns_per_cpu_s, 1)
            for name, part in gym.parts.items()
        },
    }
    return figures, missed


def _spread(values: list[float]) -> dict[str, float | list[float]]:
    return {
        "median": round(statistics.median(values), 1),
        "spread": [round(min(values), 1), round(max(values), 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds; the speed is no bar")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--loop", choices=tuple(LOOPS), help="only this one")
    options = parser.parse_args()
    core = hold_to_one_core()
    if not options.json:
        print(f"{json.dumps(machine())}, held to core {core}", flush=True)
    every: list[str] = []
    for backend in [options.loop] if options.loop else LOOPS:
        figures, missed = measure(backend, quick=options.quick)
        every += [f"{LOOPS[backend]}: {words}" for words in missed]
        if options.json:
            print(json.dumps({**figures, "core": core, **machine()}), flush=True)
            continue
        for key, value in figures.items():
            print(f"    {key}: {json.dumps(value)}" if key != "what" else value, flush=True)
    if every:
        sys.exit("\n".join(every))


if __name__ == "__main__":
    main()
