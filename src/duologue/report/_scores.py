"""The table of scores, each with its interval drawn on one shared axis."""

from __future__ import annotations

from ._chart import whisker
from ._html import Markup, el
from ._numbers import figure, number, percent
from ._report import Interval, ScoreRow, ScoreTable
from ._scale import Axis, axis


def scores(table: ScoreTable) -> Markup:
    """One row a policy: reward and its interval, share of the expert, turns, dialogues."""
    known = [v for row in table.rows for v in map(number, row.reward) if v is not None]
    scale = axis(known, count=4)
    head = el(
        "tr",
        el("th", "Policy", scope="col"),
        el("th", el("span", "Drawn", class_="unseen"), _ticks(scale), scope="col", class_="drawn"),
        el("th", "Reward", scope="col"),
        el("th", "Of the expert", scope="col"),
        el("th", "Turns", scope="col"),
        el("th", el("abbr", "n", title="dialogues"), scope="col"),
    )
    body = (_row(row, scale) for row in table.rows)
    return el(
        "div",
        el("table", el("thead", head), el("tbody", *body), class_="scores"),
        el("p", table.note, class_="note") if table.note else None,
        class_="card",
    )


def _row(row: ScoreRow, scale: Axis) -> Markup:
    mean = number(row.reward.mean)
    ends = number(row.reward.low), number(row.reward.high)
    return el(
        "tr",
        el("th", row.name, scope="row"),
        el("td", None if mean is None else whisker(scale, mean, *ends), class_="drawn"),
        _cell(figure(mean), _range(row.reward, percentage=False)),
        _cell(
            percent(None if row.fraction is None else row.fraction.mean),
            "" if row.fraction is None else _range(row.fraction, percentage=True),
        ),
        el("td", figure(row.turns)),
        el("td", f"{row.n:,}"),
        class_="emphasis" if row.emphasis else None,
    )


def _cell(value: str, interval: str) -> Markup:
    return el("td", el("b", value), el("small", interval) if interval else None)


def _range(interval: Interval, *, percentage: bool) -> str:
    ends = number(interval.low), number(interval.high)
    if ends[0] is None or ends[1] is None:
        return ""
    low, high = (f"{100 * e:.1f}" if percentage else figure(e) for e in ends if e is not None)
    return f"{low} to {high}"


def _ticks(scale: Axis) -> Markup:
    spans = (
        el("span", scale.label(t), style=f"left:{100 * scale.place(t):.1f}%", class_="tick x")
        for t in scale.ticks
    )
    return el("div", *spans, class_="ruler", aria_hidden="true")
