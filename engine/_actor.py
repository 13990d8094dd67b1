"""Actors: state that only its owner touches, reached by messages.

`open_actor` gives one a mailbox and a task: for services that many others talk to, a store, a
router, a judge. The two parties of a dialogue need neither. Their only client waits for each
reply, so their handlers run in its task: the same one-message-at-a-time rule, at the cost of a
call (`_dialogue.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from msgspec import Struct

from ._errors import MailboxClosed, one_error
from ._mailbox import Mailbox, MailboxStats
from ._park import OneShot, being_cancelled

M = TypeVar("M")
R = TypeVar("R")


class ActorStats(Struct, frozen=True, kw_only=True):
    """An actor's mailbox, and the replies that nobody was left to take."""

    mailbox: MailboxStats
    dead_replies: int


class Actor(Generic[M, R]):
    """A handle on a running actor. Safe to share among the tasks of one loop."""

    __slots__ = ("_dead_replies", "_mailbox", "_receive", "name")

    def __init__(self, receive: Callable[[M], Awaitable[R]], *, capacity: int, name: str) -> None:
        self.name: str = name
        self._receive = receive
        self._mailbox: Mailbox[tuple[M, OneShot[R] | None]] = Mailbox(capacity, name)
        self._dead_replies = 0

    def tell(self, message: M) -> Awaitable[None]:
        """Leave a message; waits while the mailbox is full. Raises `MailboxClosed`."""
        # The mailbox's own awaitable: one more coroutine around it would cost as much as the hop.
        return self._mailbox.put((message, None))

    async def ask(self, message: M) -> R:
        """Leave a message and wait for its reply.

        The handler's exception is raised here. When the asker is cancelled, the reply becomes a
        dead letter: counted, and raised in nobody else's task.
        """
        reply: OneShot[R] = OneShot()
        await self._mailbox.put((message, reply))
        try:
            return await reply.wait()
        except MailboxClosed:
            # What stopped the actor may be stopping us as well, and then that is the news.
            await checkpoint_if_cancelled()
            raise

    def stats(self) -> ActorStats:
        return ActorStats(mailbox=self._mailbox.stats(), dead_replies=self._dead_replies)

    async def _serve(self) -> None:
        try:
            while True:
                try:
                    message, reply = await self._mailbox.get()
                except MailboxClosed:
                    return
                try:
                    result = await self._receive(message)
                except BaseException as error:  # noqa: BLE001 (`_failed` raises what is not a reply)
                    delivered = self._failed(error, reply)
                else:
                    delivered = reply is None or reply.give(result)
                self._dead_replies += not delivered
        finally:
            # Here, not where the block ends: the block may wait, shielded, for a reply.
            self._stop()

    def _failed(self, error: BaseException, reply: OneShot[R] | None) -> bool:
        """Tell who asked, if he is still there; raise what stops the actor."""
        if isinstance(error, anyio.get_cancelled_exc_class()) and not being_cancelled():
            error = foreign(self.name, error)
        # A told message has no asker to blame: its failure is the actor's, and stops it.
        if reply is None:
            raise error
        if isinstance(error, Exception):
            return reply.fail(error)
        reply.fail(MailboxClosed(f"{self.name} stopped before it replied"))
        raise error

    def _stop(self) -> None:
        for _, reply in self._mailbox.abandon():
            if reply is not None:
                reply.fail(MailboxClosed(f"{self.name} stopped before it read the message"))


@asynccontextmanager
async def open_actor(
    receive: Callable[[M], Awaitable[R]], *, capacity: int = 64, name: str = "actor"
) -> AsyncGenerator[Actor[M, R]]:
    """An actor that lives as long as the block.

    Leaving the block closes the mailbox, lets the actor finish what it has buffered, and waits
    for it. If the block is cancelled the actor stops at once: unread messages are dead letters,
    and those who asked get `MailboxClosed`.
    """
    actor = Actor(receive, capacity=capacity, name=name)
    try:
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(actor._serve, name=name)
                yield actor
                actor._mailbox.close()
    finally:
        actor._stop()


def foreign(name: str, error: BaseException) -> RuntimeError:
    """What a cancellation is that nobody asked us for. Left alone it would pass for one of ours: a
    run would end early, without a word."""
    bug = RuntimeError(f"{name} awaited something that was cancelled")
    bug.__cause__ = error
    return bug
