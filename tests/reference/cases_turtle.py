"""The turtle gym. The stories' texts are not in the cases, and nothing compared depends on them."""

from __future__ import annotations

import json
from typing import Any

from compare import Case, same
from episodes import configured, play, speaker

from duologue.engine import Task
from duologue.envs.turtle import StoryEnv, TurtleGymConfig
from duologue.envs.turtle._judge import rubric_score

_STATE = {"current_score": "current_score", "best_score": "best_score"}


def score_case(case: Case) -> None:
    score = rubric_score(case["weights"], case["judge_scores"])
    expected = case["expected"]
    same("score", score, expected["score"])
    same("covered", sum(s == 1.0 for s in case["judge_scores"]), expected["n_covered"])
    if "terminates_at_1.0" in expected:
        same("ends at 1.0", score >= 1.0, expected["terminates_at_1.0"])


def turtle_episode(case: Case) -> None:
    data = {
        "new_title": case["title"],
        "new_surface": "A surface.",
        "new_bottom": "A bottom.",
        "evaluation": [
            {"statement": f"statement {i}", "score": weight}
            for i, weight in enumerate(case["weights"])
        ],
    }
    script = speaker(line for item in case["items"] for line in replies(item))
    config = configured(TurtleGymConfig(behaviour="official"), case["config"])
    env = StoryEnv(config, user=script, judge=script)
    task = Task(env="turtle", id=case["title"], data=data)
    play(env, task, case, state=_STATE, extra=judged)


def replies(item: Any) -> list[str]:
    """What the simulator says in one step of a case: to a question, to an answer, or as it is."""
    kind, said = item
    match kind:
        case "q":
            return [json.dumps({"thought": "t", "response": said[1]})]
        case "a":
            return [json.dumps([{"statement": "s", "thought": "t", "score": s} for s in said])]
        case _:
            return list(said[1])


def judged(i: int, step: Case, observation: dict[str, Any], info: dict[str, Any]) -> None:
    if "judge_success" in step:
        same(f"step {i} judge_success", info["judge_success"], step["judge_success"])
    covered = str(step.get("feedback", "")).count(": Covered")
    same(f"step {i} covered points", observation["feedback"].count(": Covered"), covered)


CHECKS = {"turtle_score": score_case, "turtle_episodes": turtle_episode}
