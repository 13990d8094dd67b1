"""The learner's process: orders in, steps taken, answers out.

A process of its own, because Python work in it would hold up the dialogues' event loop. It owns
the weights, the optimiser and the version number, waits for one order at a time, and exits when
the other end of its socket is gone.
"""

from __future__ import annotations

import os
import select
import socket
import time
import traceback
from pathlib import Path
from threading import Thread

import msgspec
import torch

from ..agents.models.local._folder import load_model, save_weights
from ..agents.models.local._qwen3 import Qwen3
from ..engine import End, Trajectory
from ._checkpoint import State
from ._packing import Pack, make_sample, pack
from ._save import load_optimizer, read_companions, save_checkpoint, save_folder
from ._step import make_optimizer, policy_step, supervised_step
from ._tenancy import tenancy
from ._wire import (
    Answer,
    Broken,
    Order,
    PolicyBatch,
    Ready,
    Save,
    SaveCheckpoint,
    Saved,
    Setup,
    SupervisedBatch,
    Trained,
    WireSample,
    body_length,
    decode_order,
    frame,
)

KEEP_WEIGHTS = 2
"""Weight files kept: the sampler may still be reading the one before the newest."""

GRACE_S = 1.0
"""How long a learner without an engine may take to leave by itself."""


def serve(connection: socket.socket) -> None:
    """Answer orders until the other side hangs up."""
    try:
        order = _receive(connection)
        if order is None:
            return
        if not isinstance(order, Setup):
            raise TypeError(f"the first order must be Setup, not {type(order).__name__}")
        with tenancy(Path(order.weights_dir)):
            learner = Learner(order)
            answer: Answer = Ready(parameters=learner.parameters, device=str(learner.device))
            while True:
                connection.sendall(frame(answer))
                order = _receive(connection)
                if order is None:
                    return
                answer = learner.obey(order)
    except ConnectionError:
        raise  # nobody is left to be told
    except Exception as error:
        traceback.print_exc()
        connection.sendall(frame(Broken(error=f"{type(error).__name__}: {error}")))
        raise SystemExit(1) from error


class Learner:
    """Weights, optimiser and version, and what an order does to them."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.threads)
        torch.use_deterministic_algorithms(setup.deterministic)
        self._setup = setup
        self.device = torch.device(setup.device)
        self._model: Qwen3 = load_model(Path(setup.model), device=self.device)
        self._companions = read_companions(Path(setup.model))
        self._optimizer = make_optimizer(self._model)
        self._version = setup.version
        # An earlier life may have made weights that it could no longer announce.
        self._next_version = max(setup.next_version, _last_version(Path(setup.weights_dir)) + 1)
        if setup.checkpoint:
            load_optimizer(self._model, self._optimizer, Path(setup.checkpoint))

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self._model.parameters())

    def obey(self, order: Order) -> Answer:
        if isinstance(order, PolicyBatch):
            return self._improve(order)
        if isinstance(order, SupervisedBatch):
            return self._imitate(order)
        if isinstance(order, Save):
            save_folder(self._model, Path(order.path), self._companions)
            return Saved(path=order.path)
        if isinstance(order, SaveCheckpoint):
            save_checkpoint(
                self._model,
                self._optimizer,
                Path(order.path),
                self._companions,
                state=State(step=order.step, version=self._version),
                consumed=order.consumed,
            )
            return Saved(path=order.path)
        raise TypeError(f"{type(order).__name__} is no order for a running learner")

    def _improve(self, order: PolicyBatch) -> Trained:
        stats = policy_step(
            self._model,
            self._optimizer,
            self._packs(order.samples, supervised=False),
            loss=self._setup.loss,
            learning_rate=order.learning_rate,
            max_grad_norm=self._setup.max_grad_norm,
            temperature=self._setup.temperature,
            bf16=self._setup.bf16,
            version=self._version,
        )
        path: Path | None = None
        if stats.skipped is None:
            self._version = self._next_version
            self._next_version += 1
            path = self._write_weights()
        return Trained(
            step=order.step,
            version=self._version,
            weights=None if path is None else str(path),
            stats=_numbers(stats),
        )

    def _imitate(self, order: SupervisedBatch) -> Trained:
        stats = supervised_step(
            self._model,
            self._optimizer,
            self._packs(order.samples, supervised=True),
            learning_rate=order.learning_rate,
            max_grad_norm=self._setup.max_grad_norm,
            bf16=self._setup.bf16,
        )
        return Trained(step=order.step, version=self._version, weights=None, stats=_numbers(stats))

    def _packs(self, samples: tuple[WireSample, ...], *, supervised: bool) -> list[Pack]:
        made = [
            make_sample(_trajectory(sample), None if supervised else sample.advantages)
            for sample in samples
        ]
        return pack(made, self._setup.budget_tokens)

    def _write_weights(self) -> Path:
        folder = Path(self._setup.weights_dir)
        path = folder / f"v{self._version}.safetensors"
        save_weights(self._model, path)
        (folder / f"v{self._version - KEEP_WEIGHTS}.safetensors").unlink(missing_ok=True)
        return path


def _last_version(weights: Path) -> int:
    """The highest version there are weights of; -1 when there are none."""
    return max((int(path.stem[1:]) for path in weights.glob("v*.safetensors")), default=-1)


def _trajectory(sample: WireSample) -> Trajectory:
    """A sample as packing wants it; only the key and the tokens matter there."""
    return Trajectory(key=sample.key, task="", env="", split="", end=End.DONE, tokens=sample.tokens)


def _numbers(stats: msgspec.Struct) -> dict[str, object]:
    return msgspec.structs.asdict(stats)


def _receive(connection: socket.socket) -> Order | None:
    header = _exactly(connection, 4)
    if header is None:
        return None
    body = _exactly(connection, body_length(header))
    return None if body is None else decode_order(body)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    """`count` bytes, or None when the other side has gone."""
    parts: list[bytes] = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _leave_with_engine(connection: socket.socket) -> None:
    """End the process once the other side is gone, whatever the learner is in the middle of:
    a step can take minutes, and the run may want to go on before that."""
    engine = select.poll()
    engine.register(connection, 0)  # a hang-up is always reported
    engine.poll()
    time.sleep(GRACE_S)
    os._exit(1)


def main(argv: list[str]) -> None:
    """``python -m duologue.train FD``: serve the socket that was inherited as FD."""
    with socket.socket(fileno=int(argv[1])) as connection:
        connection.setblocking(True)
        Thread(target=_leave_with_engine, args=(connection,), daemon=True).start()
        try:
            serve(connection)
            status = 0
        except (BrokenPipeError, ConnectionResetError):
            # The engine died: nobody is left to answer, and its run resumes from a checkpoint.
            status = 1
    # At once: taking torch down in order takes seconds on a busy machine, and somebody waits.
    os._exit(status)
