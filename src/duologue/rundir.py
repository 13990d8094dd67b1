"""The run directory: one folder holds everything a run was and came to.

run.db          trajectories, fates, metrics, versions (SQLite)
config.toml     the resolved settings
metrics.jsonl   one line a step, for other tools
models/         model folders by name
weights/        what the sampler is fed, newest two
learner.log     whatever the learner's process printed
report.html
"""

from __future__ import annotations

import fcntl
import os
import platform
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from .config import Config, load_config, to_toml
from .engine import Seed, Store, UsageError, open_store


@dataclass(frozen=True, kw_only=True)
class Run:
    """An open run: its folder, settings and store."""

    path: Path
    config: Config
    store: Store

    @property
    def seed(self) -> Seed:
        return Seed(self.config.seed)

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def model(self, name: str) -> Path:
        """The folder of one of the run's own models."""
        return self.path / "models" / name

    def log_metrics(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line to `metrics.jsonl`."""
        line = msgspec.json.encode({"kind": kind, "step": step, **values})
        with (self.path / "metrics.jsonl").open("ab") as file:
            file.write(line + b"\n")


@asynccontextmanager
async def open_run(path: Path | None, command: str, config: Config) -> AsyncGenerator[Run]:
    """A new run directory; without a path, a fresh one under `runs/`.

    Raises `UsageError` when the directory already holds a run: a run is never written over.
    """
    folder = path or _fresh(command)
    if (folder / "run.db").exists():
        raise UsageError(
            f"{folder} already holds a run; name another directory with --run, or remove it"
        )
    try:
        (folder / "weights").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the run directory {folder}: {error.strerror}") from error
    with _locked(folder):
        (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
        facts = describe_machine() | {"command": command, "seed": str(config.seed)}
        async with open_store(
            folder / "run.db", name=folder.name, config=to_toml(config), facts=facts
        ) as store:
            yield Run(path=folder, config=config, store=store)


@asynccontextmanager
async def reopen_run(folder: Path) -> AsyncGenerator[Run]:
    """A run that is to go on, with the settings it was started with.

    Raises `UsageError` when the directory holds no run, or another process has it.
    """
    if not (folder / "run.db").exists():
        raise UsageError(f"{folder} holds no run to resume; look at `ls {folder.parent}`")
    with _locked(folder):
        config = load_config(folder / "config.toml")
        async with open_store(folder / "run.db") as store:
            yield Run(path=folder, config=config, store=store)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the directory against other processes; the lock goes when the process does."""
    with (folder / "lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder} is in use by another process; wait for it, or name another directory"
            ) from error
        yield


def _fresh(command: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{stamp}-{command}"
    number = 2
    while folder.exists():
        folder = Path("runs") / f"{stamp}-{command}-{number}"
        number += 1
    return folder


def describe_machine() -> dict[str, str]:
    """Machine and versions, as every benchmark and run states them."""
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": sys.version.split()[0],
    }
    for name in ("duologue", "anyio", "trio", "msgspec", "torch", "uvloop"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    return facts
