"""`duologue replay`: one dialogue again, equal byte for byte, or the first place that differs."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from test_tapes import Chat, chat

from duologue.engine import End, Key, Stored, Trajectory, Turn, open_reader, open_store, pack_tokens
from duologue.jobs._difference import first_difference

__all__ = ["chat"]  # a fixture

Duologue = Callable[..., Any]

LOOPS = ("asyncio", "trio")
TALK = ("-s", "env.options={instructions = false}", "-s", "model.context=160")


def stored(run: Path, phase: str, group: int, sample: int) -> Stored:
    with open_reader(run / "run.db") as reader:
        found = reader.stored(phase, Key(group, sample))
    assert found is not None
    return found


def tamper(run: Path, phase: str, group: int, change: Callable[[Trajectory], Trajectory]) -> None:
    """Another record under a later life, as if the dialogue had come out otherwise."""
    one = change(stored(run, phase, group, 0).trajectory)

    async def write() -> None:
        async with open_store(run / "run.db") as store:
            await store.append(phase, one, seconds=1)

    anyio.run(write)


@pytest.fixture
def scripted(duologue: Duologue, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    words = ["rollout", "--model", "scripted:imperfect", "--count", 6, "--samples", 3, "--seed", 5]
    assert duologue(*words, "--run", run).code == 0
    return run


@pytest.mark.parametrize("loop", LOOPS)
def test_a_scripts_dialogue_comes_out_equal_and_is_printed(
    loop: str, scripted: Path, duologue: Duologue
) -> None:
    for name in ("0/0", "4/2", "rollout:5/1", "rollout:5/1@0"):
        done = duologue("replay", scripted, name, "--loop", loop)
        assert (done.code, done.err) == (0, "")
        assert done.out.endswith("equal to its record, byte for byte\n")
    there = stored(scripted, "rollout", 5, 1).trajectory
    for turn in there.turns:
        assert turn.text in done.out and turn.feedback in done.out


def test_as_json_it_is_one_object(scripted: Path, duologue: Duologue) -> None:
    done = duologue("replay", scripted, "3/1", "--json")
    there = stored(scripted, "rollout", 3, 1).trajectory
    assert (done.code, done.json["equal"], done.json["difference"]) == (0, True, None)
    assert (done.json["how"], done.json["ran"]) == ("script", 1)
    assert done.json["dialogue"] == "rollout:3/1@0"
    assert done.json["turns"] == msgspec.json.decode(msgspec.json.encode(there.turns))
    assert (done.json["end"], done.json["reward"]) == (there.end, there.reward)


def test_a_dialogue_that_differs_says_where_and_exits_with_1(
    scripted: Path, duologue: Duologue
) -> None:
    def change(one: Trajectory) -> Trajectory:
        first, second, *rest = one.turns
        other = msgspec.structs.replace(second, feedback="Something else.")
        return msgspec.structs.replace(one, turns=(first, other, *rest))

    tamper(scripted, "rollout", 2, change)
    done = duologue("replay", scripted, "2/0")
    assert done.code == 1
    assert "differs from its record, first in turn 2, feedback, from character 0 on" in done.out
    assert 'recorded: "Something else."' in done.out
    assert duologue("replay", scripted, "2/0@0").code == 0  # the earlier life's is as it was


def test_the_attempt_that_was_kept_is_the_one_that_is_run(
    duologue: Duologue, tmp_path: Path, chat: object
) -> None:
    """Also when the earlier ones failed for reasons that are gone."""
    run, tape = tmp_path / "run", tmp_path / "tape"
    words = ["rollout", "--model", "openai:m", "--count", 30, "-s", "openai.limits.attempts=1"]
    assert duologue(*words, "--run", run, "--record", tape).code == 0
    asked = Chat.asked
    with open_reader(run / "run.db") as reader:
        every = [one.trajectory for one in reader.trajectories()]
    retried = [one for one in every if one.discarded and one.end.finished]
    assert retried
    for one in (*retried[:3], every[0]):
        done = duologue("replay", run, f"{one.key.group}/0", "--json")
        assert (done.code, done.json["how"], done.json["equal"]) == (0, "recording", True), done
    assert Chat.asked == asked
    tape.rename(tmp_path / "elsewhere")
    done = duologue("replay", run, "0/0")
    assert done.code == 2 and "say where with --replay FILE" in done.err
    assert duologue("replay", run, "0/0", "--replay", tmp_path / "elsewhere").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_deterministic_local_models_dialogue_is_run_with_its_wave(
    loop: str, duologue: Duologue, started: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["rollout", "--model", f"local:{started}", "--count", 7, "--samples", 2, *TALK]
    done = duologue(*words, "--deterministic", "--live", 6, "--loop", loop, "--run", run)
    assert done.code == 0, done.err
    for name, ran in (("0/1", 6), ("4/0", 6), ("6/1", 2)):
        done = duologue("replay", run, name, "--json", "--loop", loop)
        assert (done.code, done.json["how"], done.json["ran"]) == (0, "wave", ran), done
    chance = tmp_path / "chance"
    assert duologue(*words, "--run", chance).code == 0
    done = duologue("replay", chance, "0/0")
    assert done.code == 2 and "--deterministic, or with --record FILE" in done.err


def test_an_evaluations_dialogues_are_found_by_their_agent(
    duologue: Duologue, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["eval", "--model", "scripted:random-topic", "--count", 4, "-s", "eval.samples=2"]
    assert duologue(*words, "--run", run).code == 0
    for phase in ("eval/expert", "eval/random-topic"):
        done = duologue("replay", run, f"{phase}:3/1")
        assert (done.code, done.err) == (0, "")
    done = duologue("replay", run, "3/1")
    assert done.code == 2 and "eval/expert:3/1, eval/random-topic:3/1" in done.err


def test_what_cannot_be_replayed_is_refused_with_what_to_do(
    scripted: Path, duologue: Duologue, tmp_path: Path, chat: object
) -> None:
    hosted = tmp_path / "hosted"
    words = ["rollout", "--model", "openai:m", "--count", 2, "--run", hosted]
    assert duologue(*words, "-s", "openai.limits.attempts=1").code == 0

    struck = tmp_path / "struck"
    words = ["rollout", "--model", "scripted:expert", "--count", 2, "--faults", "storm"]
    assert duologue(*words, "--run", struck).code == 0

    def stop(one: Trajectory) -> Trajectory:
        return msgspec.structs.replace(one, end=End.TIMEOUT)

    tamper(scripted, "rollout", 4, stop)
    with open_reader(scripted / "run.db") as reader:
        text = reader.run()[1]

    async def train() -> None:
        async with open_store(scripted / "run.db") as store:
            await store.append("train", stored(scripted, "rollout", 0, 0).trajectory, seconds=1)

    anyio.run(train)
    strange = tmp_path / "strange" / "run.db"
    strange.parent.mkdir()

    async def other() -> None:
        async with open_store(strange, config=text, facts={"command": "x"}) as store:
            await store.append("rollout", stored(scripted, "rollout", 0, 0).trajectory, seconds=1)

    anyio.run(other)
    cases = {
        (hosted, "0/0"): "run it with --record FILE",
        (scripted, "nonsense"): "write GROUP/SAMPLE",
        (scripted, "99/0"): "holds no record of dialogue '99/0'",
        (scripted, "evil:0/0"): "has no phase 'evil'; it has: rollout",
        (scripted, "rollout:4/0"): "the clock or a person",
        (scripted, "train:0/0"): "weights that training has changed",
        (strange.parent, "0/0"): "the runs of its own commands",
        (struck, "0/0"): "wrong on plan",
        (tmp_path / "none", "0/0"): "holds no run",
    }
    for (run, name), said in cases.items():
        done = duologue("replay", run, name)
        assert (done.code, said in done.err) == (2, True), (name, done)
    with closing(sqlite3.connect(scripted / "run.db")) as store:
        store.execute("DELETE FROM groups WHERE ordinal = 1")
        store.commit()
    done = duologue("replay", scripted, "rollout:1/0")
    assert done.code == 2 and "no task of group 1" in done.err


BASE = Trajectory(
    key=Key(1, 0),
    task="t",
    env="e",
    split="s",
    end=End.DONE,
    turns=(Turn(text="a" * 50 + "b", reward=0.0), Turn(text="two", parts={"x": 1.0})),
    tokens=pack_tokens([1, 2, 3], [0, 1, 1], [0.0, -1.0, -2.0], [1]),
)


@pytest.mark.parametrize(
    ("change", "where", "recorded"),
    [
        ({}, None, ""),
        ({"turns": (Turn(text="a" * 50 + "c"), BASE.turns[1])}, "turn 1, text, from ch.* 50", "b"),
        ({"turns": BASE.turns[:1]}, "turn 2", "two"),
        ({"turns": (BASE.turns[0], Turn(text="two"))}, "turn 2, parts", "x"),
        ({"end": End.MAX_TURNS}, "end", "done"),
        ({"turns": (Turn(text="a" * 50 + "b", reward=-0.0), BASE.turns[1])}, "sign", ""),
        ({"tokens": None}, "tokens", ""),
        ({"tokens": pack_tokens([1, 2], [0, 1], [0.0, -1.0], [1])}, "number of tokens", "3"),
        (
            {"tokens": pack_tokens([1, 9, 3], [0, 1, 1], [0.0, -1.0, -2.0], [1])},
            r"token 1 \(turn 1\), id",
            "2",
        ),
        (
            {"tokens": pack_tokens([1, 2, 3], [0, 1, 1], [0.0, -1.0, -2.5], [1])},
            r"token 2 \(turn 1\), log-probability",
            "-2.0",
        ),
        (
            {"tokens": pack_tokens([1, 2, 3], [0, 1, 1], [0.0, -1.0, -2.0], [2])},
            "first tokens",
            "1",
        ),
    ],
)
def test_the_first_difference_is_named(
    change: dict[str, Any], where: str | None, recorded: str
) -> None:
    found = first_difference(BASE, msgspec.structs.replace(BASE, **change))
    if where is None:
        assert found is None
        return
    assert found is not None
    assert re.search(where, found.where), found
    assert recorded in found.recorded
