"""The dialogue that rollouts over HTTP are measured with: eight turns, no two texts the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tokenizers import Tokenizer

from duologue.agents import ChatML, TokenAgent, write_call
from duologue.agents.models import Model, Sampling
from duologue.agents.models.text._tokenizer import train_tokenizer
from duologue.engine import Action, Dialogue, End, Key, Message, Observation, Reply, Seed, Task

TURNS = 8
ANSWER_TOKENS = 64
CONTEXT = 8192

_TEXT = (
    "The museum opens at nine and the guided tour begins an hour later; children under twelve pay "
    "nothing, and the large hall is closed on Mondays because the floor is being renewed."
)
_WORDS = _TEXT.split()
_HALVES = [" ".join(Random(number).sample(_WORDS, 10)) for number in range(1024)]
_ASKS = 64
"""Different answers of the mock server."""


def said(place: int) -> str:
    """Twenty words of a user; a million different texts, because real users do not repeat
    themselves and a cache of whole texts would measure itself."""
    return f"{_HALVES[place % 1024]}, {_HALVES[place // 1024 % 1024]}"


class Visitor:
    """An environment that says a sentence to whatever is asked, eight times."""

    def __init__(self, seed: Seed) -> None:
        self._place = seed.integer()
        self._turn = 0

    async def receive(self, reply: Reply | None) -> Observation:
        words = said(self._place + 7919 * self._turn)
        if reply is None:
            return Observation(
                messages=(
                    Message("system", "You plan a visit with somebody who is short of words."),
                    Message("user", words),
                )
            )
        self._turn += 1
        assert reply.actions
        return Observation(
            messages=(Message("tool", words),),
            feedback=words,
            reward=1 / TURNS,
            end=End.DONE if self._turn == TURNS else None,
        )


def tokenizer_and_answers() -> tuple[Tokenizer, list[dict[str, Any]]]:
    """A tiny tokenizer, and valid tool calls of exactly `ANSWER_TOKENS` tokens, the last of which
    ends the turn."""
    calls = [write_call(Action("action", " ".join(_WORDS[n:]))) for n in range(len(_WORDS))]
    tokenizer = train_tokenizer([" ".join(_WORDS), *calls] * 4, 1200)
    stop = tokenizer.token_to_id("<|im_end|>")
    assert stop is not None
    answers: list[dict[str, Any]] = []
    for number in range(_ASKS):
        text, ids = _call(tokenizer, Random(number))
        answers.append({"text": text, "token_ids": [*ids, stop]})
    return tokenizer, answers


def _call(tokenizer: Tokenizer, random: Random) -> tuple[str, Sequence[int]]:
    """A call one token shorter than an answer."""
    words: list[str] = []
    while True:
        words.append(random.choice(_WORDS))
        text = write_call(Action("action", " ".join(words)))
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) == ANSWER_TOKENS - 1:
            return text, ids
        if len(ids) >= ANSWER_TOKENS:
            words = words[:-2]


def dialogue(model: Model, chat: ChatML, task: Task, key: Key, seed: Seed) -> Dialogue:
    agent = TokenAgent(
        model,
        chat,
        session=f"{key.group}/{key.sample}",
        seed=seed,
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        context=CONTEXT,
    )
    return Dialogue(agent=agent, environment=Visitor(seed / "env"), max_turns=TURNS)
