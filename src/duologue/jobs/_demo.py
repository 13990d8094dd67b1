"""`duologue demo`: from a task to a better policy, with everything embedded.

Scripted dialogues -> a tiny model -> cold start -> GRPO against the rule-based user -> the same
held-out tasks before and after -> a table and a page.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread
from msgspec import Struct

from ..config import Config, merge, read_toml, resolve
from ..engine import UsageError
from ..envs import Gym, find, scripted_agent
from ..plans import refuse_faults
from ..progress import Reporter
from ..rundir import Run, open_run
from ..seats import Sampler, policy_agent, refuse_tape
from ..train import Evaluation
from ..voices import parties
from ._evaluate import ScoreSheet, held_out, measure, score
from ._health import open_health
from ._learning import (
    OwnTokens,
    improve,
    lead_dialogues,
    learn_dialogues,
    serve,
    trained_tasks,
)
from ._model import init_folder
from ._report import SCORES, make_report
from ._tasks import shared_tasks

BASELINES = ("expert", "random-topic", "fixed-order")


class DemoResult(Struct, frozen=True, kw_only=True):
    """The demo's table, and what it is worth knowing beside it.

    shared_tasks: held-out tasks that were also trained on, by content; 0 or the numbers lie.
    own:          how well the sampler's log-probabilities agree with the learner's.
    """

    run: str
    report: str
    sheet: ScoreSheet
    shared_tasks: int
    trained_tasks: int
    parameters: int
    own: OwnTokens
    seconds: dict[str, float]


def demo_config(overrides: dict[str, Any]) -> Config:
    """The embedded settings with `overrides` on top."""
    path = Path(str(files("duologue.jobs") / "demo.toml"))
    return resolve(merge(read_toml(path), overrides), "the demo's settings")


async def demo(config: Config, *, run: Path | None, reporter: Reporter) -> DemoResult:
    """The whole path. With `coldstart.steps = 0` training starts from random weights."""
    refuse_tape(config)
    refuse_faults(config)
    if "://" in config.model.spec:
        raise UsageError(
            f"the demo makes its own model, so {config.model.spec!r} cannot serve it; "
            "write --set model.spec=vllm: for a server of its own"
        )
    if parties(config):
        raise UsageError("the demo's user is rule-based; leave user.spec and judge.spec empty")
    gym = find(config.env.name)
    missing = [name for name in BASELINES if name not in gym.scripts]
    if missing:
        raise UsageError(f"environment {gym.name!r} lacks the baseline {missing[0]!r}")
    clock = _Clock()
    async with open_run(run, "demo", config) as opened, open_health(opened, reporter):
        dialogues = await lead_dialogues(opened, gym, reporter)
        tiny = init_folder(config, opened.model("init"), dialogues)
        reporter.say(f"made a model of {tiny.parameters:,} parameters, {tiny.vocab} tokens")
        clock.lap("prepare")
        started = opened.model("init")
        if config.coldstart.steps:
            started = opened.model("coldstart")
            await learn_dialogues(opened, dialogues, opened.model("init"), started, reporter)
        clock.lap("cold start")
        tasks = held_out(opened, gym)
        evaluations = [
            await measure(opened, gym, name, scripted_agent(gym, name), tasks, reporter)
            for name in BASELINES
        ]
        async with serve(opened, started, reporter) as sampler:
            evaluations.append(await _measure(opened, gym, "cold-start", sampler, reporter))
            clock.lap("evaluate before")
            target = opened.model("trained")
            policy = await improve(opened, gym, started, sampler, target, reporter)
            clock.lap("train")
            evaluations.append(await _measure(opened, gym, "trained", sampler, reporter))
        sheet = await to_thread.run_sync(score, opened, evaluations, tasks)
        await opened.store.add_metrics(SCORES, 0, msgspec.to_builtins(sheet))
        met = config.coldstart.dialogues, config.train.steps * config.train.groups_per_step
        trained_on = [
            *trained_tasks(opened, gym, "coldstart", met[0]),
            *trained_tasks(opened, gym, "train", met[1]),
        ]
        shared = shared_tasks(trained_on, tasks)
        clock.lap("evaluate after")
        report = make_report(opened.path)
    return DemoResult(
        run=str(opened.path),
        report=report.report,
        sheet=sheet,
        shared_tasks=shared,
        trained_tasks=len(trained_on),
        parameters=tiny.parameters,
        own=policy.own,
        seconds=clock.laps,
    )


async def _measure(
    run: Run, gym: Gym, name: str, sampler: Sampler, reporter: Reporter
) -> Evaluation:
    """What the sampler's weights of the moment are worth."""
    agent = policy_agent(*sampler, run.config, temperature=run.config.eval.temperature)
    return await measure(run, gym, name, agent, held_out(run, gym), reporter)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 1)
        self._last = now
