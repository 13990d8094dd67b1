"""The rows of the paper's table, as data: what a run stores and a report shows."""

from __future__ import annotations

from msgspec import Struct

from ._interval import Interval


class GymScore(Struct, frozen=True, kw_only=True):
    """One agent in one gym.

    score:           the paper's metric.
    share:           score / the best a task allows; the score itself where that is 1.
    effective_turns: turns up to the last reward that is not 0.
    time_weighted:   sum of r_i / (i + 1), turns counted from 1; `time_weighted_0` from 0. The
                     paper does not say which.
    pass_k:          the chance that k dialogues on a task are all solved, for k = 1, 2, ... up to
                     the dialogues a task has; a dialogue is solved when its score is the best.
    uncounted:       dialogues that failed.
    """

    gym: str
    score: Interval
    share: Interval
    effective_turns: Interval
    time_weighted: Interval
    time_weighted_0: float
    pass_k: tuple[float, ...]
    uncounted: int = 0


class AgentScore(Struct, frozen=True, kw_only=True):
    """One agent in all gyms measured; averages are over those of the paper, None without any.

    micro: weighted by the sizes of the paper's test sets, as its average is.
    macro: each gym alike. share: the same with each score as a share of the best.
    """

    agent: str
    gyms: tuple[GymScore, ...]
    micro: Interval | None = None
    macro: Interval | None = None
    share: Interval | None = None
    effective_turns: Interval | None = None
    time_weighted: Interval | None = None


class PublishedScore(Struct, frozen=True, kw_only=True):
    """A row of the paper over the gyms measured; its averages are taken over just those.

    Efficiency is published for all eight gyms together only: None where fewer are measured.
    """

    model: str
    gyms: dict[str, float]
    micro: float
    macro: float
    effective_turns: float | None = None
    time_weighted: float | None = None


class PaperTable(Struct, frozen=True, kw_only=True):
    """Our agents and, where there is a gym of the paper's, its published rows."""

    agents: tuple[AgentScore, ...]
    published: tuple[PublishedScore, ...] = ()
    missing: tuple[str, ...] = ()
    """Gyms of the paper that were not measured."""
