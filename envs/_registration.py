"""Our environments' names in Gymnasium's registry."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..agents.models._extras import extra

REGISTERED = {
    "duologue/Function-v0": "function",
    "duologue/Intention-v0": "intention",
    "duologue/Persuade-v0": "persuade",
    "duologue/Search-v0": "search",
    "duologue/Tau-v0": "tau",
    "duologue/Telepathy-v0": "telepathy",
    "duologue/Travel-v0": "travel",
    "duologue/Turtle-v0": "turtle",
}


def register_gymnasium() -> None:
    """Make `gymnasium.make("duologue/Function-v0")` and `duologue/Intention-v0` work.

    May be called again. Raises `UsageError` when Gymnasium is not installed.
    """
    with extra("gym"):
        registration: Any = import_module("gymnasium.envs.registration")
    for name, env in REGISTERED.items():
        if name not in registration.registry:
            registration.register(
                name, entry_point="duologue.envs._gymnasium:make_env", kwargs={"name": env}
            )
