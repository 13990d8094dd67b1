"""`duologue report`: what a run directory holds, as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ..engine import Reader, Trajectory, UsageError, open_reader
from ..report import (
    DIALOGUES,
    Headline,
    Interval,
    Level,
    Report,
    ScoreRow,
    ScoreTable,
    Sheet,
    write,
)
from ..show_paper import grids
from ..train._paper_scores import PaperTable
from ._browse import archive_run
from ._health import troubles

SCORES = "scores"
"""The metrics line that holds a run's score sheet."""

PAIRS = 4
"""Tasks whose dialogues are shown before and after."""

_SUMS = ("seconds", "seconds_step")
"""Times that other times add up to; stacked with them they would be counted twice."""

_RENAMED = {"clip_low": "clip_fraction_low", "clip_high": "clip_fraction_high"}


class ReportMade(Struct, frozen=True, kw_only=True):
    """Where the page is."""

    run: str
    report: str


def make_report(run: Path, *, dialogues: int = DIALOGUES) -> ReportMade:
    """Write `RUN/report.html` from the run's store, also while the run goes on.

    dialogues: how many the page may hold; 0 leaves its browser out. Of more, whole groups are left
    out evenly, and the page says so.
    """
    if dialogues < 0:
        raise UsageError(f"--dialogues is {dialogues}; it must not be negative")
    if not run.is_dir():
        raise UsageError(f"there is no run directory {run}")
    with open_reader(run / "run.db") as reader:
        reader.check()  # a page states results: none of it may be a flipped bit
        page = write(build(reader, run, dialogues), run / "report.html")
    return ReportMade(run=str(run), report=str(page))


def build(reader: Reader, run: Path, dialogues: int) -> Report:
    """The page's data."""
    name, config, facts = reader.run()
    sheets = reader.metrics(SCORES)
    sheet = sheets[-1] if sheets else None
    phases = reader.phases()
    before, after = _samples(reader, phases)
    curves = [
        {_RENAMED.get(key, key): value for key, value in row.items() if key not in _SUMS}
        for row in reader.curve("train")
    ]
    cold_start: list[dict[str, Any]] = [
        {key: row[key] for key in ("step", "loss", "grad_norm") if key in row}
        for row in reader.curve("coldstart")
    ]
    main = "train" if "train" in phases else phases[0] if phases else None
    return Report(
        title=f"Run {name}",
        subtitle=f"duologue {facts['command']}" if "command" in facts else "",
        facts=[
            *((name, value) for name, value in facts.items() if name != "command"),
            ("trajectories", f"{reader.count():,}"),
        ],
        headlines=_headlines(sheet) if sheet else [],
        warnings=troubles(run),
        table=_table(sheet) if sheet else None,
        sheets=_sheets(sheet) if sheet else [],
        curves=curves,
        levels=_levels(sheet) if sheet and curves else [],
        cold_start=cold_start,
        fates=reader.fates(main),
        ends=reader.ends(main),
        before=before,
        after=after,
        archive=archive_run(reader, run, dialogues) if dialogues and phases else None,
        before_label="Cold start",
        after_label="Trained",
        config=config,
    )


def _samples(reader: Reader, phases: list[str]) -> tuple[list[Trajectory], list[Trajectory]]:
    def first(phase: str) -> list[Trajectory]:
        if phase not in phases:
            return []
        stored = reader.trajectories(phase)
        return [s.trajectory for _, s in zip(range(PAIRS), stored, strict=False)]

    before, after = first("eval/cold-start"), first("eval/trained")
    return (before, after) if before and after else ([], [])


def _table(sheet: Mapping[str, Any]) -> ScoreTable:
    rows = [
        ScoreRow(
            name=score["agent"],
            reward=_interval(score["reward"]),
            fraction=_interval(score["fraction"]) if score["fraction"] else None,
            turns=score["turns"],
            n=score["dialogues"],
            emphasis=score["agent"] == "trained",
        )
        for score in sheet["scores"]
    ]
    note = (
        f"{sheet['tasks']} held-out tasks, {sheet['samples']} dialogue(s) each; "
        "95 % bootstrap intervals over tasks."
    )
    return ScoreTable(rows=rows, note=note)


def _sheets(sheet: Mapping[str, Any]) -> list[Sheet]:
    """The paper's table; a run of an earlier version has none."""
    if "paper" not in sheet:
        return []
    titles = ("Each gym by its own metric", "Beside the published rows")
    found = grids(msgspec.convert(sheet["paper"], PaperTable))
    return [
        Sheet(title, grid.head, grid.rows, " ".join(grid.notes))
        for title, grid in zip(titles, found, strict=False)
    ]


def _levels(sheet: Mapping[str, Any]) -> list[Level]:
    shown = ("expert", "random-topic", "cold-start")
    means = {score["agent"]: score["reward"]["mean"] for score in sheet["scores"]}
    return [Level(name, means[name]) for name in shown if name in means]


def _headlines(sheet: Mapping[str, Any]) -> list[Headline]:
    fractions = {s["agent"]: s["fraction"]["mean"] for s in sheet["scores"] if s["fraction"]}
    lines: list[Headline] = []
    if "trained" in fractions:
        cold = fractions.get("cold-start")
        note = "" if cold is None else f"cold start: {cold:.0%}"
        lines.append(Headline("of the expert's reward", f"{fractions['trained']:.0%}", note))
        if cold:
            lines.append(Headline("times the cold start", f"{fractions['trained'] / cold:.2f}"))
    return lines


def _interval(data: Mapping[str, float]) -> Interval:
    return Interval(*(data.get(key, math.nan) for key in ("mean", "low", "high")))
