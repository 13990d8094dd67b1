"""UserRL's rollout loop as released, bug for bug: what its training data looked like.

For comparing against published runs; our own dialogues are `engine.converse`. It differs from ours
in ways that cost reward or tokens, and all of them are kept:

* the call of the last turn is never executed;
* of several calls in a turn only the last one's reward counts;
* one call that is no JSON discards all calls of its turn;
* what was sampled is written anew: spaces of the JSON and text after a call are lost;
* an environment that raises ends the dialogue as if it were won or lost.

Source: verl's `sglang_rollout_customized._async_rollout_a_request` in the released code, and the
hermes-style parser of sglang 0.4.7 that it calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from ..agents import TOOL
from ._official import decode_arguments, tool_input, tool_response

Generate = Callable[[str], Awaitable[tuple[str, str]]]
"""From all the text so far to (what was sampled, why it ended: `stop` or `length`)."""

StepText = Callable[[str], Awaitable[tuple[str, float, bool, bool]]]
"""From the environment's input to (feedback, reward, terminated, truncated)."""

_OPEN, _CLOSE = "<tool_call>\n", "\n</tool_call>"
_CALL = re.compile(f"{re.escape(_OPEN)}(.*?){re.escape(_CLOSE)}", re.DOTALL)
_END = "<|im_end|>\n"
_ASSISTANT = "<|im_start|>assistant\n"


class Spoken(NamedTuple):
    """A turn as the released history keeps it."""

    reward: float
    choice: str
    content: str
    turn: int


class _Call(NamedTuple):
    name: str
    arguments: dict[str, Any]


class _Outcome(NamedTuple):
    feedback: str
    reward: float
    over: bool


@dataclass(kw_only=True)
class OfficialRollout:
    """What a rollout left behind. Lengths and places are in characters after the prompt.

    segments: (1 for what is trained on, else 0; text), neighbours of one kind joined.
    starts:   where each turn's generation began; `kept` are those before the cut.
    score:    the largest reward of a call.
    """

    actions: list[str] = field(default_factory=list[str])
    history: list[Spoken] = field(default_factory=list[Spoken])
    starts: list[int] = field(default_factory=list[int])
    roles: list[str] = field(default_factory=lambda: ["system", "user"])
    segments: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    score: float = 0.0

    @property
    def length(self) -> int:
        return sum(len(text) for _, text in self.segments)

    @property
    def kept(self) -> list[int]:
        return [start for start in self.starts if start < self.length]

    def write(self, mask: int, text: str) -> None:
        if self.segments and self.segments[-1][0] == mask:
            text = self.segments.pop()[1] + text
        self.segments.append((mask, text))

    def cut(self, length: int) -> None:
        """Forget what lies after `length` characters."""
        kept: list[tuple[int, str]] = []
        for mask, text in self.segments:
            if length > 0:
                kept.append((mask, text[:length]))
            length -= len(text)
        self.segments = kept


async def official_rollout(
    prompt: str,
    generate: Generate,
    step: StepText,
    *,
    max_turns: int = 16,
    max_model_len: int = 9344,
    max_response_len: int = 8192,
) -> OfficialRollout:
    """Roll out one dialogue; every character of text counts as one token.

    prompt: rendered, and ending where the assistant is to speak.
    """
    rollout = OfficialRollout()
    begun = True  # the assistant's opening mark is there: the prompt ends in it
    for turn in range(max_turns):
        if not begun:
            rollout.write(0, _ASSISTANT)
        if len(prompt) + rollout.length + 1 >= max_model_len:
            break
        rollout.starts.append(rollout.length)
        said, why = await generate(prompt + "".join(text for _, text in rollout.segments))
        rollout.roles.append("assistant")
        before, calls = ("", []) if why == "length" else _read(said)
        rollout.write(1, (_written(before, calls) if calls else said) + _END)
        silent = Spoken(0.0, "action", "", turn)
        if not calls or turn + 1 == max_turns:
            rollout.history.append(silent)
            break
        outcomes = [await _execute(call, step, rollout) for call in calls]
        last = calls[-1].arguments
        choice, content = str(last.get("choice", "")), last.get("content", "")
        rollout.history.append(Spoken(outcomes[-1].reward, choice, _as_text(content), turn))
        answers = "\n".join(
            f"<tool_response>\n{tool_response(one.feedback, one.reward)}\n</tool_response>"
            for one in outcomes
        )
        rollout.roles.extend("tool" for _ in outcomes)
        rollout.write(0, f"<|im_start|>user\n{answers}{_END}")
        if any(one.over for one in outcomes) or len(prompt) + rollout.length >= max_model_len:
            break
        begun = False
    rollout.cut(min(max_response_len, max_model_len - len(prompt)))
    return rollout


async def _execute(call: _Call, step: StepText, rollout: OfficialRollout) -> _Outcome:
    content = call.arguments.get("content", "")
    text = tool_input(str(call.arguments.get("choice", "")), content)
    rollout.actions.append(text)
    try:
        feedback, reward, terminated, truncated = await step(text)
    except Exception as error:  # noqa: BLE001, the released code takes it for the end of the task
        return _Outcome(f"Error: {error}", 0.0, over=True)
    rollout.score = max(rollout.score, reward)
    return _Outcome(feedback, reward, terminated or truncated)


def _read(said: str) -> tuple[str, list[_Call]]:
    """The text before the first call, stripped, and the calls that can be made."""
    if _OPEN not in said:
        return said, []
    calls: list[_Call] = []
    for block in cast("list[str]", _CALL.findall(said)):
        try:
            found: Any = json.loads(block.strip())
        except (ValueError, RecursionError):
            return said, []
        for one in cast("Sequence[Any]", found if isinstance(found, list) else [found]):
            call = _call(one)
            if call is not None:
                calls.append(call)
    return said[: said.find(_OPEN)].strip(), calls


def _call(found: Any) -> _Call | None:
    """A call of the one tool there is; None for anything else."""
    if not isinstance(found, dict):
        return None
    spoken = cast("dict[str, Any]", found)
    if spoken.get("name") != TOOL:
        return None
    given = spoken.get("parameters") or spoken.get("arguments", {})
    arguments, unreadable = decode_arguments(json.dumps(given, ensure_ascii=False))
    return None if unreadable else _Call(TOOL, arguments)


def _written(before: str, calls: Sequence[_Call]) -> str:
    """The turn as the chat template writes it anew."""
    blocks = [
        f'<tool_call>\n{{"name": "{call.name}", "arguments": '
        f"{json.dumps(call.arguments, ensure_ascii=False)}}}\n</tool_call>"
        for call in calls
    ]
    return "\n".join([before, *blocks] if before else blocks)


def _as_text(content: object) -> str:
    return content if isinstance(content, str) else str(content)
