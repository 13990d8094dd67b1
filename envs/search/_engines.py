"""Who answers a search: an engine. The embedded one knows a task's world and never waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ._articles import Article
from ._index import Index


class Engine(Protocol):
    """A search engine."""

    async def search(self, query: str, limit: int) -> Sequence[Article]:
        """At most `limit` articles, best first. Raises `EnvError` when it cannot be asked."""
        ...


class WorldEngine:
    """The embedded engine; of a task without a world it finds nothing."""

    def __init__(self, index: Index | None) -> None:
        self._index = index

    async def search(self, query: str, limit: int) -> Sequence[Article]:
        if self._index is None:
            return ()
        return self._index.search(query, limit)


def listed(found: Sequence[Article]) -> str:
    """What was found, as an agent reads it."""
    return "\n".join(f"{i}. {each.title}\n   {each.text}" for i, each in enumerate(found, 1))
