"""Current verifiers: its env, its interception server, a program per turn in its subprocess runtime.

    scripted  the user is a script that holds the assistant's `interaction` open
    user-sim  its own `UserSimEnv`: the user is a second model, behind the same mock server

Its programs only speak in streams, so the server has a route for them. Both agents ride the `null` harness, the lightest there is; runtime `subprocess`, likewise.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import os
from itertools import islice
from typing import Any

from _contest import Contest, run
from _dialogue import ANSWER_TOKENS, TURNS
from verifiers.v1.clients import EvalClientConfig, ModelContext
from verifiers.v1.configs.cli.eval import EvalConfig
from verifiers.v1.harnesses.utils.launch import CHAT_PROGRAM_SOURCE
from verifiers.v1.runtimes.subprocess import SubprocessConfig, SubprocessRuntime
from verifiers.v1.utils.loaders import load_environment

SEAT = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}


def config(contest: Contest) -> Any:
    """As `vf-eval` would make it from its options."""
    env: dict[str, Any] = {"taskset": {"id": "verifiers_visit"}, "assistant": SEAT}
    if contest.variant == "user-sim":
        env |= {"id": "user-sim", "user": {**SEAT, "max_turns": TURNS}}
    else:
        env |= {"id": "verifiers_visit"}
    return EvalConfig(
        env=env,
        model="mock",
        client=EvalClientConfig(base_url=f"{contest.url}/stream/v1", api_key_var="MOCK_KEY"),
        sampling={"max_tokens": ANSWER_TOKENS, "temperature": 1.0},
        max_concurrent=contest.live,
        push=False,
    )


async def main() -> None:
    contest = Contest(
        "verifiers",
        "openai",
        "httpx2",
        settings="Env.run_slot, null harness, subprocess runtime",
    )
    os.environ["MOCK_KEY"] = "none"
    settings = config(contest)
    env = load_environment(settings.env)
    ctx = ModelContext(client=settings.client, model=settings.model, sampling=settings.sampling)
    places = asyncio.Semaphore(contest.live)

    async def one(slot: Any) -> None:
        episode = await env.run_slot(slot, ctx, places)
        for trace in episode.traces:
            if trace.agent.name == "assistant":
                for _ in range(trace.num_turns):
                    contest.turned()
        contest.ended(ok=episode.ok)
        if not episode.ok:
            print(episode.errors, [trace.errors for trace in episode.traces])

    async def dialogues(count: int) -> None:
        async with env.serving():
            tasks = islice(env.taskset, count)
            await asyncio.gather(*(one(slot) for task in tasks for slot in env.slots(task, 1)))

    # The environment of the program that every turn starts; a dialogue would take half a minute.
    runtime = SubprocessRuntime(SubprocessConfig())
    await runtime.start()
    await runtime.prepare_uv_script(CHAT_PROGRAM_SOURCE)
    await runtime.teardown()
    await contest.play(dialogues, warm=False)


if __name__ == "__main__":
    run(main)
