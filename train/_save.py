"""Writing a policy, and a policy with its optimiser, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from torch.optim import Optimizer

from ..agents.models._folder import save_weights
from ..agents.models._qwen3 import Qwen3
from ._checkpoint import OPTIMIZER, CheckpointError, State, commit

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_folder(model: Qwen3, target: Path, *, like: Path) -> None:
    """Write `model` to the folder `target`, with the tokenizer and configuration of `like`.

    An existing `target` is replaced; a crash leaves a whole folder or none.
    """
    with _draft(target, like) as draft:
        save_weights(model, draft / "model.safetensors")
        if target.exists():
            shutil.rmtree(target)
        os.rename(draft, target)


def save_checkpoint(
    model: Qwen3,
    optimizer: Optimizer,
    target: Path,
    *,
    like: Path,
    state: State,
    consumed: bytes,
) -> None:
    """Write a checkpoint that training can go on from."""
    with _draft(target, like) as draft:
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
def _draft(target: Path, like: Path) -> Generator[Path]:
    """A folder beside `target` with everything of `like` but its weights; gone if not renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    skip = shutil.ignore_patterns("*.safetensors*", "state.json", "consumed.bin")
    shutil.copytree(like, draft, ignore=skip)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
