"""A gate that opens when all who are expected have come."""

from __future__ import annotations

from anyio import Event


class Gate:
    """Whoever arrives waits for the last of so many."""

    def __init__(self, expected: int) -> None:
        self._to_come = expected
        self._open = Event()

    async def arrive(self) -> None:
        self._to_come -= 1
        if not self._to_come:
            self._open.set()
        await self._open.wait()
