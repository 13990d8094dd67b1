"""The options that several commands share, with what `--help` says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
