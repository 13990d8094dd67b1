"""Plans of faults as people name them: a file of their own, or one that ships."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from .agents.models._faulty import MODEL_KINDS
from .config import Config, parse_toml, read_toml, resolve
from .engine import UsageError
from .engine.faults import ENGINE_KINDS, FaultPlan, Faults, Kind, Site
from .envs._faulty import ENV_KINDS

PRESETS = ("storm",)

KINDS: tuple[Kind, ...] = (*MODEL_KINDS, *ENV_KINDS, *ENGINE_KINDS)

SITES = (Site.MODEL, Site.ENVIRONMENT, Site.MESSAGE, Site.PARTY, Site.STORE)
"""What a rollout, an evaluation or a training run has that can be struck."""


def read_plan(word: str) -> dict[str, Any]:
    """The plan called `word`, or in the file of that name, as a plain tree that can be run.

    Raises `UsageError` that names the file, the key or the fault that cannot be.
    """
    tree = parse_toml(preset(word), word) if word in PRESETS else _read_file(word)
    plan = resolve({"faults": tree}, word).faults
    check_plan(plan, word)
    return tree


def check_plan(plan: FaultPlan, source: str = "faults") -> None:
    """Raise `UsageError` for a plan with a fault that cannot strike in a run."""
    try:
        Faults(plan, KINDS, sites=SITES)
    except UsageError as error:
        raise UsageError(f"{source}: {error}; `duologue faults list` describes each") from None


def check_training_plan(plan: FaultPlan) -> None:
    """Raise `UsageError` for a plan with a fault that cannot strike where a policy is trained."""
    check_plan(plan)
    if any(fault.kind == "weights_swapped" for fault in plan.faults):
        # It puts a version on record that sampled nothing, and may not even exist yet.
        raise UsageError(
            "faults: 'weights_swapped' pretends that the weights change in mid-answer, which in "
            "training they do; take it out of the plan"
        )


def refuse_faults(config: Config) -> None:
    """Raise `UsageError` where nothing goes wrong on plan although the settings say so."""
    if config.faults.faults:
        raise UsageError(
            "faults are for `rollout`, `eval` and `train`; take them out of the settings"
        )


def preset(name: str) -> str:
    """The TOML of a plan that ships, comments and all."""
    return files("duologue.jobs").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def injectable() -> Iterable[Kind]:
    """The kinds that a run's plan can name; the others are for programs and tests of one's own."""
    return (k for k in KINDS if set(SITES).intersection(k.sites) and k.name != "clock_jump")


def _read_file(word: str) -> dict[str, Any]:
    path = Path(word)
    if not path.exists():
        raise UsageError(
            f"no plan of faults is called {word!r}, and there is no such file; "
            f"there is: {', '.join(PRESETS)}"
        )
    return read_toml(path)
