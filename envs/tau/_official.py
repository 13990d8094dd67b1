"""The tau gym as released, bug for bug.

Kept on purpose: the policy is never shown; the reward comes only with `###STOP###` in the customer's
line or a transfer, whatever the database says when the agent finishes or the turns are over; a task
whose right end is "nothing happened" pays who does nothing; an output counts wherever its letters
stand; the tools are listed without types, and once; only JSON is a call; a customer that fails is a
line of text worth 0; and `info` holds the customer's part. The words are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...engine import Action, Message, Seed
from .._env import Step, Voice
from .._official import tool_input
from .._persona import PERSONAS
from ._calls import INVALID, RESPOND, Move, read_released
from ._pay import told_as_released, wanted
from ._store import Store
from ._tasks import Case
from ._tools import TRANSFERS, Domain, listing
from ._user import customer
from ._voices import STOP, released_messages

_PREFIXES = "Begin with [search], [action], [answer] or [finish]."
_HELP = (
    "Choose `search` with tools or help, `action` to talk to the customer, or `answer` to call a "
    'tool with JSON: {"name": "tool", "arguments": {}}.'
)
_NO_CALL = "That is no call of a tool; give JSON with `name` and `arguments`."
_LISTED = "The tools were listed above."


class OfficialTau:
    """One dialogue of the released gym. Without a voice the customer is rule-based."""

    def __init__(
        self,
        found: Case,
        domain: Domain,
        seed: Seed,
        *,
        prompt: Sequence[Message] = (),
        user: Voice | None = None,
    ) -> None:
        self._case = found
        self._domain = domain
        self._prompt = prompt
        self._ruled = customer(found, seed, PERSONAS["plain"])
        self._user = user
        self._store = Store(domain.tables)
        self._said: list[str] = []
        self._past: list[tuple[str, str]] = []
        self._listed = False

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        text = tool_input(action.choice, action.content).strip()
        move = read_released(text)
        # By its prefix: a tool call may have the name of anything.
        if text.startswith("[search]"):
            return _say(self._help(str(move.kwargs["query"])))
        if text.startswith("[action]"):
            return await self._talk(str(move.kwargs["content"]))
        if text.startswith("[answer]"):
            return await self._call(move)
        if text.startswith("[finish]"):
            return Step(feedback="The conversation is over.", parts=_NOTHING, done=True)
        return _say(_PREFIXES)

    def _help(self, query: str) -> str:
        if query.lower() != "tools":
            return _HELP
        if self._listed:
            return _LISTED
        self._listed = True
        return listing(self._domain.tools, types=False)

    async def _call(self, move: Move) -> Step:
        if move.name == INVALID:
            return _say(_NO_CALL)
        if move.name == RESPOND:
            # As released, speaking is a tool like others.
            content = move.kwargs.get("content")
            return await self._talk(content) if isinstance(content, str) else _say(_NO_CALL)
        answer = self._domain.use(self._store, move.name, move.kwargs)
        if move.name in self._domain.tools and move.name in TRANSFERS:
            return self._end(answer)
        return _say(answer)

    async def _talk(self, text: str) -> Step:
        self._said.append(text)
        if self._user is None:
            reply = self._ruled.hear(text)
            said = STOP if reply.over else reply.text
        else:
            try:
                said = await self._user(released_messages(self._case, self._past, text))
            except Exception as error:  # noqa: BLE001
                # As released: an outage of the customer is a line worth 0, and is learnt from.
                return _say(f"Error: {type(error).__name__}")
        self._past.append((text, said))
        return self._end(said) if STOP in said else _say(said)

    def _end(self, said: str) -> Step:
        right = self._store.changes() == wanted(self._case, self._domain)
        right = right and all(told_as_released(o, self._said) for o in self._case.outputs)
        reward = 1.0 if right else 0.0
        return Step(feedback=said, reward=reward, parts={"task": reward}, done=True)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback, the customer's part included."""
        return {
            "instruction": self._case.instruction,
            "tools_info": listing(self._domain.tools, types=False),
        }

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history, hidden state included."""
        return {
            "task": {
                "user_id": self._case.user_id,
                "actions": msgspec.to_builtins(self._case.actions),
                "outputs": list(self._case.outputs),
                "instruction": self._case.instruction,
            }
        }


_NOTHING = {"task": 0.0}


def _say(text: str) -> Step:
    return Step(feedback=text, parts=_NOTHING)
