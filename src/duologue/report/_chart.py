"""Charts as inline SVG: lines with their noise, and stacked areas.

The drawing stretches with its card (`preserveAspectRatio="none"`, strokes that do not scale), and
every word stands outside it in HTML, so text keeps its size from a phone to a wide screen. A point
is a line of no length with a round cap: the one dot that stretching leaves round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ._html import Markup, data_block, el, join
from ._numbers import ARROW, figure
from ._report import Evaluation, Level
from ._scale import Axis, axis, step_axis
from ._series import Point, Series, smoothed, smoothing_radius, thinned

_WIDTH, _HEIGHT = 1000.0, 400.0
_READ_OUTS = 1000
_TONES = 8


@dataclass(frozen=True, slots=True)
class _Frame:
    x: Axis
    y: Axis

    def at(self, step: float, value: float) -> str:
        x = self.x.place(step) * _WIDTH
        y = (1.0 - self.y.place(value)) * _HEIGHT
        return f"{_short(x)} {_short(y)}"


def line_chart(
    title: str,
    unit: str,
    lines: Sequence[Series],
    *,
    evaluations: Sequence[Evaluation] = (),
    levels: Sequence[Level] = (),
    zero: bool = False,
) -> Markup:
    """Each series as a light line, with a bold smoothed one over it where it is long enough.

    `evaluations` are dots with error bars, `levels` dashed lines across; `zero` puts 0 on the axis.
    """
    spread = [v for e in evaluations for v in (e.mean, e.low, e.high)]
    known = [v for line in lines for v in line.known] + spread + [level.value for level in levels]
    steps = {s for line in lines for s in line.steps} | {float(e.step) for e in evaluations}
    frame = _Frame(step_axis(steps), axis(known, zero=zero))

    radii = [smoothing_radius(line) for line in lines]
    trends = [smoothed(s, r) if r else s for s, r in zip(lines, radii, strict=True)]
    drawing = [_level(frame, level) for level in levels]
    for tone, (line, trend) in enumerate(zip(lines, trends, strict=True)):
        if trend is not line:
            drawing.append(_line(frame, line, f"raw tone-{tone % _TONES}"))
        drawing.append(_line(frame, trend, f"trend tone-{tone % _TONES}"))
    drawing += [_evaluation(frame, evaluation) for evaluation in evaluations]

    legend = [_key(f"trend tone-{i % _TONES}", s.name) for i, s in enumerate(lines)]
    if evaluations:
        legend.append(_key("evaluation", "evaluation, with interval"))
    legend += [_key("level", f"{level.name} {figure(level.value)}") for level in levels]
    radius = max(radii, default=0)
    return _figure(
        title,
        unit,
        frame,
        drawing,
        lines,
        journey=_journey(trends[0]) if len(lines) == 1 else "",
        legend=legend if len(legend) > 1 else [],
        note=f"Light: each step. Bold: mean over {2 * radius + 1} steps." if radius else "",
        evaluations=evaluations,
    )


def area_chart(title: str, unit: str, layers: Sequence[Series]) -> Markup:
    """The layers on top of each other, the first at the bottom; all must share their steps.

    A layer without a value at some step counts as nothing there; a step where no layer has a value
    is a gap. Long ones are smoothed: the teeth of one layer would saw through all those above it.
    """
    steps = layers[0].steps
    present = [any(layer.values[i] is not None for layer in layers) for i in range(len(steps))]
    solid = [_filled(layer, present) for layer in layers]
    radius = max(map(smoothing_radius, solid))
    if radius:
        solid = [smoothed(layer, radius) for layer in solid]
    floor = [0.0] * len(steps)
    tops: list[list[float]] = []
    for layer in solid:
        floor = [low + (value or 0.0) for low, value in zip(floor, layer.values, strict=True)]
        tops.append(floor)
    frame = _Frame(step_axis(steps), axis((v for top in tops for v in top), zero=True))

    drawing: list[Markup] = []
    below = [0.0] * len(steps)
    for tone, top in enumerate(tops):
        shapes = [_band(frame, steps, below, top, start, end) for start, end in _stretches(present)]
        drawing.append(el("path", class_=f"area tone-{tone % _TONES}", d="".join(shapes)))
        below = top
    # Read from the top down, as the layers lie.
    legend = [_key(f"area tone-{i % _TONES}", s.name) for i, s in enumerate(layers)][::-1]
    note = f"Mean over {2 * radius + 1} steps." if radius else ""
    return _figure(title, unit, frame, drawing, layers, legend=legend, note=note, kind="areas")


def whisker(scale: Axis, mean: float, low: float | None, high: float | None) -> Markup:
    """A mean and its interval on a shared horizontal axis, as one table cell's drawing."""
    x = _short(scale.place(mean) * _WIDTH)
    bar = None
    if low is not None and high is not None:
        ends = [_short(scale.place(end) * _WIDTH) for end in (low, high)]
        bar = el("path", class_="bar", d=f"M{ends[0]} 50H{ends[1]}")
    grid = join(
        el("path", class_="grid", d=f"M{_short(scale.place(t) * _WIDTH)} 0V100")
        for t in scale.ticks
    )
    dot = el("path", class_="dot", d=f"M{x} 50h0")
    return _svg(grid, bar, dot, box="0 0 1000 100", aria_hidden="true")


