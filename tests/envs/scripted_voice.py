"""A user or a judge with its lines written down, for the tests of every gym that takes one."""

from __future__ import annotations

from collections.abc import Sequence

from duologue.engine import Message


class Scripted:
    """A voice that says its lines in turn, and keeps what it was asked. An exception is raised."""

    def __init__(self, *lines: str | Exception) -> None:
        self.lines = list(lines)
        self.asked: list[Sequence[Message]] = []

    async def __call__(self, messages: Sequence[Message]) -> str:
        self.asked.append(list(messages))
        line = self.lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return line
