"""The telepathy gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task
from .._env import Env, Step, Voice
from .._official import OfficialConfig, OfficialEnv
from ._gym import GUESSES, gym, make


@dataclass(kw_only=True)
class TelepathyGymConfig(OfficialConfig):
    """The official settings; `guesses`, `guess_cost` and `persona` are ours, for `fixed`."""

    normalize_rewards: bool = True
    guesses: int = GUESSES
    guess_cost: float = 0.0
    persona: str = "plain"


def get_default_config() -> TelepathyGymConfig:
    """Settings to change before making a `TelepathyEnv`."""
    return TelepathyGymConfig()


class TelepathyEnv(OfficialEnv):
    """The official environment. The step penalty grows with every step, as released. The user and
    the judge are rule-based unless given."""

    config: TelepathyGymConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    bare = "action"

    def __init__(
        self,
        config: TelepathyGymConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        super().__init__(gym, config or get_default_config(), user=user, judge=judge)

    def build(self, task: Task, seed: Seed) -> Env:
        config = self.config
        return make(
            task,
            seed,
            behaviour=config.behaviour,
            guesses=config.guesses,
            guess_cost=config.guess_cost,
            persona=config.persona,
            user=self.voices.get("user"),
            judge=self.voices.get("judge"),
        )

    def priced(self, text: str, reward: float) -> float:
        reward -= self.config.step_penalty * self.step_count
        return max(0.0, min(1.0, reward)) if self.config.normalize_rewards else reward

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour == "official":
            return step.done, self.step_count >= self.config.max_steps
        return super().ends(text, step)
