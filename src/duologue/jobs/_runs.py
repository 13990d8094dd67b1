"""`duologue runs`: what runs there are, and what state each is in."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from ..config import parse_toml
from ..engine import DuologueError, Reader, UsageError, open_reader
from ..rundir import DATABASE, LOCK, how_to_go_on, in_use, read_outcome

_CURVES = {"train": "train", "demo": "train", "sft": "coldstart"}
"""The curve that counts a command's steps; the settings have a table of the same name."""


class RunState(Struct, frozen=True, kw_only=True):
    """One run directory.

    state:      `in use`, `finished`, `resumable` (the command is in `detail`), `stopped` (ended
                early, and nothing to go on from) or `broken` (why is in `detail`).
    step:       steps done, of `steps` planned; None where a command has none.
    checkpoint: the step of the latest; only its presence is looked at, a resume reads it whole.
    lives:      times it was started or resumed. bytes: its size on disk.
    """

    run: str
    state: str
    detail: str = ""
    command: str = ""
    started: str = ""
    phases: dict[str, int] = {}
    step: int | None = None
    steps: int | None = None
    checkpoint: int | None = None
    lives: int | None = None
    bytes: int = 0


def find_runs(folder: Path) -> list[RunState]:
    """The runs in `folder`, by name; the folder itself if it is one.

    A run that is broken is listed as such. Raises `UsageError` when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no directory {folder}; name the one that holds the runs")
    if _is_run(folder):
        return [describe_run(folder)]
    return [describe_run(path) for path in sorted(folder.iterdir()) if _is_run(path)]


def describe_run(folder: Path) -> RunState:
    """What state a run directory is in. Never raises for what is wrong inside it."""
    size = disk_size(folder)
    try:
        with open_reader(folder / DATABASE) as reader:
            facts = _facts(reader)
        latest = _last_checkpoint(folder)
        state, detail = _state(folder, facts.command)
    except (DuologueError, OSError) as error:
        return RunState(run=str(folder), state="broken", detail=str(error), bytes=size)
    return msgspec.structs.replace(
        facts, run=str(folder), state=state, detail=detail, checkpoint=latest, bytes=size
    )


def disk_size(folder: Path) -> int:
    """The bytes of all files below `folder`. Some may go while they are counted; what readers of
    the store share as memory is none of its data."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += 0 if path.is_dir() or path.name.endswith("-shm") else path.lstat().st_size
        except OSError:
            continue
    return total


def _facts(reader: Reader) -> RunState:
    _, config, facts = reader.run()
    command = facts.get("command", "")
    step, steps = None, None
    if (curve := _CURVES.get(command)) is not None:
        last = reader.last_step(curve)
        step = 0 if last is None else last + 1
        planned = parse_toml(config, str(reader.path)).get(curve, {}).get("steps")
        steps = planned if isinstance(planned, int) else None
    return RunState(
        run="",
        state="",
        command=command,
        started=facts.get("started", ""),
        phases={phase: reader.count(phase) for phase in reader.phases()},
        step=step,
        steps=steps,
        lives=reader.lives(),
    )


def _state(folder: Path, command: str) -> tuple[str, str]:
    if in_use(folder):
        return "in use", ""
    outcome = read_outcome(folder)
    if outcome is not None and outcome.outcome == "finished":
        return "finished", ""
    how = how_to_go_on(folder, command)
    if how:
        return "resumable", how
    return "stopped", "killed" if outcome is None else outcome.detail or outcome.outcome


def _last_checkpoint(folder: Path) -> int | None:
    """The step of the latest checkpoint. Raises `DuologueError` when it is not all there."""
    found = sorted((folder / "checkpoints").glob("step-*"))
    if not found:
        return None
    state = found[-1] / "state.json"
    try:
        names: dict[str, str] = msgspec.json.decode(state.read_bytes(), type=_Listed).files
        missing = [name for name in names if not (found[-1] / name).is_file()]
    except (msgspec.DecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise DuologueError(f"{state} cannot be read: {error}") from error
    if missing:
        raise DuologueError(f"checkpoint {found[-1]} lacks {missing[0]}")
    digits = found[-1].name.removeprefix("step-")
    return int(digits) if digits.isdecimal() else None


class _Listed(Struct):
    # Not `train`'s own class: a listing must work without torch and what else training needs.
    files: dict[str, str]


def _is_run(path: Path) -> bool:
    return path.is_dir() and ((path / DATABASE).exists() or (path / LOCK).exists())
