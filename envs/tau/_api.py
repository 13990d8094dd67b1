"""The tau gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task, UsageError
from .._env import Env, Step, Voice
from .._official import OfficialConfig, OfficialEnv
from .._persona import persona
from ._gym import Tau, gym, opening
from ._official import OfficialTau
from ._tasks import case, domain_of


@dataclass(kw_only=True)
class TauGymConfig(OfficialConfig):
    """The official settings; `persona`, `policy` and `tau_bench` are ours.

    tau_bench: a checkout of sierra-research/tau-bench, where official tasks have their database.

    As released, an id says which category and split its task is of, so `task_category` and
    `task_split` choose nothing; `user_strategy`, `user_model` and `user_provider` are what `user` of
    `TauEnv` is here; and there is neither a step penalty nor a clip.
    """

    max_steps: int = 30
    data_mode: str = "single"
    task_category: str = "retail"
    task_split: str = "test"
    user_strategy: str = "llm"
    user_model: str = "gpt-4o"
    user_provider: str = "openai"
    persona: str = "plain"
    policy: bool = True
    tau_bench: str = ""

    def validate(self) -> None:
        super().validate()
        if self.task_category not in ("retail", "airline"):
            raise UsageError(f"task_category is {self.task_category!r}; it is retail or airline")


def get_default_config() -> TauGymConfig:
    """Settings to change before making a `TauEnv`."""
    return TauGymConfig()


class TauEnv(OfficialEnv):
    """The official environment. The customer is rule-based unless given."""

    def __init__(self, config: TauGymConfig | None = None, *, user: Voice | None = None) -> None:
        self._settings = config or get_default_config()
        super().__init__(gym, self._settings, user=user)

    def build(self, task: Task, seed: Seed) -> Env:
        config, found = self._settings, case(task)
        domain, user = domain_of(found, config.tau_bench), self.voices.get("user")
        if config.behaviour == "official":
            prompt = opening(found, domain, instructions=True, policy=False)
            return OfficialTau(found, domain, seed / "user", prompt=prompt, user=user)
        prompt = opening(found, domain, instructions=True, policy=config.policy)
        who = persona(config.persona, seed)
        return Tau(found, domain, seed / "user", who, prompt=prompt, user=user)

    def priced(self, text: str, reward: float) -> float:
        return reward if self.config.behaviour == "official" else super().priced(text, reward)

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour != "official":
            return super().ends(text, step)
        return step.done, self.step_count >= self.config.max_steps
