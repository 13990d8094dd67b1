"""The persuade gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from .._env import Voice
from .._official import OfficialConfig, OfficialEnv
from ._gym import gym
from ._official import finishes


@dataclass(kw_only=True)
class PersuadeGymConfig(OfficialConfig):
    """The official settings. `reward_scale` counts in `fixed` behaviour; the released code has it
    and never uses it, and so does `official`."""

    normalize_rewards: bool = True
    reward_scale: float = 1.0


def get_default_config() -> PersuadeGymConfig:
    """Settings to change before making a `PersuadeEnv`."""
    return PersuadeGymConfig()


class PersuadeEnv(OfficialEnv):
    """The official environment. The user and the judge are rule-based unless given; in `official`
    behaviour one voice is both: the judge's, or the user's where there is no judge."""

    bare = "answer"

    def __init__(
        self,
        config: PersuadeGymConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        chosen = config or get_default_config()
        super().__init__(gym, chosen, user=user, judge=judge)
        self._scale = chosen.reward_scale

    def priced(self, text: str, reward: float) -> float:
        if self.config.behaviour != "official":
            return super().priced(text, reward * self._scale)
        return reward if finishes(text) else super().priced(text, reward)
