"""Markup that cannot be injected into: text is escaped unless it was built here.

Dialogues are written by models and users who may write anything, `</script>` included. So there is
one way to make markup, `el`, and it escapes every child and every attribute that is not `Markup`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape

# Controls and lone surrogates have no place in a UTF-8 page; a tokenizer's output can hold both.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"br", "col", "input", "link", "meta"})


class Markup(str):
    """A piece of finished HTML. Only this module and our own assets make one."""

    __slots__ = ()


def el(tag: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """`<tag attributes>children</tag>`, escaped.

    A trailing underscore is dropped from an attribute's name and the others become hyphens
    (`class_`, `aria_label`). None leaves a child or an attribute out; True is a bare attribute.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        parts.append(name if value is True else f'{name}="{_escaped(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[str | None]) -> Markup:
    """The children one after the other, escaped where they are plain text."""
    return Markup("".join(_markup(child) for child in children if child is not None))


def data_block(data: object, **attributes: str | None) -> Markup:
    """A `<script>` of JSON that our script reads and no browser runs."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    # Inside <script> entities are not decoded, so what could end the element is spelled in JSON's
    # own escapes instead; json.dumps has already made the rest ASCII.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return el("script", Markup(text), type="application/json", **attributes)


def _markup(child: str) -> str:
    return child if isinstance(child, Markup) else _escaped(child)


def _escaped(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), quote=True)
