"""The search gym through the official API."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import Seed, Task, UsageError
from .._env import Env, Step, Voice
from .._official import OfficialConfig, OfficialEnv
from ._engines import Engine
from ._gym import GUESSES, RESULTS, SEARCHES, Search, check_limits, engine_of, gym, opening
from ._official import OfficialSearch
from ._tasks import question


@dataclass(kw_only=True)
class SearchGymConfig(OfficialConfig):
    """The official settings; `guesses`, `engine` and `url` are ours.

    eval_method: `llm` sends what is no plain match to the judge; anything else judges by the plain
                 match alone.
    engine, url: which search engine, and where; see `make`. Keys come from the environment.
    """

    eval_method: str = "llm"
    max_search_steps: int = SEARCHES
    max_search_results: int = RESULTS
    correct_answer_reward: float = 1.0
    incorrect_answer_reward: float = 0.0
    guesses: int = GUESSES
    engine: str = "world"
    url: str = ""

    def validate(self) -> None:
        super().validate()
        if self.engine not in ("world", "serper", "json"):
            raise UsageError(f"engine is {self.engine!r}; it is 'world', 'serper' or 'json'")
        if self.behaviour == "fixed":
            check_limits(
                guesses=self.guesses,
                searches=self.max_search_steps,
                results=self.max_search_results,
            )


def get_default_config() -> SearchGymConfig:
    """Settings to change before making a `SearchEnv`."""
    return SearchGymConfig()


class SearchEnv(OfficialEnv):
    """The official environment. The judge is rule-based unless given. The step penalty grows with
    every step, as released.

    engine: a search engine of one's own, in place of what the settings name.
    """

    def __init__(
        self,
        config: SearchGymConfig | None = None,
        *,
        judge: Voice | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._settings = config or get_default_config()
        self._engine = engine
        super().__init__(gym, self._settings, judge=judge)

    def build(self, task: Task, seed: Seed) -> Env:
        config, asked = self._settings, question(task)
        engine = self._engine or engine_of(asked, seed, name=config.engine, url=config.url)
        judged, judge = config.eval_method == "llm", self.voices.get("judge")
        if config.behaviour == "official":
            return OfficialSearch(
                asked,
                engine,
                name=task.id,
                prompt=opening(asked, instructions=True),
                searches=config.max_search_steps,
                results=config.max_search_results,
                judged=judged,
                correct=config.correct_answer_reward,
                incorrect=config.incorrect_answer_reward,
                judge=judge,
            )
        return Search(
            asked,
            engine,
            guesses=config.guesses,
            searches=config.max_search_steps,
            results=config.max_search_results,
            judged=judged,
            correct=config.correct_answer_reward,
            incorrect=config.incorrect_answer_reward,
            judge=judge,
        )

    def priced(self, text: str, reward: float) -> float:
        reward -= self.config.step_penalty * self.step_count
        return max(0.0, min(1.0, reward)) if self.config.normalize_rewards else reward

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        if self.config.behaviour == "official":
            return step.done, self.step_count >= self.config.max_steps
        return super().ends(text, step)
