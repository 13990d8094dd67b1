"""`duologue rollout`: dialogues by the thousand, each durable, each with a typed end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
from msgspec import Struct

from ..config import Config
from ..engine import (
    Board,
    End,
    Fate,
    Seed,
    Snapshot,
    first_fate,
    join_observers,
    open_rollouts,
)
from ..engine.faults import FaultReport
from ..envs import find, make_dialogues
from ..plans import check_plan
from ..progress import Reporter
from ..rundir import open_run
from ..seats import check_agent, open_agent, open_tape, reach
from ..voices import check_voices, open_voices
from ._faulted import open_faulting
from ._health import open_guard, open_health, waits_for
from ._scraped import open_scraped
from ._tasks import lockstep, take_tasks

PHASE = "rollout"


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """What a rollout came to. `fates` sums to `dialogues`. `faults`: those of its plan, if any."""

    run: str
    tasks: int
    dialogues: int
    turns: int
    reward: float
    ends: dict[End, int]
    fates: dict[Fate, int]
    retried: int
    seconds: float
    turns_per_second: float
    lateness_p99_ms: float
    faults: FaultReport | None = None


async def rollout(
    config: Config,
    *,
    count: int | None,
    run: Path | None,
    reporter: Reporter,
    metrics_port: int | None = None,
) -> RolloutSummary:
    """Run `samples` dialogues on each task.

    count:        how many tasks; None takes every task of the file, and 1,000 generated ones.
    metrics_port: where Prometheus may look, on the loopback; 0 is any port.
    """
    gym = find(config.env.name)
    tasks = take_tasks(gym, config, count=count, seed=Seed(config.seed))
    total = len(tasks) * config.rollout.samples
    check_agent(config.model.spec, gym, config)
    check_voices(gym, config)
    check_plan(config.faults)
    await reach(config.model.spec, config)
    board = Board()
    async with (
        open_tape(config, reporter.say) as tape,
        open_voices(gym, config, tape=tape, say=reporter.say, board=board) as voices,
        open_run(run, "rollout", config, board=board) as opened,
        open_faulting(config, opened) as faulting,
        open_agent(
            config.model.spec,
            gym,
            config,
            tape=tape,
            log=opened.vllm_log,
            say=reporter.say,
            board=board,
            through=faulting.model,
        ) as agent,
        open_health(opened, reporter) as lateness,
    ):
        make = make_dialogues(
            faulting.gym(gym),
            agent,
            max_turns=config.env.max_turns or None,
            options=config.env.options,
            voices=voices,
        )
        make, observers = faulting.dialogues(make, PHASE)
        bar = reporter.bar("dialogues", total)
        began = anyio.current_time()
        async with (
            open_scraped(metrics_port, board, reporter) as metrics,
            open_rollouts(
                tasks,
                make,
                seed=opened.seed,
                config=faulting.rollout(lockstep(config.rollout, config)),
                store=opened.store,
                may_retry=tape.may_retry if tape is not None else None,
                phase=PHASE,
                observer=join_observers([*observers, *([metrics] if metrics else [])]),
                board=board,
            ) as rollouts,
        ):
            stats = rollouts.stats

            def show(now: Snapshot) -> None:
                rate = now.turns / max(1e-9, now.at_s - began)
                bar.update(
                    stats.ended,
                    f"{stats.live:,} live, {rate:,.0f} turns/s, reward {stats.mean_reward:.3f}, "
                    f"late {now.late_p99_ms:.0f} ms, {waits_for(now)}".rstrip(", "),
                )

            async with open_guard(opened, show):
                async for _ in rollouts:
                    pass
            show(board.snapshot())
        seconds = anyio.current_time() - began
        fates: Counter[Fate] = Counter()
        for end, number in stats.ends.items():
            fates[first_fate(end)] += number
        return RolloutSummary(
            run=str(opened.path),
            tasks=len(tasks),
            dialogues=stats.ended,
            turns=stats.turns,
            reward=stats.mean_reward,
            ends=dict(sorted(stats.ends.items())),
            fates=dict(fates),
            retried=stats.retried,
            seconds=seconds,
            turns_per_second=stats.turns / seconds,
            lateness_p99_ms=1000 * lateness.quantile(0.99),
            faults=faulting.report(),
        )
