"""Actors of their own that meet faults: in their handler, and on the way to their mailbox."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio
import msgspec
from msgspec import Struct, structs

from .._actor import Actor
from .._errors import DuologueError, UsageError
from .._park import checkpoint
from ._dialogues import MIB, suffer, travel
from ._kinds import Site
from ._plan import Faults, Hit, Injected

M = TypeVar("M")
R = TypeVar("R")


class MessageRefused(DuologueError):
    """A message could not be read, so the actor was not given it."""


def faulty_handler(
    receive: Callable[[M], Awaitable[R]], faults: Faults
) -> Callable[[M], Awaitable[R]]:
    """A handler for `open_actor` that fails on plan. It raises `Injected`."""

    async def handle(message: M) -> R:
        hit = faults.strike_next(Site.ACTOR)
        if hit is None:
            return await receive(message)
        return await suffer(hit, lambda: receive(message), Injected, faults.jump)

    return handle


class LinkStats(Struct, frozen=True, kw_only=True):
    """What its users sent, and what became of it before the mailbox.

    The mailbox was sent: sent + duplicated - dropped - refused - held (- those whose sender was
    cancelled before they arrived).
    """

    sent: int
    duplicated: int
    dropped: int
    refused: int
    held: int


class FaultyLink(Generic[M, R]):
    """The way to an actor's mailbox, as bad as the plan has it; made by `open_faulty_link`."""

    def __init__(self, actor: Actor[M, R], faults: Faults, message: Any) -> None:
        self._actor = actor
        self._faults = faults
        self._message = message
        self._held: list[M] = []
        self._behind = anyio.Event()  # set when a message has overtaken those who wait for one
        self._waiting = 0
        self._sent = self._duplicated = self._dropped = self._refused = 0

    async def tell(self, message: M) -> None:
        """As `Actor.tell`. What is dropped or held was sent, as far as its sender can tell."""
        hit = self._strike()
        if hit is not None and hit.name in ("drop", "reorder"):
            if hit.name == "reorder":
                self._held.append(message)
            await checkpoint()
            return
        message = await self._pass(message, hit)
        await self._actor.tell(message)
        await self.flush()

    async def ask(self, message: M) -> R:
        """As `Actor.ask`. A question that is dropped is waited for until the asker gives up."""
        hit = self._strike()
        if hit is not None and hit.name == "reorder":
            self._waiting += 1
            try:
                await self._behind.wait()
            finally:
                self._waiting -= 1
        message = await self._pass(message, hit)
        reply = await self._actor.ask(message)
        await self.flush()
        return reply

    async def flush(self) -> None:
        """Deliver what was held back for another to overtake it."""
        self._behind.set()
        self._behind = anyio.Event()
        while self._held:
            await self._actor.tell(self._held.pop(0))

    def stats(self) -> LinkStats:
        return LinkStats(
            sent=self._sent,
            duplicated=self._duplicated,
            dropped=self._dropped,
            refused=self._refused,
            held=len(self._held) + self._waiting,
        )

    def _strike(self) -> Hit | None:
        self._sent += 1
        hit = self._faults.strike_next(Site.LINK)
        self._dropped += hit is not None and hit.name == "drop"
        return hit

    async def _pass(self, message: M, hit: Hit | None) -> M:
        if hit is None or hit.name == "reorder":
            return message
        await travel(hit)
        if hit.name == "duplicate":
            self._duplicated += 1
            await self._actor.tell(message)
            return message
        if hit.name == "delay":
            return message
        return self._read(message, hit)

    def _read(self, message: M, hit: Hit) -> M:
        """The message as its reader gets it: written down, spoilt on the way, and read."""
        tree = msgspec.to_builtins(message)
        match hit.name:
            case "unknown_tag":
                tree[_tag_field(message)] = "from-the-future"
            case "older_schema":
                for field in structs.fields(message):  # type: ignore[arg-type]
                    if not field.required:
                        tree.pop(field.encode_name, None)
            case _:
                tag = _tag_field(message, needed=False)
                texts = (key for key, value in tree.items() if isinstance(value, str))
                tree[next(key for key in texts if key != tag)] += "x" * (hit.mib * MIB)
        try:
            read: M = msgspec.convert(tree, self._message)
        except msgspec.ValidationError as error:
            self._refused += 1
            raise MessageRefused(f"{self._actor.name} cannot read a message: {error}") from error
        return read


@asynccontextmanager
async def open_faulty_link(
    actor: Actor[M, R], faults: Faults, message: Any
) -> AsyncGenerator[FaultyLink[M, R]]:
    """A link to `actor` for as long as the block lasts; leaving it delivers what is held back.

    message: the type, or the union of types, that the reader knows; they are `msgspec.Struct`s.
    """
    link: FaultyLink[M, R] = FaultyLink(actor, faults, message)
    yield link
    await link.flush()


def _tag_field(message: Any, needed: bool = True) -> str | None:
    name: str | None = message.__struct_config__.tag_field
    if name is None and needed:
        raise UsageError(f"{type(message).__name__} has no tag, so it cannot have an unknown one")
    return name
