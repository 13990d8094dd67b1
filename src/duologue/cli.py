"""The command line.

Results go to stdout (`--json`: one object), progress to stderr. Exit codes: 0 done, 1 it failed,
2 it was asked for in a way that cannot be, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Never, TypeVar, cast

import anyio
import msgspec
import typer

from . import show
from .config import Config, load_config
from .engine import DuologueError, UsageError, relaxed_collector
from .progress import Reporter, open_reporter

R = TypeVar("R")

_REFUSALS = {
    errno.ENOSPC: "free some space (`duologue prune RUN` helps), or use another disk",
    errno.EDQUOT: "free some of your quota (`duologue prune RUN` helps), or use another disk",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or use another disk",
    errno.EACCES: "ask for permission, or name another place",
    errno.EPERM: "ask for permission, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.EMFILE: "allow more open files (ulimit -n 4096)",
    errno.ENFILE: "the machine has no more open files to give; close something",
    errno.EIO: "the disk does not answer as it should; copy what you can and look at it",
}
"""What an operating system refuses whoever asks, and what to try. Any other `OSError` is a bug."""

_INTERRUPTED = "interrupted; what was durable is safe, and `duologue runs` shows what can go on"

app: typer.Typer = typer.Typer(
    name="duologue",
    help="Agent-user dialogues by the thousand, and a learner that trains on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
env_app: typer.Typer = typer.Typer(help="Environments: what there is, and what each one has.")
model_app: typer.Typer = typer.Typer(help="Model folders.")
faults_app: typer.Typer = typer.Typer(help="What can be made to go wrong, and plans of it.")
app.add_typer(env_app, name="env", no_args_is_help=True)
app.add_typer(model_app, name="model", no_args_is_help=True)
app.add_typer(faults_app, name="faults", no_args_is_help=True)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings in TOML; unknown keys are refused.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one setting: train.steps=50"),
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="The run directory; by default a new one in runs/.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Loop = Annotated[str, typer.Option(help="Which event loop runs: asyncio or trio.")]
EnvName = Annotated[str | None, typer.Option("--env", help="The environment (env.name).")]
ModelSpec = Annotated[
    str | None,
    typer.Option("--model", help="scripted:NAME, local:PATH, vllm:PATH|URL, openai:NAME."),
]
TasksFile = Annotated[
    Path | None,
    typer.Option("--tasks", help="Tasks in the environment's official layout (env.tasks)."),
]
Record = Annotated[
    Path | None,
    typer.Option("--record", help="Keep every model's answers in a new file (model.record)."),
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", help="Take the answers from such a file instead (model.replay)."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Serve Prometheus metrics at this port of the loopback; 0: any."
    ),
]
Faults = Annotated[
    str | None,
    typer.Option(
        "--faults", metavar="PLAN", help="Let things go wrong: a plan in TOML, or `storm` (faults)."
    ),
]
Seed = Annotated[int | None, typer.Option(help="The root of all randomness (seed).")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Equal runs give equal records and weights.")
]


@app.command()
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
    from .jobs._rollout import rollout as job

    given = {
        "env.name": env,
        "env.tasks": tasks,
        "model.spec": model,
        "rollout.samples": samples,
        "rollout.live": live,
        "seed": seed,
        "model.record": record,
        "model.replay": replay,
        "faults": _plan(faults),
        "deterministic": deterministic or None,
    }
    settings = _settings(config, given, set_)
    result = _run(
        lambda r: job(settings, count=count, run=run, reporter=r, metrics_port=metrics_port), loop
    )
    _print(result, show.rollout, json)


@app.command()
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
    from .jobs._learning import coldstart as job

    settings = _settings(config, {"env.name": env, "model.spec": model, "seed": seed}, set_)
    _print(_run(lambda r: job(settings, run=run, reporter=r), loop), show.coldstart, json)


@app.command()
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
    from .jobs._learning import resume as resume_job
    from .jobs._learning import train as job

    if resume:
        if run is None:
            raise UsageError("--resume needs --run DIR: which run is to go on?")
        told = (config, env, model, tasks, steps, deterministic, faults, set_)
        if any(told) or seed is not None:
            raise UsageError("--resume goes on with the run's own settings; give only --run")
        resumed = _run(lambda r: resume_job(run, reporter=r, metrics_port=metrics_port), loop)
        _print(resumed, show.trained, json)
        return
    given = {
        "env.name": env,
        "env.tasks": tasks,
        "model.spec": model,
        "train.steps": steps,
        "seed": seed,
        "faults": _plan(faults),
        "deterministic": deterministic or None,
    }
    settings = _settings(config, given, set_)
    trained = _run(lambda r: job(settings, run=run, reporter=r, metrics_port=metrics_port), loop)
    _print(trained, show.trained, json)


@app.command(name="eval")
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
    from .jobs._evaluate import evaluate_agents as job

    given = {
        "env.name": "+".join(env) if env else None,
        "env.tasks": tasks,
        "eval.tasks": count,
        "eval.samples": samples,
        "seed": seed,
        "model.record": record,
        "model.replay": replay,
        "faults": _plan(faults),
        "deterministic": deterministic or None,
    }
    settings = _settings(config, given, set_)
    specs = model or [settings.model.spec]
    _print(_run(lambda r: job(settings, specs, run=run, reporter=r), loop), show.scores, json)


@app.command()
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
    from .config import override_tree
    from .jobs._demo import demo as job
    from .jobs._demo import demo_config

    tree: dict[str, Any] = {"seed": seed, "deterministic": deterministic}
    if not cold_start:
        tree["coldstart"] = {"steps": 0}
    settings = demo_config(override_tree(tree, set_ or ()))
    _print(_run(lambda r: job(settings, run=run, reporter=r), loop), show.demo, json)


@app.command()
def report(
    run: RunArgument,
    dialogues: Annotated[
        int, typer.Option(help="The most dialogues the page holds; 0 leaves its browser out.")
    ] = 20_000,
    json: Json = False,
) -> None:
    """Write a run's one-file HTML report: curves, scores, and its dialogues to browse."""
    from .jobs._report import make_report

    _print(make_report(run, dialogues=dialogues), lambda made: made.report, json)


