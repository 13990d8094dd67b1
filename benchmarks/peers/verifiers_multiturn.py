"""verifiers 0.1.14: a `MultiTurnEnv`, its own client, `env.generate`.

The user is its `env_response`, the reward a rubric of one function. `max_concurrent` is the number
alive, and rollouts are scored alone (`independent_scoring`), so that none waits for a group.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
from typing import Any

import verifiers as vf
from _contest import Contest, run
from _dialogue import ANSWER_TOKENS, SYSTEM, TURNS, sentence
from datasets import Dataset
from verifiers.types import ClientConfig


class Visit(vf.MultiTurnEnv):
    def __init__(self, contest: Contest, **options: Any) -> None:
        super().__init__(max_turns=TURNS, **options)
        self.contest = contest

    async def env_response(self, messages: Any, state: Any, **_: Any) -> Any:
        self.contest.turned()
        place = int(state["info"]["number"]) + len(state["trajectory"])
        # Its own message type: it warns that plain dicts cost it more.
        return [vf.UserMessage(content=sentence(place))]


async def reward(completion: Any) -> float:
    return 1.0


async def main() -> None:
    contest = Contest(
        "verifiers",
        "openai",
        "httpx",
        settings="MultiTurnEnv.generate, max_concurrent = live, independent_scoring",
    )
    os.environ["MOCK_KEY"] = "none"
    rows = [
        {
            "prompt": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": sentence(number)},
            ],
            "answer": "",
            "info": {"number": number},
        }
        for number in range(contest.count)
    ]
    env = Visit(contest, dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[reward]))
    inputs = env.get_dataset()
    client = ClientConfig(api_base_url=f"{contest.url}/v1", api_key_var="MOCK_KEY")

    def ended(_: Any, new: list[Any], __: Any) -> None:
        for output in new:
            # The last reply has no `env_response` after it.
            contest.turned()
            contest.ended(ok=output.get("error") is None)

    async def dialogues(count: int) -> None:
        await env.generate(
            inputs.select(range(count)),
            client=client,
            model="mock",
            sampling_args={"max_tokens": ANSWER_TOKENS, "logprobs": True, "temperature": 1.0},
            max_concurrent=contest.live,
            independent_scoring=True,
            on_progress=[ended],
        )

    await contest.play(dialogues)


if __name__ == "__main__":
    run(main)
