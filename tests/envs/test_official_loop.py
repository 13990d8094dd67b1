"""The released loop's habits, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from duologue.envs._official_loop import OfficialRollout, official_rollout

pytestmark = pytest.mark.anyio


def call(choice: str, content: object, **more: object) -> str:
    arguments = {"choice": choice, "content": content, **more}
    body = json.dumps({"name": "interact_with_env", "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


async def roll(
    outputs: Iterable[str], results: Iterable[Any] = (), **limits: int
) -> OfficialRollout:
    said, came = iter(outputs), iter(results)

    async def generate(text: str) -> tuple[str, str]:
        return next(said), "stop"

    async def step(text: str) -> tuple[str, float, bool, bool]:
        result = next(came)
        if isinstance(result, Exception):
            raise result
        feedback, reward, *ends = result
        terminated, truncated = ends or (False, False)
        return feedback, reward, terminated, truncated

    return await official_rollout("prompt", generate, step, **limits)


async def test_an_environment_that_raises_ends_it_with_its_words_as_feedback() -> None:
    found = await roll([call("action", "q"), "never"], [RuntimeError("down")])
    assert [turn.reward for turn in found.history] == [0.0]
    assert "Error: down" in found.segments[-1][1]
    assert found.roles == ["system", "user", "assistant", "tool"]


async def test_one_call_that_is_no_json_discards_all_of_them() -> None:
    said = f"{call('answer', 'x')}\n<tool_call>\n{{broken\n</tool_call>"
    found = await roll([said])
    assert found.actions == [] and found.segments == [(1, f"{said}<|im_end|>\n")]


@pytest.mark.parametrize(
    "block",
    [
        '"a word"',
        '{"name": "other", "arguments": {}}',
        '{"name": "interact_with_env", "arguments": [1]}',
    ],
)
async def test_what_is_no_call_of_the_tool_is_dropped_alone(block: str) -> None:
    said = f"<tool_call>\n{block}\n</tool_call>\n{call('answer', 'x')}"
    found = await roll([said], [("won", 1.0, True, False)])
    assert found.actions == ["[answer] x"]
    assert block not in found.segments[0][1]


async def test_parameters_are_arguments_by_another_name_and_spaces_are_written_anew() -> None:
    said = '<tool_call>\n{"name":"interact_with_env","parameters":{"choice":"action","content":"é"}}\n</tool_call>'
    found = await roll([said], [("ok", 0.0, False, True)])
    assert found.segments[0] == (1, f"{call('action', 'é')}<|im_end|>\n".replace("\\u00e9", "é"))
    assert found.score == 0.0 and len(found.history) == 1


async def test_an_object_for_content_becomes_pythons_words_for_it() -> None:
    found = await roll([call("answer", {"name": "x"})], [("?", 0.0, True, False)])
    assert found.actions == ["[answer] {'name': 'x'}"]
    assert found.history[0].content == "{'name': 'x'}"


async def test_a_long_response_is_cut_and_later_turns_forgotten() -> None:
    found = await roll(
        [call("action", "q"), call("action", "r"), "bye"],
        [("f" * 50, 0.5), ("g", 0.1)],
        max_response_len=150,
    )
    assert found.length == 150
    assert found.starts[0] == 0 and found.kept == [0]
    assert len(found.history) == 3 and found.score == 0.5
