"""One policy trained on all gyms at once, gym by gym, over seeds.

With the settings of `examples/mixture.toml` a tiny model is made (`duologue model init`) and learns
the tools from scripted dialogues (`sft`). From that one cold start it learns from its own rewards
(`train`), once a seed; cold start and trained policy are measured on the same held-out tasks of
every gym (`eval`), other tasks for each seed. Reported for each gym: what the expert, the cold start
and the trained policy earn, and trained minus cold start, paired by task, with a 95 % bootstrap
interval over the tasks of all seeds together; and both policies by the gym's metric of the paper,
which in travel counts bookings alone.

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
from duologue.train._bootstrap import Interval, difference

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
"""By gym, by task: a number for each dialogue."""


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
    agents = {"cold": f"local:{cold}", "trained": f"local:{trained}", "expert": "expert"}
    found: dict[str, Any] = {"seed": seed, "seconds": seconds}
    for name, agent in agents.items():
        found[name], found[f"{name}_metric"] = earned(folder / "eval", agent)
    return found


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


def earned(run: Path, agent: str) -> tuple[Scores, Scores]:
    """The rewards of the run's dialogues of `agent`, and their gyms' metrics. Failed ones are in
    neither."""
    rewards: Scores = {}
    metrics: Scores = {}
    with open_reader(run / "run.db") as reader:
        phase = f"eval/{agent}"
        for stored in reader.trajectories(phase):
            trajectory = stored.trajectory
            task = reader.task(phase, trajectory.key.group)
            if task is None or not (trajectory.end.finished or trajectory.end.cut_short):
                continue
            metric, _ = find(trajectory.env).score(task, trajectory)
            for found, value in ((rewards, trajectory.reward), (metrics, metric)):
                by_task = found.setdefault(trajectory.env, {})
                by_task.setdefault(trajectory.task, []).append(value)
    return rewards, metrics


def together(runs: list[dict[str, Any]], key: str) -> Scores:
    """All seeds' scores; a task of another seed is another task."""
    found: Scores = {}
    for run in runs:
        for gym, tasks in run[key].items():
            by_task = found.setdefault(gym, {})
            by_task.update({f"{run['seed']}/{task}": values for task, values in tasks.items()})
    return found


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Each gym, with the paired difference of trained and cold start."""
    cold, trained = together(runs, "cold"), together(runs, "trained")
    seed = Seed(0) / "mixture"
    gyms: dict[str, Any] = {}
    for gym in sorted(cold.keys() & trained.keys()):
        both = cold[gym].keys() & trained[gym].keys()
        before = {task: cold[gym][task] for task in both}
        after = {task: trained[gym][task] for task in both}
        gyms[gym] = {
            **{
                name: _over_tasks(together(runs, name)[gym])
                for name in ("expert", "cold", "trained", "cold_metric", "trained_metric")
            },
            "gain": _plain(difference(after, before, seed=seed / gym)),
        }
    return {"gyms": gyms}


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


def _over_tasks(by_task: dict[str, list[float]]) -> float:
    return round(_mean([_mean(values) for values in by_task.values()]), 3)


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
