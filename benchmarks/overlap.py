"""What overlapping sampling and learning saves.

The same training run from the same cold-started model, with staleness at most 1 (the next batch is
sampled while this one is learned from) and with 0 (they take turns), in alternation. Bar: the
overlapped run takes at most 0.75 of the other's wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _common import machine

BAR = 0.75
SETTINGS = [
    "env.options={instructions=false}",
    "model.context=256",
    "model.max_tokens=24",
    "rollout.samples=8",
    "rollout.live=512",
    "train.schedule={peak=1e-3, warmup_steps=5}",
]


def duologue(*arguments: str) -> dict[str, Any]:
    """One command, its result as data."""
    done = subprocess.run(
        [sys.executable, "-m", "duologue", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def overrides(*more: str) -> list[str]:
    return [word for text in (*SETTINGS, *more) for word in ("--set", text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps, once")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    steps, pairs, cold = (4, 1, 40) if options.quick else (60, 3, 400)
    seconds: dict[int, list[float]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        duologue("model", "init", str(folder / "tiny"), *overrides())
        started = duologue(
            "sft",
            "--model",
            f"local:{folder / 'tiny'}",
            "--run",
            str(folder / "sft"),
            *overrides(
                f"coldstart.steps={cold}",
                "coldstart.dialogues=2000",
                f"coldstart.schedule={{peak=4e-3, warmup_steps=20, decay_steps={cold}}}",
            ),
        )["model"]
        for pair in range(pairs):
            for staleness in (1, 0):
                result = duologue(
                    "train",
                    "--model",
                    f"local:{started}",
                    "--run",
                    str(folder / f"train-{pair}-{staleness}"),
                    *overrides(f"train.steps={steps}", f"train.max_staleness={staleness}"),
                )
                seconds[staleness].append(result["seconds"])
    ratios = [over / apart for over, apart in zip(seconds[1], seconds[0], strict=True)]
    result = {
        "what": "training, overlapped / in turns",
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "overlapped_s": round(statistics.median(seconds[1]), 1),
        "in_turns_s": round(statistics.median(seconds[0]), 1),
        "steps": steps,
        "n": pairs,
        "bar": BAR,
        **machine(),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"overlapped {result['overlapped_s']} s, in turns {result['in_turns_s']} s: "
            f"{result['ratio']} (bar {BAR}, {pairs} pairs of {steps} steps, "
            f"spread {result['spread']}, {result['machine']}, torch {result.get('torch')})"
        )
    # A smoke test shows that it runs; a handful of steps says nothing about speed.
    sys.exit(not options.quick and float(statistics.median(ratios)) > BAR)


if __name__ == "__main__":
    main()
