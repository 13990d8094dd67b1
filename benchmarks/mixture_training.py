"""One policy trained on all gyms at once, gym by gym, over seeds.

With the settings of `examples/mixture.toml` a tiny model is made (`duologue model init`) and learns
the tools from scripted dialogues (`sft`). From that one cold start it learns from its own rewards
(`train`), once a seed; cold start and trained policy are measured on the same held-out tasks of
every gym (`eval`), other tasks for each seed. Reported for each gym: both scores as shares of the
best, and trained minus cold start, paired by task, with a 95 % bootstrap interval over the tasks of
all seeds together.

Bars: at least three gyms whose interval lies above 0; none whose interval lies below; everything
within 40 minutes. Exit code 1 when one is missed, except under `--quick`, which takes one step of
everything and whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import machine

from duologue.engine import Seed, open_reader
from duologue.envs import find
from duologue.train._bootstrap import Interval, difference, weighted_interval

SETTINGS = Path(__file__).resolve().parent.parent / "examples" / "mixture.toml"
LIMIT_S = 40 * 60.0
FEWEST = 3
"""Gyms that have to improve."""

QUICK = (
    "coldstart.dialogues=64", "coldstart.steps=1", "train.steps=1", "train.groups_per_step=4",
    "rollout.samples=2", "eval.tasks=1", "tiny.hidden=32", "tiny.layers=1", "tiny.heads=2",
    "tiny.intermediate=64", "model.context=256", "model.max_tokens=8",
)  # fmt: skip

Stages = dict[str, list[str | Path]]
Scores = dict[str, dict[str, list[float]]]
"""By gym, by task: the share of the best that each dialogue earned."""


def start(folder: Path, *, quick: bool) -> tuple[Path, dict[str, float]]:
    """The cold start that all seeds share, and how long its stages took."""
    stages: Stages = {
        "init": ["model", "init", folder / "init"],
        # Nobody samples meanwhile: the learner may have both cores.
        "sft": [
            "sft", "--model", f"local:{folder / 'init'}", "--run", folder / "sft",
            "-s", "learner.threads=2",
        ],
    }  # fmt: skip
    return folder / "sft/models/coldstart", run(stages, 0, quick=quick)


def measure(seed: int, cold: Path, folder: Path, *, quick: bool) -> dict[str, Any]:
    """One seed: the shares of both policies by gym and task, and how long each stage took."""
    trained = folder / "train/models/trained"
    stages: Stages = {
        "train": ["train", "--model", f"local:{cold}", "--run", folder / "train"],
        "eval": [
            "eval", "--model", f"local:{cold}", "--model", f"local:{trained}",
            "--run", folder / "eval",
        ],
    }  # fmt: skip
    seconds = run(stages, seed, quick=quick)
    return {
        "seed": seed,
        "seconds": seconds,
        "cold": shares(folder / "eval", f"local:{cold}"),
        "trained": shares(folder / "eval", f"local:{trained}"),
        "expert": shares(folder / "eval", "expert"),
    }


def run(stages: Stages, seed: int, *, quick: bool) -> dict[str, float]:
    """The commands one after the other, each with its seconds."""
    small = [word for setting in QUICK if quick for word in ("-s", setting)]
    seconds: dict[str, float] = {}
    for name, words in stages.items():
        began = time.monotonic()
        command = [*map(str, words), "-c", str(SETTINGS), "--seed", str(seed), *small]
        done = subprocess.run(
            [sys.executable, "-m", "duologue", *command, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"seed {seed}, {name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        seconds[name] = round(time.monotonic() - began, 1)
    return seconds


def shares(run: Path, agent: str) -> Scores:
    """What the run's dialogues of `agent` earned, as shares of the best. Failed ones are in none."""
    found: Scores = {}
    with open_reader(run / "run.db") as reader:
        phase = f"eval/{agent}"
        for stored in reader.trajectories(phase):
            trajectory = stored.trajectory
            task = reader.task(phase, trajectory.key.group)
            if task is None or not (trajectory.end.finished or trajectory.end.cut_short):
                continue
            score, best = find(trajectory.env).score(task, trajectory)
            by_task = found.setdefault(trajectory.env, {})
            by_task.setdefault(trajectory.task, []).append(score / best)
    return found


