"""Checkpoints: what a run goes back to. The checkpoint is the commit.

A checkpoint is a folder `checkpoints/step-N` that appears by one rename:

    config.json, model.safetensors, tokenizer...   the policy, in Hugging Face layout
    optimizer.safetensors                          AdamW's moments and step counts
    consumed.bin                                   the trajectories its weights have learned from
    state.json                                     where the run stood, every file's digest, its own

A trajectory that `consumed.bin` does not list has not been learned from, whatever else was written
before a crash.
"""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from ..engine import DuologueError, Key

FORMAT = 2
STATE = "state.json"
CONSUMED = "consumed.bin"
OPTIMIZER = "optimizer.safetensors"


class CheckpointError(DuologueError):
    """A checkpoint is missing, half-written or corrupt."""


class State(Struct, frozen=True, kw_only=True):
    """Where the run stood: `step` optimiser steps done, weights called `version`.

    files: the digest of every other file. digest: of the rest of this.
    """

    format: int = FORMAT
    step: int
    version: int
    files: dict[str, str] = {}
    digest: str = ""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A checkpoint that was found whole."""

    path: Path
    state: State
    consumed: frozenset[Key]


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:07d}"


def pack_keys(keys: Iterable[Key]) -> bytes:
    """Keys as int32 pairs, sorted."""
    return array("i", [n for key in sorted(keys) for n in (key.group, key.sample)]).tobytes()


def unpack_keys(data: bytes) -> frozenset[Key]:
    numbers = memoryview(data).cast("i")
    return frozenset(Key(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def commit(draft: Path, target: Path, state: State, consumed: bytes) -> None:
    """Turn the folder `draft`, which holds model and optimiser, into the checkpoint `target`.

    Everything is on disk before the rename, so a crash leaves a whole checkpoint or none.
    """
    (draft / CONSUMED).write_bytes(consumed)
    files = sorted(path for path in draft.iterdir() if path.is_file())
    digests = {path.name: _digest(path) for path in files}
    whole = _signed(msgspec.structs.replace(state, files=digests))
    (draft / STATE).write_bytes(msgspec.json.encode(whole))
    for path in [*files, draft / STATE, draft]:
        sync(path)
    if target.exists():
        # The same step again, on a lineage that was taken back: the old one is of no use to it.
        shutil.rmtree(target)
    os.rename(draft, target)
    sync(target.parent)


def newest(folder: Path) -> Checkpoint | None:
    """The latest checkpoint in `folder`; None when there is none yet.

    Half-written drafts are passed over: they were never committed. Raises `CheckpointError` when
    the latest is corrupt, naming the file and the one before it.
    """
    found = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return read(found[-1], before=found[-2] if len(found) > 1 else None) if found else None


def read(path: Path, *, before: Path | None = None) -> Checkpoint:
    """The checkpoint at `path`, every file checked. Raises `CheckpointError`."""
    hint = f"remove it to go back to {before.name}" if before else "no earlier one is there"
    try:
        state = msgspec.json.decode((path / STATE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path}: {STATE} cannot be read ({error}); {hint}") from (
            error
        )
    if state.format != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {state.format}, this release reads {FORMAT}; {hint}"
        )
    if state != _signed(state):
        raise CheckpointError(f"checkpoint {path}: {STATE} is damaged; {hint}")
    try:
        for name, digest in state.files.items():
            file = path / name
            if not file.is_file() or _digest(file) != digest:
                raise CheckpointError(f"checkpoint {path}: {name} is missing or damaged; {hint}")
        consumed = unpack_keys((path / CONSUMED).read_bytes())
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error}); {hint}") from error
    return Checkpoint(path=path, state=state, consumed=consumed)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and drafts that a crash left behind."""
    for path in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(path)
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _signed(state: State) -> State:
    """`state` with its own digest, whatever it had."""
    blank = msgspec.structs.replace(state, digest="")
    digest = blake2b(msgspec.json.encode(blank), digest_size=16).hexdigest()
    return msgspec.structs.replace(state, digest=digest)


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
