"""The paper's table for agents of ours: each gym's metric, averages, efficiency, pass^k.

A gym's score is the mean over its tasks of the mean over a task's dialogues, as the paper has it;
every interval draws whole tasks. Dialogues that failed are in no number: they are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import comb

from ..engine import Seed
from ._bootstrap import ByTask, interval, weighted_interval
from ._evaluate import Evaluation, Measured
from ._paper_metrics import effective_turns, time_weighted, weighted_mean
from ._paper_scores import AgentScore as AgentScore
from ._paper_scores import GymScore as GymScore
from ._paper_scores import PaperTable as PaperTable
from ._paper_scores import PublishedScore as PublishedScore
from ._published import GYMS, PUBLISHED, TEST_SIZES

SOLVED = 1e-9
"""How far below the best score a dialogue may be and still count as solved: rounding, no more."""


def paper_table(evaluations: Iterable[Evaluation], *, seed: Seed) -> PaperTable:
    """The table of some agents. Intervals are the same for the same `seed`."""
    agents = tuple(agent_score(evaluation, seed=seed) for evaluation in evaluations)
    there = {score.gym for agent in agents for score in agent.gyms}
    measured = [gym for gym in GYMS if gym in there]
    return PaperTable(
        agents=agents,
        published=published_scores(measured) if measured else (),
        missing=tuple(gym for gym in GYMS if gym not in there) if measured else (),
    )


def agent_score(evaluation: Evaluation, *, seed: Seed) -> AgentScore:
    """One agent's row: its gyms in the paper's order, then others by name."""
    names = sorted(evaluation.measured, key=lambda gym: (_place(gym), gym))
    by_gym = {name: evaluation.measured[name] for name in names}
    gyms = tuple(
        gym_score(name, dialogues, seed=seed / name, failed=evaluation.uncounted.get(name, 0))
        for name, dialogues in by_gym.items()
    )
    papers = {name: dialogues for name, dialogues in by_gym.items() if name in TEST_SIZES}
    if not papers:
        return AgentScore(agent=evaluation.agent, gyms=gyms)
    alike = dict.fromkeys(papers, 1.0)
    scores = {name: _scores(dialogues) for name, dialogues in papers.items()}
    shares = {name: _shares(dialogues) for name, dialogues in papers.items()}
    lasts = {name: _effective(dialogues) for name, dialogues in papers.items()}
    timely = {name: _timely(dialogues) for name, dialogues in papers.items()}
    return AgentScore(
        agent=evaluation.agent,
        gyms=gyms,
        micro=weighted_interval(scores, TEST_SIZES, seed=seed),
        macro=weighted_interval(scores, alike, seed=seed),
        share=weighted_interval(shares, alike, seed=seed),
        effective_turns=weighted_interval(lasts, TEST_SIZES, seed=seed),
        time_weighted=weighted_interval(timely, TEST_SIZES, seed=seed),
    )


def gym_score(gym: str, dialogues: Sequence[Measured], *, seed: Seed, failed: int = 0) -> GymScore:
    """One agent in one gym. Raises ValueError without dialogues."""
    early = _by_task((d.task, time_weighted(d.rewards, base=0)) for d in dialogues)
    return GymScore(
        gym=gym,
        score=interval(_scores(dialogues), seed=seed),
        share=interval(_shares(dialogues), seed=seed),
        effective_turns=interval(_effective(dialogues), seed=seed),
        time_weighted=interval(_timely(dialogues), seed=seed),
        time_weighted_0=_mean(_mean(values) for values in early.values()),
        pass_k=pass_hat_k(_by_task((d.task, float(_solved(d))) for d in dialogues)),
        uncounted=failed,
    )


def pass_hat_k(solved_by_task: ByTask) -> tuple[float, ...]:
    """pass^k for k = 1, 2, ...: the mean over tasks of C(solved, k) / C(dialogues, k), which has no
    bias for the chance that k fresh dialogues are all solved (tau-bench 2406.12045).

    As far as k dialogues were had on half of the tasks at least; tasks with fewer are left out.
    """
    counts = [(len(values), round(sum(values))) for values in solved_by_task.values()]
    found: list[float] = []
    for k in range(1, max((n for n, _ in counts), default=0) + 1):
        enough = [comb(solved, k) / comb(n, k) for n, solved in counts if n >= k]
        if 2 * len(enough) < len(counts):
            break
        found.append(_mean(enough))
    return tuple(found)


def published_scores(gyms: Sequence[str]) -> tuple[PublishedScore, ...]:
    """The paper's rows over some of its gyms."""
    whole = len(gyms) == len(GYMS)
    return tuple(
        PublishedScore(
            model=row.model,
            gyms={gym: row.gyms[gym] for gym in gyms},
            micro=weighted_mean({gym: row.gyms[gym] for gym in gyms}, TEST_SIZES),
            macro=_mean(row.gyms[gym] for gym in gyms),
            effective_turns=row.effective_turns if whole else None,
            time_weighted=row.time_weighted if whole else None,
        )
        for row in PUBLISHED
    )


def _place(gym: str) -> int:
    return GYMS.index(gym) if gym in GYMS else len(GYMS)


def _solved(dialogue: Measured) -> bool:
    return dialogue.score >= dialogue.best - SOLVED


def _scores(dialogues: Sequence[Measured]) -> ByTask:
    return _by_task((d.task, d.score) for d in dialogues)


def _shares(dialogues: Sequence[Measured]) -> ByTask:
    return _by_task((d.task, d.score / d.best) for d in dialogues)


def _effective(dialogues: Sequence[Measured]) -> ByTask:
    return _by_task((d.task, float(effective_turns(d.rewards))) for d in dialogues)


def _timely(dialogues: Sequence[Measured]) -> ByTask:
    return _by_task((d.task, time_weighted(d.rewards)) for d in dialogues)


def _by_task(pairs: Iterable[tuple[str, float]]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for task, value in pairs:
        found.setdefault(task, []).append(value)
    return found


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)
