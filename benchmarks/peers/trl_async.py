"""TRL's async GRPO: its `AsyncRolloutWorker`, which runs the rollout loop in a process of its own.

The dialogue is a tool call a turn, answered by a method of the environment, because that is the only
multi-turn dialogue this worker has. Its trainer is a loop here that takes every sample and drops it.
The loop goes on for as long as it is let, so what is measured ends when enough dialogues arrived;
those it had begun by then are in the server's count of answers, by which CPU is divided.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import json
import os
import queue
import time
from pathlib import Path
from typing import Any

from _contest import TICK_S, Contest, relax_collector
from _dialogue import ANSWER_TOKENS, SYSTEM, TURNS, sentence
from accelerate import PartialState
from datasets import Dataset
from transformers import AutoTokenizer
from trl.chat_template_utils import qwen3_chat_template
from trl.experimental.async_grpo import async_rollout_worker as trl_worker

GO, LATE = "go", "late.json"


class Visit:
    """TRL's environment: `reset` and the methods that are tools."""

    def reset(self, number: int, **_: Any) -> None:
        self.place = number

    def interact_with_env(self, choice: str, content: str) -> str:
        """Talk to the user.

        Args:
            choice: what kind of action it is
            content: what is said
        """
        self.place += 1
        return sentence(self.place)


def reward(completions: list[Any], **_: Any) -> list[float]:
    return [1.0] * len(completions)


class Loop(trl_worker._AsyncRolloutLoop):
    """The worker's loop with a watch on its lateness; it begins on a word, a file in the folder."""

    def run(self) -> None:
        relax_collector()
        folder = Path(os.environ["PEERS_FOLDER"])
        while not (folder / GO).exists():
            time.sleep(0.005)
        self.folder = folder
        super().run()

    async def _run_loops(self, stop_event: asyncio.Event) -> None:
        late: list[float] = []

        async def watch() -> None:
            while True:
                due = time.monotonic() + TICK_S
                await asyncio.sleep(TICK_S)
                late.append(max(0.0, time.monotonic() - due))
                if len(late) % 10 == 0:
                    (self.folder / LATE).write_text(json.dumps(late))

        watching = asyncio.create_task(watch())
        try:
            await super()._run_loops(stop_event)
        finally:
            watching.cancel()


class Worker(trl_worker.AsyncRolloutWorker):
    _loop_cls = Loop


def main() -> None:
    contest = Contest("trl", "transformers", "aiohttp", settings="")
    contest.settings = "AsyncRolloutWorker, max_inflight_tasks = live, groups of 8, queue of 1,024"
    os.environ["PEERS_FOLDER"] = contest.folder
    PartialState()  # its logger wants it
    # It wants vLLM installed, but only ever speaks to it over HTTP.
    trl_worker.is_vllm_available = lambda: True
    tokenizer = AutoTokenizer.from_pretrained(contest.folder)
    tokenizer.chat_template = qwen3_chat_template
    rows = [
        {
            "prompt": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": sentence(number)},
            ],
            "number": number,
        }
        for number in range(1024)
    ]
    worker = Worker(
        model_name="mock",
        dataset=Dataset.from_list(rows),
        reward_funcs=[reward],
        processing_class=tokenizer,
        eos_token_ids=[tokenizer.eos_token_id],
        environment_factory=Visit,
        num_generations=8,
        max_inflight_tasks=contest.live,
        queue_maxsize=1024,
        vllm_server_url=contest.url,
        max_tokens=ANSWER_TOKENS,
        max_tool_calling_iterations=TURNS - 1,
        chat_template_kwargs={"enable_thinking": False},
    )
    worker.start()
    contest.ready()
    (Path(contest.folder) / GO).touch()
    over = time.monotonic() + contest.limit_s
    while contest.done < contest.count and (left := over - time.monotonic()) > 0:
        try:
            worker.rollout_buffer.get(timeout=left)
        except queue.Empty:
            break
        contest.ended()
    late = Path(contest.folder) / LATE
    contest.late = json.loads(late.read_text()) if late.exists() else []
    contest.report()
    assert worker._process is not None
    worker._process.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
