"""A script as a model: it answers at once, and still nobody else is kept from running."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest

from duologue.agents.models import Request, ScriptedModel
from duologue.agents.models._scripted import BURST

pytestmark = pytest.mark.anyio


async def test_a_script_that_never_waits_lets_others_run_every_few_answers() -> None:
    model = ScriptedModel(lambda messages: "hello")
    answered = 0
    seen: list[int] = []

    async def talk() -> None:
        nonlocal answered
        for _ in range(10 * BURST):
            assert (await model.generate(Request(session="a"))).text == "hello"
            answered += 1

    async def look() -> None:
        while answered < 10 * BURST:
            seen.append(answered)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk)
        tasks.start_soon(look)
    # Twice, because trio draws the order of each round: one may run last in one and first in the next.
    assert max(later - sooner for sooner, later in pairwise(seen)) <= 2 * BURST


async def test_a_script_that_never_waits_can_be_cancelled() -> None:
    model = ScriptedModel(lambda messages: "hello")
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(BURST):
            await model.generate(Request(session="a"))
    assert scope.cancelled_caught
