"""The intention gym as released, bug for bug.

Kept on purpose: every input but `[finish]` is a question, whatever its prefix; an index that the
judge repeats counts twice, so that coverage may pass 1; a judge that fails covers nothing and pays
0; a user that fails says a canned line. The words are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from ...engine import Action, Message
from .._env import Step, Voice
from .._official import tool_input
from ._pay import EXTRA, coverage_reward
from ._tasks import Detail, Wish
from ._user import User
from ._voices import judge_messages, read_coverage, read_reply, user_messages

_CANNED = (
    "Sorry, I do not follow. Could you put that differently?",
    "I would rather think about that again.",
    "Hmm, hard to say right now.",
)


class OfficialIntention:
    """One dialogue of the released game. What has no voice is rule-based; the rule-based judge
    covers every detail that a question names, as a model would."""

    def __init__(
        self,
        wanted: Wish,
        ruled: User,
        rng: Random,
        *,
        name: str = "",
        prompt: Sequence[Message] = (),
        user: Voice | None = None,
        judge: Voice | None = None,
        extra: float = EXTRA,
        scale: float = 1.0,
    ) -> None:
        self._wanted = wanted
        self._ruled = ruled
        self._rng = rng
        self._name = name
        self._prompt = prompt
        self._user = user
        self._judge = judge
        self._extra = extra
        self._scale = scale
        self._missing = list(wanted.missing_details)
        self._covered: list[Detail] = []
        self._past: list[tuple[str, str]] = []

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        question = tool_input(action.choice, action.content).strip()
        if question.lower().startswith("[finish]"):
            return Step(feedback="Goodbye.", parts={"coverage": 0.0}, done=True)
        question = _unprefixed(question)
        ruled = self._ruled.hear(question, several=True)
        text = ruled.text if self._user is None else await self._answer(self._user, question)
        if self._judge is None:
            indices = [self._missing.index(detail) for detail in ruled.covered]
        else:
            indices = await self._ask(self._judge, question)
        covered = [self._missing[i] for i in indices if i < len(self._missing)]
        self._covered += covered
        self._missing = [d for i, d in enumerate(self._missing) if i not in indices]
        self._past.append((question, text))
        reward = coverage_reward(
            (detail.importance for detail in covered), extra=self._extra, scale=self._scale
        )
        return Step(
            feedback=text, reward=reward, parts={"coverage": reward}, done=not self._missing
        )

    async def _answer(self, user: Voice, question: str) -> str:
        try:
            return str(read_reply(await user(user_messages(self._wanted, self._past, question))))
        except Exception:  # noqa: BLE001
            # As released: an outage looks like a user at a loss. `fixed` ends the dialogue instead.
            return self._rng.choice(_CANNED)

    async def _ask(self, judge: Voice, question: str) -> list[int]:
        messages = judge_messages(self._wanted, self._missing, self._past, question)
        try:
            return read_coverage(await judge(messages)).indices
        except Exception:  # noqa: BLE001
            # As released: an outage pays 0, and is learnt from. `fixed` ends the dialogue instead.
            return []

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        total = len(self._wanted.missing_details)
        return counts(total, len(self._covered), len(self._missing))

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "missing_details": msgspec.to_builtins(self._missing),
            "covered_details": msgspec.to_builtins(self._covered),
        }


def counts(total: int, covered: int, left: int) -> dict[str, Any]:
    """The keys of an official observation."""
    return {
        "coverage_ratio": covered / total,
        "total_missing_details": total,
        "remaining_missing_details": left,
    }


def _unprefixed(question: str) -> str:
    for prefix in ("[action]", "[answer]"):
        if question.startswith(prefix):
            return question[len(prefix) :].strip()
    return question
