"""The first place in which two records of a dialogue differ, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import Struct

from ..engine import Tokens, Trajectory, Turn

_encode = msgspec.msgpack.Encoder().encode

_AROUND = 30
"""Characters of a text that are shown before the first one that differs."""


class Difference(Struct, frozen=True, kw_only=True):
    """where: the place in words. recorded, replayed: what each has there."""

    where: str
    recorded: str
    replayed: str


def first_difference(recorded: Trajectory, replayed: Trajectory) -> Difference | None:
    """In the order in which a dialogue happens: what was said, how it ended, its tokens. None for
    records that are equal byte for byte."""
    if _encode(recorded) == _encode(replayed):
        return None
    # The last for what only its bytes tell apart, as 0.0 and -0.0.
    bare = Difference(where="a number's sign", recorded="", replayed="")
    return next(_differences(recorded, replayed), bare)


def _differences(one: Trajectory, two: Trajectory) -> Iterator[Difference]:
    for number, messages in enumerate(zip_longest(one.opening, two.opening), start=1):
        yield from _differ(f"opening message {number}", *messages)
    for number, (a, b) in enumerate(zip_longest(one.turns, two.turns), start=1):
        if a is None or b is None:
            yield from _differ(f"turn {number}", a, b)
            continue
        for name in Turn.__struct_fields__:
            yield from _differ(f"turn {number}, {name}", getattr(a, name), getattr(b, name))
    for name in ("end", "detail", "discarded", "key", "task", "env", "split"):
        yield from _differ(name, getattr(one, name), getattr(two, name))
    if one.tokens is None or two.tokens is None:
        yield from _differ("tokens", one.tokens, two.tokens)
    else:
        yield from _token_differences(one.tokens, two.tokens)


def _token_differences(one: Tokens, two: Tokens) -> Iterator[Difference]:
    yield from _differ("number of tokens", len(one), len(two))
    streams: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "id": (one.ids_array(), two.ids_array()),
        "mask": (one.mask, two.mask),
        "log-probability": (one.logps_array(), two.logps_array()),
    }
    for name, (a, b) in streams.items():
        for at, (left, right) in enumerate(zip(a, b, strict=True)):
            turn = sum(start <= at for start in one.turns)
            yield from _differ(f"token {at} (turn {turn}), {name}", left, right)
    yield from _differ("first tokens of the turns", one.turns, two.turns)
    yield from _differ("policy versions", one.spans, two.spans)


def _differ(where: str, one: Any, two: Any) -> Iterator[Difference]:
    if one == two:
        return
    if isinstance(one, str) and isinstance(two, str):
        pairs = zip_longest(one, two)
        at = next(n for n, (left, right) in enumerate(pairs) if left != right)
        start = max(0, at - _AROUND)
        where = f"{where}, from character {at} on"
        one, two = one[start:], two[start:]
    yield Difference(where=where, recorded=_words(one), replayed=_words(two))


def _words(value: Any) -> str:
    if value is None:
        return "nothing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 400 else f"{text[:400]}..."
