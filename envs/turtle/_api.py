"""The turtle gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task, UsageError
from .._env import Env, Step, Voice
from .._official import OfficialConfig, OfficialEnv
from .._persona import persona
from ._gym import GUESSES, Turtle, gym, opening
from ._official import OfficialTurtle
from ._tasks import story


@dataclass(kw_only=True)
class TurtleGymConfig(OfficialConfig):
    """The official settings; `guesses` and `persona` are ours, and `official` has neither.

    success_threshold: the score that ends the episode. Training and evaluation as released set 1.
    """

    normalize_rewards: bool = True
    success_threshold: float = 0.9
    reward_scale: float = 1.0
    guesses: int = GUESSES
    persona: str = "plain"

    def validate(self) -> None:
        super().validate()
        if not 0.0 < self.success_threshold <= 1.0:
            raise UsageError(
                f"success_threshold is {self.success_threshold}; it is above 0 and at most 1"
            )
        if self.guesses < 1:
            raise UsageError(f"guesses is {self.guesses}; it must be at least 1")


def get_default_config() -> TurtleGymConfig:
    """Settings to change before making a `StoryEnv`."""
    return TurtleGymConfig()


class StoryEnv(OfficialEnv):
    """The official environment. The user and the judge are rule-based unless given. The step
    penalty grows with every step, as released."""

    bare = "action"

    def __init__(
        self,
        config: TurtleGymConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._settings = config or get_default_config()
        super().__init__(gym, self._settings, user=user, judge=judge)

    def build(self, task: Task, seed: Seed) -> Env:
        config, told = self._settings, story(task)
        user, judge = self.voices.get("user"), self.voices.get("judge")
        if config.behaviour == "official":
            return OfficialTurtle(
                told,
                prompt=opening(told, instructions=True),
                user=user,
                judge=judge,
                threshold=config.success_threshold,
                scale=config.reward_scale,
            )
        return Turtle(
            told,
            seed / "user",
            persona(config.persona, seed),
            guesses=config.guesses,
            threshold=config.success_threshold,
            scale=config.reward_scale,
            user=user,
            judge=judge,
        )

    def priced(self, text: str, reward: float) -> float:
        reward -= self.config.step_penalty * self.step_count
        return max(0.0, min(1.0, reward)) if self.config.normalize_rewards else reward

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour == "official":
            return step.done, self.step_count >= self.config.max_steps
        return super().ends(text, step)
