"""A program and all the processes it starts, measured from outside through /proc."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SAMPLE_S = 0.1
"""How often memory is looked at."""

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Outside:
    """A program that talks in lines, and what it and all below it have used since it began."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
            )
        self._said = b""
        self._began = self._cpu = self._memory = 0.0
        self.wall_s = self.cpu_s = self.peak_kib = 0.0

    def begin(self) -> None:
        """Let it start; what it used so far does not count."""
        pids = tree(self._process.pid)
        self._cpu, self._memory = cpu_s(pids), memory_kib(pids)
        self._began = time.perf_counter()
        self._write(b"go\n")

    def line(self, limit_s: float) -> str | None:
        """What it says next; None when it ends, or says nothing for `limit_s`."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        over = time.perf_counter() + limit_s
        while b"\n" not in self._said:
            if time.perf_counter() > over:
                return None
            readable, _, _ = select.select([pipe], [], [], SAMPLE_S)
            if readable:
                data = os.read(pipe, 1 << 16)
                if not data:
                    return None
                self._said += data
            if self._began:
                self._sample()
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def _sample(self) -> None:
        self.wall_s = time.perf_counter() - self._began
        pids = tree(self._process.pid)
        self.cpu_s = max(self.cpu_s, cpu_s(pids) - self._cpu)
        self.peak_kib = max(self.peak_kib, memory_kib(pids) - self._memory)

    def end(self, grace_s: float) -> None:
        """Let it go; stop what does not within `grace_s`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        below = tree(self._process.pid)[1:]
        try:
            self._process.stdin.close()
            self._process.wait(grace_s)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        for pid in below:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()


def tree(root: int) -> list[int]:
    """The process and everything below it that is alive."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:  # grows as it is walked
        found.extend(children.get(pid, []))
    return found


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of the processes, and of those children of theirs that ended and were waited for.

    Counted in clock ticks, hundredths of a second.
    """
    ticks = 0
    for pid in pids:
        if (fields := _stat(pid)) is not None:
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def memory_kib(pids: list[int]) -> float:
    """Memory of the processes' own. Files and libraries, which processes share, are left out."""
    pages = 0
    for pid in pids:
        try:
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        except (OSError, ValueError):
            continue
        pages += int(resident) - int(shared)
    return pages * _PAGE / 1024


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on: the parent is the second, CPU times are from the 12th."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None  # it has just ended
