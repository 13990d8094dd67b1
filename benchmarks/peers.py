"""The same dialogue on other rollout engines, beside ours, in one run.

    python benchmarks/peers.py --setup      make the peers' environments, once (some GB, minutes)
    python benchmarks/peers.py              everything, n = 3
    python benchmarks/peers.py --quick      few dialogues, whatever is set up

A dialogue is 8 turns of an agent with its whole history sent every time; the user is scripted, the
model a mock server in a process of its own that answers after 250 ms ± 20 % with 64 tokens and their
log-probabilities. Every contestant runs in an environment of its own (`.peers/NAME`, pinned in
`benchmarks/peers/NAME.txt`), as its own documentation says, and is measured from outside: CPU and
memory of the whole process tree, answers as the server counts them. What was set how, and what that
leaves out, is in docs/benchmarks.md.

A contestant that is not through after `--limit` seconds is `n/f`; its numbers are those of the turns
it made. Exits with 1 when a bar is missed, unless only some of the contestants ran.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import machine
from _mock import mock_server
from _outside import Outside, cpu_s

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "peers"
HOMES = HERE.parent / ".peers"

LIVE = 512
START_S = 300.0
"""What a contestant may take to import its things and play one dialogue."""
GRACE_S = 10.0
"""How long after the limit a contestant may take to say so, before it is stopped."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A script of `benchmarks/peers`, and how it is run.

    home:    its environment; none for ours.
    variant: of scripts that have several.
    most:    alive at once, at most, where more do not fit into memory; 0 for no bound.
    answers: of the server, that make a turn.
    """

    name: str
    script: str
    home: str = ""
    variant: str = ""
    most: int = 0
    answers: int = 1

    @property
    def python(self) -> Path:
        return HOMES / self.home / "bin" / "python" if self.home else Path(sys.executable)

    @property
    def environ(self) -> dict[str, str]:
        """With the tools of its environment first, for peers that start programs."""
        path = f"{self.python.parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}

    @property
    def ready(self) -> bool:
        return not self.home or stamp(self.home).exists()


CONTESTANTS = [
    Contestant(name="duologue, tokens", script="ours", variant="tokens"),
    Contestant(name="duologue, tokens, trio", script="ours", variant="tokens-trio"),
    Contestant(name="duologue, chat route", script="ours", variant="chat"),
    Contestant(name="duologue, openai:", script="ours", variant="openai"),
    Contestant(name="openai SDK", script="openai_sdk", home="openai", variant="plain"),
    Contestant(name="openai SDK, aiohttp", script="openai_sdk", home="openai", variant="aiohttp"),
    Contestant(
        name="openai SDK, a client for 16", script="openai_sdk", home="openai", variant="sharded"
    ),
    Contestant(name="atropos", script="atropos", home="atropos"),
    Contestant(name="trl async GRPO", script="trl_async", home="trl"),
    Contestant(name="verifiers 0.1", script="verifiers_multiturn", home="verifiers-0.1"),
    # A turn starts a Python process of some 60 MB: 512 at once would take 30 GB.
    Contestant(
        name="verifiers", script="verifiers_now", home="verifiers", variant="scripted", most=4
    ),
    Contestant(
        name="verifiers, user-sim",
        script="verifiers_now",
        home="verifiers",
        variant="user-sim",
        most=2,
        answers=2,
    ),
]

OURS = "duologue, tokens"
BARS = {"the best peer": 15.0, "verifiers 0.1": 50.0}
"""How many times less CPU a turn ours takes."""


# ---------------------------------------------------------------- environments


def requirements(home: str) -> Path:
    return SCRIPTS / f"{home}.txt"


def stamp(home: str) -> Path:
    """A file that is there once exactly these requirements are installed."""
    digest = hashlib.sha256(requirements(home).read_bytes()).hexdigest()[:12]
    return HOMES / home / f".installed-{digest}"


def set_up(home: str, torch_index: str) -> None:
    """Make the environment, unless it is there."""
    if stamp(home).exists():
        return
    print(f"{home}: installing {requirements(home)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", HOMES / home], check=True)
    extra = ["--extra-index-url", torch_index] if torch_index else []
    # Every package is pinned, so there is nothing to resolve; torch's build for CPUs does not need
    # the CUDA packages that resolving would fetch.
    pip = [HOMES / home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *extra, "--requirement", requirements(home)], check=True)
    stamp(home).touch()


# ---------------------------------------------------------------- the model


def answered(url: str) -> int:
    with urllib.request.urlopen(f"{url}/stats") as response:
        return int(json.load(response)["answered"])


# ---------------------------------------------------------------- one run


def measure(
    contestant: Contestant, prepared: Path, live: int, waves: int, limit_s: float
) -> dict[str, Any]:
    """One run of one contestant, with what `prepared` holds."""
    live = min(live, contestant.most or live)
    count = live * waves
    with tempfile.TemporaryDirectory(prefix="duologue-peers-") as name:
        folder = Path(name)
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        log = folder / "log"
        with mock_server("--answers", str(folder / "answers.json")) as (url, server):
            arguments = {
                "--url": url,
                "--live": live,
                "--count": count,
                "--limit": limit_s,
                "--folder": folder,
                "--variant": contestant.variant,
            }
            words = [f"{option}={value}" for option, value in arguments.items()]
            script = SCRIPTS / f"{contestant.script}.py"
            process = Outside([contestant.python, script, *words], contestant.environ, log)
            try:
                if process.line(START_S) != "ready":
                    raise RuntimeError(f"{contestant.name} did not start:\n{tail(log)}")
                answers, server_cpu = answered(url), cpu_s([server])
                process.begin()
                line = process.line(limit_s + GRACE_S)
                answers, server_cpu = answered(url) - answers, cpu_s([server]) - server_cpu
            finally:
                process.end(GRACE_S)
            said: dict[str, Any] = json.loads(line) if line else {}
            if not said and process.wall_s < limit_s:
                raise RuntimeError(f"{contestant.name} ended before its time:\n{tail(log)}")
    turns = answers / contestant.answers
    return {
        "live": live,
        "dialogues": count,
        "done": said.get("done", 0),
        "failed": said.get("failed", 0),
        "turns": turns,
        "wall_s": process.wall_s,
        "cpu_ms_per_turn": 1e3 * process.cpu_s / turns if turns else float("nan"),
        "turns_per_s": turns / process.wall_s,
        "kib_per_live": process.peak_kib / live,
        # A loop that cannot even say so was late for as long as it was asked.
        "late_p50_ms": said.get("late_p50_ms", 1e3 * process.wall_s),
        "late_p99_ms": said.get("late_p99_ms", 1e3 * process.wall_s),
        "late_max_ms": said.get("late_max_ms", 1e3 * process.wall_s),
        "server_cpu_share": server_cpu / process.wall_s,
        "versions": said.get("versions", {}),
        "settings": said.get("settings", ""),
    }


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


# ---------------------------------------------------------------- all of them


Runs = dict[str, list[dict[str, Any]]]


def median(runs: list[dict[str, Any]], figure: str) -> float:
    return float(statistics.median(run[figure] for run in runs))


def as_json(name: str, runs: list[dict[str, Any]]) -> str:
    figures = {
        key: {
            "median": median(runs, key),
            "spread": [min(run[key] for run in runs), max(run[key] for run in runs)],
        }
        for key, value in runs[0].items()
        if isinstance(value, float)
    }
    last = {key: value for key, value in runs[-1].items() if not isinstance(value, float)}
    said = {"what": "peers", "contestant": name, "n": len(runs), **last, **figures, **machine()}
    return json.dumps(said)


def row(name: str, runs: list[dict[str, Any]], ours: float | None) -> str:
    cpu = [run["cpu_ms_per_turn"] for run in runs]
    times = f"{statistics.median(cpu) / ours:.1f}" if ours else ""
    done, failed, wanted = (
        sum(run[key] for run in runs) for key in ("done", "failed", "dialogues")
    )
    through = f"{done:,}" if done + failed >= wanted else f"n/f {done:,}"
    cells = [
        name,
        f"{runs[-1]['live']}",
        f"{statistics.median(cpu):.3f} ({min(cpu):.3f} .. {max(cpu):.3f})",
        times,
        f"{median(runs, 'turns_per_s'):,.0f}",
        f"{median(runs, 'kib_per_live'):,.0f}",
        f"{median(runs, 'late_p50_ms'):,.1f} / {median(runs, 'late_p99_ms'):,.0f}",
        f"{through} / {failed:,}",
        f"{100 * median(runs, 'server_cpu_share'):.0f} %",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| contestant | alive | CPU a turn, ms (spread) | times ours | turns/s | KiB a live dialogue "
    "| lateness p50 / p99, ms | dialogues done / failed | server's CPU |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def bars(results: Runs) -> list[tuple[str, bool]]:
    """What ours promises beside the peers, and whether it holds."""
    costs = {
        contestant.name: median(results[contestant.name], "cpu_ms_per_turn")
        for contestant in CONTESTANTS
        if contestant.home and contestant.name in results
    }
    ours = median(results[OURS], "cpu_ms_per_turn")
    best = min(costs, key=lambda name: costs[name])
    found: list[tuple[str, bool]] = []
    for what, wanted in BARS.items():
        name = best if what == "the best peer" else what
        times = costs[name] / ours
        words = f"bar ≥ {wanted:g} times less CPU a turn than {what} ({name}): {times:.1f}"
        found.append((f"{words} {'held' if times >= wanted else 'MISSED'}", times >= wanted))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setup", action="store_true", help="make the environments, then stop")
    parser.add_argument("--torch-index", default=os.environ.get("TORCH_INDEX", ""), metavar="URL")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="names that have it in them"
    )
    parser.add_argument("--live", type=int, default=LIVE, help="dialogues alive at once")
    parser.add_argument("--waves", type=int, default=1, help="dialogues, as a multiple of --live")
    parser.add_argument("--limit", type=float, default=100.0, help="seconds a contestant may take")
    parser.add_argument("-n", type=int, default=3, help="runs of each, interleaved")
    parser.add_argument("--quick", action="store_true", help="16 live, once; numbers mean nothing")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    if options.quick:
        options.live, options.n, options.limit = 16, 1, 10.0
    chosen = [
        contestant
        for contestant in CONTESTANTS
        if any(text in contestant.name for text in options.only or [""])
    ]
    if not chosen:
        names = ", ".join(contestant.name for contestant in CONTESTANTS)
        parser.error(f"--only {options.only} names nobody; there are: {names}")
    if options.quick:
        # A program started every turn takes its time, however few dialogues there are.
        chosen = [contestant for contestant in chosen if not contestant.most]
    if options.setup:
        for home in dict.fromkeys(contestant.home for contestant in chosen if contestant.home):
            set_up(home, options.torch_index)
        return 0
    for contestant in chosen:
        if not contestant.ready:
            print(f"{contestant.name}: not set up (--setup)", file=sys.stderr)
    results: Runs = {contestant.name: [] for contestant in chosen if contestant.ready}
    with tempfile.TemporaryDirectory(prefix="duologue-peers-") as folder:
        subprocess.run([sys.executable, SCRIPTS / "_prepare.py", folder], check=True)
        for number in range(options.n):
            for contestant in chosen:
                if contestant.ready:
                    print(f"{number + 1}/{options.n} {contestant.name}", file=sys.stderr)
                    one = measure(
                        contestant, Path(folder), options.live, options.waves, options.limit
                    )
                    results[contestant.name].append(one)
    ours = median(results[OURS], "cpu_ms_per_turn") if OURS in results else None
    if not options.json:
        print(", ".join(f"{key} {value}" for key, value in machine().items()), f"n = {options.n}")
        print(HEAD)
    for name, runs in results.items():
        print(as_json(name, runs) if options.json else row(name, runs, ours), flush=True)
    if len(results) < len(CONTESTANTS) or options.quick:
        return 0
    found = bars(results)
    for words, _ in found:
        print(words, file=sys.stderr if options.json else sys.stdout)
    return 0 if all(held for _, held in found) else 1


if __name__ == "__main__":
    sys.exit(main())
