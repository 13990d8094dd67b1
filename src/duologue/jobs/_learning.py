"""The two jobs that change weights: the cold start, and training on rewards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from msgspec import Struct, structs

from ..agents import ChatML
from ..agents.models._extras import extra
from ..config import Config
from ..engine import (
    Board,
    RolloutConfig,
    Snapshot,
    Task,
    Trajectory,
    UsageError,
    join_observers,
    open_reader,
    open_rollouts,
)
from ..engine.faults import FaultReport
from ..envs import Gym, MakeVoices, find, make_dialogues, scripted_agent
from ..plans import check_training_plan, refuse_faults
from ..progress import Reporter
from ..rundir import Run, open_run, reopen_run
from ..seats import Sampler, check_agent, open_sampler, policy_agent, refuse_tape, sampler_spec
from ..train import TrainConfig
from ..voices import check_voices, open_voices
from ._faulted import Faulting, open_faulting
from ._health import open_guard, open_health, waits_for
from ._scraped import open_scraped
from ._tasks import check_tasks, endless_tasks, lockstep

if TYPE_CHECKING:
    from ..metrics import Metrics

with extra("train"):
    from ..agents.models.local._device import pick_device
    from ..agents.models.local._folder import load_tokenizer, one_file
    from ..agents.models.vllm._model import is_url, served_folder
    from ..train._coldstart import best, imitate, tokenise
    from ..train._loop import Start, open_training
    from ..train._remote import open_learner
    from ..train._resume import find_start, rewind
    from ..train._tenancy import vacancy
    from ..train._wire import Setup, WireSample


class ColdStarted(Struct, frozen=True, kw_only=True):
    """A cold start's result."""

    run: str
    model: str
    dialogues: int
    kept: int
    steps: int
    loss: float


class OwnTokens(Struct, frozen=True, kw_only=True):
    """The tokens that the weights under training had sampled themselves, over all steps.

    steps:   that had any. tokens: trained on.
    gap_max: the largest difference of a token's log-probability, sampler against learner: it shows
             weights that did not arrive whole.
    """

    steps: int = 0
    tokens: int = 0
    gap_max: float = 0.0

    def and_step(self, numbers: Mapping[str, float]) -> OwnTokens:
        """With one more step's numbers."""
        if not numbers.get("own_tokens"):
            return self
        return OwnTokens(
            steps=self.steps + 1,
            tokens=self.tokens + int(numbers["own_tokens"]),
            gap_max=max(self.gap_max, numbers["own_gap_max"]),
        )


class TrainedPolicy(Struct, frozen=True, kw_only=True):
    """A training run's result: the first and last ten steps' rewards say which way it went.

    faults: those of its plan, if any, in this life of the run.
    """

    run: str
    model: str
    steps: int
    version: int
    reward_first: float
    reward_last: float
    seconds: float
    own: OwnTokens
    faults: FaultReport | None = None


async def coldstart(config: Config, *, run: Path | None, reporter: Reporter) -> ColdStarted:
    """`duologue sft`: lead dialogues by script, learn from the best, save the model."""
    refuse_faults(config)
    source, gym = await _prepare(config)
    async with open_run(run, "sft", config) as opened, open_health(opened, reporter):
        dialogues = await lead_dialogues(opened, gym, reporter)
        return await learn_dialogues(opened, dialogues, source, opened.model("coldstart"), reporter)


async def lead_dialogues(run: Run, gym: Gym, reporter: Reporter) -> list[Trajectory]:
    """The scripted dialogues of a cold start, stored as phase `coldstart`, in key order."""
    config = run.config
    cold = config.coldstart
    make = make_dialogues(
        gym,
        scripted_agent(gym, cold.script),
        max_turns=config.env.max_turns or None,
        options=config.env.options,
    )
    seed = run.seed / "coldstart"
    tasks = islice(endless_tasks(gym, config, seed), cold.dialogues)
    bar = reporter.bar("scripted dialogues", cold.dialogues)
    trajectories: list[Trajectory] = []
    async with open_rollouts(
        tasks,
        make,
        seed=seed,
        config=RolloutConfig(samples=1, live=config.rollout.live),
        store=run.store,
        phase="coldstart",
        board=run.board,
    ) as rollouts:

        def show(now: Snapshot) -> None:
            bar.update(rollouts.stats.ended, waits_for(now))

        async with open_guard(run, show):
            async for group in rollouts:
                trajectories.extend(group.trajectories)
        bar.update(rollouts.stats.ended)
    return sorted(trajectories, key=lambda trajectory: trajectory.key)