@app.command()
def replay(
    run: RunArgument,
    dialogue: Annotated[str, typer.Argument(help="GROUP/SAMPLE, or PHASE:GROUP/SAMPLE.")],
    tape: Annotated[
        Path | None,
        typer.Option("--replay", help="The models' recorded answers; by default the run's own."),
    ] = None,
    loop: Loop = "asyncio",
    json: Json = False,
) -> None:
    """Run one dialogue of a run again, print it, and say whether it came out the same.

    For scripted agents, local: models in deterministic mode, and any model with a recording. Exit
    code 1 when the dialogue differs from its record.

    Example: duologue replay runs/NAME eval/expert:3/0
    """
    from .jobs._replay import replay as job

    result = _run(lambda r: job(run, dialogue, tape=tape, reporter=r), loop)
    _print(result, show.replayed, json)
    if not result.equal:
        raise SystemExit(1)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[
        str, typer.Option(help="parquet or jsonl; by default the file's name says.")
    ] = "",
    phase: Annotated[str | None, typer.Option(help="Only this phase of the run.")] = None,
    json: Json = False,
) -> None:
    """Write a run's trajectories for other tools, one row each.

    Example: duologue export runs/NAME trajectories.parquet --phase train
    """
    from .jobs._export import export as job

    result = _now(lambda r: job(run, out, format=format, phase=phase, reporter=r))
    _print(result, show.exported, json)


@app.command()
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the run directories are.")
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """The runs in a directory, and what state each is in."""
    from .jobs._runs import find_runs

    _print(find_runs(folder), show.runs, json)


