"""The function gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task
from .._env import Env, Step
from .._official import OfficialConfig, OfficialEnv
from ._gym import GUESSES, Function, gym, opening
from ._official import OfficialFunction
from ._tasks import puzzle


@dataclass(kw_only=True)
class FunctionGymConfig(OfficialConfig):
    """The official settings; `guesses` is ours, and `official` behaviour has no limit."""

    correct_answer_reward: float = 1.0
    incorrect_answer_reward: float = 0.0
    guesses: int = GUESSES


def get_default_config() -> FunctionGymConfig:
    """Settings to change before making a `FunctionEnv`."""
    return FunctionGymConfig()


class FunctionEnv(OfficialEnv):
    """The official environment. The step penalty grows with every step, as released."""

    config: FunctionGymConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: FunctionGymConfig | None = None) -> None:
        super().__init__(gym, config or get_default_config())

    def build(self, task: Task, seed: Seed) -> Env:
        config, made = self.config, puzzle(task)
        correct, incorrect = config.correct_answer_reward, config.incorrect_answer_reward
        if config.behaviour == "official":
            prompt = opening(made, instructions=True)
            return OfficialFunction(
                made, name=task.id, prompt=prompt, correct=correct, incorrect=incorrect
            )
        return Function(made, guesses=config.guesses, correct=correct, incorrect=incorrect)

    def priced(self, text: str, reward: float) -> float:
        reward -= self.config.step_penalty * self.step_count
        return max(0.0, min(1.0, reward)) if self.config.normalize_rewards else reward

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour == "official":
            return step.done, self.step_count >= self.config.max_steps
        return super().ends(text, step)
