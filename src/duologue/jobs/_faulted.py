"""A run on which things go wrong on plan: what is wrapped, what is written down, what came of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from msgspec import structs

from ..agents.models import Model
from ..agents.models._faulty import FaultyModel
from ..agents.models.limits._limits import Limits, LimitsConfig
from ..config import Config
from ..engine import MakeDialogue, Observer, RolloutConfig, Seed
from ..engine.faults import (
    FaultLedger,
    FaultReport,
    Faults,
    FaultyDialogues,
    Injection,
    make_store_faulty,
)
from ..envs import Gym
from ..envs._faulty import faulty_gym
from ..plans import KINDS, SITES
from ..rundir import Run

TRACE = "faults.jsonl"
"""One line for every fault that struck, in the run directory."""


class Faulting:
    """A run's plan at work. Without one everything is handed back as it came."""

    def __init__(self, config: Config, faults: Faults | None) -> None:
        self._config = config
        self._faults = faults
        self._ledger = None if faults is None else FaultLedger(faults)
        # Never in the way of more calls than there can be: what stands before the real server
        # bounds them.
        limits = LimitsConfig(concurrency=config.rollout.live * config.rollout.samples)
        self._limits = Limits("the model", limits, seed=Seed(config.seed).at("faults"))

    def gym(self, gym: Gym) -> Gym:
        return gym if self._faults is None else faulty_gym(gym, self._faults)

    def model(self, model: Model) -> Model:
        return model if self._faults is None else FaultyModel(model, self._faults, self._limits)

    def dialogues(
        self, make: MakeDialogue, phase: str
    ) -> tuple[MakeDialogue, tuple[Observer, ...]]:
        """How dialogues are made, and who must observe them."""
        if self._faults is None:
            return make, ()
        faulty = FaultyDialogues(make, self._faults, ledger=self._ledger, phase=phase)
        return faulty.make, (faulty,)

    def rollout(self, rollout: RolloutConfig) -> RolloutConfig:
        """The settings with the plan's deadline, where it is the shorter one."""
        planned = self._config.faults.deadline_s
        if self._faults is None or not planned:
            return rollout
        return structs.replace(rollout, deadline_s=min(planned, rollout.deadline_s))

    def report(self) -> FaultReport | None:
        return None if self._ledger is None else self._ledger.report()


@asynccontextmanager
async def open_faulting(
    config: Config, run: Run, *, resumed: bool = False
) -> AsyncGenerator[Faulting]:
    """The faults of `config`, for as long as the block lasts; its store and trace are `run`'s.

    resumed: leave the store alone. What strikes it is counted from the start of the process, so
             whatever ended the life before would end this one at the same transaction.

    Raises `UsageError` for a plan that cannot be.
    """
    if not config.faults.faults:
        yield Faulting(config, None)
        return
    with (run.path / TRACE).open("ab", buffering=0) as file:

        def trace(injection: Injection) -> None:
            # At once, because a fault may be the end of the process.
            file.write(msgspec.json.encode(injection) + b"\n")

        faults = Faults(config.faults, KINDS, sites=SITES, trace=trace)
        if not resumed:
            make_store_faulty(run.store, faults)
        yield Faulting(config, faults)
