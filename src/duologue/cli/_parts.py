"""Commands about what runs are made of: models, environments, plans of faults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import show
from ._calls import print_result, read_settings, run_job
from ._options import ConfigFile, EnvName, Json, Loop, Overrides, Seed, TasksFile


def doctor(
    model: Annotated[str, typer.Argument(help="local:PATH, vllm:PATH or vllm:URL.")],
    turns: Annotated[int, typer.Option(help="How long a conversation must survive.")] = 8,
    idle_s: Annotated[
        float, typer.Option(help="How long a connection is left idle, in seconds.")
    ] = 6.0,
    config: ConfigFile = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Find out before training what is wrong with a model: its server, template, tokens, flags.

    Example: duologue doctor vllm:http://127.0.0.1:8000 -s vllm.tokenizer=models/tiny
    """
    from ..jobs._doctor import doctor as job

    settings = read_settings(config, {}, set_)
    found = run_job(lambda r: job(settings, model, turns=turns, idle_s=idle_s, reporter=r), loop)
    print_result(found, show.diagnosis, json)
    if not found.passed:
        raise SystemExit(1)


def env_list(json: Json = False) -> None:
    """The environments that are installed."""
    from ..envs import find, mixtures, names

    every = [*names(), *mixtures()]
    print_result([{"name": n, "summary": find(n).summary} for n in every], show.environments, json)


def env_show(name: str, json: Json = False) -> None:
    """One environment: its options, its scripted agents, and a task of its own."""
    from ..envs import find

    print_result(show.describe_environment(find(name)), show.environment, json)


def env_check(
    name: str,
    tasks: TasksFile = None,
    seed: Seed = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Prove that an environment keeps the rules: determinism, bounds, typed failures, no leaks.

    Example: duologue env check mygym:gym -s env.options.level=2
    """
    from ..jobs._check import check as job

    settings = read_settings(None, {"env.name": name, "env.tasks": tasks, "seed": seed}, set_)
    found = run_job(lambda r: job(settings, reporter=r), loop)
    print_result(found, show.conformance, json)
    if not found.passed:
        raise SystemExit(1)


def model_init(
    path: Annotated[Path, typer.Argument(help="The folder to make.")],
    config: ConfigFile = None,
    env: EnvName = None,
    seed: Seed = None,
    loop: Loop = "asyncio",
    json: Json = False,
    set_: Overrides = None,
) -> None:
    """Make a tiny Qwen3 with random weights and a tokenizer that knows the environment's words.

    Example: duologue model init tiny --env intention -s tiny.layers=4
    """
    from ..jobs._model import make_model as job

    settings = read_settings(config, {"env.name": env, "seed": seed}, set_)
    print_result(run_job(lambda r: job(settings, path, reporter=r), loop), show.made_model, json)


def faults_list(json: Json = False) -> None:
    """The faults that a plan can name, what each does and what must come of it."""
    from ..plans import injectable

    print_result(list(injectable()), show.faults, json)


def faults_show(
    plan: Annotated[str, typer.Argument(help="A plan that ships (storm), or a file.")],
    json: Json = False,
) -> None:
    """A plan, after a check that it can be run.

    Example: duologue faults show storm > mine.toml
    """
    from ..plans import PRESETS, preset, read_plan

    tree = read_plan(plan)
    text = preset(plan) if plan in PRESETS else Path(plan).read_text(encoding="utf-8")
    print_result(tree, lambda _: text.rstrip(), json)
