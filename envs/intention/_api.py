"""The intention gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task
from .._env import Env, Step, Voice
from .._official import OfficialConfig, OfficialEnv
from ._gym import gym, opening
from ._official import OfficialIntention
from ._pay import EXTRA
from ._tasks import wish
from ._user import User


@dataclass(kw_only=True)
class IntentionGymConfig(OfficialConfig):
    """The official settings. `multi_detail_penalty` and `reward_scale` are for `official`
    behaviour; in `fixed`, a question about several details gets no answer at all."""

    normalize_rewards: bool = True
    multi_detail_penalty: float = EXTRA
    reward_scale: float = 1.0


def get_default_config() -> IntentionGymConfig:
    """Settings to change before making an `IntentionEnv`."""
    return IntentionGymConfig()


class IntentionEnv(OfficialEnv):
    """The official environment. The user and the judge are rule-based unless given."""

    config: IntentionGymConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    bare = "action"

    def __init__(
        self,
        config: IntentionGymConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        super().__init__(gym, config or get_default_config(), user=user, judge=judge)

    def build(self, task: Task, seed: Seed) -> Env:
        if self.config.behaviour != "official":
            return super().build(task, seed)
        wanted = wish(task)
        return OfficialIntention(
            wanted,
            User(wanted, seed / "user"),
            (seed / "canned").random(),
            name=task.id,
            prompt=opening(wanted, instructions=True),
            user=self.voices.get("user"),
            judge=self.voices.get("judge"),
            extra=self.config.multi_detail_penalty,
            scale=self.config.reward_scale,
        )

    def priced(self, text: str, reward: float) -> float:
        if _finishes(text) and self.config.behaviour == "official":
            return reward
        return super().priced(text, reward)

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour != "official":
            return super().ends(text, step)
        full = self.step_count >= self.config.max_steps
        return step.done or full, full and not _finishes(text)


def _finishes(text: str) -> bool:
    return text.strip().lower().startswith("[finish]")
