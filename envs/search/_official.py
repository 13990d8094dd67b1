"""The search gym as released, bug for bug.

Kept on purpose: answers never run out and wrong ones are free; a judge is told the agent's text
among its orders, and its answer is read as Python; a judge that fails makes an answer wrong; a
search that fails is a text worth 0; a search too many counts, and so does an empty one; finishing
says the answer, and `info` holds it. The words are ours. A try follows the last at once, where the
released code sleeps.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from typing import Any, cast

from ...engine import Action, Message
from .._env import Step, Voice
from .._official import tool_input
from ._engines import Engine, listed
from ._judge import fits, same_answer
from ._tasks import Question

_PREFIX = len("[search]")
_TRIES = 3
_NOTHING = {"correct": 0.0}


class OfficialSearch:
    """One dialogue of the released game. Without a voice the judge is rule-based.

    judged: whether an answer that is no plain match goes to the judge (the released `eval_method`).
    """

    def __init__(
        self,
        asked: Question,
        engine: Engine,
        *,
        name: str = "",
        prompt: Sequence[Message] = (),
        searches: int = 5,
        results: int = 5,
        judged: bool = True,
        correct: float = 1.0,
        incorrect: float = 0.0,
        judge: Voice | None = None,
    ) -> None:
        self._asked = asked
        self._engine = engine
        self._name = name
        self._prompt = prompt
        self._searches = searches
        self._results = results
        self._judged = judged
        self._correct = correct
        self._incorrect = incorrect
        self._judge = judge
        self._submitted: str | None = None
        self._solved = False
        self._history: list[dict[str, str]] = []
        self.search_steps: int = 0
        """Searches asked for, the refused ones included."""

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        text = tool_input(action.choice, action.content).strip()
        content = text[_PREFIX:].strip()
        if text.startswith("[search]"):
            return Step(feedback=await self._search(content), parts=_NOTHING)
        if text.startswith("[answer]"):
            return await self._answer(content)
        if text.startswith("[finish]"):
            said = f"You stopped. The answer was: {self._asked.answer}"
            return Step(feedback=said, parts=_NOTHING, done=True)
        return Step(feedback="Start with [search] or [answer].", parts=_NOTHING)

    async def _search(self, query: str) -> str:
        self.search_steps += 1
        if self.search_steps > self._searches:
            return "You have no searches left. Answer now, and do not search again."
        if not query:
            return "The query is empty."
        try:
            found = listed(await self._engine.search(query, self._results))
        except Exception as failure:  # noqa: BLE001
            # As released: an outage is a text, and the dialogue goes on. `fixed` ends it.
            return f"The search failed: {failure}"
        self._history.append({"query": query, "results": found})
        return found

    async def _answer(self, answer: str) -> Step:
        if not answer:
            return Step(feedback="The answer is empty.", parts=_NOTHING)
        self._submitted = answer
        self._solved = same_answer(answer, self._asked.answer)
        if not self._solved and self._judged:
            self._solved = await self._grade(answer)
        reward = self._correct if self._solved else self._incorrect
        return Step(
            feedback="That is correct." if self._solved else "That is not correct.",
            reward=reward,
            parts={"correct": reward},
            done=self._solved,
        )

    async def _grade(self, answer: str) -> bool:
        if self._judge is None:
            return fits(self._asked, answer)
        try:
            return read_judgement(await _called(self._judge, judge_messages(self._asked, answer)))
        except Exception:  # noqa: BLE001
            return False  # as released: what cannot be judged is wrong

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"question": self._asked.question, "answered_correctly": self._solved}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "question_id": self._name,
            "correct_answer": self._asked.answer,
            "submitted_answer": self._submitted,
            "search_history": list(self._history),
        }


def judge_messages(asked: Question, answer: str) -> Sequence[Message]:
    """What a judge is asked, with the agent's words as they are."""
    told = (
        "Is the answer to the question right? Judge it by the correct answer.\n"
        f"Question:\n{asked.question}\nAnswer:\n{answer}\nCorrect answer:\n{asked.answer}\n"
        'Reply with {"reasoning": "...", "judgment": "Yes" or "No", "feedback": "..."}.'
    )
    return [Message("user", told)]


async def _called(voice: Voice, messages: Sequence[Message]) -> str:
    """What the voice says; a call that fails is made three times. Raises what the third raises."""
    for _ in range(_TRIES - 1):
        try:
            return await voice(messages)
        except Exception:  # noqa: BLE001, S112
            continue  # as released: whatever it was, it is tried again
    return await voice(messages)


def read_judgement(text: str) -> bool:
    """Whether a judge's answer says "Yes" to the letter. It is read as a Python literal, without a
    fence around it, and must have all its three keys. Raises whatever the reading raises."""
    block = text.strip().removeprefix("```json").removesuffix("```")
    said = cast("dict[str, Any]", literal_eval(block))
    _, judgment, _ = said["feedback"], said["judgment"], said["reasoning"]
    return bool(judgment == "Yes")