def _figure(
    title: str,
    unit: str,
    frame: _Frame,
    drawing: Sequence[Markup],
    series: Sequence[Series],
    *,
    legend: Sequence[Markup],
    journey: str = "",
    note: str = "",
    evaluations: Sequence[Evaluation] = (),
    kind: str = "lines",
) -> Markup:
    grid = [
        el("path", class_="grid", d=f"M0 {_short((1 - frame.y.place(t)) * _HEIGHT)}H{_WIDTH:.0f}")
        for t in frame.y.ticks
    ]
    plot = el(
        "div",
        _svg(*grid, *drawing, role="img", aria_label=_spoken(title, unit, series)),
        *(
            el(
                "span",
                frame.y.label(t),
                class_="tick y",
                style=f"top:{_short(100 * (1 - frame.y.place(t)))}%",
                aria_hidden="true",
            )
            for t in frame.y.ticks
        ),
        *(
            el(
                "span",
                frame.x.label(t),
                class_="tick x",
                style=f"left:{_short(100 * frame.x.place(t))}%",
                aria_hidden="true",
            )
            for t in frame.x.ticks
        ),
        el("span", "step", class_="tick name", aria_hidden="true"),
        class_="plot",
    )
    return el(
        "figure",
        el(
            "figcaption",
            el("h3", title),
            el("span", unit, class_="unit") if unit else None,
            el("span", journey, class_="journey") if journey else None,
        ),
        el("ul", *legend, class_="legend") if legend else None,
        plot,
        el("p", note, class_="note") if note else None,
        _read_outs(frame, series, evaluations),
        class_=f"card chart {kind}",
    )


def _svg(
    *children: str | None, box: str = f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}", **attributes: str
) -> Markup:
    return el("svg", *children, viewBox=box, preserveAspectRatio="none", **attributes)


def _line(frame: _Frame, series: Series, class_: str) -> Markup:
    parts: list[str] = []
    for run in series.runs():
        first, *rest = (frame.at(*point) for point in thinned(run))
        parts.append(f"M{first}" + ("L" + " ".join(rest) if rest else "h0"))
    return el("path", class_=class_, d="".join(parts))


def _level(frame: _Frame, level: Level) -> Markup:
    return el("path", class_="level", d=f"M{frame.at(frame.x.low, level.value)}H{_WIDTH:.0f}")


def _evaluation(frame: _Frame, evaluation: Evaluation) -> Markup:
    step, mean, low, high = evaluation
    bar = f"M{frame.at(step, low)}L{frame.at(step, high)}"
    dot = f"M{frame.at(step, mean)}h0"
    return el(
        "g",
        el("title", f"Step {step}: {_interval(evaluation)}"),
        el("path", class_="bar", d=bar),
        el("path", class_="halo", d=dot),
        el("path", class_="dot", d=dot),
        class_="evaluation",
    )


