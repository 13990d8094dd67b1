"""What the run store takes: durable trajectories a second, and what a reader costs the writer.

A trajectory has 2,000 tokens in 10 turns, half of them sampled: ids, log-probabilities, a version
for each turn, and about four characters of text a token.

* `append`: a thousand tasks that append, each waiting until its trajectory is durable. Beside it,
  in the same run and with equal bytes: a bare file with one sync per thousand records, and bare
  SQLite (WAL, synchronous FULL, a thousand blobs a transaction). Bar: 10,000 trajectories/s.
* `append, busy loop`: the same while the loop's thread is never idle.
* `reader`: how much slower the writer is, and how large SQLite's log gets, while another process
  keeps the store open for a minute. `reads`: four times a second it reads a page of 256 whole
  trajectories. `holds`: it keeps one read transaction open all the time, as ours never do. Bars:
  10 % slower, 256 MiB of log.

Exit code 1 when a bar is missed, except under `--quick`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec
from _common import machine
from anyio.lowlevel import checkpoint

from duologue.engine import (
    Action,
    End,
    Key,
    Message,
    Span,
    Store,
    Trajectory,
    Turn,
    open_reader,
    open_store,
    pack_tokens,
    relaxed_collector,
)

BAR_PER_S = 10_000
BAR_SLOWER = 0.10
BAR_LOG_MIB = 256

TOKENS, TURNS = 2000, 10
WRITERS = 1000
SHAPES = 16
"""Different trajectories; their keys make each one its own."""

Figures = dict[str, float]


def make_trajectory(shape: int) -> Trajectory:
    """2,000 tokens, and the text that goes with them."""
    draw = Random(shape)
    stretch = TOKENS // TURNS // 2
    mask = ([0] * stretch + [1] * stretch) * TURNS
    letters = "eeeettaaooiinnsshhrrddlluucmfw   ygpb,.vk"

    def text(tokens: int) -> str:
        return "".join(draw.choices(letters, k=4 * tokens))

    def turn() -> Turn:
        said = text(stretch)
        return Turn(
            text=said,
            actions=(Action("action", said[40:120]),),
            feedback=text(stretch),
            reward=draw.random(),
            parts={"reward": draw.random()},
        )

    turns = tuple(turn() for _ in range(TURNS))
    starts = range(stretch, TOKENS, 2 * stretch)
    return Trajectory(
        key=Key(0, 0),
        task=f"task-{shape}",
        env="benchmark",
        split="train",
        end=End.DONE,
        opening=(Message("system", text(stretch)), Message("user", text(stretch))),
        turns=turns,
        tokens=pack_tokens(
            [draw.randrange(151_936) for _ in range(TOKENS)],
            mask,
            [-draw.expovariate(2.0) * sampled for sampled in mask],
            list(starts),
            [Span(start, start + stretch, 40 + at // 4) for at, start in enumerate(starts)],
        ),
    )


BASE = [make_trajectory(shape) for shape in range(SHAPES)]
RECORD = msgspec.msgpack.encode(BASE[0])


# ---------------------------------------------------------------- appending


async def append_all(folder: Path, number: int, *, busy: bool = False) -> Figures:
    """`number` trajectories from many tasks at once."""
    async with open_store(folder / "run.db") as store:
        return await _append(store, iter(range(number)), busy)


async def append_for(folder: Path, seconds: float) -> Figures:
    """As many as go in so many seconds."""
    async with open_store(folder / "run.db") as store:
        until = time.monotonic() + seconds
        return await _append(store, takewhile(lambda _: time.monotonic() < until, count()), False)


async def _append(store: Store, numbers: Iterator[int], busy: bool) -> Figures:
    done = 0

    async def append() -> None:
        nonlocal done
        for number in numbers:
            one = msgspec.structs.replace(
                BASE[number % SHAPES], key=Key(number // SHAPES, number % SHAPES)
            )
            await store.append("train", one, seconds=1.0)
            done += 1

    async def spin() -> None:
        while True:
            sum(range(500))
            await checkpoint()

    wall, cpu, loop = time.perf_counter(), time.process_time(), time.thread_time()
    async with anyio.create_task_group() as others:
        if busy:
            others.start_soon(spin)
        async with anyio.create_task_group() as writers:
            for _ in range(WRITERS):
                writers.start_soon(append)
        others.cancel_scope.cancel()
    wall = time.perf_counter() - wall
    cpu, loop = time.process_time() - cpu, time.thread_time() - loop
    stats = store.stats()
    figures = {"per_s": done / wall, "per_commit": stats.writes / stats.commits}
    if not busy:
        figures["cpu_us"] = 1e6 * cpu / done
        figures["loop_us"] = 1e6 * loop / done
    return figures


def bare_file(folder: Path, number: int) -> Figures:
    """Equal bytes, appended to a file and synced a thousand at a time."""
    with (folder / "bare").open("wb", buffering=0) as file:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(number // WRITERS):
            file.write(b"".join([RECORD] * WRITERS))
            os.fdatasync(file.fileno())
        return _bare(number, wall, cpu)


def bare_sqlite(folder: Path, number: int) -> Figures:
    """Equal bytes as rows, a thousand a transaction, with the settings of the run store."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, record BLOB)")
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, number, WRITERS):
            file.execute("BEGIN IMMEDIATE")
            rows = ((n, RECORD) for n in range(start, start + WRITERS))
            file.executemany("INSERT INTO records VALUES (?, ?)", rows)
            file.execute("COMMIT")
        return _bare(number, wall, cpu)


def _bare(number: int, wall: float, cpu: float) -> Figures:
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"per_s": number / wall, "cpu_us": 1e6 * cpu / number}


# ---------------------------------------------------------------- a reader beside the writer


