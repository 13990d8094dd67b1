"""An agent's reply taken apart for a reader: thinking, prose, and the call that it made."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

# An unclosed block runs to the end of the text: that is how a reply that was cut off looks.
_THINK = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)
_CALL = re.compile(r"<tool_call>.*?(?:</tool_call>|\Z)", re.DOTALL)

_LINE = 48


class Speech(NamedTuple):
    """What is left to show beside the actions. `tidied` says that something was taken out."""

    thought: str
    prose: str
    tidied: bool


def hear(text: str, *, has_actions: bool) -> Speech:
    """The reply without its markup. A call is taken out only when its action is shown instead."""
    opened = "</think>" in text and "<think>" not in text  # some templates open it in the prompt
    whole = f"<think>{text}" if opened else text
    thought = "\n\n".join(match.strip() for match in _THINK.findall(whole))
    prose = _THINK.sub("", whole)
    if has_actions:
        prose = _CALL.sub("", prose)
        if pretty(prose) is not None:  # a call written bare, without its tags
            prose = ""
    prose = prose.strip()
    return Speech(thought, prose, prose != text.strip())


def pretty(text: str) -> str | None:
    """A JSON object or list, over several lines when long; None when the text is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
        line = json.dumps(value, ensure_ascii=False)
        return line if len(line) <= _LINE else json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
