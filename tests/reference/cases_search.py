"""The search gym. The cases were recorded with a search engine that knows two fixed results."""

from __future__ import annotations

from collections.abc import Sequence

from compare import Case, same
from episodes import Voice, configured, play, speaker

from duologue.engine import Message, Task
from duologue.envs.search import Article, SearchEnv, SearchGymConfig
from duologue.envs.search._judge import normalised, same_answer
from duologue.envs.search._official import OfficialSearch


def match_case(case: Case) -> None:
    expected = case["expected"]
    same("submitted", normalised(case["submitted"]), expected["norm_submitted"])
    same("gold", normalised(case["gold"]), expected["norm_gold"])
    same("match", same_answer(case["submitted"], case["gold"]), expected["match"])


class TwoResults:
    async def search(self, query: str, limit: int) -> Sequence[Article]:
        return [Article(f"Result {i}", "A text.") for i in (1, 2)][:limit]


def search_episode(case: Case) -> None:
    judge = Counted(speaker(iter(case["judge_script"])))
    config = configured(SearchGymConfig(behaviour="official"), case["config"])
    env = SearchEnv(config, judge=judge, engine=TwoResults())
    data = {"question": case.get("question", "What is it?"), "answer": case["gold"]}
    task = Task(env="search", id=case["question_id"], data=data)
    play(env, task, case, state={"answered_correctly": "answered_correctly"})
    same("judge calls", judge.calls, case["judge_calls"])
    assert isinstance(env._env, OfficialSearch)
    searches = env._env.search_steps
    same("searches", searches, case["final"].get("search_steps", searches))


class Counted:
    """A voice, and how often it was called."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.calls = 0

    async def __call__(self, messages: Sequence[Message]) -> str:
        self.calls += 1
        return await self._voice(messages)


CHECKS = {"search_match": match_case, "search_episodes": search_episode}