def _band(
    frame: _Frame,
    steps: Sequence[float],
    below: Sequence[float],
    top: Sequence[float],
    start: int,
    end: int,
) -> str:
    """The closed outline between two curves over steps[start:end]; a lone step is given width."""
    upper: list[Point] = [(steps[i], top[i]) for i in range(start, end)]
    lower: list[Point] = [(steps[i], below[i]) for i in range(start, end)]
    if end - start == 1:
        reach = min((b - a for a, b in pairwise(steps)), default=1.0) * 0.4
        upper, lower = _widened(upper[0], reach), _widened(lower[0], reach)
    outline = [*thinned(upper), *reversed(thinned(lower))]
    return "M" + "L".join(frame.at(*point) for point in outline) + "Z"


def _widened(point: Point, reach: float) -> list[Point]:
    return [(point[0] - reach, point[1]), (point[0] + reach, point[1])]


def _filled(layer: Series, present: Sequence[bool]) -> Series:
    values = zip(layer.values, present, strict=True)
    solid = tuple((value or 0.0) if there else None for value, there in values)
    return Series(layer.name, layer.steps, solid)


def _stretches(present: Sequence[bool]) -> list[tuple[int, int]]:
    """The half-open index ranges where `present` holds."""
    edges = [i for i, (a, b) in enumerate(pairwise([False, *present, False])) if a != b]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _key(class_: str, name: str) -> Markup:
    """A legend's entry. Lines differ in dash as well as in colour, and the sample shows both."""
    if class_.startswith("area"):
        sample = el("path", class_=class_, d="M0 0H24V10H0Z")
    elif class_ == "evaluation":
        bar = el("path", class_="bar", d="M12 0V10")
        sample = el("g", bar, el("path", class_="dot", d="M12 5h0"), class_=class_)
    else:
        sample = el("path", class_=class_, d="M1 5H23")
    drawing = el("svg", sample, viewBox="0 0 24 10", class_="key", aria_hidden="true")
    return el("li", drawing, name)


def _read_outs(
    frame: _Frame, series: Sequence[Series], evaluations: Sequence[Evaluation]
) -> Markup:
    """What the script shows under the pointer. The page says all that matters without it."""
    values = {s.name: dict(zip(s.steps, s.values, strict=True)) for s in series}
    steps = sorted({step for by_step in values.values() for step in by_step})
    steps = steps[:: 1 + len(steps) // _READ_OUTS]
    measured = {float(e.step): _interval(e) for e in evaluations}
    steps = sorted({*steps, *measured})
    rows = [
        {"name": s.name, "values": [_known(values[s.name].get(x)) for x in steps]} for s in series
    ]
    if measured:
        rows.append({"name": "evaluation", "values": [measured.get(x) for x in steps]})
    places = [round(frame.x.place(x), 4) for x in steps]
    return data_block({"steps": [_whole(x) for x in steps], "places": places, "rows": rows})


def _known(value: float | None) -> str | None:
    return None if value is None else figure(value)


def _interval(evaluation: Evaluation) -> str:
    return f"{figure(evaluation.mean)} ({figure(evaluation.low)} to {figure(evaluation.high)})"


def _journey(series: Series) -> str:
    known = series.known
    return f"{figure(known[0])} {ARROW} {figure(known[-1])}" if len(known) > 1 else figure(known[0])


def _spoken(title: str, unit: str, series: Sequence[Series]) -> str:
    """The chart in words, for those who do not see it."""
    what = f"{title} ({unit})" if unit else title
    parts = [
        f"{s.name}: {figure(s.known[0])} at first, {figure(s.known[-1])} at last, "
        f"lowest {figure(min(s.known))}, highest {figure(max(s.known))}"
        for s in series
    ]
    return f"{what} by step. {'; '.join(parts)}."


def _whole(step: float) -> str:
    return f"{step:,.0f}" if step == int(step) else f"{step:g}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
