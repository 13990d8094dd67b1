"""The one tool, `interact_with_env(choice, content)`, and its hermes-style calls.

A reply may hold several calls; they are read in order. Reading is strict where leniency would
guess: one block that is no JSON voids every call of the reply, as in the official detector, and a
call of another tool or with arguments that are no object is dropped.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

import msgspec

from ..engine import Action

TOOL = "interact_with_env"
CHOICES = ("action", "answer", "search", "finish")

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_OPEN_CHARS = len(_OPEN)

# Whoever keeps an action keeps its choice: one string for all, not one a turn.
_CHOICES = {choice: choice for choice in CHOICES}

_decode = msgspec.json.Decoder().decode
_to_json = json.JSONEncoder(ensure_ascii=False).encode

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
    # A closing tag in what is said would end the call in its middle.
    content = encode_basestring(action.content).replace(_CLOSE, "\\u003c/tool_call>")
    begun = _BEGUN.get(action.choice) or _begun(action.choice)
    return f"{begun}{content}}}}}\n</tool_call>"


def _begun(choice: str) -> str:
    """A call up to its content."""
    return (
        f'<tool_call>\n{{"name": "{TOOL}", "arguments": {{"choice": {_to_json(choice)}, "content": '
    )


_BEGUN = {choice: _begun(choice) for choice in CHOICES}


def read_calls(text: str) -> tuple[Action, ...]:
    """The actions a reply asks for; empty when there is no valid call. Never raises."""
    actions: list[Action] = []
    # Linear in the text: a reply may be all opening tags.
    start = text.find(_OPEN)
    while start >= 0:
        start += _OPEN_CHARS
        end = text.find(_CLOSE, start)
        if end < 0:
            break
        block = text[start:end].strip()
        start = text.find(_OPEN, end)
        try:
            call = _decode(block)
        except msgspec.ValidationError:  # a number that no float holds
            continue
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return ()
        action = _action(call)
        if action is not None:
            actions.append(action)
    return tuple(actions)


def _action(call: Any) -> Action | None:
    """The action that decoded JSON spells. By hand: converting it by a schema takes longer than
    decoding it, and this runs every turn."""
    try:  # of all that JSON can spell, an object alone has a `get`
        arguments, other = call.get("arguments"), call.get("parameters")
        if arguments is None:
            arguments, other = other, None
        said, content = arguments.get("choice"), arguments.get("content")
        named = call.get("name") == TOOL and isinstance(said, str)
        if not named or (other is not None and not isinstance(other.get("choice"), str)):
            return None
    except AttributeError:
        return None
    choice = _CHOICES.get(said) or _CHOICES.get(said.strip().lower())
    if choice is None or (content is None and choice != "finish"):
        return None
    return Action(choice, _text(content, choice))


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
    if isinstance(content, str) and content.isascii() and not content.startswith("["):
        return content
    text = whole_text(content if isinstance(content, str) else _to_json(content))
    if not text.startswith("["):
        return text
    prefix = f"[{choice}]"
    return text[len(prefix) :].lstrip() if text.startswith(prefix) else text
