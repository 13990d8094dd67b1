"""The cold start: what it keeps, what it teaches, in what order."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents import ChatML, TokenAgent
from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models.local._folder import load_tokenizer
from duologue.engine import (
    End,
    Key,
    RolloutConfig,
    Seed,
    Task,
    Trajectory,
    Turn,
    UsageError,
    checkpoint,
    open_reader,
    open_rollouts,
    open_store,
    pack_tokens,
)
from duologue.envs import find, make_dialogues, scripted_agent
from duologue.train import ColdStartConfig, RemoteLearner, Schedule, learning_rate
from duologue.train._coldstart import CURVE, _passes, best, imitate, tokenise
from duologue.train._wire import SupervisedBatch, Trained, WireSample


def trajectory(number: int, reward: float, env: str = "e", end: End = End.DONE) -> Trajectory:
    return Trajectory(
        key=Key(number, 0), task=f"t{number}", env=env, split="train", end=end,
        turns=(Turn(text="...", reward=reward),),
    )  # fmt: skip


class Parrot:
    """Says as tokens what somebody else said as text."""

    def __init__(self, chat: ChatML, lines: Iterator[str]) -> None:
        self._chat, self._lines = chat, lines

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        await checkpoint()
        text = next(self._lines)
        ids = self._chat.wrote(text)
        return Generation(text=text, ids=array("i", ids), logps=array("f", [0.0] * len(ids)))


# ---------------------------------------------------------------- tokens


@pytest.mark.anyio
@pytest.mark.parametrize("script", ["imperfect", "silent"])
async def test_tokens_are_those_that_a_model_would_have_made_saying_the_same(
    tiny: Path, script: str
) -> None:
    gym = find("intention")
    chat = ChatML(load_tokenizer(tiny))
    tasks = list(islice(gym.tasks("train", Seed(5)), 12))
    seed = Seed(9)

    async def play(agent: Any) -> list[Trajectory]:
        make = make_dialogues(gym, agent)
        async with open_rollouts(tasks, make, seed=seed, config=RolloutConfig()) as rollouts:
            played = [t async for group in rollouts for t in group.trajectories]
        return sorted(played, key=lambda t: t.key)

    led = await play(scripted_agent(gym, script))
    lines = {t.task: [turn.text for turn in t.turns] for t in led}

    def repeat(task: Task, session: str, seed: Seed) -> TokenAgent:
        model = Parrot(chat, iter(lines[task.id]))
        return TokenAgent(
            model, chat, session=session, seed=seed, sampling=Sampling(), context=10_000
        )

    sampled = await play(repeat)
    for by_script, by_model in zip(led, sampled, strict=True):
        assert by_script.turns == by_model.turns
        assert tokenise(by_script, chat) == by_model.tokens


def test_only_the_agents_tokens_are_learned_from(tiny: Path) -> None:
    chat = ChatML(load_tokenizer(tiny))
    talk = Trajectory(
        key=Key(0, 0), task="t", env="e", split="train", end=End.DONE,
        turns=(Turn(text="one", feedback="hears one"), Turn(text="two", feedback="hears two")),
    )  # fmt: skip
    tokens = tokenise(talk, chat)
    ids, mask = list(tokens.ids_array()), list(tokens.mask)
    taught = [token for token, flag in zip(ids, mask, strict=True) if flag]
    assert chat.text(taught) == "one<|im_end|>two<|im_end|>"
    assert "hears one" in chat.text(ids) and "hears two" not in chat.text(ids)
    assert all(mask[start] and not mask[start - 1] for start in tokens.turns)
    assert len(tokens.turns) == 2


# ---------------------------------------------------------------- what is kept


def test_best_are_ranked_within_their_environment() -> None:
    easy = [trajectory(i, float(i), "easy") for i in range(10)]
    hard = [trajectory(10 + i, i / 100, "hard") for i in range(10)]
    kept = best([*hard, *easy], 0.3)
    assert [t.key.group for t in kept] == [7, 8, 9, 17, 18, 19]


def test_dialogues_that_did_not_run_their_course_are_never_kept() -> None:
    cut = [
        trajectory(i, 9.0, end=end)
        for i, end in enumerate([End.TRUNCATED, End.MODEL_ERROR, End.TIMEOUT, End.CANCELLED])
    ]
    fine = trajectory(9, 0.1, end=End.MAX_TURNS)
    assert best([*cut, fine], 1.0) == [fine]
    assert best(cut, 1.0) == []


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1, max_size=30),
    st.floats(0.01, 1.0),
    st.randoms(use_true_random=False),
)
def test_what_is_kept_is_at_least_as_good_as_what_is_not(
    rows: list[tuple[str, int]], keep: float, random: Any
) -> None:
    every = [trajectory(i, float(reward), env) for i, (env, reward) in enumerate(rows)]
    shuffled = list(every)
    random.shuffle(shuffled)
    kept = best(shuffled, keep)
    assert kept == best(every, keep) == sorted(kept, key=lambda t: t.key)
    for env in {env for env, _ in rows}:
        inside = [t.reward for t in kept if t.env == env]
        outside = [t.reward for t in every if t.env == env and t not in kept]
        assert len(inside) == max(1, round(keep * (len(inside) + len(outside))))
        assert min(inside) >= max(outside, default=0.0)


# ---------------------------------------------------------------- steps


@given(st.integers(1, 20), st.integers(0, 5))
def test_passes_meet_everything_before_anything_again(size: int, seed: int) -> None:
    drawn = list(islice(_passes(size, Seed(seed)), 4 * size))
    passes = [drawn[i : i + size] for i in range(0, len(drawn), size)]
    assert all(sorted(one) == list(range(size)) for one in passes)
    assert drawn == list(islice(_passes(size, Seed(seed)), 4 * size))


def test_each_pass_has_an_order_of_its_own() -> None:
    drawn = list(islice(_passes(50, Seed(0)), 100))
    assert drawn[:50] != drawn[50:]


class Pupil:
    """A learner that notes its orders; its loss falls by one a step."""

    def __init__(self) -> None:
        self.orders: list[SupervisedBatch] = []
        self._losses = count(10, -1)

    async def imitate(self, order: SupervisedBatch) -> Trained:
        await checkpoint()
        self.orders.append(order)
        stats = {"loss": float(next(self._losses)), "skipped": None}
        return Trained(step=order.step, version=0, weights=None, stats=stats)


def wire(number: int) -> WireSample:
    return WireSample(key=Key(number, 0), tokens=pack_tokens([1, 2], [0, 1], [0.0, 0.0], [1]))


async def _imitate(
    path: Path, pupil: Pupil, size: int, report: Callable[[int, float], None], **settings: Any
) -> float:
    config = ColdStartConfig(schedule=Schedule(peak=1.0, warmup_steps=4), **settings)
    async with open_store(path / "run.db") as store:
        return await imitate(
            cast(RemoteLearner, pupil),
            [wire(i) for i in range(size)],
            seed=Seed(0),
            store=store,
            config=config,
            report=report,
        )


@pytest.mark.anyio
async def test_batches_cover_every_dialogue_before_one_comes_back(tmp_path: Path) -> None:
    pupil, told = Pupil(), list[tuple[int, float]]()

    def report(step: int, loss: float) -> None:
        told.append((step, loss))

    last = await _imitate(tmp_path, pupil, 8, report, steps=6, batch=4)
    groups = [[s.key.group for s in order.samples] for order in pupil.orders]
    for one, two in zip(groups[::2], groups[1::2], strict=True):
        assert sorted(one + two) == list(range(8))
    assert [order.step for order in pupil.orders] == list(range(6))
    schedule = Schedule(peak=1.0, warmup_steps=4)
    assert [o.learning_rate for o in pupil.orders] == [learning_rate(s, schedule) for s in range(6)]
    assert told == [(step, 10.0 - step) for step in range(6)]
    assert last == 5.0
    with open_reader(tmp_path / "run.db") as reader:
        curve = reader.metrics(CURVE)
    assert [(row["step"], row["loss"]) for row in curve] == told


@pytest.mark.anyio
async def test_batch_larger_than_all_there_is_takes_all_there_is(tmp_path: Path) -> None:
    pupil = Pupil()
    await _imitate(tmp_path, pupil, 3, lambda step, loss: None, steps=2, batch=16)
    for order in pupil.orders:
        assert sorted(s.key.group for s in order.samples) == [0, 1, 2]


@pytest.mark.anyio
async def test_no_steps_teach_nothing(tmp_path: Path) -> None:
    pupil = Pupil()
    loss = await _imitate(tmp_path, pupil, 3, lambda step, loss: None, steps=0)
    assert math.isnan(loss)
    assert pupil.orders == []


@pytest.mark.parametrize(
    "settings", [{"keep": 0.0}, {"keep": 1.1}, {"dialogues": 0}, {"batch": 0}, {"steps": -1}]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ColdStartConfig(**settings)


@pytest.mark.anyio
async def test_steps_with_nothing_to_learn_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dialogue to learn from"):
        await _imitate(tmp_path, Pupil(), 0, lambda step, loss: None, steps=2)
