"""How the released code asks a model, and reads its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ...engine import Message
from .._env import Voice

_TRIES = 3
_BLOCK = re.compile(r"```json\s*(.*?)\s*```", re.DOTALL)
_BRACES = re.compile(r"\{.*\}", re.DOTALL)


async def ask_as_released(voice: Voice, messages: Sequence[Message]) -> Any:
    """A voice's answer as JSON, None when it is none; a call that fails is made three times.

    The released code sleeps two seconds in between. Here, waiting before a retry is the model's.
    Raises what the third call raises.
    """
    for _ in range(_TRIES - 1):
        try:
            return parse_output((await voice(messages)).strip())
        except Exception:  # noqa: BLE001, S112
            continue  # as released: whatever it was, it is tried again
    return parse_output((await voice(messages)).strip())


def parse_output(text: str) -> Any:
    """The JSON in a model's answer: all of it, else its first fenced block, else from the first
    brace to the last. None when there is none. Raises `RecursionError` as released."""
    try:
        return json.loads(text.strip())
    except json.JSONDecodeError:
        pass
    for pattern in (_BLOCK, _BRACES):
        found = pattern.search(text)
        if found is not None:
            try:
                return json.loads(found[pattern.groups].strip())
            except json.JSONDecodeError:
                continue
    return None
