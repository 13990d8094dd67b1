"""The bars on determinism, scale and exactness, through the front door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import load_model
from duologue.agents.models.local._head import token_log_probs
from duologue.engine import (
    Agent,
    End,
    Fate,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    Tokens,
    open_reader,
    open_rollouts,
    relaxed_collector,
)
from duologue.envs import find, make_dialogues, scripted_agent
from duologue.train._packing import make_sample, pack

Duologue = Callable[..., Any]

LOOPS = ("asyncio", "trio")
TALK = (
    "-s", "env.options={instructions = false}", "-s", "model.context=160",
    "-s", "model.max_tokens=24",
)  # fmt: skip


def records(run: Path, phase: str = "rollout") -> list[bytes]:
    with open_reader(run / "run.db") as reader:
        return reader.records(phase)


# ---------------------------------------------------------------- the same again


def test_scripted_records_are_equal_on_both_loops_alone_or_among_a_thousand(
    duologue: Duologue, tmp_path: Path
) -> None:
    runs: list[Path] = []
    for loop in LOOPS:
        for live in (1, 1000):
            run = tmp_path / f"{loop}-{live}"
            words = ["rollout", "--model", "scripted:imperfect", "--count", 150, "--samples", 2]
            done = duologue(*words, "--live", live, "--loop", loop, "--run", run)
            assert done.code == 0, done.err
            runs.append(run)
    first = records(runs[0])
    assert len(first) == 300 and len(set(first)) == 300
    assert all(records(run) == first for run in runs[1:])


def test_another_seed_is_another_run(duologue: Duologue, tmp_path: Path) -> None:
    for seed in (0, 1):
        words = ["rollout", "--model", "scripted:imperfect", "--count", 20, "--seed", seed]
        assert duologue(*words, "--run", tmp_path / str(seed)).code == 0
    assert not set(records(tmp_path / "0")) & set(records(tmp_path / "1"))


@pytest.mark.slow
def test_deterministic_training_gives_equal_records_and_equal_weights_on_both_loops(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / name for name in ("first", "second")]
    for run, loop in zip(runs, LOOPS, strict=True):
        done = duologue(
            "train", "--model", f"local:{started}", "--deterministic", "--steps", 3,
            "--loop", loop, "--run", run, *TALK, "-s", "rollout.samples=4",
            "-s", "train.groups_per_step=4", "-s", "train.schedule.peak=1e-3",
        )  # fmt: skip
        assert done.code == 0, done.err
    # Waves are whole: what is beyond the last step is cancelled at different moments.
    learned = 3 * 4 * 4
    one, two = (records(run, "train")[:learned] for run in runs)
    assert len(one) == learned and one == two
    left, right = (load_file(run / "models" / "trained" / "model.safetensors") for run in runs)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    before = load_file(started / "model.safetensors")
    assert any(not torch.equal(left[name], before[name]) for name in left)


def test_deterministic_sampling_gives_equal_records_run_after_run(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    for loop in LOOPS:
        words = ["rollout", "--model", f"local:{started}", "--deterministic", "--count", 6]
        done = duologue(*words, "--samples", 3, "--loop", loop, "--run", tmp_path / loop, *TALK)
        assert done.code == 0, done.err
    first = records(tmp_path / "asyncio")
    assert len(first) == 18 and first == records(tmp_path / "trio")


# ---------------------------------------------------------------- scale


@pytest.mark.slow
@pytest.mark.parametrize("script", ["expert", "weather"])
def test_official_tasks_are_all_there_and_the_expert_covers_them(
    duologue: Duologue, tmp_path: Path, shared: Path, script: str
) -> None:
    """1,107 tasks, 8 samples: typed ends, nothing missing, nothing twice, fates that sum up."""
    samples = 8 if script == "expert" else 1
    files = {"train": 1012, "test": 95}
    covered = details = 0
    for name, tasks in files.items():
        file = shared / f"data/userrl/gyms/all_intentions_{name}.json"
        done = duologue(
            "rollout", "--tasks", file, "--samples", samples, "--model", f"scripted:{script}",
            "--live", 8192, "-s", "env.max_turns=20", "--run", tmp_path / name, "--json",
            "--loop", LOOPS[name == "test"],
        )  # fmt: skip
        assert done.code == 0, done.err
        assert (done.json["tasks"], done.json["dialogues"]) == (tasks, tasks * samples)
        with open_reader(tmp_path / name / "run.db") as reader:
            assert reader.count() == tasks * samples
            assert sum(reader.ends().values()) == tasks * samples
            assert all(isinstance(end, End) and end.finished for end in reader.ends())
            assert reader.fates() == {Fate.READY: tasks * samples}
            missing = {
                task.id: len(task.data["missing_details"]) for task in reader.tasks("rollout")
            }
            assert len(missing) == tasks
            for stored in reader.trajectories():
                details += missing[stored.trajectory.task]
                covered += sum(turn.reward > 0 for turn in stored.trajectory.turns)
    assert covered == 0 if script == "weather" else covered >= 0.9 * details


@pytest.mark.anyio
@pytest.mark.slow
async def test_ten_thousand_dialogues_are_live_at_once() -> None:
    """Every agent waits for the last one to arrive before it answers for the second time."""
    count = 10_000
    gym = find("intention")
    script = scripted_agent(gym, "expert")
    everybody = anyio.Event()
    arrived = most = 0

    class Patient:
        def __init__(self, inner: Agent) -> None:
            self._inner = inner
            self._turns = 0

        async def receive(self, observation: Observation) -> Reply:
            nonlocal arrived, most
            self._turns += 1
            if self._turns == 2:
                arrived += 1
                most = max(most, rollouts.stats.live)
                if arrived == count:
                    everybody.set()
                await everybody.wait()
            return await self._inner.receive(observation)

        def tokens(self) -> Tokens | None:
            return self._inner.tokens()

        def close(self) -> None:
            self._inner.close()

    def agent(task: Task, session: str, seed: Seed) -> Agent:
        return Patient(script(task, session, seed))

    tasks = _long_tasks(count)
    config = RolloutConfig(live=count, deadline_s=100.0)
    with relaxed_collector():
        async with open_rollouts(
            tasks, make_dialogues(gym, agent), seed=Seed(0), config=config
        ) as rollouts:
            groups = [group async for group in rollouts]
            stats = rollouts.stats
    assert most == count
    assert (stats.admitted, stats.ended, stats.live) == (count, count, 0)
    assert len(groups) == count
    assert sum(stats.ends.values()) == count and all(end.finished for end in stats.ends)


def _long_tasks(count: int) -> Sequence[Task]:
    """Tasks that take at least two turns: more than one detail is missing."""
    every = find("intention").tasks("train", Seed(0))
    return list(islice((t for t in every if len(t.data["missing_details"]) > 1), count))


# ---------------------------------------------------------------- exactness


def test_sampled_log_probabilities_are_the_learners_own(
    duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    """What was stored while sampling, against one packed forward pass over whole dialogues."""
    words = ["rollout", "--model", f"local:{started}", "--count", 8, "--samples", 3]
    done = duologue(*words, "--run", tmp_path / "run", *TALK)
    assert done.code == 0, done.err
    with open_reader(tmp_path / "run" / "run.db") as reader:
        samples = [make_sample(stored.trajectory) for stored in reader.trajectories()]
    model = load_model(started)
    trained = 0
    for packed in pack(samples, 1024):
        with torch.inference_mode():
            hidden = model.hidden(
                torch.as_tensor(packed.ids_N),
                torch.as_tensor(packed.positions_N),
                PackedAttention(packed.lengths),
            )[torch.as_tensor(packed.source_M)]
            logp = token_log_probs(model, hidden, torch.as_tensor(packed.targets_M))[0]
        np.testing.assert_allclose(packed.behaviour_logp_M, logp.numpy(), atol=1e-5, rtol=0)
        trained += packed.trained_tokens
    assert trained > 500
