"""What a report shows: plain data, built by whoever ran the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engine import End, Fate, Trajectory
from ._archive import Archive


class Interval(NamedTuple):
    """A mean and the interval around it; NaN where one is not known."""

    mean: float
    low: float
    high: float


class Evaluation(NamedTuple):
    """Reward on held-out tasks, measured with the weights of one step."""

    step: int
    mean: float
    low: float
    high: float


class Headline(NamedTuple):
    """One large figure at the top of the page: what it is, its value, and what to compare it to."""

    label: str
    value: str
    note: str = ""


class Level(NamedTuple):
    """A horizontal line across the reward chart, such as the expert's mean."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One policy's scores. `emphasis` marks the row that the report is about."""

    name: str
    reward: Interval
    fraction: Interval | None = None
    """Share of the expert's reward, 1.0 being the expert's own."""
    turns: float | None = None
    n: int = 0
    emphasis: bool = False


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Policies compared on the same tasks; `note` says which tasks and what the intervals are."""

    rows: Sequence[ScoreRow] = ()
    note: str = ""


class Sheet(NamedTuple):
    """A table of texts. The first cell of each row is its name."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one page shows. A section whose data is missing is left out.

    `curves` holds one mapping a step: `step` and any of `reward`, `turns`, `length`,
    `staleness_mean`, `staleness_max`, `entropy`, `clip_fraction_low`, `clip_fraction_high`,
    `grad_norm`, `seconds_*`. Missing keys, None and NaN are gaps; keys that have no chart of
    their own are drawn under "other metrics". Where a step occurs twice (a run that went back to a
    checkpoint), the later row stands.
    """

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    headlines: Sequence[Headline] = ()
    warnings: Sequence[str] = ()
    table: ScoreTable | None = None
    sheets: Sequence[Sheet] = ()
    curves: Sequence[Mapping[str, object]] = ()
    evaluations: Sequence[Evaluation] = ()
    levels: Sequence[Level] = ()
    cold_start: Sequence[Mapping[str, object]] = ()
    """One mapping a step of the cold start: `step` and `loss`."""
    fates: Mapping[Fate, int] = field(default_factory=dict[Fate, int])
    ends: Mapping[End, int] = field(default_factory=dict[End, int])
    before: Sequence[Trajectory] = ()
    after: Sequence[Trajectory] = ()
    """Sample dialogues; those of one task in `before` and `after` stand side by side, under the
    labels. Where only one of the two is given there is nothing to tell apart, and no label."""
    archive: Archive | None = None
    """The dialogues to browse: filtered, searched, sorted and read in the page."""
    before_label: str = "Cold start"
    after_label: str = "Trained"
    config: str = ""
