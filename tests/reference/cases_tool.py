"""The released tool."""

from __future__ import annotations

import json

from compare import Case, same

from duologue.envs._official import decode_arguments, tool_input, tool_response


def tool_case(case: Case) -> None:
    expected = case["expected"]
    reward = case.get("env_reward", 0.0)
    if "env_action" in expected:
        sent = tool_input(case.get("choice", ""), case.get("content", ""))
        same("input", sent, expected["env_action"])
    if "response_text" in expected:
        same("response", tool_response("fb", reward), expected["response_text"])


def arguments_case(case: Case) -> None:
    arguments, unreadable = decode_arguments(case["arguments_text"])
    expected = case["expected"]
    same("arguments", json.dumps(arguments), json.dumps(expected["arguments"]))
    same("decode_error", unreadable, expected["decode_error"])


CHECKS = {"interact_tool": tool_case, "tool_args_parse": arguments_case}
