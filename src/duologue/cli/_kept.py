"""Commands about runs that are there: read them, hand them on, make them smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import show
from ._calls import print_result, run_job, run_now
from ._options import Json, Loop, RunArgument


def report(
    run: RunArgument,
    dialogues: Annotated[
        int, typer.Option(help="The most dialogues the page holds; 0 leaves its browser out.")
    ] = 20_000,
    json: Json = False,
) -> None:
    """Write a run's one-file HTML report: curves, scores, and its dialogues to browse."""
    from ..jobs._report import make_report

    print_result(make_report(run, dialogues=dialogues), lambda made: made.report, json)


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
    from ..jobs._replay import replay as job

    result = run_job(lambda r: job(run, dialogue, tape=tape, reporter=r), loop)
    print_result(result, show.replayed, json)
    if not result.equal:
        raise SystemExit(1)


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
    from ..jobs._export import export as job

    result = run_now(lambda r: job(run, out, format=format, phase=phase, reporter=r))
    print_result(result, show.exported, json)


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the run directories are.")
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """The runs in a directory, and what state each is in."""
    from ..jobs._runs import find_runs

    print_result(find_runs(folder), show.runs, json)


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
    from ..jobs._prune import prune as job

    result = run_job(
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
    print_result(result, show.pruned, json)
