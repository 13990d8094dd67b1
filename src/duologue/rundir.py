"""The run directory: one folder holds everything a run was and came to.

run.db          trajectories' rows, fates, metrics, versions (SQLite)
run.db.records-N   what was said: texts and tokens
config.toml     the resolved settings
metrics.jsonl   one line a step, for other tools
models/         model folders by name
weights/        what the sampler is fed, newest two
learner.log     whatever the learner's process printed
vllm.log        and the vLLM server, when we run one
checkpoints/    what a run that trains can go on from
report.html
lock            held by the process that has the run
outcome.json    how the run's last life ended; absent while it lives, and after a kill
health.json     how late the event loop was, and what held it
stall.json      who waited for what when nothing progressed any more; absent where it did
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import resource
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import anyio
import msgspec
from msgspec import Struct

from .config import Config, parse_toml, resolve, to_toml
from .engine import Board, Seed, Store, UsageError, open_reader, open_store

DATABASE = "run.db"
LOCK = "lock"
OUTCOME = "outcome.json"

FILES_NEEDED = 64
"""Open files a job may need: the store's, the learner's, the loop's and Python's own. Dialogues
need none, as long as no model of theirs is behind a socket."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

MOUNTS = Path("/proc/self/mounts")

# fmt: off
_NETWORK = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "orangefs", "pvfs2", "smb3", "smbfs",
    "fuse.ceph", "fuse.cephfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys",
    "fuse.juicefs", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse",
))
# fmt: on


class Outcome(Struct, frozen=True, kw_only=True):
    """How a life of a run ended: `finished`, `failed` or `interrupted`."""

    outcome: str
    detail: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """An open run: its folder, settings and store, and the board on which it shows how it is."""

    path: Path
    config: Config
    store: Store
    board: Board = field(default_factory=Board)

    @property
    def seed(self) -> Seed:
        return Seed(self.config.seed)

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def vllm_log(self) -> Path:
        return self.path / "vllm.log"

    def model(self, name: str) -> Path:
        """The folder of one of the run's own models."""
        return self.path / "models" / name

    def log_metrics(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line to `metrics.jsonl`."""
        line = msgspec.json.encode({"kind": kind, "step": step, **values})
        with (self.path / "metrics.jsonl").open("ab") as file:
            file.write(line + b"\n")


@asynccontextmanager
async def open_run(
    path: Path | None, command: str, config: Config, *, board: Board | None = None
) -> AsyncGenerator[Run]:
    """A new run directory; without a path, a fresh one under `runs/`.

    board: the run's, where something is shown on it already.

    Raises `UsageError` when the directory already holds a run: a run is never written over.
    """
    folder = path or _fresh(command)
    if (folder / DATABASE).exists():
        raise UsageError(
            f"{folder} already holds a run; name another directory with --run, or remove it"
        )
    _check_machine(folder)
    try:
        (folder / "weights").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the run directory {folder}: {error.strerror}") from error
    async with hold(folder):
        facts = describe_machine() | {"command": command, "seed": str(config.seed)}
        with _outcome(folder, command):
            (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
            async with open_store(
                folder / DATABASE, name=folder.name, config=to_toml(config), facts=facts
            ) as store:
                yield Run(path=folder, config=config, store=store, board=board or Board())


@asynccontextmanager
async def reopen_run(folder: Path) -> AsyncGenerator[Run]:
    """A run that is to go on, with the settings it was started with.

    They are the store's copy: `config.toml` is there to be read, and may have been edited since.
    Raises `UsageError` when the directory holds no run, or another process has it.
    """
    if not (folder / DATABASE).exists():
        raise UsageError(
            f"{folder} holds no run to resume; `duologue runs {folder.parent}` lists what there is"
        )
    _check_machine(folder)
    async with hold(folder):
        with open_reader(folder / DATABASE) as reader:
            reader.check()  # before another life begins: what is damaged is left as it is
            _, text, facts = reader.run()
        config = resolve(parse_toml(text, f"the settings in {folder / DATABASE}"), str(folder))
        with _outcome(folder, facts.get("command", "")):
            async with open_store(folder / DATABASE, create=False) as store:
                yield Run(path=folder, config=config, store=store)


@asynccontextmanager
async def hold(folder: Path) -> AsyncGenerator[None]:
    """Hold the directory against other processes; the lock goes when the process does.

    Raises `UsageError` when another process has it.
    """
    with (folder / LOCK).open("ab") as file:
        for last in (False, True):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if last:
                    raise UsageError(
                        f"{folder} is in use by another process; wait for it, or name another "
                        "directory"
                    ) from error
                # `in_use` takes the lock for an instant: that somebody looks is no reason to fail.
                await anyio.sleep(0.05)
        yield


def in_use(folder: Path) -> bool:
    """Whether a living process has the run."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def read_outcome(folder: Path) -> Outcome | None:
    """How the run's last life ended; None when it never said."""
    try:
        return msgspec.json.decode((folder / OUTCOME).read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def how_to_go_on(folder: Path, command: str) -> str:
    """The command that takes up the run that `command` began; empty when nothing can.

    What trains can, from its last checkpoint; a run of `train` that has none yet, from its start.
    """
    if command != "train" and not any((folder / "checkpoints").glob("step-*")):
        return ""
    return f"duologue train --resume --run {folder}"


@contextmanager
def _outcome(folder: Path, command: str) -> Generator[None]:
    """Say in `outcome.json` how the block ended; an error also learns how to go on after it."""
    (folder / OUTCOME).unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(folder)  # a write knows no name, and a person wants one
        if how := how_to_go_on(folder, command):
            error.add_note(f"what was durable is safe; to go on: {how}")
        _note(folder, "failed", str(error))
        raise
    except BaseException:
        _note(folder, "interrupted", "")
        raise
    _note(folder, "finished", "")


def _note(folder: Path, outcome: str, detail: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = msgspec.json.encode(Outcome(outcome=outcome, detail=detail[:1000], at=now))
    draft = folder / f".{OUTCOME}.tmp"
    # A disk that is full must not hide why the run ended, nor fail one that did not.
    with suppress(OSError):
        draft.write_bytes(content)
        draft.replace(folder / OUTCOME)


def _check_machine(folder: Path) -> None:
    """Raise `UsageError` where a run cannot be kept or would soon run dry."""
    if found := network_mount(folder):
        kind, mount = found
        raise UsageError(
            f"{folder} lies on a network file system ({kind}, mounted at {mount}), where the run "
            "store cannot work: its log is shared through memory. Name a directory on a local "
            "disk with --run, and copy it when the run has ended"
        )
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FILES_NEEDED:
        raise UsageError(
            f"this process may open only {limit} files and a run needs {FILES_NEEDED}; "
            "try: ulimit -n 1024"
        )


def network_mount(path: Path, mounts: Path | None = None) -> tuple[str, str] | None:
    """(type, mount point) of the network file system that `path` lies on, or would; None on a
    local disk, and where nobody can say."""
    try:
        lines = (mounts or MOUNTS).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    place = path.resolve()
    best: tuple[int, str, str] = (-1, "", "")
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1]))
        depth = len(mount.parts)
        # Where two are mounted over one another, the later one is what is seen.
        if place.is_relative_to(mount) and depth >= best[0]:
            best = (depth, fields[2], str(mount))
    _, kind, where = best
    return (kind, where) if kind in _NETWORK else None


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