def read_beside(path: Path, how: str) -> None:
    """What the other process does, until it is ended."""
    while not path.exists() or not path.stat().st_size:
        time.sleep(0.01)
    if how == "holds":
        with closing(sqlite3.connect(path, isolation_level=None)) as held:
            held.execute("BEGIN")
            while not held.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                held.execute("ROLLBACK")
                held.execute("BEGIN")
            print("open", flush=True)
            time.sleep(3600)
    with open_reader(path) as reader:
        print("open", flush=True)
        while True:
            for _ in islice(reader.trajectories("train"), 256):
                pass
            time.sleep(0.25)


@contextmanager
def reader_process(path: Path, how: str) -> Generator[None]:
    words = [sys.executable, __file__, "--read", str(path), how]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()
        assert process.stdout is not None
        if process.stdout.read() != b"open\n":
            raise SystemExit(f"the reader that {how} never had the store open")


async def with_reader(folder: Path, how: str, seconds: float) -> Figures:
    """The writer at full speed, alone and then with the reader, each in a store of its own."""
    (folder / "alone").mkdir()
    alone = await append_for(folder / "alone", min(seconds, 20.0))
    shutil.rmtree(folder / "alone")
    (folder / "beside").mkdir()
    path = folder / "beside" / "run.db"
    with reader_process(path, how):
        beside = await append_for(folder / "beside", seconds)
        log = path.with_name("run.db-wal").stat().st_size if path.exists() else 0
    return {
        "alone_per_s": alone["per_s"],
        "beside_per_s": beside["per_s"],
        "slower": 1 - beside["per_s"] / alone["per_s"],
        "cpu_slower": beside["cpu_us"] / alone["cpu_us"] - 1,
        "log_mib": log / 2**20,
    }


# ---------------------------------------------------------------- the script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds; no bar is held")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--folder", type=Path, help="where the stores are made (default: TMPDIR)")
    parser.add_argument("--read", nargs=2, metavar=("STORE", "HOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_beside(Path(options.read[0]), options.read[1])
    number, n, minute = (3_000, 1, 1.5) if options.quick else (50_000, 5, 60.0)
    room = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    most = int(minute * 20_000 * len(RECORD))
    if room < most:
        sys.exit(f"this takes up to {most / 1e9:.0f} GB of disk")
    missed: list[str] = []

    def measure(what: str, works: dict[str, Callable[[Path], Figures]], times: int) -> None:
        """Each work in turn, `times` over: what they share is the machine at that time."""
        runs: dict[str, list[Figures]] = {name: [] for name in works}
        for _ in range(times):
            for name, work in works.items():
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    runs[name].append(work(Path(folder)))
        for name, each in runs.items():
            label = f"{what}: {name}"
            verdict = bars(label, each)
            if verdict.endswith("missed"):
                missed.append(f"{label}: {verdict}")
            show(label, each, verdict, options.json)

    def run(
        work: Callable[..., Any], backend: str, *args: Any, **more: Any
    ) -> Callable[[Path], Figures]:
        uvloop = {"use_uvloop": True} if backend == "asyncio" else {}

        def once(folder: Path) -> Figures:
            with relaxed_collector():
                bound = partial(work, folder, *args, **more)
                figures: Figures = anyio.run(bound, backend=backend, backend_options=uvloop)
            return figures

        return once

    loops = {"asyncio (uvloop)": "asyncio", "trio": "trio"}
    appending = {name: run(append_all, loop, number) for name, loop in loops.items()}
    bare: dict[str, Callable[[Path], Figures]] = {
        "bare file": partial(bare_file, number=number),
        "bare SQLite": partial(bare_sqlite, number=number),
    }
    measure("append", {**appending, **bare}, n)
    spinning = {name: run(append_all, loop, number // 2, busy=True) for name, loop in loops.items()}
    measure("append, busy loop", spinning, n)
    for how in ("reads", "holds"):
        beside = {f"a reader that {how}": run(with_reader, "asyncio", how, minute)}
        measure("reader", beside, 1)
    if missed and not options.quick:
        sys.exit("\n".join(missed))


def bars(label: str, runs: list[Figures]) -> str:
    """The bars of a line, and whether it holds them; empty where there are none."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    if label in ("append: asyncio (uvloop)", "append: trio"):
        held = middle["per_s"] >= BAR_PER_S
        return f"bar >= {BAR_PER_S:,}/s: {middle['per_s']:,.0f} {'held' if held else 'missed'}"
    if label.startswith("reader: "):
        held = middle["slower"] <= BAR_SLOWER and middle["log_mib"] <= BAR_LOG_MIB
        return (
            f"bar <= {BAR_SLOWER:.0%} slower, <= {BAR_LOG_MIB} MiB of log: "
            f"{middle['slower']:.1%}, {middle['log_mib']:.1f} MiB {'held' if held else 'missed'}"
        )
    return ""


def show(label: str, runs: list[Figures], verdict: str, as_json: bool) -> None:
    middle: Figures = {}
    spread: dict[str, tuple[float, float]] = {}
    for key in runs[0]:
        values = [round(run[key], 3) for run in runs]
        middle[key] = round(statistics.median(values), 3)
        spread[key] = (min(values), max(values))
    if as_json:
        facts = {"what": label, "n": len(runs), "record_bytes": len(RECORD), "bar": verdict}
        figures = {key: {"median": middle[key], "spread": spread[key]} for key in middle}
        print(json.dumps({**facts, **figures, **machine(), "sqlite": sqlite3.sqlite_version}))
        return
    words = ", ".join(
        f"{key} {middle[key]:,} ({low:,} .. {high:,})" for key, (low, high) in spread.items()
    )
    print(f"{label} (n = {len(runs)}): {words}{'; ' if verdict else ''}{verdict}", flush=True)


if __name__ == "__main__":
    main()
