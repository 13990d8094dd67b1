"""Where tensors live when nobody says."""

from __future__ import annotations

import torch

from ....engine import UsageError


def pick_device(name: str = "") -> str:
    """`name` if it can be used here; empty takes the GPU where there is one, else the CPU."""
    if not name:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used here: {error}") from error
    return name
