"""A small model sampled in-process: the embedded default.

The loop's side collects requests, the worker's side (`_worker`) samples them on a thread. They
take turns: the service task hands the thread what has come in, waits until it comes back with
answers, delivers them, and lets the loop run until nothing new arrives before it goes again. That
last part matters twice. Dialogues that were answered together come back together and make one
batch; and Python's threads do not fight for the interpreter while the loop is busy, which costs
each torch operation up to five milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import torch
from anyio import CapacityLimiter, Event, create_task_group, to_thread
from anyio.lowlevel import checkpoint
from tokenizers import Tokenizer

from ....engine import DuologueError, ModelError, UsageError
from .._model import Generation, Request
from ._folder import load_model, load_tokenizer
from ._qwen3 import Qwen3
from ._sampler import Sampler, check_room
from ._worker import Cancel, Close, Push, Stats, Ticket, Worker

_QUIET_PASSES = 8
"""Passes of the loop without news after which a batch is let go: a reply crosses two mailboxes and
an environment on its way to the next request, a few passes each. An idle pass takes 20 µs."""

_MOST_PASSES = 64
"""And so many at most: a busy loop has news all the time."""


@asynccontextmanager
async def open_local(
    path: str | Path,
    *,
    device: str | None = None,
    slots: int = 256,
    context: int | None = None,
    threads: int | None = 1,
    lockstep: bool = False,
    version: int = 0,
) -> AsyncGenerator[LocalModel]:
    """Serve the model folder at `path` inside the block.

    device:   "cuda" if there is one, else "cpu".
    slots:    how many dialogues keep their context cached; more are served, and recomputed.
    context:  the longest conversation in tokens; the model's own limit when None.
    threads:  torch threads of the sampler; None leaves torch's setting alone. A small model is
              fastest with one.
    lockstep: the deterministic mode: a batch forms only when every open session has a request
              waiting, in the order of their names, and runs to its end. The same sessions with the
              same requests give the same bits, on either loop, whatever the order of arrival. (In
              the other mode a reply depends on its neighbours in the last bits of its
              log-probabilities.)
    version:  the number of the weights in the folder.

    Raises `UsageError` when the folder is not a model. Leaving the block ends everything: requests
    still waiting get `ModelError`.
    """
    model, tokenizer = await to_thread.run_sync(_load, Path(path), device)
    sampler = Sampler(model, slots=slots, context=context, version=version)
    local = LocalModel(str(path), Worker(sampler, tokenizer, threads), lockstep)
    failure: Exception | None = None
    async with create_task_group() as tasks:
        tasks.start_soon(local.serve)
        try:
            yield local
        except Exception as error:  # noqa: BLE001, raised again below
            # The caller's own exception leaves as it is, not wrapped in a group of ours.
            failure = error
        finally:
            local.stop()
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _load(path: Path, device: str | None) -> tuple[Qwen3, Tokenizer]:
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return load_model(path, device), load_tokenizer(path)


class LocalModel:
    """A `Model` and a `WeightSink`; made by `open_local`."""

    def __init__(self, name: str, worker: Worker, lockstep: bool) -> None:
        self._name, self._worker, self._lockstep = name, worker, lockstep
        self._sessions: set[str] = set()
        self._waiting: dict[str, Ticket] = {}  # by session, until answered
        self._pushes: list[Push] = []
        self._held: list[Ticket] = []  # lockstep: what the worker must not see yet
        self._held_pushes: list[Push] = []
        self._stopped = False
        self._news = 0
        self._wake = Event()

    @property
    def version(self) -> int:
        """The number of the weights that the next token comes from."""
        return self._worker.sampler.version

    @property
    def context(self) -> int:
        """The longest conversation, in tokens, the reply included."""
        return self._worker.sampler.context

    @property
    def stats(self) -> Stats:
        """What the sampler has done so far; a live object."""
        return self._worker.stats

    def open(self, session: str) -> None:
        """Announce a dialogue. In lockstep every batch waits for it until it is closed."""
        self._sessions.add(session)
        self._tell()

    def close(self, session: str) -> None:
        """End a dialogue: its slot is freed, and a request still waiting gets `ModelError`."""
        self._sessions.discard(session)
        ticket = self._waiting.get(session)
        if ticket is not None:
            self._abandon(ticket)
            ticket.answer = ModelError(f"session {session!r} was closed before it was answered")
            ticket.done.set()
        self._worker.inbox.append(Close(session))
        self._tell()

    async def generate(self, request: Request) -> Generation:
        """Sample a reply to `request.tokens`.

        Raises `ModelError` when the tokens cannot be sampled after (there are none, they are
        another model's, or they fill the context), when sampling fails, and when the model or the
        session is closed meanwhile. Cancelling drops the row within one decode step; the session
        is then as it was before the call.
        """
        try:
            self._check(request)
        except DuologueError:
            await checkpoint()
            raise
        ticket = Ticket(request, Event())
        self._waiting[request.session] = ticket
        self._order(ticket)
        try:
            await ticket.done.wait()
        except BaseException:
            self._abandon(ticket)
            raise
        if isinstance(ticket.answer, Generation):
            return ticket.answer
        assert ticket.answer is not None
        raise ticket.answer

    async def push(self, version: int, path: str) -> None:
        """Sample with the safetensors file at `path` from now on, as `version`.

        Loads between two decode steps (in lockstep: between two batches) and returns when every
        later token comes from the new weights. Raises `UsageError`, and keeps the old weights,
        when the file does not fit. Cancelled, it may have loaded or not, or still load; see
        `version`.
        """
        if self._stopped:
            await checkpoint()
            raise self._gone()
        push = Push(version, path, Event())
        self._pushes.append(push)
        self._order(push)
        await push.done.wait()
        if push.error is not None:
            raise push.error

    async def serve(self) -> None:
        """Be the task that goes to the thread and back; runs until cancelled."""
        limiter = CapacityLimiter(1)
        try:
            while True:
                while not self._ready():
                    self._wake = Event()
                    await self._wake.wait()
                await self._settle()
                if self._lockstep and not self._release():
                    continue
                answered = await to_thread.run_sync(
                    self._worker.run, self._lockstep, limiter=limiter
                )
                for item in answered:
                    self._deliver(item)
        finally:
            # Whoever still asks must be told: a cancelled service answers nobody.
            self.stop()

    def stop(self) -> None:
        """Refuse what comes from now on, fail what is waiting, and let the thread come back."""
        self._stopped = self._worker.stopping = True
        for ticket in list(self._waiting.values()):
            ticket.answer = self._gone()
            self._deliver(ticket)
        for push in list(self._pushes):
            push.error = self._gone()
            self._deliver(push)

    def _check(self, request: Request) -> None:
        session = request.session
        if self._stopped:
            raise self._gone()
        check_room(session, len(request.tokens), self.context)
        if session in self._waiting:
            raise UsageError(f"session {session!r} already waits for a reply; one at a time")
        if self._lockstep and session not in self._sessions:
            raise UsageError(
                f"session {session!r} is not open; in lockstep every session must be opened before "
                "its first request, so that batches know whom to wait for"
            )

    def _gone(self) -> ModelError:
        return ModelError(f"the model {self._name} was closed")

    def _order(self, item: Ticket | Push) -> None:
        if not self._lockstep:
            self._worker.inbox.append(item)
        elif isinstance(item, Push):
            self._held_pushes.append(item)
        else:
            self._held.append(item)
        self._tell()

    def _tell(self) -> None:
        self._news += 1
        self._wake.set()

    def _abandon(self, ticket: Ticket) -> None:
        """Nobody waits for the ticket any more, wherever it is by now."""
        if self._waiting.get(ticket.request.session) is ticket:
            del self._waiting[ticket.request.session]
        if ticket in self._held:
            self._held.remove(ticket)
        else:
            self._worker.inbox.append(Cancel(ticket))

    def _deliver(self, item: Ticket | Push) -> None:
        if isinstance(item, Push):
            if item in self._pushes:
                self._pushes.remove(item)
        elif self._waiting.get(item.request.session) is item:
            del self._waiting[item.request.session]
        item.done.set()

    def _ready(self) -> bool:
        """There is something to go to the thread for."""
        if not self._lockstep:
            return self._worker.busy or bool(self._worker.inbox)
        return self._complete() or bool(self._held_pushes)

    def _complete(self) -> bool:
        """Every open session waits for a reply."""
        return bool(self._sessions) and len(self._waiting) >= len(self._sessions)

    async def _settle(self) -> None:
        """Let the dialogues that were just answered come back before the next batch goes."""
        quiet = 0
        for _ in range(_MOST_PASSES):
            # In lockstep a complete batch may still grow: the dialogue that follows a finished
            # one is opened a few passes after it was closed.
            if quiet == _QUIET_PASSES or (self._complete() and not self._lockstep):
                break
            news = self._news
            await checkpoint()
            quiet = quiet + 1 if self._news == news else 0

    def _release(self) -> bool:
        """Lockstep: hand the worker what may go now, if anything."""
        if self._held_pushes:
            self._worker.inbox.extend(self._held_pushes)
            self._held_pushes = []
            return True
        if not self._complete():
            return False
        batch = sorted(self._held, key=lambda ticket: ticket.request.session)
        self._worker.inbox.extend(batch)
        self._held = []
        return True
