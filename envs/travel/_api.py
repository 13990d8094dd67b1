"""The travel gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ...engine import Seed, Task
from .._env import Env, Step, Voice
from .._official import Info, Observation, OfficialConfig, OfficialEnv
from .._persona import persona
from ._gym import gym, opening
from ._official import OfficialTravel
from ._pay import Pay
from ._rules import Travel
from ._tasks import trip


@dataclass(kw_only=True)
class TravelGymConfig(OfficialConfig):
    """The official settings.

    In `fixed` behaviour, `preference_correct_reward` is for all the preferences of an aspect
    together, and `one_choice_per_aspect` always holds. `wrong_choice_number` and
    `noise_choice_number` are never used: in training and evaluation the released code lists all
    the options there are, whatever they say. `persona` is ours.
    """

    search_correct_reward: float = 0.2
    preference_correct_reward: float = 0.2
    choice_best_reward: float = 1.0
    choice_correct_reward: float = 0.8
    wrong_choice_penalty: float = 0.0
    search_failure_interval: int = 5
    elicitation_interval: int = 3
    wrong_choice_number: int = 10
    noise_choice_number: int = 5
    one_choice_per_aspect: bool = True
    reward_scale: float = 1.0
    persona: str = "plain"

    def pay(self, *, shared: bool) -> Pay:
        """The rewards that the settings ask for."""
        return Pay(
            search=self.search_correct_reward,
            preference=self.preference_correct_reward,
            best=self.choice_best_reward,
            correct=self.choice_correct_reward,
            wrong=self.wrong_choice_penalty,
            shared=shared,
        )


def get_default_config() -> TravelGymConfig:
    """Settings to change before making a `TravelEnv`."""
    return TravelGymConfig()


class TravelEnv(OfficialEnv):
    """The official environment. The user and the judge are rule-based unless given.

    In `official` behaviour `step` and `step_async` differ as the released ones do.
    """

    def __init__(
        self,
        config: TravelGymConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._settings = config or get_default_config()
        super().__init__(gym, self._settings, user=user, judge=judge)

    def step(self, action: str) -> tuple[Observation, float, bool, bool, Info]:
        env = self._env
        if not isinstance(env, OfficialTravel):
            return super().step(action)
        env.sync = True
        try:
            return super().step(action)
        finally:
            env.sync = False

    def build(self, task: Task, seed: Seed) -> Env:
        config, planned = self._settings, trip(task)
        user, judge = self.voices.get("user"), self.voices.get("judge")
        prompt = opening(planned, instructions=True)
        if config.behaviour == "official":
            return OfficialTravel(
                planned,
                seed / "user",
                pay=config.pay(shared=False),
                # The released code seeds the generator of the whole process with its setting.
                rng=(seed / "free").random() if config.seed is None else Random(config.seed),
                interval=config.elicitation_interval,
                outages=config.search_failure_interval,
                prompt=prompt,
                one_choice=config.one_choice_per_aspect,
                scale=config.reward_scale,
                user=user,
                judge=judge,
            )
        return Travel(
            planned,
            seed / "user",
            pay=config.pay(shared=True),
            who=persona(config.persona, seed),
            interval=config.elicitation_interval,
            outages=config.search_failure_interval,
            results=0,
            prompt=prompt,
            user=user,
            judge=judge,
        )

    def priced(self, text: str, reward: float) -> float:
        if self.config.behaviour == "official":
            return reward if _finishes(text) else super().priced(text, reward)
        return super().priced(text, reward * self._settings.reward_scale)

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour != "official":
            return super().ends(text, step)
        full = self.step_count >= self.config.max_steps
        return step.done, full and not _finishes(text)


def _finishes(text: str) -> bool:
    return text.strip().lower().startswith("[finish]")
