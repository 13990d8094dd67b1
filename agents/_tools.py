"""The one tool, `interact_with_env(choice, content)`, and its hermes-style calls.

A reply may hold several calls; they are read in order. Reading is strict where leniency would
guess: one block that is no JSON voids every call of the reply, as in the official detector, and a
call of another tool or with arguments that are no object is dropped.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from ..engine import Action

TOOL = "interact_with_env"
CHOICES = ("action", "answer", "search", "finish")

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)

SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "Act in the environment you were put in, and read what comes back.",
        "parameters": {
            "type": "object",
            "properties": {
                "choice": {
                    "type": "string",
                    "enum": ["action", "answer", "search"],
                    "description": "What kind of step to take.",
                },
                "content": {"type": "string", "description": "What to say, ask or look up."},
            },
            "required": ["choice", "content"],
        },
    },
}
"""The official tool's schema; `finish` is understood though the schema does not list it."""


def write_call(action: Action) -> str:
    """The text of a call, spaced as `json.dumps` does: what models of this family are shown."""
    choice = json.dumps(action.choice, ensure_ascii=False)
    content = json.dumps(action.content, ensure_ascii=False)
    # A closing tag in what is said would end the call in its middle.
    content = content.replace("</tool_call>", "\\u003c/tool_call>")
    return (
        f'<tool_call>\n{{"name": "{TOOL}", "arguments": '
        f'{{"choice": {choice}, "content": {content}}}}}\n</tool_call>'
    )


class _Arguments(Struct):
    choice: str
    content: Any = None


class _Call(Struct):
    name: str
    arguments: _Arguments | None = None
    parameters: _Arguments | None = None


def read_calls(text: str) -> tuple[Action, ...]:
    """The actions a reply asks for; empty when there is no valid call. Never raises."""
    if "<tool_call>" not in text:
        return ()
    actions: list[Action] = []
    for block in _CALL.findall(text):
        try:
            # In two steps: text that is no JSON voids the reply, JSON that is no call of ours is
            # only dropped.
            call = msgspec.convert(msgspec.json.decode(block), _Call)
        except msgspec.ValidationError:
            continue
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return ()
        action = _action(call)
        if action is not None:
            actions.append(action)
    return tuple(actions)


def _action(call: _Call) -> Action | None:
    arguments = call.arguments or call.parameters
    if call.name != TOOL or arguments is None:
        return None
    choice = arguments.choice.strip().lower()
    if choice not in CHOICES or (arguments.content is None and choice != "finish"):
        return None
    return Action(choice, _text(arguments.content, choice))


def whole_text(text: str) -> str:
    """`text` without half characters. JSON can spell lone surrogates; no file can hold them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _text(content: Any, choice: str) -> str:
    """The content as text: an object becomes JSON (the official code made it Python's repr), and
    a prefix that repeats the choice, as in "[action] hello", goes."""
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    text = whole_text(text)
    prefix = f"[{choice}]"
    return text[len(prefix) :].lstrip() if text.startswith(prefix) else text