@app.command()
def prune(
    run: RunArgument,
    keep_phases: Annotated[
        list[str] | None,
        typer.Option(metavar="PHASE", help="Leave these phases' records alone."),
    ] = None,
    drop_phases: Annotated[
        list[str] | None,
        typer.Option(metavar="PHASE", help="Drop these phases' records too, results or not."),
    ] = None,
    older_than: Annotated[
        int, typer.Option(metavar="STEPS", help="Keep what the last STEPS steps trained on.")
    ] = 0,
    keep_checkpoints: Annotated[int, typer.Option(help="How many of the newest to keep.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    loop: Loop = "asyncio",
    json: Json = False,
) -> None:
    """Free the space that neither a resume nor a result of the run needs any more.

    Goes: the records (texts and tokens) of dialogues that training has consumed or the cold start
    has learned from, all but the newest checkpoint, and the sampler's weights. Every dialogue
    keeps its row: end, reward, turns, fate. What a resume needs always stays.

    Example: duologue prune runs/NAME --older-than 100 --dry-run
    """
    from .jobs._prune import prune as job

    result = _run(
        lambda r: job(
            run,
            keep_phases=keep_phases or (),
            drop_phases=drop_phases or (),
            older_than=older_than,
            keep_checkpoints=keep_checkpoints,
            dry_run=dry_run,
            reporter=r,
        ),
        loop,
    )
    _print(result, show.pruned, json)


@app.command()
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
    from .jobs._doctor import doctor as job

    settings = _settings(config, {}, set_)
    found = _run(lambda r: job(settings, model, turns=turns, idle_s=idle_s, reporter=r), loop)
    _print(found, show.diagnosis, json)
    if not found.passed:
        raise SystemExit(1)


@env_app.command("list")
def env_list(json: Json = False) -> None:
    """The environments that are installed."""
    from .envs import find, mixtures, names

    every = [*names(), *mixtures()]
    _print([{"name": n, "summary": find(n).summary} for n in every], show.environments, json)


@env_app.command("show")
def env_show(name: str, json: Json = False) -> None:
    """One environment: its options, its scripted agents, and a task of its own."""
    from .envs import find

    _print(show.describe_environment(find(name)), show.environment, json)


@env_app.command("check")
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
    from .jobs._check import check as job

    settings = _settings(None, {"env.name": name, "env.tasks": tasks, "seed": seed}, set_)
    found = _run(lambda r: job(settings, reporter=r), loop)
    _print(found, show.conformance, json)
    if not found.passed:
        raise SystemExit(1)


@model_app.command("init")
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
    from .jobs._model import make_model as job

    settings = _settings(config, {"env.name": env, "seed": seed}, set_)
    _print(_run(lambda r: job(settings, path, reporter=r), loop), show.made_model, json)


@faults_app.command("list")
def faults_list(json: Json = False) -> None:
    """The faults that a plan can name, what each does and what must come of it."""
    from .plans import injectable

    _print(list(injectable()), show.faults, json)


@faults_app.command("show")
def faults_show(
    plan: Annotated[str, typer.Argument(help="A plan that ships (storm), or a file.")],
    json: Json = False,
) -> None:
    """A plan, after a check that it can be run.

    Example: duologue faults show storm > mine.toml
    """
    from .plans import PRESETS, preset, read_plan

    tree = read_plan(plan)
    text = preset(plan) if plan in PRESETS else Path(plan).read_text(encoding="utf-8")
    _print(tree, lambda _: text.rstrip(), json)


def main() -> None:
    """Run the command line; what went wrong is one line on stderr and an exit code.

    A traceback means a bug of ours, so nothing is caught broadly: only our own errors, and what an
    operating system refuses whoever asks (no space, no permission, no more files).
    """
    # As `python -m` does: `--env mygym:gym` means the module in the folder one stands in.
    sys.path.insert(0, "")
    try:
        app()
    except (DuologueError, OSError, ExceptionGroup) as error:
        found = _expected(error)
        if not found:
            raise
        usage = all(isinstance(each, UsageError) for each in found)
        _fail(_explain(found[0], notes=getattr(error, "__notes__", ())), 2 if usage else 1)


def _expected(error: Exception) -> list[Exception]:
    """The errors in it, if every one of them is a message to a person and not a bug."""
    if isinstance(error, ExceptionGroup):
        inside = cast("ExceptionGroup[Exception]", error).exceptions
        each = [_expected(one) for one in inside]
        return [one for found in each for one in found] if all(each) else []
    refused = isinstance(error, OSError) and error.errno in _REFUSALS
    return [error] if refused or isinstance(error, DuologueError) else []


def _explain(error: Exception, notes: Iterable[str]) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror}; {_REFUSALS[error.errno]}"
    # Once each: a note stays on the error and on every group around it.
    return "; ".join(dict.fromkeys([text, *getattr(error, "__notes__", ()), *notes]))


def _settings(path: Path | None, given: dict[str, Any], overrides: list[str] | None) -> Config:
    """Settings from the file, the named options, then `--set`; the last word counts."""
    named = {key: value for key, value in given.items() if value is not None}
    return load_config(path, named, overrides or ())


def _plan(word: str | None) -> dict[str, Any] | None:
    if word is None:
        return None
    from .plans import read_plan

    return read_plan(word)


def _run(job: Callable[[Reporter], Awaitable[R]], loop: str) -> R:
    if loop not in ("asyncio", "trio"):
        raise UsageError(f"--loop is {loop!r}; it is 'asyncio' or 'trio'")
    fast = loop == "asyncio" and find_spec("uvloop") is not None

    async def work() -> R:
        with open_reporter() as reporter:
            return await job(reporter)

    try:
        with relaxed_collector():
            options = {"use_uvloop": True} if fast else {}
            return anyio.run(work, backend=loop, backend_options=options)
    except BaseExceptionGroup as group:
        # trio hands the interrupt over with whatever it met on its way out.
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        _fail(_INTERRUPTED, 130)
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, 130)


def _now(job: Callable[[Reporter], R]) -> R:
    """A job that needs no loop."""
    try:
        with open_reporter() as reporter:
            return job(reporter)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _print(result: R, as_text: Callable[[R], str], json: bool) -> None:
    if json:
        print(msgspec.json.encode(result).decode())
    else:
        print(as_text(result))


def _fail(message: str, code: int) -> Never:
    print(f"duologue: {message}", file=sys.stderr)
    raise SystemExit(code)
