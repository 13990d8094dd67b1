"""Atropos: a `BaseEnv` under its own `env_manager`, one worker a group, on its default server class.

Its rollout server (`run-api`) is a process of the trainer's side. Here the environment is answered
locally, always with an empty queue, so that nothing but the environment's process is measured; what
would have been sent is counted and dropped.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
from typing import Any

from _contest import Contest, run
from _dialogue import ANSWER_TOKENS, SYSTEM, TURNS, sentence
from atroposlib.envs.base import APIServerConfig, BaseEnv, BaseEnvConfig
from atroposlib.utils.tokenize_for_trainer import tokenize_for_trainer

GROUP = 8


class Visit(BaseEnv):
    name = "visit"
    contest: Contest
    finished: asyncio.Event
    wanted = issued = 0

    async def setup(self) -> None:
        self.max_token_len = 8192

    async def evaluate(self, *args: Any, **kwargs: Any) -> None: ...

    # What the rollout server would say.

    async def register_env(self) -> None:
        self.env_id = 0

    async def get_server_info(self) -> None: ...

    async def get_status(self) -> None:
        self.status_dict = {
            "current_step": 0,
            "queue_size": 0,
            "unallocated_fraction": 1.0,
            "self_queue_size": 0,
            "max_group_size": GROUP,
            "env_weight": 1.0,
        }

    async def _send_scored_data_to_api(self, scored_data: Any) -> None:
        for _ in scored_data["tokens"]:
            self.contest.ended()
        if self.contest.done >= self.wanted:
            self.finished.set()

    # The dialogue.

    async def get_next_item(self) -> Any:
        if self.issued >= self.wanted:
            return None
        self.issued += GROUP
        return self.issued

    async def collect_trajectory(self, item: Any) -> Any:
        messages: list[Any] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": sentence(item)},
        ]
        for turn in range(1, TURNS + 1):
            answer = await self.server.chat_completion(
                messages=messages, n=1, max_tokens=ANSWER_TOKENS, temperature=1.0, logprobs=True
            )
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
            self.contest.turned()
            if turn < TURNS:
                messages.append({"role": "user", "content": sentence(item + turn)})
        scored = tokenize_for_trainer(self.tokenizer, messages)
        return {**scored, "scores": 1.0}, []


async def main() -> None:
    contest = Contest(
        "atroposlib",
        "openai",
        "transformers",
        settings=f"env_manager, groups of {GROUP}, live/{GROUP} workers; health check on",
    )
    config = BaseEnvConfig(
        group_size=GROUP,
        max_num_workers=contest.live // GROUP,
        batch_size=contest.live,
        max_token_length=8192,
        tokenizer_name=contest.folder,
        use_wandb=False,
        ensure_scores_are_not_same=False,
    )
    server = APIServerConfig(
        model_name="mock",
        base_url=f"{contest.url}/v1",
        api_key="none",
        num_max_requests_at_once=contest.live,
    )
    env = Visit(config, [server])
    env.contest = contest
    env.finished = asyncio.Event()

    async def dialogues(count: int) -> None:
        # A group is the least there is. The manager looks for new items every 0.1 s.
        env.wanted, env.issued = max(count, GROUP), 0
        env.finished.clear()
        await env.finished.wait()

    # Before all it sleeps for five seconds, which is no cost of a turn.
    manager = asyncio.create_task(env.env_manager())
    await contest.play(dialogues)
    manager.cancel()


if __name__ == "__main__":
    run(main)
