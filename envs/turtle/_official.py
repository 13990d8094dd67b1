"""The turtle gym as released, bug for bug.

Kept on purpose: an input without a prefix is a question, and loses its first eight characters; the
rubric is added up in floating point, so that some whole answers never reach a threshold of 1; a
judge's scores have no bounds; the points that an answer covers are told in the rubric's words, and
answers never run out; answers of voices are read as Python; a voice that fails costs a turn and
pays 0; `info` holds the story. The words are ours.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from ...engine import Action, Message
from .._env import Step, Voice
from .._official import tool_input
from ._judge import grade, rubric_score, weights
from ._tasks import Story
from ._user import verdict_on

_PREFIX = len("[action]")
_UNAVAILABLE = "There is no answer just now. Try again."
_SAID = {"yes": "Yes", "no": "No", "maybe": "Maybe", "open": "Maybe"}


class OfficialTurtle:
    """One dialogue of the released game. What has no voice is rule-based.

    clip: hold rewards in [0, 1], which the released settings do by default and the official API
    does itself, after the penalty.
    """

    def __init__(
        self,
        told: Story,
        *,
        prompt: Sequence[Message] = (),
        user: Voice | None = None,
        judge: Voice | None = None,
        threshold: float = 1.0,
        scale: float = 1.0,
        clip: bool = False,
    ) -> None:
        self._told = told
        self._prompt = prompt
        self._user = user
        self._judge = judge
        self._threshold = threshold
        self._scale = scale
        self._clip = clip
        self._score = 0.0
        self._best = 0.0
        self._judged = True

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        text = tool_input(action.choice, action.content)
        if text.startswith("[finish]"):
            return Step(feedback="Goodbye.", parts={"story": 0.0}, done=True)
        try:
            if text.startswith("[answer]"):
                return await self._answer(text[_PREFIX:].strip())
            said = await self._ask(text[_PREFIX:].strip())
        except Exception:  # noqa: BLE001
            # As released: an outage pays 0, and is learnt from. `fixed` ends the dialogue instead.
            self._judged, said = False, _UNAVAILABLE
        else:
            self._judged = True
        return Step(feedback=said, parts={"story": 0.0})

    async def _ask(self, question: str) -> str:
        if self._user is None:
            return _SAID[verdict_on(self._told, question)]
        return str(read_python(await self._user(user_messages(self._told, question)))["response"])

    async def _answer(self, retold: str) -> Step:
        if self._judge is None:
            scores = grade(self._told, retold)
        else:
            answer = await self._judge(judge_messages(self._told, retold))
            scores = read_scores(answer, len(self._told.evaluation))
        self._score = rubric_score(weights(self._told), scores)
        reward = max(0.0, self._score - self._best) * self._scale
        if self._clip:
            reward = min(1.0, reward)
        self._best = max(self._best, self._score)
        self._judged = True
        return Step(
            feedback=self._feedback(scores),
            reward=reward,
            parts={"story": reward},
            done=self._score >= self._threshold,
        )

    def _feedback(self, scores: Sequence[float]) -> str:
        told = zip(self._told.evaluation, scores, strict=True)
        covered = [f"{point.statement}: Covered" for point, score in told if score == 1.0]
        if not covered:
            return "None of the points is covered."
        return "\n".join(["These points are covered:", *covered, "There may be more to it. Go on."])

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"current_score": self._score, "best_score": self._best}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "title": self._told.new_title,
            "surface": self._told.new_surface,
            "bottom": self._told.new_bottom,
            "evaluation": msgspec.to_builtins(self._told.evaluation),
            "judge_success": self._judged,
        }


# ---- what a voice is asked, with the agent's words among ours, and how its answer is read


def user_messages(told: Story, question: str) -> Sequence[Message]:
    asked = (
        "Answer a player's question about a hidden story with Yes, No or Maybe.\n"
        f"Surface: {told.new_surface}\nStory: {told.new_bottom}\nQuestion:\n{question}\n"
        'Answer with {"thought": "...", "response": "Yes"}.'
    )
    return [Message("user", asked)]


def judge_messages(told: Story, retold: str) -> Sequence[Message]:
    listed = "\n".join(point.statement for point in told.evaluation)
    asked = (
        "Score how well a player's story covers each statement: 0, 0.5 or 1.\n"
        f"Surface: {told.new_surface}\nStory: {told.new_bottom}\nStatements:\n{listed}\n"
        f"Player's story:\n{retold}\n"
        'Answer with a list, in order: [{"statement": "...", "thought": "...", "score": 0.5}].'
    )
    return [Message("user", asked)]


def read_python(text: str) -> Any:
    """An answer as a Python literal, without a fence around it. Raises what Python's reader does,
    also for JSON's `true` and for prose before the fence."""
    return literal_eval(text.strip().removeprefix("```json").removesuffix("```").strip())


def read_scores(text: str, count: int) -> list[float]:
    """The scores of a judge's answer, whatever their size. Raises `ValueError` and the like."""
    points = cast("list[dict[str, Any]]", read_python(text))
    if len(points) != count:
        raise ValueError(f"{len(points)} scores for {count} statements")
    return [float(point["score"]) for point in points]
