"""The side of a local model that runs on a thread: orders in, answers out.

The loop's side appends orders to an inbox (a deque: its appends and pops are atomic) and calls
`Worker.run` on a thread; between two decode steps the worker reads what has come in meanwhile. So
a dialogue joins a batch that is under way, and a cancelled one leaves it, within one step.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import torch
from anyio import Event
from tokenizers import Tokenizer

from ....engine import DuologueError, ModelError
from .._model import Generation, Request
from ._folder import read_weights
from ._sampler import Drawn, Sampler


@dataclass(eq=False, slots=True)
class Ticket:
    """A request and, once `done` is set, its answer. The loop sets `done`, never the worker."""

    request: Request
    done: Event
    answer: Generation | ModelError | None = None


@dataclass(eq=False, slots=True)
class Push:
    """New weights and, once `done` is set, why they could not be loaded, if so."""

    version: int
    path: str
    done: Event
    error: DuologueError | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this ticket any more."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over: free its slot."""

    session: str


Order = Ticket | Push | Cancel | Close


@dataclass(slots=True)
class Stats:
    """What the sampler has done so far.

    tokens: sampled tokens. steps: decode steps, each drawing one token for every live row.
    busy_s: seconds in the worker (not counting the way to it and back). runs: visits to its thread.
    """

    tokens: int = 0
    steps: int = 0
    runs: int = 0
    busy_s: float = 0.0

    @property
    def rows_per_step(self) -> float:
        """The mean size of a batch."""
        return self.tokens / self.steps if self.steps else 0.0


@dataclass(eq=False, slots=True)
class Worker:
    """Owns the sampler. `run` is for one thread at a time; the inbox and `stopping` are for all."""

    sampler: Sampler
    tokenizer: Tokenizer
    threads: int | None = None
    stats: Stats = field(default_factory=Stats)
    inbox: deque[Order] = field(default_factory=lambda: deque[Order]())
    stopping: bool = False
    _live: dict[str, Ticket] = field(default_factory=lambda: dict[str, Ticket]())
    _queue: deque[Ticket] = field(default_factory=lambda: deque[Ticket]())

    @property
    def busy(self) -> bool:
        """There is more to sample. Only meaningful while `run` is not running."""
        return bool(self._live or self._queue)

    def run(self, to_the_end: bool = False) -> list[Ticket | Push]:
        """Sample until something is answered, and return that; or everything, `to_the_end`.

        Returning for every answer costs a change of threads (0.1 ms), against keeping a dialogue
        waiting for up to a whole generation of its neighbours.
        """
        began = time.perf_counter()
        if self.threads is not None:
            # The number of threads belongs to the calling thread, and a thread pool does not
            # promise to send us the same one twice.
            torch.set_num_threads(self.threads)
        answered: list[Ticket | Push] = []
        while not self.stopping:
            self._read_inbox(answered)
            self._admit(answered)
            if not self._live or (answered and not to_the_end):
                break
            self._step(answered)
        self.stats.runs += 1
        self.stats.busy_s += time.perf_counter() - began
        return answered

    def _read_inbox(self, answered: list[Ticket | Push]) -> None:
        while self.inbox:
            match self.inbox.popleft():
                case Ticket() as ticket:
                    self._queue.append(ticket)
                case Push() as push:
                    self._load(push)
                    answered.append(push)
                case Cancel(ticket):
                    self._drop(ticket)
                case Close(session):
                    self.sampler.close(session)

    def _admit(self, answered: list[Ticket | Push]) -> None:
        while self._queue and self.sampler.room:
            ticket = self._queue.popleft()
            request = ticket.request
            try:
                self.sampler.start(request.session, request.tokens, request.sampling, request.seed)
            except ModelError as error:
                ticket.answer = error
            except Exception as error:  # noqa: BLE001, it becomes the request's answer
                self.sampler.close(request.session)
                ticket.answer = _failure(request, error)
            else:
                self._live[request.session] = ticket
                continue
            answered.append(ticket)

    def _step(self, answered: list[Ticket | Push]) -> None:
        rows = self.sampler.live
        try:
            finished = self.sampler.step()
        except Exception as error:  # noqa: BLE001, it becomes the requests' answers
            # Which row broke the batch is unknown, and so is what is in the cache: all of them
            # fail, the caches are dropped, and the next request starts on clean ground.
            for session in self.sampler.reset():
                ticket = self._live.pop(session)
                ticket.answer = _failure(ticket.request, error)
                answered.append(ticket)
            return
        self.stats.tokens += rows
        self.stats.steps += 1
        for session, drawn in finished:
            ticket = self._live.pop(session)
            ticket.answer = self._generation(drawn)
            answered.append(ticket)

    def _generation(self, drawn: Drawn) -> Generation:
        spoken = drawn.ids[:-1] if drawn.finish == "stop" else drawn.ids
        return Generation(
            text=self.tokenizer.decode(spoken.tolist(), skip_special_tokens=False),
            ids=drawn.ids,
            logps=drawn.logps,
            finish=drawn.finish,
            spans=drawn.spans,
        )

    def _load(self, push: Push) -> None:
        try:
            self.sampler.load(read_weights(Path(push.path)), push.version, push.path)
        except DuologueError as error:
            push.error = error
        except Exception as error:  # noqa: BLE001, it becomes the push's answer
            push.error = ModelError(f"loading version {push.version} from {push.path}: {error}")
            push.error.__cause__ = error

    def _drop(self, ticket: Ticket) -> None:
        session = ticket.request.session
        if self._live.get(session) is ticket:
            del self._live[session]
            self.sampler.cancel(session)
        elif ticket in self._queue:
            self._queue.remove(ticket)


def _failure(request: Request, error: Exception) -> ModelError:
    failure = ModelError(f"sampling for session {request.session!r} failed: {error}")
    failure.__cause__ = error
    return failure
