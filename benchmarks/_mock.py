"""The mock server as a benchmark starts it, and what it used."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def mock_server(*arguments: str, answers: Sequence[Any] = ()) -> Generator[tuple[str, int]]:
    """The server in its own process, for as long as the block lasts: its address and process id.

    answers: what it says instead of its own; see `mock_server.py` for them and the `arguments`.
    """
    command = [sys.executable, str(Path(__file__).with_name("mock_server.py")), *arguments]
    with tempfile.TemporaryDirectory() as folder:
        if answers:
            file = Path(folder) / "answers.json"
            file.write_text(json.dumps(answers), encoding="utf-8")
            command += ["--answers", str(file)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                port = process.stdout.readline().split()[1]
                yield f"http://127.0.0.1:{port}", process.pid
            finally:
                process.stdin.close()


def cpu_of(pid: int) -> float:
    """CPU seconds of another process; nan where /proc does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / 100
