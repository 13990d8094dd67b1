"""A model's own chat template: rendered as servers render it, and watched while a dialogue grows.

What a model has read and written should be the beginning of what it reads next. A template that
rewrites the past (most that know thinking strip it) makes a fork of every turn: a row of its own
to train on, and a context to compute anew from where it differs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Never, cast

import msgspec
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ....engine import Action, UsageError
from ..._tools import write_call

Chat = list[dict[str, str]]
Encode = Callable[[str], list[int]]

_MARK = "These words mark a place."
_THINK = "<think>\n"


class TemplateRefused(Exception):
    """The template cannot render a conversation."""


class Template:
    """A chat template; `special` names tokens that it may use, as `eos_token`."""

    def __init__(self, source: str, special: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Marked]
        )
        environment.filters["tojson"] = _to_json
        functions: dict[str, Any] = {"raise_exception": _refuse, "strftime_now": _now}
        environment.globals.update(functions)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise TemplateRefused(f"it is no template: {error}") from error
        self._special = special

    def render(self, messages: Chat, *, prompt: bool, thinking: bool | None = None) -> str:
        """The conversation as text, the prompt of the next reply at its end if `prompt`.

        Raises `TemplateRefused`.
        """
        switch = {} if thinking is None else {"enable_thinking": thinking}
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=prompt, **self._special, **switch
            )
        except Exception as error:  # a template is a program of somebody else's
            raise TemplateRefused(f"{type(error).__name__}: {error}") from error


class _Marked(Extension):
    """`{% generation %}`, with which some templates mark what the model says: only its inside."""

    tags = {"generation"}  # noqa: RUF012, jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    # jinja2's own escapes <, > and &, which is for pages and not for models.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(message: str) -> Never:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def load_template(folder: Path) -> Template | None:
    """The template that servers find in the folder, or None. Raises `TemplateRefused`."""
    settings = _settings(folder)
    special = {
        name: text
        for name, value in settings.items()
        if name.endswith("_token") and (text := _text(value))
    }
    file = folder / "chat_template.jinja"
    source: Any = file.read_text("utf-8") if file.is_file() else settings.get("chat_template")
    if isinstance(source, list):
        named = cast("list[dict[str, str]]", source)
        source = {one["name"]: one["template"] for one in named}.get("default")
    return Template(source, special) if isinstance(source, str) else None


def _text(token: Any) -> str:
    """A special token's text, however it is described."""
    if isinstance(token, dict):
        token = cast("dict[str, Any]", token).get("content")
    return token if isinstance(token, str) else ""


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not JSON: {error}; copy it again") from error


@dataclass(frozen=True, slots=True)
class Growth:
    """What became of a conversation of `turns` turns.

    forks:    the turns, counted from 1, at which what the model had read and written was no longer
              the beginning of what it read.
    read:     prompt tokens to compute in all, when equal beginnings are cached.
    appended: the same if every turn only appended.
    before, after: where it first forked, what had been there and what stood there then.
    stripped: a thought of a past turn was missing.
    """

    turns: int
    forks: tuple[int, ...]
    read: int
    appended: int
    before: str
    after: str
    stripped: bool


def grow(template: Template, encode: Encode, *, turns: int, role: str, thinking: bool) -> Growth:
    """Play a conversation in which `role` answers the model, and see whether it only grows.

    encode: text to ids, control tokens included. Raises `TemplateRefused`.
    """
    chat = _opening()
    close = _close(template, encode)
    text = template.render(chat, prompt=True, thinking=thinking)
    ids = encode(text)
    read = appended = len(ids)
    forks: list[int] = []
    before = after = ""
    stripped = False
    for turn in range(1, turns):
        said = _say(turn, thinking=thinking)
        # Some prompts have begun to think for the model.
        written = said.removeprefix(_THINK) if text.endswith(_THINK) else said
        context = f"{text}{written}"
        held = [*ids, *encode(written), close]
        chat += [_message("assistant", said), _message(role, _hear(turn))]
        text = template.render(chat, prompt=True, thinking=thinking)
        ids = encode(text)
        kept = _common(held, ids)
        read += len(ids) - kept
        appended += _step(template, encode, role, _hear(turn), thinking)
        if kept < len(held):
            forks.append(turn + 1)
            stripped = stripped or (thinking and _thought(turn) not in text)
            if not before:
                at = context.rfind("\n", 0, _common(context, text)) + 1
                before, after = context[at : at + 40], text[at : at + 40]
    return Growth(turns, tuple(forks), read, appended, before, after, stripped)


def missing_prompt(template: Template, *, turns: int, role: str) -> str | None:
    """What is wrong with the prompts of the model's turns; None if nothing is.

    A prompt must bring the conversation to where the model's own words begin, as they stand in a
    conversation that goes on. Raises `TemplateRefused`.
    """
    chat = _opening()
    for turn in range(1, turns + 1):
        bare = template.render(chat, prompt=False)
        asked = template.render(chat, prompt=True)
        whole = template.render([*chat, _message("assistant", _MARK)], prompt=False)
        head, found, _ = whole.partition(_MARK)
        if not found:
            return f"at turn {turn} the template leaves out what the model says"
        if not asked.startswith(head):
            if asked == bare:
                return f"at turn {turn} add_generation_prompt adds nothing"
            if not head.startswith(asked):
                return f"at turn {turn} the prompt ends in {asked[-30:]!r}, replies follow {head[-30:]!r}"
        chat += [_message("assistant", _say(turn)), _message(role, _hear(turn))]
    return None


def _opening() -> Chat:
    return [
        _message("system", "You help a customer to plan. Ask before you answer."),
        _message("user", "I would like to go away for a few days. What do you need to know?"),
    ]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _thought(turn: int) -> str:
    return f"Question {turn} of this customer: the budget is open, and so are the days."


def _say(turn: int, *, thinking: bool = False) -> str:
    call = write_call(Action("action", f"And what about point {turn}?"))
    return f"{_THINK}{_thought(turn)}\n</think>\n\n{call}" if thinking else call


def _hear(turn: int) -> str:
    return f"About point {turn}: not more than {turn * 100} for the two of us."


def _close(template: Template, encode: Encode) -> int:
    """The token with which the template ends a reply."""
    tail = _after_mark(template, [*_opening(), _message("assistant", _MARK)], prompt=False)
    ids = encode(tail)
    if not ids:
        raise TemplateRefused("nothing ends what the model says")
    return ids[0]


def _step(template: Template, encode: Encode, role: str, heard: str, thinking: bool) -> int:
    """Tokens that a turn appends after the end of the reply: the answer and the next prompt."""
    chat = [*_opening(), _message("assistant", _MARK), _message(role, heard)]
    return len(encode(_after_mark(template, chat, prompt=True, thinking=thinking))) - 1


def _after_mark(
    template: Template, chat: Chat, *, prompt: bool, thinking: bool | None = None
) -> str:
    text = template.render(chat, prompt=prompt, thinking=thinking)
    _, found, tail = text.partition(_MARK)
    if not found:
        raise TemplateRefused("it leaves out what the model says")
    return tail


def _common(one: Sequence[int] | str, other: Sequence[int] | str) -> int:
    """How long the beginning is that they share."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
