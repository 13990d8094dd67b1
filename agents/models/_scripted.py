"""A script as a model: no weights, no tokens, the same text interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...engine import Message, checkpoint
from ._model import Generation, Request


class ScriptedModel:
    """Answers with whatever its script says. One a dialogue, since scripts have state."""

    def __init__(self, script: Callable[[Sequence[Message]], str]) -> None:
        self._script = script

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        await checkpoint()
        return Generation(text=self._script(request.messages))
