"""Tool calls: read in order, strictly, and never with an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duologue.agents import CHOICES, SCHEMA, TOOL, read_calls, whole_text, write_call
from duologue.engine import Action


def block(value: object) -> str:
    """A call's tags around whatever JSON."""
    return f"<tool_call>\n{json.dumps(value)}\n</tool_call>"


def call(choice: str, content: object, *, key: str = "arguments", name: str = TOOL) -> str:
    return block({"name": name, key: {"choice": choice, "content": content}})


def test_several_calls_are_read_in_order_whatever_stands_around_them() -> None:
    text = f"First {call('action', 'a')}, then{call('answer', 'b')}\n\n{call('search', 'c')}."
    assert read_calls(text) == (Action("action", "a"), Action("answer", "b"), Action("search", "c"))


@pytest.mark.parametrize(
    "broken",
    [
        "<tool_call>\n{'name': 'interact_with_env'}\n</tool_call>",
        "<tool_call></tool_call>",
        '<tool_call>{"name": "interact_with_env"</tool_call>',
        call("action", "a").replace("}", "", 1),
    ],
)
def test_one_block_that_is_no_json_voids_the_whole_reply(broken: str) -> None:
    good = call("action", "hello")
    assert read_calls(good) == (Action("action", "hello"),)
    assert read_calls(good + broken) == ()
    assert read_calls(broken + good) == ()


@pytest.mark.parametrize(
    "dropped",
    [
        call("action", "a", name="another_tool"),
        block({"name": TOOL}),
        block({"name": TOOL, "arguments": None}),
        block({"name": TOOL, "arguments": "action"}),
        block({"name": TOOL, "arguments": ["action", "a"]}),
        block({"name": TOOL, "arguments": {"content": "a"}}),
        block({"name": TOOL, "arguments": {"choice": 1, "content": "a"}}),
        block({"name": TOOL, "arguments": {"choice": "action"}}),
        block({"name": TOOL, "arguments": {"choice": "action", "content": None}}),
        block({"name": 7, "arguments": {"choice": "action", "content": "a"}}),
        block({"arguments": {"choice": "action", "content": "a"}}),
        call("dance", "a"),
        call("", "a"),
        block(["name", TOOL]),
        block(None),
        block(12),
    ],
)
def test_json_that_is_no_call_of_ours_is_dropped_alone(dropped: str) -> None:
    good = call("action", "hello")
    assert read_calls(dropped) == ()
    assert read_calls(dropped + good + dropped) == (Action("action", "hello"),)


def test_parameters_is_another_name_for_arguments() -> None:
    assert read_calls(call("answer", "b", key="parameters")) == (Action("answer", "b"),)


@pytest.mark.parametrize("choice", CHOICES)
def test_choice_is_read_whatever_its_case_and_the_space_around_it(choice: str) -> None:
    assert read_calls(call(f" {choice.upper()} ", "x")) == (Action(choice, "x"),)


def test_prefix_that_repeats_the_choice_goes_and_another_stays() -> None:
    assert read_calls(call("action", "[action]  hello")) == (Action("action", "hello"),)
    assert read_calls(call("action", "[answer] hello")) == (Action("action", "[answer] hello"),)
    assert read_calls(call("action", "hello [action]")) == (Action("action", "hello [action]"),)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"city": "Zürich", "days": [1, 2]}, '{"city": "Zürich", "days": [1, 2]}'),
        ([True, None], "[true, null]"),
        (3, "3"),
        ("", ""),
    ],
)
def test_content_that_is_no_text_becomes_json(content: object, text: str) -> None:
    assert read_calls(call("action", content)) == (Action("action", text),)


def test_finish_needs_no_content() -> None:
    assert read_calls(block({"name": TOOL, "arguments": {"choice": "finish"}})) == (
        Action("finish", ""),
    )


def test_unknown_fields_do_not_matter() -> None:
    more = {"name": TOOL, "id": 3, "arguments": {"choice": "action", "content": "a", "why": "b"}}
    assert read_calls(block(more)) == (Action("action", "a"),)


def test_unclosed_call_is_no_call() -> None:
    assert read_calls(call("action", "a").removesuffix("</tool_call>")) == ()


def test_schema_is_the_official_one() -> None:
    function = SCHEMA["function"]
    assert function["name"] == TOOL == "interact_with_env"
    choice = function["parameters"]["properties"]["choice"]
    assert set(choice["enum"]) | {"finish"} == set(CHOICES)
    assert function["parameters"]["required"] == ["choice", "content"]


@given(st.sampled_from(CHOICES), st.text())
@example("action", 'a "quoted" </tool_call> in the middle')
@example("answer", "<tool_call>{}</tool_call>")
@example("search", "[answer] search")
@example("finish", "\x00\u2028\\")
def test_a_written_call_reads_back_as_what_was_written(choice: str, content: str) -> None:
    action = Action(choice, content)
    if content.startswith(f"[{choice}]"):
        # The one thing that reading takes away on purpose.
        action = Action(choice, content.removeprefix(f"[{choice}]").lstrip())
    assert read_calls(write_call(action)) == (action,)
    assert read_calls(f"well: {write_call(action)}{write_call(Action('finish', ''))}") == (
        action,
        Action("finish", ""),
    )


@given(st.lists(st.sampled_from(["action", "answer"]).flatmap(
    lambda choice: st.builds(Action, st.just(choice), st.text("abc {}\"<>/_"))
), max_size=4))  # fmt: skip
def test_a_reply_is_the_calls_it_was_made_of(actions: list[Action]) -> None:
    assert read_calls("\n".join(map(write_call, actions))) == tuple(actions)


SHREDS = ["<tool_call>", "</tool_call>", "{", "}", "[", '"', ":", ",", TOOL, "name", "arguments"]


@given(
    st.one_of(
        st.text(st.characters()),  # surrogates too: a model's bytes need not be text
        st.lists(st.one_of(st.sampled_from(SHREDS), st.text(max_size=3)), max_size=20).map("".join),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=3),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
        ).map(block),
    )
)
@example("<tool_call>\ud800</tool_call>")
@example('<tool_call>{"name": 1e999}</tool_call>')
@example('<tool_call>"\\ud800"</tool_call>')
def test_no_text_at_all_raises(text: str) -> None:
    assert isinstance(read_calls(text), tuple)


@pytest.mark.parametrize("depth", [10, 300, 900, 2_000, 100_000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_deep_nesting_is_no_way_to_break_it(depth: int, pair: str) -> None:
    opening, closing = (
        ("[" * depth, "]" * depth) if pair == "[]" else ('{"a":' * depth, "}" * depth)
    )
    middle = "" if pair == "[]" else "1"
    nested = f"{opening}{middle}{closing}"
    start = '{"name": "interact_with_env", "arguments": {"choice": "action", "content": '
    assert isinstance(read_calls(f"<tool_call>{start}{nested}}}}}</tool_call>"), tuple)
    assert read_calls(f"<tool_call>{nested}</tool_call>") == ()


def test_half_characters_never_leave_a_reply() -> None:
    """JSON can spell a lone surrogate, which no file and no store can hold."""
    call = (
        '{"name": "interact_with_env", "arguments": {"choice": "action", "content": "a\\ud800b"}}'
    )
    (action,) = read_calls(f"<tool_call>\n{call}\n</tool_call>") or (Action("action", "dropped"),)
    action.content.encode()
    assert whole_text("a\ud800b") == "a?b"
    assert whole_text("größe 🌍") == "größe 🌍"
