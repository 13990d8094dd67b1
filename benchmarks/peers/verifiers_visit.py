"""The dialogue for current verifiers, as the plug-in that its loader wants: a taskset, and an
environment whose user is a script. The modelled user is verifiers' own `user-sim`.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import verifiers.v1 as vf
from _dialogue import SYSTEM, TURNS, sentence

__all__ = ["ScriptedUserEnv", "VisitTaskset"]

COUNT = 4096  # more than any run takes


class VisitTask(vf.Task[vf.TaskData]):
    @vf.reward
    async def spoke(self, trace: Any) -> float:
        return 1.0


class VisitTaskset(vf.Taskset[VisitTask, vf.TasksetConfig]):
    def load(self) -> Iterable[VisitTask]:
        for number in range(COUNT):
            yield VisitTask(
                vf.TaskData(prompt=sentence(number), system_prompt=SYSTEM), self.config.task
            )


class ScriptedUserConfig(vf.EnvConfig):
    assistant: vf.AgentConfig = vf.AgentConfig(
        harness={"id": "null"}, runtime={"type": "subprocess"}
    )


class ScriptedUserEnv(vf.Env[ScriptedUserConfig]):
    """The caller is the user: verifiers holds a rollout open turn by turn for that."""

    async def run(self, task: Any, agents: Any) -> None:
        async with agents.assistant.interaction(task) as assistant:
            segment = await assistant.turn()
            for turn in range(1, TURNS):
                if segment.terminated:
                    break
                segment = await assistant.turn(sentence(task.data.idx + turn))
