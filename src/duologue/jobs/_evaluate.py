"""`duologue eval`: agents on the same held-out tasks, in one table with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from anyio import to_thread
from msgspec import Struct, structs

from ..agents.models._extras import extra
from ..config import Config
from ..engine import Board, DuologueError, End, MayRetry, Task, Trajectory, join_observers
from ..engine.faults import FaultReport
from ..envs import Gym, MakeAgent, MakeVoices, find, make_dialogues
from ..plans import check_plan
from ..progress import Reporter
from ..rundir import Run, open_run
from ..seats import check_agent, open_agent, open_tape, reach
from ..train import Evaluation, Measure, Measured, evaluate
from ..voices import check_voices, open_voices
from ._faulted import Faulting, open_faulting
from ._health import open_guard, open_health, waits_for
from ._report import SCORES
from ._tasks import lockstep, take_of_each

with extra("train"):
    from ..train._bootstrap import Interval, interval, ratio
    from ..train._paper_table import PaperTable, paper_table

EXPERT = "expert"


class EvaluationFailed(DuologueError):
    """An agent has no dialogue to be measured by."""


class Score(Struct, frozen=True, kw_only=True):
    """One row of the table. `fraction` is of the expert's mean on the same tasks."""

    agent: str
    reward: Interval
    fraction: Interval | None
    turns: float
    dialogues: int
    ends: dict[End, int]


class ScoreSheet(Struct, frozen=True, kw_only=True):
    """Agents compared on `tasks` held-out tasks.

    paper:  each gym by its own metric, with the paper's averages, beside the published rows.
    faults: those of the run's plan, if any.
    """

    run: str
    tasks: int
    samples: int
    scores: tuple[Score, ...]
    paper: PaperTable
    faults: FaultReport | None = None


async def evaluate_agents(
    config: Config, specs: Sequence[str], *, run: Path | None, reporter: Reporter
) -> ScoreSheet:
    """Evaluate each of `specs`; the expert is always there to be measured against."""
    gym = find(config.env.name)
    named = dict.fromkeys([f"scripted:{EXPERT}", *specs])
    check_voices(gym, config)
    check_plan(config.faults)
    for spec in named:
        check_agent(spec, gym, config)
        await reach(spec, config)
    board = Board()
    async with (
        open_tape(config, reporter.say) as tape,
        open_voices(gym, config, tape=tape, say=reporter.say, board=board) as voices,
        open_run(run, "eval", config, board=board) as opened,
        open_health(opened, reporter),
        open_faulting(config, opened) as faulting,
    ):
        tasks = held_out(opened, gym)
        evaluations: list[Evaluation] = []
        for spec in named:
            name = spec.removeprefix("scripted:")
            async with open_agent(
                spec,
                gym,
                config,
                temperature=config.eval.temperature,
                tape=tape,
                log=opened.vllm_log,
                say=reporter.say,
                board=board,
                through=faulting.model,
            ) as agent:
                evaluations.append(
                    await measure(
                        opened,
                        gym,
                        name,
                        agent,
                        tasks,
                        reporter,
                        voices=voices,
                        may_retry=tape.may_retry if tape is not None else None,
                        faulting=faulting,
                    )
                )
        # Resampling takes as long as many dialogues do: not on the loop.
        sheet = await to_thread.run_sync(score, opened, evaluations, tasks)
        sheet = structs.replace(sheet, faults=faulting.report())
        await opened.store.add_metrics(SCORES, 0, msgspec.to_builtins(sheet))
        return sheet


def held_out(run: Run, gym: Gym) -> Sequence[Task]:
    """The tasks agents are measured on; as many of each gym of a mixture."""
    return take_of_each(
        gym,
        run.config,
        count=run.config.eval.tasks,
        seed=run.seed / "eval",
        split=run.config.eval.split,
    )


async def measure(
    run: Run,
    gym: Gym,
    name: str,
    agent: MakeAgent,
    tasks: Sequence[Task],
    reporter: Reporter,
    *,
    voices: MakeVoices | None = None,
    may_retry: MayRetry | None = None,
    faulting: Faulting | None = None,
) -> Evaluation:
    """One agent on all the tasks. The users' seeds are the same for every agent.

    Raises `DuologueError` when none of its dialogues counts.
    """
    config = run.config
    phase = f"eval/{name}"
    faulting = faulting or Faulting(config, None)
    make = make_dialogues(
        faulting.gym(gym),
        agent,
        phase=phase,
        max_turns=config.env.max_turns or None,
        options=config.env.options,
        voices=voices,
    )
    make, observers = faulting.dialogues(make, phase)
    total = len(tasks) * config.eval.samples
    bar = reporter.bar(f"evaluating {name}", total)
    rollout = structs.replace(config.rollout, samples=config.eval.samples, wave=0)
    ended = 0

    def report(number: int) -> None:
        nonlocal ended
        ended = number
        bar.update(ended)

    async with open_guard(run, lambda now: bar.update(ended, waits_for(now))):
        evaluation = await evaluate(
            name,
            tasks,
            make,
            seed=run.seed / "eval",
            store=run.store,
            rollout=faulting.rollout(lockstep(rollout, config)),
            observer=join_observers(observers),
            may_retry=may_retry,
            board=run.board,
            report=report,
            measure=measure_by(gym),
        )
    if not evaluation.rewards:
        ends = ", ".join(f"{number} x {end.value}" for end, number in evaluation.ends.items())
        raise DuologueError(
            f"no dialogue of {name!r} counts ({ends}), so there is nothing to compare; "
            f"the details are in {run.path}"
        )
    return evaluation


def measure_by(gym: Gym) -> Measure:
    """A dialogue's worth by the metric of its gym."""

    def measured(task: Task, trajectory: Trajectory) -> Measured:
        return Measured(task.id, *gym.score(task, trajectory), trajectory.rewards)

    return measured


def score(run: Run, evaluations: Sequence[Evaluation], tasks: Sequence[Task]) -> ScoreSheet:
    """The table: each agent's mean reward and its fraction of the expert's, with intervals."""
    by_name = {evaluation.agent: evaluation for evaluation in evaluations}
    expert = by_name.get(EXPERT)
    seed = run.seed.at("bootstrap")
    for evaluation in evaluations:
        if not evaluation.rewards:
            ends = ", ".join(f"{n} x {end.value}" for end, n in evaluation.ends.items())
            raise EvaluationFailed(
                f"no dialogue of {evaluation.agent} came to an end that counts ({ends}); "
                f"see the details in {run.path / 'run.db'}"
            )
    rows: list[Score] = []
    for evaluation in evaluations:
        comparable = expert is not None and expert.mean > 0
        fraction = None
        if expert is not None and comparable:
            both = evaluation.rewards.keys() & expert.rewards.keys()
            fraction = ratio(
                {task: evaluation.rewards[task] for task in both},
                {task: expert.rewards[task] for task in both},
                seed=seed,
            )
        rows.append(
            Score(
                agent=evaluation.agent,
                reward=interval(evaluation.rewards, seed=seed),
                fraction=fraction,
                turns=evaluation.turns,
                dialogues=evaluation.dialogues,
                ends=evaluation.ends,
            )
        )
    return ScoreSheet(
        run=str(run.path),
        tasks=len(tasks),
        samples=run.config.eval.samples,
        scores=tuple(rows),
        paper=paper_table(evaluations, seed=seed / "paper"),
    )
