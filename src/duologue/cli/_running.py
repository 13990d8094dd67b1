"""Commands that run dialogues and learn from them: each opens a run, or goes on with one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .. import show
from ..engine import UsageError
from ._calls import fault_plan, print_result, read_settings, run_job
from ._options import (
    ConfigFile,
    Deterministic,
    EnvName,
    Faults,
    Json,
    Loop,
    MetricsPort,
    ModelSpec,
    Overrides,
    Record,
    Replay,
    RunFolder,
    Seed,
    TasksFile,
)


def rollout(
    config: ConfigFile = None,
    env: EnvName = None,
    model: ModelSpec = None,
    tasks: TasksFile = None,
    count: Annotated[int | None, typer.Option(help="How many tasks.")] = None,
    samples: Annotated[int | None, typer.Option(help="Dialogues per task.")] = None,
    live: Annotated[int | None, typer.Option(help="Dialogues alive at once.")] = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    record: Record = None,
    replay: Replay = None,
    faults: Faults = None,
    run: RunFolder = None,
    metrics_port: MetricsPort = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Run dialogues and store every one of them.

    Example: duologue rollout --env intention --model scripted:expert --count 10000 --live 10000
    """
    from ..jobs._rollout import rollout as job

    given = {
        "env.name": env,
        "env.tasks": tasks,
        "model.spec": model,
        "rollout.samples": samples,
        "rollout.live": live,
        "seed": seed,
        "model.record": record,
        "model.replay": replay,
        "faults": fault_plan(faults),
        "deterministic": deterministic or None,
    }
    settings = read_settings(config, given, set_)
    result = run_job(
        lambda r: job(settings, count=count, run=run, reporter=r, metrics_port=metrics_port), loop
    )
    print_result(result, show.rollout, json)


def sft(
    config: ConfigFile = None,
    env: EnvName = None,
    model: ModelSpec = None,
    seed: Seed = None,
    run: RunFolder = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Cold start: learn from scripted dialogues, on the agent's tokens only.

    Example: duologue sft --model local:tiny -s coldstart.steps=800
    """
    from ..jobs._learning import coldstart as job

    settings = read_settings(config, {"env.name": env, "model.spec": model, "seed": seed}, set_)
    print_result(run_job(lambda r: job(settings, run=run, reporter=r), loop), show.coldstart, json)


def train(
    config: ConfigFile = None,
    env: EnvName = None,
    model: ModelSpec = None,
    tasks: TasksFile = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps (train.steps).")] = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    faults: Faults = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --run, as it was set up.")
    ] = False,
    run: RunFolder = None,
    metrics_port: MetricsPort = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Improve a policy on the environment's rewards with GRPO.

    Example: duologue train --model local:runs/NAME/models/coldstart -s train.schedule.peak=1e-3
    """
    from ..jobs._learning import resume as resume_job
    from ..jobs._learning import train as job

    if resume:
        if run is None:
            raise UsageError("--resume needs --run DIR: which run is to go on?")
        told = (config, env, model, tasks, steps, deterministic, faults, set_)
        if any(told) or seed is not None:
            raise UsageError("--resume goes on with the run's own settings; give only --run")
        resumed = run_job(lambda r: resume_job(run, reporter=r, metrics_port=metrics_port), loop)
        print_result(resumed, show.trained, json)
        return
    given = {
        "env.name": env,
        "env.tasks": tasks,
        "model.spec": model,
        "train.steps": steps,
        "seed": seed,
        "faults": fault_plan(faults),
        "deterministic": deterministic or None,
    }
    settings = read_settings(config, given, set_)
    trained = run_job(lambda r: job(settings, run=run, reporter=r, metrics_port=metrics_port), loop)
    print_result(trained, show.trained, json)


def evaluate(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Agents to measure; give it several times to compare."),
    ] = None,
    config: ConfigFile = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="The environment (env.name); several are measured one by one."),
    ] = None,
    tasks: TasksFile = None,
    count: Annotated[
        int | None, typer.Option(help="Held-out tasks, of each environment (eval.tasks).")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Dialogues per task (eval.samples).")] = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    record: Record = None,
    replay: Replay = None,
    faults: Faults = None,
    run: RunFolder = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Measure agents on the same held-out tasks, with intervals: as fractions of the expert, and
    by the metrics of UserRL's paper beside its published rows.

    Example: duologue eval --model scripted:random-topic --model local:runs/NAME/models/trained
    """
    from ..jobs._evaluate import evaluate_agents as job

    given = {
        "env.name": "+".join(env) if env else None,
        "env.tasks": tasks,
        "eval.tasks": count,
        "eval.samples": samples,
        "seed": seed,
        "model.record": record,
        "model.replay": replay,
        "faults": fault_plan(faults),
        "deterministic": deterministic or None,
    }
    settings = read_settings(config, given, set_)
    specs = model or [settings.model.spec]
    print_result(
        run_job(lambda r: job(settings, specs, run=run, reporter=r), loop), show.scores, json
    )


def demo(
    seed: Annotated[int, typer.Option(help="The root of all randomness.")] = 0,
    cold_start: Annotated[
        bool, typer.Option(help="Without it, training starts from random weights.")
    ] = True,
    deterministic: Deterministic = False,
    run: RunFolder = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """From a task to a better policy in a few minutes: make, cold-start, train, compare, report."""
    from ..config import override_tree
    from ..jobs._demo import demo as job
    from ..jobs._demo import demo_config

    tree: dict[str, Any] = {"seed": seed, "deterministic": deterministic}
    if not cold_start:
        tree["coldstart"] = {"steps": 0}
    settings = demo_config(override_tree(tree, set_ or ()))
    print_result(run_job(lambda r: job(settings, run=run, reporter=r), loop), show.demo, json)
