"""The engine's side of the learner: a process owned by a block, spoken to over a socket pair."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from ..engine import DuologueError
from ._wire import (
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
    body_length,
    decode_answer,
    frame,
)

A = TypeVar("A", Ready, Trained, Saved)

STOP_S = 10.0
"""How long a learner may take to notice that its socket has closed before it is killed."""


class LearnerDied(DuologueError):
    """The learner's process is gone or broken; what it had trained on is in the run store."""


class RemoteLearner:
    """A learner in another process. One order at a time; each waits for its answer."""

    def __init__(self, stream: SocketStream, log: Path) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)
        self._log = log
        self.ready: Ready | None = None

    async def improve(self, batch: PolicyBatch) -> Trained:
        """Take one policy-gradient step. Raises `LearnerDied`."""
        return await self._ask(batch, Trained)

    async def imitate(self, batch: SupervisedBatch) -> Trained:
        """Take one supervised step. Raises `LearnerDied`."""
        return await self._ask(batch, Trained)

    async def save(self, path: Path) -> None:
        """Write the model as a Hugging Face folder. Raises `LearnerDied`."""
        await self._ask(Save(path=str(path)), Saved)

    async def checkpoint(self, order: SaveCheckpoint) -> None:
        """Write a checkpoint; on return it is committed. Raises `LearnerDied`."""
        await self._ask(order, Saved)

    async def _ask(self, order: Order, kind: type[A]) -> A:
        try:
            await self._stream.send(frame(order))
            header = await self._received.receive_exactly(4)
            body = await self._received.receive_exactly(body_length(header))
            answer = decode_answer(body)
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise LearnerDied(f"the learner's process has died; see {self._log}") from error
        except (ValueError, msgspec.DecodeError) as error:
            raise LearnerDied(f"the learner sent garbage ({error}); see {self._log}") from error
        if isinstance(answer, Broken):
            raise LearnerDied(f"the learner stopped: {answer.error}; see {self._log}")
        if not isinstance(answer, kind):
            raise LearnerDied(f"the learner answered {type(order).__name__} with {answer!r}")
        return answer


@asynccontextmanager
async def open_learner(setup: Setup, *, log: Path) -> AsyncGenerator[RemoteLearner]:
    """A learner that lives as long as the block; its output goes to the file `log`.

    Leaving the block closes the socket, which is what tells the learner to exit; one that does not
    within `STOP_S` seconds is killed.
    """
    ours, theirs = socket.socketpair()
    try:
        with log.open("ab") as output, theirs:
            process = await anyio.open_process(
                [sys.executable, "-m", "duologue.train", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
            )
    except BaseException:
        ours.close()
        raise
    stream: SocketStream | None = None
    try:
        stream = await SocketStream.from_socket(ours)
        learner = RemoteLearner(stream, log)
        learner.ready = await learner._ask(setup, Ready)
        yield learner
    finally:
        with anyio.move_on_after(STOP_S, shield=True) as patience:
            if stream is None:
                ours.close()
            else:
                await stream.aclose()
            await process.wait()
        if patience.cancelled_caught:
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
        await process.aclose()
