"""How an agent's text becomes a tool call: as released, and forgiving."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

MAX_CALL_CHARS = 8000
"""Longer calls are none: some tools' work grows with the square of a list."""

PREFIXES = ("[search]", "[action]", "[answer]", "[finish]")


class Move(Struct, frozen=True):
    """What an input means: a tool by its name, or one of the names below."""

    name: str
    kwargs: dict[str, Any] = {}


RESPOND, FINISH, INVALID = "respond", "finish", "invalid_action"
HELP, LOOKUP = "search_help", "search_tools"


def is_valid(text: str) -> bool:
    """Whether an input has a known prefix, in the released code's letters."""
    return text.strip().startswith(PREFIXES)


def read_released(text: str) -> Move:
    """An input as the released code reads it."""
    text = text.strip()
    content = text[len("[search]") :].strip()  # the prefixes are equally long
    if text.startswith("[finish]"):
        return Move(FINISH)
    if text.startswith("[search]"):
        return Move(HELP if content in ("tools", "help") else LOOKUP, {"query": content})
    if text.startswith("[action]"):
        return Move(RESPOND, {"content": content})
    if text.startswith("[answer]"):
        return _released_call(content) or Move(INVALID, {"content": content})
    return Move(INVALID, {"content": text})


def _released_call(content: str) -> Move | None:
    if not (content.startswith("{") and content.endswith("}")):
        return _named_call(content)
    found = _json(content)
    # As released, an object that names no tool calls the one without a name.
    return None if found is None else _call({"name": "", **found})


def read_call(content: str) -> Move | None:
    """A tool call in any of the ways in which models write one: JSON or a Python literal (what the
    released tool makes of an object), with or without a fence around it, `name: {...}` or
    `name({...})`. None when it is none."""
    if len(content) > MAX_CALL_CHARS:
        return None
    text = _unfenced(content.strip())
    named = _NAMED.fullmatch(text)
    if named is not None:
        arguments = _json(named[2]) or _literal(named[2])
        return None if arguments is None else Move(named[1], arguments)
    found = _json(text) or _literal(text)
    return None if found is None else _call(found)


def _unfenced(text: str) -> str:
    if not text.startswith("```"):
        return text
    return text.removesuffix("```").lstrip("`").removeprefix("json").removeprefix("python").strip()


_NAMED = re.compile(r"([A-Za-z_]\w{0,60})\s*(?::|\()?\s*(\{.*\})\s*\)?", re.DOTALL)
_NESTED = 50


def _named_call(text: str) -> Move | None:
    name, colon, rest = text.partition(":")
    arguments = _json(rest.strip()) if colon else None
    return None if arguments is None else Move(name.strip(), arguments)


def _call(found: Mapping[str, Any]) -> Move | None:
    name, arguments = found.get("name"), found.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Move(name, cast("dict[str, Any]", arguments))


def _json(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is."""
    if len(text) > MAX_CALL_CHARS:
        return None
    try:
        found: dict[str, Any] | list[Any] | str | float | None = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _literal(text: str) -> dict[str, Any] | None:
    """The object that a text is as Python writes it."""
    if not text.startswith("{") or text.count("{") + text.count("[") + text.count("(") > _NESTED:
        return None
    try:
        # Through JSON, because what is none must not get into a database: a set has no order.
        return _json(json.dumps(ast.literal_eval(text)))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
