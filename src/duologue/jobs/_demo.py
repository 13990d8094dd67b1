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
from msgspec import Struct

from ..config import Config, merge, read_toml, resolve
from ..engine import UsageError
from ..envs import find, scripted_agent
from ..progress import Reporter
from ..rundir import Run, open_run
from ..seats import open_sampler, policy_agent, refuse_tape, sampler_spec
from ..train import Evaluation
from ._evaluate import ScoreSheet, held_out, measure, score
from ._learning import improve, lead_dialogues, learn_dialogues, trained_tasks
from ._model import init_folder
from ._report import SCORES, make_report
from ._tasks import shared_tasks

BASELINES = ("expert", "random-topic", "fixed-order")


class DemoResult(Struct, frozen=True, kw_only=True):
    """The demo's table, and what it is worth knowing beside it.

    shared_tasks: held-out tasks that were also trained on, by content; 0 or the numbers lie.
    """

    run: str
    report: str
    sheet: ScoreSheet
    shared_tasks: int
    trained_tasks: int
    parameters: int
    seconds: dict[str, float]


def demo_config(overrides: dict[str, Any]) -> Config:
    """The embedded settings with `overrides` on top."""
    path = Path(str(files("duologue.jobs") / "demo.toml"))
    return resolve(merge(read_toml(path), overrides), "the demo's settings")


async def demo(config: Config, *, run: Path | None, reporter: Reporter) -> DemoResult:
    """The whole path. With `coldstart.steps = 0` training starts from random weights."""
    refuse_tape(config)
    gym = find(config.env.name)
    missing = [name for name in BASELINES if name not in gym.scripts]
    if missing:
        raise UsageError(f"environment {gym.name!r} lacks the baseline {missing[0]!r}")
    clock = _Clock()
    async with open_run(run, "demo", config) as opened:
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
        evaluations.append(await _measure_model(opened, "cold-start", started, reporter))
        clock.lap("evaluate before")
        await improve(opened, gym, started, opened.model("trained"), reporter)
        clock.lap("train")
        trained = opened.model("trained")
        evaluations.append(await _measure_model(opened, "trained", trained, reporter))
        sheet = score(opened, evaluations, tasks)
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
        seconds=clock.laps,
    )


async def _measure_model(run: Run, name: str, folder: Path, reporter: Reporter) -> Evaluation:
    gym = find(run.config.env.name)
    async with open_sampler(
        sampler_spec(folder, run.config), run.config, log=run.vllm_log, say=reporter.say
    ) as (model, chat):
        agent = policy_agent(model, chat, run.config, temperature=run.config.eval.temperature)
        return await measure(run, gym, name, agent, held_out(run, gym), reporter)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 1)
        self._last = now
