"""Rendering a dialogue to tokens, ChatML style, by appending only.

Each message is rendered and tokenised alone. The control tokens are put in by id and what people
say is tokenised as plain text, so nobody can speak a control token; the ids equal those of the
whole string, because a control token splits the text around it anyway.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..engine import Message, UsageError
from ._tools import SCHEMA
from .models.text._byte_level import Encoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REMEMBERED = 512
"""Opening messages kept, and how long one may be to be kept: some 8 MiB at most."""
_REMEMBERED_CHARACTERS = 8000

_TOOL_NOTE = f"""# Tools

One function is yours to call. Its signature, as JSON:
<tools>
{json.dumps(SCHEMA)}
</tools>

To call it, write its name and arguments as JSON between these tags:
<tool_call>
{{"name": "...", "arguments": {{...}}}}
</tool_call>"""


class ChatML:
    """Renders messages for models of the Qwen family.

    `stop` is the token that ends a turn. Raises `UsageError` when the tokenizer lacks the control
    tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # From here on special tokens in a text are text.
        tokenizer.encode_special_tokens = True
        self._plain = Encoder(tokenizer)
        self._start = self._control("<|im_start|>")
        self.stop: int = self._control("<|im_end|>")
        self._newline = self._plain("\n")
        self._prompt = [self._start, *self._plain("assistant\n")]
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._opening)

    def open(self, messages: Iterable[Message]) -> list[int]:
        """The opening messages and the prompt for the first generation."""
        ids: list[int] = []
        for message in messages:
            # The samples of a group share their opening, and all tasks their instructions.
            short = len(message.content) <= _REMEMBERED_CHARACTERS
            ids.extend((self._remembered if short else self._opening)(message))
        return ids + self._prompt

    def observe(self, messages: Iterable[Message], *, last: int) -> list[int]:
        """What follows a generation: new messages and the next prompt.

        last: the generation's last token; its end of turn is written for it if it was cut off.
        """
        ids = list(self._newline) if last == self.stop else [self.stop, *self._newline]
        for message in messages:
            ids += self._render(message)
        ids += self._prompt
        return ids

    def wrote(self, text: str) -> list[int]:
        """A turn that somebody else wrote, as the model would have sampled it."""
        return [*self._plain(text), self.stop]

    def text(self, ids: Sequence[int]) -> str:
        """Tokens as a person would see them, control tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _opening(self, message: Message) -> array[int]:
        if message.role == "system":
            message = Message("system", f"{message.content}\n\n{_TOOL_NOTE}")
        return array("i", self._render(message))

    def _render(self, message: Message) -> list[int]:
        role, content = message.role, message.content
        if role == "tool":
            role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
        ids = [self._start]
        ids += self._plain(f"{role}\n{content}")
        ids.append(self.stop)
        ids += self._newline
        return ids

    def _control(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise UsageError(
                f"the tokenizer has no {token!r} token, so it is no ChatML tokenizer; "
                "use a model of the Qwen family, or one from `duologue model init`"
            )
        return int(found)
