"""The numbers of the paper's tables."""

from __future__ import annotations

from compare import Case, same

from duologue.train._paper_metrics import (
    Answer,
    Item,
    effective_turns,
    official_comparison,
    official_summary,
    time_weighted,
)


def summary_case(case: Case) -> None:
    found = official_summary(case["env"], case["rewards"])
    for name, value in case["expected"].items():
        same(name, found[name], value, 1e-12)


def comparison_case(case: Case) -> None:
    models = {
        model: {
            env: {
                name: Item(
                    rewards=item["reward"],
                    history=[
                        [Answer(c["choice"], c["content"], c["reward"]) for c in rollout]
                        for rollout in item["history"]
                    ],
                )
                for name, item in items.items()
            }
            for env, items in environments.items()
        }
        for model, environments in case["models"].items()
    }
    expected = case["expected"]
    try:
        found = official_comparison(models)
    except KeyError as error:
        same("raises", f"KeyError: {error}", expected.get("raises"))
        return
    same("raises", None, expected.get("raises"))
    for model, scores in expected["per_task"].items():
        same(f"{model} gyms", sorted(found.per_gym[model]), sorted(scores))
        for gym, value in scores.items():
            same(f"{model} {gym}", found.per_gym[model][gym], value, 1e-9)
    for model, value in expected["weighted"].items():
        same(f"{model} weighted", found.weighted[model], value, 1e-9)
    same("counts", dict(sorted(found.counts.items())), dict(sorted(expected["counts"].items())))


def efficiency_case(case: Case) -> None:
    rewards, expected = case["turn_rewards"], case["expected"]
    same("effective turns", effective_turns(rewards), expected["effective_turns"])
    for base in (0, 1):
        wanted = expected[f"time_weighted_{base}based"]
        same(f"time-weighted, base {base}", time_weighted(rewards, base=base), wanted, 1e-12)


CHECKS = {
    "eval_metrics": summary_case,
    "analyze_scores": comparison_case,
    "paper_efficiency_metrics": efficiency_case,
}
