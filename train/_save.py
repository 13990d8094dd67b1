"""Writing a policy, and a policy with its optimiser, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from torch.optim import Optimizer

from ..agents.models.local._folder import save_weights
from ..agents.models.local._qwen3 import Qwen3
from ._checkpoint import CONSUMED, OPTIMIZER, STATE, CheckpointError, State, commit

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


Companions = Mapping[str, bytes]
"""What a model folder holds beside its weights: configuration, tokenizer, chat template."""


def read_companions(folder: Path) -> Companions:
    """The companions of the model in `folder`, read at once: checkpoints come and go, and the one
    that training went on from may be gone when the next is written."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and ".safetensors" not in path.name and path.name not in (STATE, CONSUMED)
    }


def save_folder(model: Qwen3, target: Path, companions: Companions) -> None:
    """Write `model` to the folder `target`. An existing `target` is replaced; a crash leaves
    whole folders only (at worst the old one under a hidden name)."""
    with _draft(target, companions) as draft:
        save_weights(model, draft / "model.safetensors")
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        if target.exists():
            os.rename(target, old)
        os.rename(draft, target)
        shutil.rmtree(old, ignore_errors=True)


def save_checkpoint(
    model: Qwen3,
    optimizer: Optimizer,
    target: Path,
    companions: Companions,
    *,
    state: State,
    consumed: bytes,
) -> None:
    """Write a checkpoint that training can go on from."""
    with _draft(target, companions) as draft:
        save_weights(model, draft / "model.safetensors")
        save_file(_optimizer_tensors(model, optimizer), draft / OPTIMIZER)
        commit(draft, target, state, consumed)


def load_optimizer(model: Qwen3, optimizer: Optimizer, checkpoint: Path) -> None:
    """Put a checkpoint's moments back. Raises `CheckpointError` when they are not this model's."""
    saved = load_file(checkpoint / OPTIMIZER)
    for name, weight in model.named_parameters():
        moments = {kind: saved.get(f"{kind}.{name}") for kind in _MOMENTS}
        if all(moment is None for moment in moments.values()):
            continue  # saved before the first step
        for kind, moment in moments.items():
            if moment is None or (kind != "step" and moment.shape != weight.shape):
                raise CheckpointError(f"{checkpoint / OPTIMIZER} does not fit: {kind} of {name}")
        optimizer.state[weight] = {
            kind: moment.to(weight.device) for kind, moment in moments.items() if moment is not None
        }


def _optimizer_tensors(model: Qwen3, optimizer: Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        for kind, moment in optimizer.state.get(weight, {}).items():
            tensors[f"{kind}.{name}"] = torch.as_tensor(moment).detach().cpu().contiguous()
    return tensors


@contextmanager
def _draft(target: Path, companions: Companions) -> Generator[Path]:
    """A folder beside `target` with the companions in it; gone if it was not renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    # A crash may have left one: in a container, process ids come back.
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        for name, content in companions.items():
            (draft / name).write_bytes(content)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
