"""The openai SDK, as in its README, with no engine around it: a task per dialogue, history in a list.

plain    one `AsyncOpenAI` with its defaults
aiohttp  one `AsyncOpenAI` on aiohttp, which its README advises for concurrency
sharded  an `AsyncOpenAI` for every 16 dialogues, which keeps each pool of connections small
"""

# mypy: disable-error-code="import-not-found,unused-ignore"

from __future__ import annotations

from typing import Any

from _contest import Contest, run
from _dialogue import ANSWER_TOKENS, SYSTEM, TURNS, sentence
from openai import AsyncOpenAI, DefaultAioHttpClient

SHARD = 16

SETTINGS = {
    "plain": "one AsyncOpenAI, its defaults",
    "aiohttp": "one AsyncOpenAI on DefaultAioHttpClient",
    "sharded": f"an AsyncOpenAI for every {SHARD} dialogues",
}


async def main() -> None:
    contest = Contest("openai", "httpx2", "aiohttp", settings="")
    contest.settings = SETTINGS[contest.variant]
    size = SHARD if contest.variant == "sharded" else contest.live

    def client() -> AsyncOpenAI:
        http = DefaultAioHttpClient() if contest.variant == "aiohttp" else None
        return AsyncOpenAI(api_key="none", base_url=f"{contest.url}/v1", http_client=http)

    clients = [client() for _ in range(-(-contest.live // size))]
    seats = [one for one in clients for _ in range(size)]

    async def dialogue(number: int) -> None:
        seat = seats.pop()
        try:
            await converse(contest, seat, number)
        finally:
            seats.append(seat)

    await contest.play(lambda count: contest.all(dialogue, count))


async def converse(contest: Contest, client: AsyncOpenAI, number: int) -> None:
    messages: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": sentence(number)},
    ]
    for turn in range(1, TURNS + 1):
        answer = await client.chat.completions.create(
            model="mock", messages=messages, max_tokens=ANSWER_TOKENS, logprobs=True
        )
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        messages.append({"role": "user", "content": sentence(number + turn)})
        contest.turned()


if __name__ == "__main__":
    run(main)
