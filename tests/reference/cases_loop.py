"""The released rollout loop."""

from __future__ import annotations

import re
from typing import Any

import anyio
from compare import Case, same

from duologue.envs._official_loop import OfficialRollout, official_rollout


def loop_case(case: Case) -> None:
    outputs, script = iter(case["model_outputs"]), iter(case["env_script"])

    async def generate(text: str) -> tuple[str, str]:
        said = next(outputs)
        return (said, "stop") if isinstance(said, str) else (said[0], said[1])

    async def step(text: str) -> tuple[str, float, bool, bool]:
        came: Any = next(script)
        if isinstance(came, str) or (
            came and re.fullmatch(r"\w*(Error|Exception).*", str(came[0]))
        ):
            raise RuntimeError(came if isinstance(came, str) else came[0])
        return tuple(came)

    expected = case["expected"]

    async def play() -> OfficialRollout:
        return await official_rollout(
            "p" * expected["prompt_len"], generate, step, **case["config"]
        )

    found = anyio.run(play)
    same("actions", found.actions, expected["env_actions"])
    turns = [
        (h["reward"], h["choice"], h["content"], h["turn_idx"])
        for h in expected["conversation_histories"]
    ]
    same("history", [tuple(turn) for turn in found.history], turns)
    same("turn starts", found.starts, expected["turn_starts_in_response"])
    same("turn starts kept", found.kept, expected["turn_starts_kept"])
    same("segments", [list(one) for one in found.segments], expected["loss_segments"])
    same("length", found.length, expected["response_len"])
    same("score", found.score, expected["reward_scores"]["interact_with_env"])
    same("roles", found.roles, expected["roles"])


CHECKS = {"rollout_loop": loop_case}
