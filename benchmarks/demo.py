"""The demo's promises, over seeds.

Runs `duologue demo` for seeds 0, 1 and 2 and once without the cold start, and checks on held-out
tasks: the trained policy averages at least 0.80 of the expert, beats both simple policies on
average, earns at least 1.6 times the cold start on every seed, takes at most 5 minutes; the random
policy earns at most 0.72 of the expert; without the cold start training stays under 0.10.

With --quick seed 0 alone, whole, and held to what it earns: for machines whose speed nobody knows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from math import inf
from pathlib import Path
from typing import Any

from _common import machine

LIMIT_S = 300.0


def demo(folder: Path, *arguments: str) -> dict[str, Any]:
    """One demo: the fraction of the expert by agent, and its wall time."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "duologue", "demo", "--run", str(folder), "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    rows = {row["agent"]: row for row in result["sheet"]["scores"]}
    return {
        "fraction": {name: row["fraction"]["mean"] for name, row in rows.items()},
        "interval": {
            name: [row["fraction"]["low"], row["fraction"]["high"]] for name, row in rows.items()
        },
        "seconds": time.monotonic() - began,
        "parts": result["seconds"],
        "shared_tasks": result["shared_tasks"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="seed 0 alone, however long it takes")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        runs: list[dict[str, Any]] = []
        for seed in range(1 if options.quick else options.seeds):
            runs.append(demo(Path(name) / str(seed), "--seed", str(seed)))
            _show({"seed": seed, **runs[-1]}, options.json)
        bare = None
        if not options.quick:
            bare = demo(Path(name) / "bare", "--no-cold-start")
            _show({"seed": 0, "cold_start": False, **bare}, options.json)
    broken = check(runs, bare, inf if options.quick else LIMIT_S)
    summary = {"what": "demo", "n": len(runs), "broken": broken, **machine()}
    _show(summary, options.json)
    sys.exit(bool(broken))


def check(runs: list[dict[str, Any]], bare: dict[str, Any] | None, limit_s: float) -> list[str]:
    """The promises that do not hold, in words. bare: the run without the cold start, if any."""
    mean = {
        name: sum(run["fraction"][name] for run in runs) / len(runs) for name in runs[0]["fraction"]
    }
    promises = {
        f"trained averages {mean['trained']:.3f} >= 0.80": mean["trained"] >= 0.80,
        f"beats random-topic {mean['random-topic']:.3f}": mean["trained"] > mean["random-topic"],
        f"beats fixed-order {mean['fixed-order']:.3f}": mean["trained"] > mean["fixed-order"],
        f"random-topic {mean['random-topic']:.3f} <= 0.72": mean["random-topic"] <= 0.72,
    }
    if bare is not None:
        earned = bare["fraction"]["trained"]
        promises[f"without a cold start {earned:.3f} < 0.10"] = earned < 0.10
    for seed, run in enumerate(runs):
        gain = run["fraction"]["trained"] / run["fraction"]["cold-start"]
        promises[f"seed {seed}: {gain:.2f} >= 1.6 x the cold start"] = gain >= 1.6
        promises[f"seed {seed}: {run['seconds']:.0f} s <= {limit_s:.0f} s"] = (
            run["seconds"] <= limit_s
        )
        promises[f"seed {seed}: {run['shared_tasks']} shared tasks"] = run["shared_tasks"] == 0
    return [promise for promise, holds in promises.items() if not holds]


def _show(result: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(result) if as_json else result, flush=True)


if __name__ == "__main__":
    main()
