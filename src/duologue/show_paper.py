"""The paper's table as a person reads it: one row a gym and agent, then Table 3 with our rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from .show_text import as_text

if TYPE_CHECKING:
    from .train._interval import Interval
    from .train._paper_scores import AgentScore, GymScore, PaperTable

NOTES = (
    (
        "score: the paper's metric of a gym; share: of the most its tasks allow; effective turns: up "
        "to the last reward; time-weighted: sum of r_i / (i + 1), i from 1."
    ),
    (
        "pass^k: the chance that k dialogues on a task are all solved; brackets: 95 % of resamples "
        "that draw whole tasks."
    ),
)
PAPER_NOTES = (
    (
        "micro: weighted by the paper's test sizes; macro: each gym alike; share: macro, with each "
        "score as a share of the most. Intention is a sum, up to 2.68 in the paper."
    ),
    (
        "paper: as published (2509.19736, Tables 3 and 4): its own test files, GPT-4o as the user, 16 "
        "turns, one run. Comparable only with those tasks, users and limits."
    ),
)


class Grid(NamedTuple):
    """A table of texts, its head, and what its words mean."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def table(found: PaperTable) -> str:
    """Both tables and what their words mean; the second only where a gym is the paper's."""
    return "\n\n".join(_text(grid) for grid in grids(found))


def grids(found: PaperTable) -> Iterator[Grid]:
    """The tables as texts: by gym, and the paper's where one of its gyms was measured."""
    yield _by_gym(found)
    if found.published:
        missing = [f"Not measured: {', '.join(found.missing)}."] if found.missing else []
        averages = _averages(found)
        yield averages._replace(notes=[*averages.notes, *missing])


def _text(grid: Grid) -> str:
    shown = Table(*grid.head, box=None, pad_edge=False)
    for row in grid.rows:
        shown.add_row(*row)
    return as_text(shown) + "\n".join(grid.notes)


def _by_gym(found: PaperTable) -> Grid:
    deep = max((len(score.pass_k) for agent in found.agents for score in agent.gyms), default=0)
    chances = sorted({1, deep} - {0})
    names = dict.fromkeys(score.gym for agent in found.agents for score in agent.gyms)
    rows = [
        [name, agent.agent, *_cells(score, chances)]
        for name in names
        for agent in found.agents
        for score in agent.gyms
        if score.gym == name
    ]
    head = [
        "gym", "agent", "score", "95 % interval", "share", "effective turns", "time-weighted",
        *(f"pass^{k}" for k in chances), "tasks", "n",
    ]  # fmt: skip
    return Grid(head, rows, NOTES)


def _cells(score: GymScore, chances: Sequence[int]) -> Iterator[str]:
    yield f"{score.score.mean:.3f}"
    yield _range(score.score)
    yield f"{score.share.mean:.3f}"
    yield f"{score.effective_turns.mean:.2f} ({_range(score.effective_turns, 2)})"
    yield f"{score.time_weighted.mean:.3f} ({_range(score.time_weighted)})"
    for k in chances:
        yield f"{score.pass_k[k - 1]:.3f}" if k <= len(score.pass_k) else "-"
    yield f"{score.score.tasks:,}"
    yield f"{score.score.n:,}" + (f" ({score.uncounted} failed)" if score.uncounted else "")


def _averages(found: PaperTable) -> Grid:
    gyms = list(found.published[0].gyms)
    rows = [[agent.agent, *_means(agent, gyms)] for agent in found.agents]
    rows += [
        [
            f"paper: {row.model}",
            *(f"{row.gyms[gym]:.3f}" for gym in gyms),
            f"{row.micro:.3f}",
            f"{row.macro:.3f}",
            "-",
            "-" if row.effective_turns is None else f"{row.effective_turns:.2f}",
            "-" if row.time_weighted is None else f"{row.time_weighted:.3f}",
        ]
        for row in found.published
    ]
    head = ["agent", *gyms, "micro", "macro", "share", "turns", "time-w."]
    return Grid(head, rows, PAPER_NOTES)


def _means(agent: AgentScore, gyms: Sequence[str]) -> Iterator[str]:
    scores = {score.gym: score.score.mean for score in agent.gyms}
    yield from (f"{scores[gym]:.3f}" if gym in scores else "-" for gym in gyms)
    yield "-" if agent.micro is None else f"{agent.micro.mean:.3f} ({_range(agent.micro)})"
    yield "-" if agent.macro is None else f"{agent.macro.mean:.3f}"
    yield "-" if agent.share is None else f"{agent.share.mean:.3f}"
    yield "-" if agent.effective_turns is None else f"{agent.effective_turns.mean:.2f}"
    yield "-" if agent.time_weighted is None else f"{agent.time_weighted.mean:.3f}"


def _range(interval: Interval, digits: int = 3) -> str:
    return f"{interval.low:.{digits}f} .. {interval.high:.{digits}f}"
