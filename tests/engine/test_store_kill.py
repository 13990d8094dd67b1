"""`kill -9` during 10,000 appends, ten times (and fifty in the soak): what was acknowledged is there, what is there is
whole, and the next life goes on."""

from __future__ import annotations

import os
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from duologue.engine import Fate, Key, Trajectory, open_reader

APPENDER = Path(__file__).with_name("appender.py")
_NAMES: dict[str, Any] = runpy.run_path(str(APPENDER))
GROUPS: int = _NAMES["GROUPS"]
SAMPLES: int = _NAMES["SAMPLES"]
record: Callable[[Key, int], Trajectory] = _NAMES["record"]

decode = msgspec.msgpack.Decoder(Trajectory).decode

KILLS = int(os.environ.get("DUOLOGUE_KILLS", "10"))
"""Of each store."""


class Lives:
    """Processes that append, begun one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, path: Path, acks: Path, backend: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path} {acks} {backend}\n")
        self._process.stdin.flush()
        process = self._answer()
        assert process > 1, "out of step: that is an exit status, and no process to be killed"
        return process

    def end(self) -> int:
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def lives() -> Generator[Lives]:
    with subprocess.Popen(
        [sys.executable, str(APPENDER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Lives(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(lives: Lives, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The bytes of acknowledgement that a life gets which nobody ends."""
    folder = tmp_path_factory.mktemp("whole")
    lives.begin(folder / "run.db", folder / "acks", "asyncio")
    assert lives.end() == 0
    assert check(folder / "run.db", folder / "acks") == (0, GROUPS * SAMPLES)
    return (folder / "acks").stat().st_size


def check(path: Path, acks: Path) -> tuple[int, int]:
    """Hold the store to what a life was told; returns its number and its trajectories."""
    [(life, _), *acknowledged] = told(acks)
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        rows = store.execute(
            """SELECT ordinal, sample, file, place, size, fate FROM trajectories
               LEFT JOIN fates USING (phase, ordinal, sample, life) WHERE life = ?""",
            (life,),
        ).fetchall()
        settled = dict(store.execute("SELECT ordinal, settled FROM groups").fetchall())
    fates: dict[tuple[int, int], str] = {}

    @cache
    def records(number: int) -> bytes:
        return path.with_name(f"{path.name}.records-{number}").read_bytes()

    for group, sample, file, place, size, fate in rows:
        packed = records(file)[place : place + size]
        assert decode(packed) == record(Key(group, sample), life), "torn"
        assert group in settled
        fates[group, sample] = fate
    for group, sample in acknowledged:
        if sample != "-1":
            assert (group, int(sample)) in fates, "acknowledged and lost"
        else:
            assert settled[group] == life
            assert fates[group, 0] == Fate.FILTERED
    for group, step in settled.items():
        # A group's books are closed in one piece: all of its fates, or none.
        found = [fates.get((group, sample)) for sample in range(SAMPLES)]
        if Fate.TRAINED in found:
            assert found == [Fate.FILTERED] + [Fate.TRAINED] * (SAMPLES - 1)
            assert step == life
        else:
            assert set(found) <= {None, Fate.READY}
    return life, len(rows)


def told(file: Path) -> list[tuple[int, str]]:
    """The acknowledgements that were written to the end of their line."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [(int(group), what) for group, what in map(str.split, lines)]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 6))]
)
def test_nothing_acknowledged_is_lost_or_torn_by_kills(
    seed: int, lives: Lives, whole: int, tmp_path: Path
) -> None:
    moment = Random(seed)
    path, kept = tmp_path / "run.db", dict[int, int]()
    for number in range(KILLS):
        acks = tmp_path / f"acks{number}"
        process = lives.begin(path, acks, ("asyncio", "trio")[number % 2])
        # Mostly early, some late: late deaths cost the most time and teach the least.
        far = int(moment.random() ** 3 * 0.9 * whole)
        while (acks.stat().st_size if acks.exists() else 0) < far:
            time.sleep(0.001)
        time.sleep(moment.random() * 0.01)
        os.kill(process, signal.SIGKILL)
        assert lives.end() == -signal.SIGKILL, "it had ended before"
        if told(acks):  # it came as far as to have a life
            life, there = check(path, acks)
            assert life not in kept and there < GROUPS * SAMPLES
            kept[life] = there
    with open_reader(path) as reader:
        # What was there after its own life's death is there after all of them.
        lasting = Counter(one.life for one in reader.trajectories("train"))
    assert +lasting == +Counter(kept)
    assert lasting, "every life ended before it kept anything: nothing was tried"
