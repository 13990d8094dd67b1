"""The telepathy gym as released, bug for bug.

Kept on purpose: an input without a prefix is a question with its first eight characters cut off; a
leading blank hides a prefix; guesses never run out, and each is judged by whoever plays the user,
with the agent's text among its orders; a judgement is right when it is "Yes" to the letter; a model
that fails says a canned line and pays 0; `info` tells the thing. The words are ours.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, cast

from ...engine import Action, Message
from .._env import Step, Voice
from .._official import tool_input
from ._base import MAYBE
from ._judge import is_named, read_guess
from ._tasks import Target
from ._user import WORDS, User

_PREFIX = len("[action]")
_TRIES = 3
_LOST = "No reply can be given right now."
_UNJUDGED = "No judgement can be given right now. Please try again."


class OfficialTelepathy:
    """One dialogue of the released game. What has no voice is rule-based, and says yes to a question
    that names the thing, as a model would."""

    def __init__(
        self,
        thing: Target,
        ruled: User,
        called: Sequence[str],
        *,
        prompt: Sequence[Message] = (),
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._thing = thing
        self._ruled = ruled
        self._called = called
        self._prompt = prompt
        self._user = user
        self._judge = judge
        self._score = self._best = 0.0
        self._clues: list[tuple[str, str]] = []

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        text = tool_input(action.choice, action.content)
        if text.startswith("[finish]"):
            return Step(feedback="The game is over.", parts={"correct": 0.0}, done=True)
        content = text[_PREFIX:].strip()
        if text.startswith("[answer]"):
            return await self._guess(content)
        said = await self._reply(content)
        self._clues.append((content, said))
        return Step(feedback=said, parts={"correct": 0.0})

    async def _reply(self, question: str) -> str:
        if self._user is None:
            heard, verdict = self._ruled.judge(question)
            if heard.kind == "guess":
                named = is_named(read_guess(heard.named).name, self._called)
                return "Yes" if named else "No"
            return WORDS[MAYBE if verdict is None else verdict]
        block = await _ask(self._user, _messages(_QUESTION, self._thing, question))
        return _LOST if block is None or "response" not in block else str(block["response"])

    async def _guess(self, guess: str) -> Step:
        if self._judge is None:
            right = is_named(read_guess(guess).name, self._called)
            block: dict[str, Any] | None = {
                "judgment": "Yes" if right else "No",
                "feedback": "That is it!" if right else "That is wrong.",
            }
        else:
            block = await _ask(self._judge, _messages(_GUESS, self._thing, guess))
        if block is None or "judgment" not in block:
            self._clues.append((guess, _UNJUDGED))
            return Step(feedback=_UNJUDGED, parts={"correct": 0.0})
        said = str(block.get("feedback", ""))
        self._clues.append((guess, said))
        self._score = 1.0 if block["judgment"] == "Yes" else 0.0
        reward = max(0.0, self._score - self._best)
        self._best = max(self._best, self._score)
        return Step(
            feedback=said, reward=reward, parts={"correct": reward}, done=self._score >= 1.0
        )

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"current_score": self._score, "best_score": self._best}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "title": self._thing.title,
            "target_entity": self._thing.target_entity,
            "clues": list(self._clues),
        }


_QUESTION = """\
You think of something, and the player asks a yes-or-no question about it. Answer Yes, No or Maybe. \
Answer with a JSON object: {"thought": "why", "response": "Yes" or "No" or "Maybe"}"""

_GUESS = """\
You think of something, and the player guesses what it is. Judge whether the guess is right. \
Answer with a JSON object: {"thought": "why", "judgment": "Yes" or "No", "feedback": "one sentence"}"""


def _messages(system: str, thing: Target, content: str) -> Sequence[Message]:
    # As released: what the agent says stands among the orders, unquoted. `fixed` quotes it.
    told = f"You think of: {thing.target_entity}\nThe player says: {content}"
    return [Message("system", system), Message("user", told)]


async def _ask(voice: Voice, messages: Sequence[Message]) -> dict[str, Any] | None:
    """The voice's answer, read as a Python literal; None when there is none that can be read."""
    for _ in range(_TRIES):
        try:
            return _read(await voice(messages))
        except _Unreadable:
            return None
        except Exception:  # noqa: BLE001, S112
            # As released: an outage looks like a wrong answer. `fixed` ends the dialogue instead.
            continue
    return None


class _Unreadable(Exception):
    """An answer that is no dictionary."""


def _read(text: str) -> dict[str, Any]:
    text = text.strip().removeprefix("```json").removesuffix("```").strip()
    try:
        block = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise _Unreadable from error
    if not isinstance(block, dict):
        raise _Unreadable
    return cast("dict[str, Any]", block)
