"""Saving a policy as a Hugging Face folder, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..agents.models._folder import save_weights
from ..agents.models._qwen3 import Qwen3


def save_folder(model: Qwen3, target: Path, *, like: Path) -> None:
    """Write `model` to the folder `target`, with the tokenizer and configuration of `like`.

    An existing `target` is replaced in one step; a crash leaves the old one or the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.copytree(like, draft, ignore=shutil.ignore_patterns("*.safetensors*"))
    try:
        save_weights(model, draft / "model.safetensors")
        if target.exists():
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            os.rename(target, old)
            os.rename(draft, target)
            shutil.rmtree(old)
        else:
            os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
