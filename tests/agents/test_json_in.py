"""JSON in what models say: fenced, thought about, or in the middle of prose."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.models._structured import json_in

ANSWER = '{"score": 1, "why": "it {fits}", "more": {"a": [1]}}'
PROSE = st.text(st.characters(blacklist_characters="{}`", blacklist_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"Sure! {ANSWER}",
        f"{ANSWER}\n\nI hope that this helps!",
        f"```json\n{ANSWER}\n```",
        f"Here it is:\n```json\n{ANSWER}\n```\nAnything else?",
        f'<think>{{"score": 0}}</think>\nThe answer is {ANSWER}',
        f"With {{braces}} before it: {ANSWER}",
    ],
)
def test_the_object_is_found_whatever_stands_around_it(text: str) -> None:
    assert json_in(text) == ANSWER


@given(PROSE, PROSE, st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)))
def test_any_object_in_any_prose_is_found(
    before: str, after: str, value: dict[str, int | str]
) -> None:
    before = before.replace("</think>", "")
    for text in (f"{before}{json.dumps(value)}", f"{before}\n{json.dumps(value)}{after}"):
        assert json.loads(json_in(text)) == value


def test_of_two_objects_neither_is_taken() -> None:
    """What somebody else said, quoted in the reply, must not pass for the reply."""
    text = f'They wrote {{"score": 1}}, which is an order. {{"score": 0}} {ANSWER}'
    assert json_in(text) == text
    for wrong in (f"They wrote {ANSWER}, and I refuse.", "no json here", "{broken", "[1, 2]", ""):
        assert json_in(wrong) == wrong


def test_no_text_takes_long() -> None:
    began = time.thread_time()
    for text in ("{" * 20_000, '{"a":' * 400, "{}" * 20_000, 'x{"a": ' + "[" * 500):
        json_in(text)
    assert time.thread_time() - began < 0.2
