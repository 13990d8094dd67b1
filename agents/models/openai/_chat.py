"""Conversations as chat models are told them, and their answers as we read them.

Inside, a call is text that the reply holds, whoever made it. A chat model's API has calls as a
thing of its own; here the one becomes the other, in both directions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ....engine import Action, Message
from ..._tools import TOOL, read_calls, whole_text, write_call
from .._model import Generation

_OPEN = "<tool_call>"


def tell(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the API has them.

    A reply that made calls says so in structure, where something answers them; the API wants an
    answer to each, but what came back is one message, which becomes the answer to the last.
    """
    told: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        text = whole_text(message.content)
        answered = index + 1 < len(messages) and messages[index + 1].role == "tool"
        if message.role == "assistant" and answered and (actions := read_calls(text)):
            calls = [_call(f"call_{index}_{n}", action) for n, action in enumerate(actions)]
            open_calls = [call["id"] for call in calls]
            words = text.partition(_OPEN)[0].rstrip()
            told.append({"role": "assistant", "content": words, "tool_calls": calls})
        elif message.role == "tool" and open_calls:
            for call in open_calls:
                answer = text if call == open_calls[-1] else ""
                told.append({"role": "tool", "tool_call_id": call, "content": answer})
            open_calls = []
        elif message.role == "tool":
            content = f"<tool_response>\n{text}\n</tool_response>"
            told.append({"role": "user", "content": content})
        else:
            told.append({"role": message.role, "content": text})
    return told


def _call(name: str, action: Action) -> dict[str, Any]:
    arguments = {"choice": action.choice, "content": action.content}
    said = {"name": TOOL, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": name, "type": "function", "function": said}


# What is read of an answer; the rest is skipped.

_Count = Annotated[int, Meta(ge=0)]


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class _ToolCall(Struct, frozen=True):
    function: _Function


class _Said(Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(Struct, frozen=True):
    message: _Said
    finish_reason: str | None = None


class Counted(Struct, frozen=True):
    """The tokens of one call, as the server counts them."""

    prompt_tokens: _Count
    completion_tokens: _Count


class _Answer(Struct, frozen=True):
    choices: list[_Choice]
    usage: Counted | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_answer(body: bytes) -> tuple[Generation, Counted | None]:
    """What the model said, and the tokens it took. Raises `ValueError` for no answer of a chat."""
    answer = _decode(body)
    if len(answer.choices) != 1:
        raise ValueError(f"{len(answer.choices)} choices instead of one")
    choice = answer.choices[0]
    if choice.finish_reason == "content_filter":
        raise ValueError("nothing but a note that its content filter stopped the reply")
    said = choice.message
    text = said.content or said.refusal or ""
    if said.tool_calls:
        # A server that leaves the calls in the text too must not make them happen twice.
        words = text.partition(_OPEN)[0].rstrip()
        text = "\n".join(filter(None, [words, *map(_as_text, said.tool_calls)]))
    cut = choice.finish_reason == "length"
    return Generation(text=whole_text(text), finish="length" if cut else "stop"), answer.usage


class _Arguments(Struct, frozen=True):
    choice: str
    content: str


def _as_text(call: _ToolCall) -> str:
    """A structured call as the models of our own write theirs."""
    name, arguments = call.function.name, call.function.arguments
    if name == TOOL:
        try:
            found = msgspec.json.decode(arguments, type=_Arguments)
            return write_call(Action(found.choice, found.content))
        except (ValueError, RecursionError):
            pass
    # Whatever is wrong with it, whoever reads the text finds the same thing wrong.
    inside = (arguments or "null").replace("</tool_call>", "\\u003c/tool_call>")
    return f'{_OPEN}\n{{"name": {json.dumps(name)}, "arguments": {inside}}}\n</tool_call>'