async def learn_dialogues(
    run: Run, dialogues: Sequence[Trajectory], source: Path, target: Path, reporter: Reporter
) -> ColdStarted:
    """Supervise the model in `source` on the best of `dialogues`; save it in `target`."""
    config = run.config
    cold = config.coldstart
    chat = ChatML(load_tokenizer(source))
    kept = best(dialogues, cold.keep)
    samples = [WireSample(key=t.key, tokens=tokenise(t, chat)) for t in kept]
    bar = reporter.bar("cold start", cold.steps)

    def report(step: int, loss: float) -> None:
        bar.update(step + 1, f"loss {loss:.3f}")

    setup = learner_setup(run, source)
    async with open_learner(setup, log=run.path / "learner.log") as learner:
        loss = await imitate(
            learner,
            samples,
            seed=run.seed / "coldstart",
            store=run.store,
            config=cold,
            report=report,
        )
        await learner.save(target)
    return ColdStarted(
        run=str(run.path),
        model=str(target),
        dialogues=len(dialogues),
        kept=len(kept),
        steps=cold.steps,
        loss=loss,
    )


async def train(
    config: Config, *, run: Path | None, reporter: Reporter, metrics_port: int | None = None
) -> TrainedPolicy:
    """`duologue train`: improve the policy in `model.spec` on the environment's rewards.

    metrics_port: where Prometheus may look, on the loopback; 0 is any port.
    """
    check_training_plan(config.faults)
    source, gym = await _prepare(config)
    board = Board()
    async with (
        open_voices(gym, config, say=reporter.say, board=board) as voices,
        open_run(run, "train", config, board=board) as opened,
        open_health(opened, reporter),
        open_scraped(metrics_port, board, reporter) as metrics,
        open_faulting(config, opened) as faulting,
        serve(opened, source, reporter) as sampler,
    ):
        target = opened.model("trained")
        return await improve(
            opened,
            gym,
            source,
            sampler,
            target,
            reporter,
            voices=voices,
            metrics=metrics,
            faulting=faulting,
        )


async def resume(
    run: Path, *, reporter: Reporter, metrics_port: int | None = None
) -> TrainedPolicy:
    """`duologue train --resume`: go on from the run's last checkpoint."""
    async with reopen_run(run) as opened:
        gym = find(opened.config.env.name)
        settings = _settings(opened.config)
        await vacancy(opened.weights)
        with open_reader(run / "run.db") as reader:
            start, checkpoint, stale = find_start(
                reader,
                opened.checkpoints,
                max_staleness=settings.max_staleness,
                deterministic=opened.config.deterministic,
            )
        await rewind(opened.store, start, stale)
        waiting = sum(len(group.trajectories) for group in start.carried)
        reporter.say(
            f"going on after step {start.step} with policy version {start.version}; "
            f"{waiting} finished dialogues wait, {len(stale)} are too old and are run again"
        )
        source = await model_folder(opened.config) if checkpoint is None else checkpoint.path
        async with (
            open_voices(gym, opened.config, say=reporter.say, board=opened.board) as voices,
            open_health(opened, reporter),
            open_scraped(metrics_port, opened.board, reporter) as metrics,
            open_faulting(opened.config, opened, resumed=True) as faulting,
            serve(opened, source, reporter, version=start.version) as sampler,
        ):
            target = opened.model("trained")
            return await improve(
                opened,
                gym,
                source,
                sampler,
                target,
                reporter,
                voices=voices,
                start=start,
                metrics=metrics,
                faulting=faulting,
            )


@asynccontextmanager
async def serve(
    run: Run, source: Path, reporter: Reporter, *, version: int = 0
) -> AsyncGenerator[Sampler]:
    """The policy in `source`, called `version`, sampled as `model.spec` says inside the block."""
    config = run.config
    spec = sampler_spec(source, config)
    async with open_sampler(
        spec, config, version=version, log=run.vllm_log, say=reporter.say, board=run.board
    ) as (policy, chat):
        if is_url(spec.partition(":")[2]):
            # Whatever somebody else's servers have by now, an earlier run's weights perhaps.
            file = await to_thread.run_sync(one_file, source, run.weights / "first.safetensors")
            await policy.push(version, str(file.absolute()))
        yield policy, chat


