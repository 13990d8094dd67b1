"""Settings of generation by vLLM."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class VllmConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is started, watched and given weights.

    python:   the interpreter that has vLLM; empty takes $DUOLOGUE_VLLM_PYTHON, else
              `.venv-vllm/bin/python` where there is one, else ours.
    args:     more flags for vLLM; they win over ours.
    restarts: how often a server that crashed is started again.
    ready_s:  seconds a server may take until it answers.
    hang_s:   seconds without a sign of life, while requests wait, after which it is replaced like
              one that crashed: no answer, and no token by its own count.
    weights:  how new weights travel: `file` anywhere on one machine; `nccl` from a GPU to others;
              `ipc` within one GPU.
    tokenizer: for `vllm:URL`, the folder with the served model's tokenizer; empty asks the server
              where its model lies.
    """

    python: str = ""
    args: tuple[str, ...] = ()
    restarts: int = 3
    ready_s: float = 600.0
    hang_s: float = 60.0
    weights: Literal["file", "nccl", "ipc"] = "file"
    tokenizer: str = ""

    def __post_init__(self) -> None:
        if self.restarts < 0:
            raise ValueError(f"restarts is {self.restarts}; it must not be negative")
        for name in ("ready_s", "hang_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
