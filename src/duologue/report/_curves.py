"""Which metrics make which chart, and in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._chart import area_chart, line_chart
from ._html import Markup, el
from ._numbers import number, plural
from ._report import Evaluation, Report
from ._series import Rows, read


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    unit: str
    lines: Mapping[str, str]
    """Metric to its name in the legend."""
    zero: bool = True


_REWARD = _Panel("Reward", "per dialogue", {"reward": "training reward"}, zero=False)
_PANELS = (
    _Panel("Turns", "per dialogue", {"turns": "turns"}, zero=False),
    _Panel("Length", "tokens per dialogue", {"length": "tokens"}, zero=False),
    _Panel("Staleness", "versions", {"staleness_mean": "mean", "staleness_max": "max"}),
    _Panel("Entropy", "nats per token", {"entropy": "entropy"}),
    _Panel(
        "Clipped",
        "share of tokens",
        {"clip_fraction_low": "below the range", "clip_fraction_high": "above the range"},
    ),
    _Panel("Gradient norm", "", {"grad_norm": "norm"}),
)
_SECONDS = "seconds_"
_PARTS = ("sample", "wait", "learn", "push")


def training(report: Report) -> list[Markup]:
    """The charts of the training run, reward first; empty when nothing was logged."""
    rows = read(report.curves)
    charts = [_reward(rows, report), *(_chart(rows, panel) for panel in _PANELS), _time(rows)]
    return [chart for chart in charts if chart is not None]


def cold_start(report: Report) -> list[Markup]:
    """The loss of the cold start, and whatever was logged beside it."""
    rows = read(report.cold_start)
    keys = sorted(rows.metrics(), key=lambda key: (key != "loss", key))
    panels = [
        _Panel(_title(key), "nats per token" if key == "loss" else "", {key: key}, zero=False)
        for key in keys
    ]
    return [chart for panel in panels if (chart := _chart(rows, panel)) is not None]


def others(report: Report) -> Markup | None:
    """Metrics that no chart above claims: folded away, but never dropped."""
    rows = read(report.curves)
    claimed = {key for panel in (_REWARD, *_PANELS) for key in panel.lines}
    keys = [key for key in rows.metrics() if key not in claimed and not key.startswith(_SECONDS)]
    if not keys:
        return None
    charts = (_chart(rows, _Panel(_title(key), "", {key: key}, zero=False)) for key in keys)
    return el(
        "details",
        el("summary", plural(len(keys), "other metric")),
        el("div", *charts, class_="charts"),
        class_="fold",
    )


def _chart(rows: Rows, panel: _Panel) -> Markup | None:
    found = (rows.series(key, name) for key, name in panel.lines.items())
    lines = [series for series in found if series is not None]
    return line_chart(panel.title, panel.unit, lines, zero=panel.zero) if lines else None


def _reward(rows: Rows, report: Report) -> Markup | None:
    line = rows.series("reward", _REWARD.lines["reward"])
    evaluations = [e for e in map(_whole, report.evaluations) if e is not None]
    if line is None and not evaluations:
        return None
    levels = [level for level in report.levels if number(level.value) is not None]
    return line_chart(
        _REWARD.title,
        _REWARD.unit,
        [] if line is None else [line],
        evaluations=sorted(evaluations),
        levels=levels,
    )


def _whole(evaluation: Evaluation) -> Evaluation | None:
    """The evaluation with an interval that can be drawn: an unknown end is drawn at the mean."""
    mean, low, high = map(number, evaluation[1:])
    if mean is None:
        return None
    return Evaluation(
        evaluation.step, mean, mean if low is None else low, mean if high is None else high
    )


def _time(rows: Rows) -> Markup | None:
    """Seconds of each step by what they were spent on: the known parts first, then any other."""
    parts = [key.removeprefix(_SECONDS) for key in rows.metrics() if key.startswith(_SECONDS)]
    order: Sequence[str] = [p for p in _PARTS if p in parts] + [p for p in parts if p not in _PARTS]
    found = (rows.series(_SECONDS + part, part) for part in order)
    layers = [series for series in found if series is not None]
    return area_chart("Time", "seconds per step", layers) if layers else None


def _title(key: str) -> str:
    words = key.replace("_", " ").replace("/", " / ")
    return words[:1].upper() + words[1:]
