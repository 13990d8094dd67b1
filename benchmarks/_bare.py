"""The least that a Python client can do: a bare asyncio protocol that sends the same bytes at the
same pace and finds the end of the answer, nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import cast


class _Bare(asyncio.Protocol):
    """Knows of HTTP only where the length is written."""

    missing = 0
    answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            place = data.index(b"content-length: ") + 16
            self.missing = int(data[place : data.index(b"\r", place)])
            data = data[data.index(b"\r\n\r\n") + 4 :]
        self.missing -= len(data)
        if not self.missing and self.answered is not None:
            self.answered.set_result(None)


async def bare(url: str, live: int, rounds: int) -> float:
    """CPU milliseconds of a request over the bare client, `live` at once, `rounds` each."""
    port = int(url.rpartition(":")[2])
    body = b"[" + b"1234," * 600 + b"0]"  # a history in the middle of its dialogue
    head = b"POST /inference/v1/generate HTTP/1.1\r\nhost: mock\r\ncontent-length: %d\r\n\r\n"
    data = head % len(body) + body
    loop = asyncio.get_running_loop()

    async def dialogue() -> None:
        _, protocol = await loop.create_connection(_Bare, "127.0.0.1", port)
        for _ in range(rounds):
            protocol.answered = loop.create_future()
            protocol.transport.write(data)
            await protocol.answered
        protocol.transport.close()

    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(live):
            tasks.create_task(dialogue())
    return 1e3 * (time.process_time() - cpu) / (live * rounds)
