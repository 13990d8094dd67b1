"""What users remember of what was said: bounded, and the same as hearing it for the first time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duologue.envs._hearing import HEARD_CHARS
from duologue.envs.persuade import _arguments
from duologue.envs.tau import _ears
from duologue.envs.turtle import _ideas, _situations, _user

NAME = next(iter(_situations.situations("train")))
LINES = ["Is it not about the coat?", "That is done. Anything else?", "It harms trade, not jobs."]

CACHES: list[tuple[Any, Callable[[str], tuple[Any, ...]]]] = [
    (_ears._listen, lambda line: (line,)),
    (_ears._whole, lambda line: (line.casefold(),)),
    (_arguments._sentences, lambda line: (line,)),
    (_arguments._keys_of, lambda line: (line,)),
    (_arguments._put, lambda line: ("A claim.", "A hint.", line, line)),
    (_ideas._told, lambda line: (_situations.lexicon(NAME), line.casefold())),
    (_user._read, lambda line: (line,)),
    (_user._heard, lambda line: (NAME, tuple(line.casefold().split()))),
]


@pytest.mark.parametrize(("heard", "asked"), CACHES, ids=[one.__name__ for one, _ in CACHES])
def test_what_is_remembered_is_what_is_heard(heard: Any, asked: Any) -> None:
    first = [heard(*asked(line)) for line in LINES]
    assert [heard(*asked(line)) for line in LINES] == first
    assert [heard.__wrapped__(*asked(line)) for line in LINES] == first
    most = heard.cache_parameters()["maxsize"]
    for number in range(most + 10):
        heard(*asked(f"the line of the number {number}"))
    assert heard.cache_info().currsize == most <= 4096


def test_no_more_of_a_line_is_remembered_than_is_heard() -> None:
    _ears._listen.cache_clear()
    for ending in "abc":
        _ears.listen("x" * HEARD_CHARS + ending)
    assert _ears._listen.cache_info().currsize == 1