async def improve(
    run: Run,
    gym: Gym,
    source: Path,
    sampler: Sampler,
    target: Path,
    reporter: Reporter,
    *,
    voices: MakeVoices | None = None,
    start: Start | None = None,
    metrics: Metrics | None = None,
    faulting: Faulting | None = None,
) -> TrainedPolicy:
    """Train the policy in `source` with its samples; save it in `target`.

    sampler: samples what is in `source`, and from then on what was learned, the last step included.
    start:   where a resumed run goes on; `source` is then the checkpoint it rests on, if any.
    metrics: count its dialogues, and show its steps.
    faulting: what goes wrong on plan with its dialogues; nothing without.
    """
    config = run.config
    settings = _settings(config)
    faulting = faulting or Faulting(config, None)
    rollout = faulting.rollout(lockstep(config.rollout, config, settings.groups_per_step))
    bar = reporter.bar("training", settings.steps)
    done_steps, note = start.step if start else 0, ""

    def show(now: Snapshot) -> None:
        parts = note, f"{now.live:,} live", waits_for(now)
        bar.update(done_steps, ", ".join(part for part in parts if part))

    rewards: list[float] = []
    seconds = 0.0
    version = start.version if start else 0
    own = OwnTokens()
    policy, chat = sampler
    async with (
        open_learner(learner_setup(run, source, start), log=run.path / "learner.log") as learner,
        open_guard(run, show),
    ):
        make = make_dialogues(
            faulting.gym(gym),
            policy_agent(faulting.model(policy), chat, config),
            phase="train",
            max_turns=config.env.max_turns or None,
            options=config.env.options,
            voices=voices,
        )
        make, observers = faulting.dialogues(make, "train")
        seed = run.seed / "train"
        async with open_training(
            endless_tasks(gym, config, seed),
            make,
            learner,
            policy,
            seed=seed,
            store=run.store,
            rollout=rollout,
            config=settings,
            checkpoints=run.checkpoints,
            start=start,
            observer=join_observers([*observers, *([metrics] if metrics else [])]),
            board=run.board,
        ) as (steps, rollouts):
            async for done in steps:
                numbers = done.metrics
                if metrics is not None:
                    metrics.step_ended(done.step, done.version, numbers)
                run.log_metrics("train", done.step, numbers)
                rewards.append(numbers.get("reward", float("nan")))
                seconds += numbers["seconds_step"]
                version = done.version
                own = own.and_step(numbers)
                done_steps = done.step + 1
                note = (
                    f"reward {rewards[-1]:.3f} over {numbers['counted']:.0f} dialogues "
                    f"({numbers['cut_short']:.0f} cut short), "
                    f"staleness {numbers.get('staleness_max', 0):.0f}, "
                    f"{numbers['seconds_step']:.2f} s/step"
                )
                bar.update(done_steps, f"{note}, {rollouts.stats.live} live")
        await learner.save(target)
    return TrainedPolicy(
        run=str(run.path),
        model=str(target),
        steps=settings.steps,
        version=version,
        reward_first=_mean(rewards[:10]),
        reward_last=_mean(rewards[-10:]),
        seconds=seconds,
        own=own,
        faults=faulting.report(),
    )


def _settings(config: Config) -> TrainConfig:
    """The training settings; deterministic runs take turns."""
    settings = config.train
    return structs.replace(settings, max_staleness=0) if config.deterministic else settings


def learner_setup(run: Run, source: Path, start: Start | None = None) -> Setup:
    """What the learner's process is told first."""
    config = run.config
    start = start or Start()
    return Setup(
        model=str(source.absolute()),
        weights_dir=str(run.weights.absolute()),
        device=pick_device(config.learner.device),
        threads=config.learner.threads,
        bf16=config.learner.bf16,
        deterministic=config.deterministic,
        version=start.version,
        next_version=max(start.version + 1, start.lineage.next_version),
        checkpoint=str(source.absolute()) if start.committed else "",
        budget_tokens=config.train.budget_tokens,
        max_grad_norm=config.train.max_grad_norm,
        temperature=config.model.temperature,
        loss=config.train.loss,
    )


async def _prepare(config: Config) -> tuple[Path, Gym]:
    """The model folder and the gym, with everything refused that can be before a run is begun."""
    refuse_tape(config)
    source, gym = await model_folder(config), find(config.env.name)
    check_agent(config.model.spec, gym, config)
    check_tasks(gym, config)
    check_voices(gym, config)
    return source, gym


async def model_folder(config: Config) -> Path:
    """The folder of the model to be trained; only models of ours can be. Raises `UsageError`."""
    kind, _, name = config.model.spec.partition(":")
    if kind not in ("local", "vllm") or not name:
        raise UsageError(
            f"{config.model.spec!r} cannot be trained; give a model folder as local:PATH or "
            "vllm:PATH (`duologue model init PATH` makes a tiny one), or a server of one as vllm:URL"
        )
    return await served_folder(name, config.vllm) if kind == "vllm" else Path(name)


def trained_tasks(run: Run, gym: Gym, phase: str, count: int) -> list[Task]:
    """The first `count` tasks that `coldstart` or `train` met, as they were met."""
    return list(islice(endless_tasks(gym, run.config, run.seed / phase), count))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
