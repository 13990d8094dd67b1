"""A script as a model: no weights, no tokens, the same text interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...engine import Message, checkpoint
from ._model import Generation, Request

BURST = 4
"""Answers that a script gives before it lets others run."""


class ScriptedModel:
    """Answers with whatever its script says. One a dialogue, since scripts have state.

    It never has to wait, so it yields to the loop only once in `BURST` answers. That is enough for
    no dialogue to hold the loop, and a switch among thousands of dialogues finds the caches cold:
    `benchmarks/engine.py` shows what a yield at every turn costs.
    """

    def __init__(self, script: Callable[[Sequence[Message]], str]) -> None:
        self._script = script
        self._left = BURST

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        self._left -= 1
        if not self._left:
            self._left = BURST
            await checkpoint()
        return Generation(text=self._script(request.messages))
