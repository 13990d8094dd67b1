"""What the engine's side and the learner's process say to each other.

Framed msgpack over a socket pair: four bytes of length, then the message. Tags are permanent. The
weights themselves do not cross here: they lie in a file whose path does, because a pipe that
carries batches one way and weights the other can fill up in both directions and stop for good.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from msgspec import Struct

from ..engine import Key, Tokens
from ._loss_config import LossConfig

_LENGTH = struct.Struct("<I")
LIMIT_BYTES = 1 << 30
"""No honest message is larger; a length above it means the stream is garbage."""


class Setup(Struct, frozen=True, kw_only=True, tag="setup"):
    """The first message: what to train and how.

    version:      what the weights in `model` are called; `next_version`: the first number that no
                  weights ever had.
    checkpoint:   a checkpoint folder whose optimiser to go on with; empty starts a fresh one.
    """

    model: str
    weights_dir: str
    device: str
    threads: int
    bf16: bool
    deterministic: bool
    version: int
    next_version: int
    checkpoint: str = ""
    budget_tokens: int
    max_grad_norm: float
    temperature: float
    loss: LossConfig


class WireSample(Struct, frozen=True, kw_only=True, gc=False):
    """One dialogue's tokens; `advantages` holds one number a turn (empty: supervised)."""

    key: Key
    tokens: Tokens
    advantages: tuple[float, ...] = ()


class PolicyBatch(Struct, frozen=True, kw_only=True, tag="policy_batch"):
    """One policy-gradient step, answered by `Trained`."""

    step: int
    learning_rate: float
    samples: tuple[WireSample, ...]


class SupervisedBatch(Struct, frozen=True, kw_only=True, tag="supervised_batch"):
    """One step of cross-entropy on the agent's tokens, answered by `Trained`."""

    step: int
    learning_rate: float
    samples: tuple[WireSample, ...]


class Save(Struct, frozen=True, kw_only=True, tag="save"):
    """Write the model as a Hugging Face folder, answered by `Saved`."""

    path: str


class SaveCheckpoint(Struct, frozen=True, kw_only=True, tag="save_checkpoint"):
    """Write a checkpoint after `step` steps, answered by `Saved`. `consumed` lists the
    trajectories that the weights have learned from, packed."""

    path: str
    step: int
    consumed: bytes


Order = Setup | PolicyBatch | SupervisedBatch | Save | SaveCheckpoint


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The learner is up: how many parameters, on which device."""

    parameters: int
    device: str


class Trained(Struct, frozen=True, kw_only=True, tag="trained"):
    """A step was taken. `weights` is the file with version `version`; None when the weights did
    not change (a skipped step) or nobody samples from them (a supervised one)."""

    step: int
    version: int
    weights: str | None
    stats: dict[str, Any]


class Saved(Struct, frozen=True, kw_only=True, tag="saved"):
    path: str


class Broken(Struct, frozen=True, kw_only=True, tag="broken"):
    """The learner cannot go on; it exits after this."""

    error: str


Answer = Ready | Trained | Saved | Broken

_encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Order | Answer) -> bytes:
    """A message as it goes over the socket."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """How many bytes follow a frame's first four; ValueError when that cannot be right."""
    (length,) = _LENGTH.unpack(header)
    if length > LIMIT_BYTES:
        raise ValueError(f"a frame claims {length} bytes; the stream is corrupt")
    return int(length)
