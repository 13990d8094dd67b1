"""Results as a person reads them: tables and a few plain lines."""

from __future__ import annotations

from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from .engine import End, Fate, Seed
from .envs import Gym

if TYPE_CHECKING:
    from .jobs._demo import DemoResult
    from .jobs._evaluate import ScoreSheet
    from .jobs._learning import ColdStarted, TrainedPolicy
    from .jobs._model import MadeModel
    from .jobs._rollout import RolloutSummary


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
        f"{_text(table)}\nrun directory: {result.run}"
    )


def coldstart(result: ColdStarted) -> str:
    return (
        f"learned from {result.kept:,} of {result.dialogues:,} dialogues in {result.steps} steps; "
        f"last loss {result.loss:.3f}\nmodel: {result.model}"
    )


def trained(result: TrainedPolicy) -> str:
    return (
        f"{result.steps} steps in {result.seconds:.1f} s, policy version {result.version}; "
        f"mean reward {result.reward_first:.3f} -> {result.reward_last:.3f} "
        f"(first and last ten steps)\nmodel: {result.model}"
    )


def scores(result: ScoreSheet) -> str:
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
    failed = [
        f"{row.agent}: {number} x {end.value}"
        for row in result.scores
        for end, number in row.ends.items()
        if not end.finished
    ]
    note = f"\nnot counted: {', '.join(failed)}" if failed else ""
    return f"{_text(table)}{result.tasks} held-out tasks, {result.samples} dialogue(s) each{note}"


def demo(result: DemoResult) -> str:
    laps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    return (
        f"{scores(result.sheet)}\n"
        f"{result.shared_tasks} of them occur among the {result.trained_tasks:,} tasks "
        "learned from (compared by content)\n"
        f"time: {laps}\nreport: {result.report}"
    )


def made_model(result: MadeModel) -> str:
    return f"{result.path}: {result.parameters:,} parameters, {result.vocab} tokens"


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


def _text(table: Table) -> str:
    # Wide enough for any table of ours: a result must not depend on who looks at it. And the path
    # of a model may look like markup.
    console = Console(file=StringIO(), width=160, markup=False, emoji=False)
    console.print(table)
    file = console.file
    return file.getvalue() if isinstance(file, StringIO) else ""
