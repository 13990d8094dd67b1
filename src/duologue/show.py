"""Results as a person reads them: tables and a few plain lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from . import show_paper
from .engine import End, Fate, Seed
from .engine.faults import FaultReport, Kind
from .envs import Conformance, Gym
from .show_text import as_text

if TYPE_CHECKING:
    from .agents.models._doctor import Diagnosis
    from .jobs._demo import DemoResult
    from .jobs._evaluate import ScoreSheet
    from .jobs._export import Exported
    from .jobs._learning import ColdStarted, OwnTokens, TrainedPolicy
    from .jobs._model import MadeModel
    from .jobs._prune import Pruned
    from .jobs._replay import Replayed
    from .jobs._rollout import RolloutSummary
    from .jobs._runs import RunState


def rollout(result: RolloutSummary) -> str:
    table = Table("end", "dialogues", "share", box=None, pad_edge=False)
    for end in End:
        if number := result.ends.get(end, 0):
            table.add_row(end.value, f"{number:,}", f"{number / result.dialogues:.1%}")
    fates = ", ".join(
        f"{fate.value} {number / result.dialogues:.1%}"
        for fate in Fate
        if (number := result.fates.get(fate, 0))
    )
    return (
        f"{result.dialogues:,} dialogues on {result.tasks:,} tasks in {result.seconds:.1f} s: "
        f"{result.turns:,} turns, {result.turns_per_second:,.0f} turns/s, "
        f"loop lateness p99 {result.lateness_p99_ms:.0f} ms\n"
        f"mean reward {result.reward:.4f}; fates: {fates}\n\n"
        f"{as_text(table)}{_faults(result.faults)}\nrun directory: {result.run}"
    )


def _faults(report: FaultReport | None) -> str:
    """What was injected and what became of it; nothing without a plan."""
    if report is None:
        return ""
    table = Table(
        "fault", "injected", "dialogues", "recovered", "ended as", box=None, pad_edge=False
    )
    for row in report.tallies:
        ends = ", ".join(f"{number:,} {end.value}" for end, number in row.ends.items())
        table.add_row(
            row.kind, f"{row.injected:,}", f"{row.dialogues:,}", f"{row.recovered:,}", ends or "-"
        )
    words = (
        f"\n{report.injected:,} faults struck {report.struck:,} of {report.dialogues:,} dialogues; "
        f"{report.recovered:,} of those came to an end that counts all the same"
    )
    if report.surprises:
        shown = "; ".join(
            f"{one.phase}:{one.group}/{one.sample} ended as {one.end.value} after "
            f"{' and '.join(one.kinds)}"
            for one in report.surprised[:3]
        )
        words += f"\n{report.surprises:,} attempts ended as none of their faults explains: {shown}"
    return f"{words}\n\n{as_text(table)}"


def faults(kinds: Sequence[Kind]) -> str:
    """The faults that a plan can name."""
    table = Table(
        "fault", "strikes", "what happens", "what must come of it", box=None, pad_edge=False
    )
    for kind in kinds:
        table.add_row(kind.name, ", ".join(kind.sites), kind.what, kind.expected)
    return f"{as_text(table)}\n{_FAULTS_HELP}"


_FAULTS_HELP = """A plan is a TOML file of [[faults]], each with a kind and as much of this as it needs:
  rate = 0.05          the share of the opportunities it strikes
  at = [2, 3]          only these opportunities of an attempt, counted from 1 (a model's calls, say)
  for_s = 10.0         how long it lasts
  tries = 1            of a call that is tried again, only the first so many tries
  mib = 4              how large it is
  where = {task = "t*", group = [0, 1], sample = 0, attempt = 0, phase = "eval/*", party = "agent"}
Which dialogues it strikes follows from the run's seed and the plan's: seed = 1
Try: duologue rollout --faults storm; `duologue faults show storm` prints that plan."""


def coldstart(result: ColdStarted) -> str:
    return (
        f"learned from {result.kept:,} of {result.dialogues:,} dialogues in {result.steps} steps; "
        f"last loss {result.loss:.3f}\nmodel: {result.model}"
    )


def trained(result: TrainedPolicy) -> str:
    return (
        f"{result.steps} steps in {result.seconds:.1f} s, policy version {result.version}; "
        f"mean reward {result.reward_first:.3f} -> {result.reward_last:.3f} "
        f"(first and last ten steps)\n{_own(result.own)}{_faults(result.faults)}\n"
        f"model: {result.model}"
    )


def _own(own: OwnTokens) -> str:
    if not own.tokens:
        return "no step trained on tokens of the very weights it changed"
    return (
        f"log-probabilities, sampler against learner: at most {own.gap_max:.1e} apart, over "
        f"{own.tokens:,} tokens that the weights under training had sampled, in {own.steps} steps"
    )


def scores(result: ScoreSheet) -> str:
    return f"{_rewards(result)}\n\n{show_paper.table(result.paper)}"


def _rewards(result: ScoreSheet) -> str:
    table = Table(
        "agent", "reward", "95 % interval", "of the expert", "95 % interval", "turns",
        box=None, pad_edge=False,
    )  # fmt: skip
    for row in result.scores:
        reward, share = row.reward, row.fraction
        table.add_row(
            row.agent,
            f"{reward.mean:.3f}",
            f"{reward.low:.3f} .. {reward.high:.3f}",
            "-" if share is None else f"{share.mean:.3f}",
            "-" if share is None else f"{share.low:.3f} .. {share.high:.3f}",
            f"{row.turns:.2f}",
        )
    cut_short = _ends(result, lambda end: end.cut_short)
    failed = _ends(result, lambda end: not (end.finished or end.cut_short))
    note = f"\ncut short, counted as they were: {cut_short}" if cut_short else ""
    note += f"\nfailed, not counted: {failed}" if failed else ""
    return (
        f"{as_text(table)}{result.tasks} held-out tasks, {result.samples} dialogue(s) each{note}"
        f"{_faults(result.faults)}"
    )


def _ends(result: ScoreSheet, wanted: Callable[[End], bool]) -> str:
    return ", ".join(
        f"{row.agent}: {number} x {end.value}"
        for row in result.scores
        for end, number in row.ends.items()
        if wanted(end)
    )


def demo(result: DemoResult) -> str:
    # Without the paper's table: a tiny model with a rule-based user has no place in it.
    laps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    return (
        f"{_rewards(result.sheet)}\n"
        f"{result.shared_tasks} of them occur among the {result.trained_tasks:,} tasks "
        "learned from (compared by content)\n"
        f"{_own(result.own)}\n"
        f"time: {laps}\nreport: {result.report}"
    )


def made_model(result: MadeModel) -> str:
    return f"{result.path}: {result.parameters:,} parameters, {result.vocab} tokens"


def exported(result: Exported) -> str:
    gone = f"; {result.pruned:,} more were pruned, their records are gone" if result.pruned else ""
    return f"{result.path}: {result.trajectories:,} trajectories, {_size(result.bytes)}{gone}"


def runs(rows: list[RunState]) -> str:
    if not rows:
        return "no runs"
    table = Table(
        "run", "command", "started", "state", "steps", "dialogues", "checkpoint", "lives", "size",
        box=None, pad_edge=False,
    )  # fmt: skip
    for row in rows:
        steps = "-" if row.step is None else f"{row.step}/{'?' if row.steps is None else row.steps}"
        phases = ", ".join(f"{name} {count:,}" for name, count in row.phases.items())
        table.add_row(
            row.run,
            row.command or "-",
            row.started or "-",
            row.state + (f" ({row.detail})" if row.detail else ""),
            steps,
            phases or "-",
            "-" if row.checkpoint is None else str(row.checkpoint),
            "-" if row.lives is None else str(row.lives),
            _size(row.bytes),
        )
    return as_text(table)


def pruned(result: Pruned) -> str:
    parts = [
        *(f"{count:,} records of {phase}" for phase, count in result.records.items()),
        *(f"checkpoint {name}" for name in result.checkpoints),
        *([f"{result.weights} weight files"] if result.weights else []),
        *([f"{result.drafts} unfinished drafts"] if result.drafts else []),
    ]
    what = "\n".join(f"  {part}" for part in parts) or "  nothing"
    if result.dry_run:
        return f"would go, about {_size(result.freed)} of {_size(result.before)}:\n{what}"
    return f"freed {_size(result.freed)} of {_size(result.before)}:\n{what}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def replayed(result: Replayed) -> str:
    lines = [f"[{message.role}] {message.content}" for message in result.opening]
    for number, turn in enumerate(result.turns, start=1):
        parts = ", ".join(f"{name} {value:g}" for name, value in turn.parts.items())
        lines += [
            f"\n--- turn {number}: reward {turn.reward:g}{f' ({parts})' if parts else ''}",
            f"[agent] {turn.text}",
            *([f"[environment] {turn.feedback}"] if turn.feedback else []),
        ]
    lines.append(f"\nend: {result.end.value}, reward {result.reward:g}")
    beside = f", with {result.ran - 1:,} others of its wave" if result.how == "wave" else ""
    lines.append(f"{result.dialogue} of {result.run} was run again from its {result.how}{beside}")
    if result.difference is None:
        lines.append("equal to its record, byte for byte")
    else:
        found = result.difference
        lines += [
            f"differs from its record, first in {found.where}:",
            f"  recorded: {found.recorded}",
            f"  replayed: {found.replayed}",
        ]
    return "\n".join(lines)


def environments(rows: list[dict[str, str]]) -> str:
    return "\n".join(f"{row['name']:<14} {row['summary']}" for row in rows)


def describe_environment(gym: Gym) -> dict[str, Any]:
    """What `duologue env show` says, as data."""
    (task,) = islice(gym.tasks("train", Seed(0)), 1)
    return {
        "name": gym.name,
        "summary": gym.summary,
        "max_turns": gym.max_turns,
        "options": dict(gym.options),
        "scripts": sorted(gym.scripts),
        "reads_files": gym.read is not None,
        "example": msgspec.to_builtins(task),
    }


def environment(facts: dict[str, Any]) -> str:
    options = ", ".join(f"{key} = {value!r}" for key, value in facts["options"].items())
    example = msgspec.json.format(msgspec.json.encode(facts["example"]), indent=2).decode()
    return (
        f"{facts['name']}: {facts['summary']}\n"
        f"turn limit       {facts['max_turns']}\n"
        f"options          {options or 'none'}\n"
        f"scripted agents  {', '.join(facts['scripts'])}\n"
        f"official files   {'yes' if facts['reads_files'] else 'no'}\n\n{example}"
    )


def conformance(result: Conformance) -> str:
    table = Table("check", "", "what was seen", box=None, pad_edge=False)
    for check in result.checks:
        table.add_row(check.name, check.status, check.detail)
    verdict = "keeps the rules" if result.passed else "breaks a rule"
    return f"{as_text(table)}{result.env} {verdict}"


def diagnosis(result: Diagnosis) -> str:
    table = Table("check", "", "what was seen", "what to do", box=None, pad_edge=False)
    for finding in result.findings:
        table.add_row(finding.check, finding.status, finding.seen, finding.advice)
    verdict = "is well" if result.passed else "is not well"
    return f"{as_text(table)}{result.model} {verdict}"
