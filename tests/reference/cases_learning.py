"""Shaping and losses."""

from __future__ import annotations

from compare import Case, Skip, same

from duologue.train._shaping import (
    official_outcome_advantages,
    official_token_advantages,
    official_turn_credits,
    turn_credits,
)


def credits_case(case: Case) -> None:
    given = {name: value for name, value in case.items() if name != "expected"}
    expected = case["expected"]
    try:
        credits, score = official_turn_credits(**given)
    except ValueError:
        same("raises", True, "raises" in expected)
        return
    same("raises", False, "raises" in expected)
    same("credits", credits, expected["turn_credits"])
    same("score", score, expected["trajectory_score"])


def em_case(case: Case) -> None:
    same("credit", turn_credits([case["r"]], "em", k=2.0, digits=4)[0], case["expected"])


def advantages_case(case: Case) -> None:
    left_out = ("name", "batch", "seq_len", "expected_advantages", "returns_equal_advantages")
    given = {name: value for name, value in case.items() if name not in left_out}
    # Equal scores leave float noise over epsilon in the released code; ours gives exactly 0.
    tolerance = 1e-3 if "all_same" in case["name"] else 1e-5
    same("advantages", official_token_advantages(**given), case["expected_advantages"], tolerance)


def outcome_case(case: Case) -> None:
    given = {name: value for name, value in case.items() if name != "expected_advantages"}
    same("advantages", official_outcome_advantages(**given), case["expected_advantages"], 1e-5)


def loss_case(case: Case) -> None:
    try:
        import torch

        from duologue.train._losses import KL, official_policy_loss
    except ModuleNotFoundError as error:
        raise Skip(f"{error.name} is not installed") from error
    given = {k: v for k, v in case.items() if k not in ("expected", "ref_log_prob")}
    expected = dict(case["expected"])
    divergences = expected.pop("kl_penalty", {})
    got = official_policy_loss(**given)._asdict()
    for name, value in expected.items():
        same(name, got[name], value, 1e-5)
    logp, reference = torch.tensor(case["log_prob"]), torch.tensor(case["ref_log_prob"])
    for name, value in divergences.items():
        rows: list[list[float]] = KL[name](logp, reference).tolist()  # pyright: ignore
        same(f"kl {name}", rows, value, 1e-5)


CHECKS = {
    "turn_credits": credits_case,
    "em_mapping": em_case,
    "group_advantages": advantages_case,
    "grpo_outcome": outcome_case,
    "policy_loss": loss_case,
}