def together(runs: list[dict[str, Any]], key: str) -> Scores:
    """All seeds' scores; a task of another seed is another task."""
    found: Scores = {}
    for run in runs:
        for gym, tasks in run[key].items():
            by_task = found.setdefault(gym, {})
            by_task.update({f"{run['seed']}/{task}": values for task, values in tasks.items()})
    return found


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Each gym, and the mean over gyms, with the paired difference of trained and cold start."""
    cold, trained, expert = (together(runs, key) for key in ("cold", "trained", "expert"))
    seed = Seed(0) / "mixture"
    gyms: dict[str, Any] = {}
    gains: dict[str, dict[str, list[float]]] = {}
    for gym in sorted(cold.keys() & trained.keys()):
        both = cold[gym].keys() & trained[gym].keys()
        before = {task: cold[gym][task] for task in both}
        after = {task: trained[gym][task] for task in both}
        gains[gym] = {task: [_mean(after[task]) - _mean(before[task])] for task in both}
        gyms[gym] = {
            "cold": round(_mean([_mean(values) for values in before.values()]), 3),
            "trained": round(_mean([_mean(values) for values in after.values()]), 3),
            "expert": round(_mean([_mean(values) for values in expert[gym].values()]), 3),
            "gain": _plain(difference(after, before, seed=seed / gym)),
        }
    alike = dict.fromkeys(gains, 1.0)
    return {"gyms": gyms, "mean_gain": _plain(weighted_interval(gains, alike, seed=seed))}


def check(found: dict[str, Any], seconds: float) -> list[str]:
    """The bars that were missed, in words."""
    missed = [
        f"{gym} got worse: {row['gain']}"
        for gym, row in found["gyms"].items()
        if row["gain"]["high"] < 0
    ]
    better = [gym for gym, row in found["gyms"].items() if row["gain"]["low"] > 0]
    if len(better) < FEWEST:
        missed.append(f"{len(better)} gyms improved clearly ({', '.join(better)}), bar >= {FEWEST}")
    if seconds > LIMIT_S:
        missed.append(f"{seconds:.0f} s, bar <= {LIMIT_S:.0f} s")
    return missed


def _plain(interval: Interval) -> dict[str, float]:
    return {
        "mean": round(interval.mean, 3),
        "low": round(interval.low, 3),
        "high": round(interval.high, 3),
        "tasks": interval.tasks,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, one step of everything")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="leave the runs in this folder")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        cold, spent = start(folder, quick=options.quick)
        runs: list[dict[str, Any]] = []
        for seed in range(1 if options.quick else options.seeds):
            runs.append(measure(seed, cold, folder / str(seed), quick=options.quick))
            _show({"seed": seed, "seconds": runs[-1]["seconds"], **compare(runs[-1:])}, options)
    seconds = time.monotonic() - began
    found = compare(runs)
    missed = check(found, seconds)
    summary = {
        "what": "mixture training",
        "n": len(runs),
        **found,
        "cold_start_seconds": spent,
        "seconds": round(seconds),
    }
    _show({**summary, "missed": missed, **machine()}, options)
    sys.exit(bool(missed) and not options.quick)


def _show(result: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(result), flush=True)
        return
    gyms = result.pop("gyms")
    print(json.dumps(result), flush=True)
    print(f"    {'gym':<12}{'expert':>8}{'cold':>8}{'trained':>9}   trained - cold (95 %)")
    for gym, row in gyms.items():
        gain = row["gain"]
        print(
            f"    {gym:<12}{row['expert']:>8.3f}{row['cold']:>8.3f}{row['trained']:>9.3f}   "
            f"{gain['mean']:+.3f} ({gain['low']:+.3f} .. {gain['high']:+.3f}), {gain['tasks']} tasks"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
