"""The words that cross boundaries: round trips, permanence, and the table of ends."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    Action,
    End,
    Group,
    Key,
    Message,
    Span,
    Task,
    Tokens,
    Trajectory,
    Turn,
    pack_tokens,
)

GOLDEN = Path(__file__).parents[1] / "data" / "trajectory-0.1.msgpack"

int32 = st.integers(-(2**31), 2**31 - 1)
float32 = st.floats(width=32, allow_nan=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)

spans = st.builds(Span, start=int32, end=int32, version=int32)


@st.composite
def token_streams(draw: st.DrawFn) -> Tokens:
    rows = draw(st.lists(st.tuples(int32, st.integers(0, 1), float32), max_size=20))
    return pack_tokens(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        draw(st.lists(st.integers(0, 20), max_size=3)),
        draw(st.lists(spans, max_size=3)),
    )


actions = st.builds(Action, choice=words, content=words)
turns = st.builds(
    Turn,
    text=words,
    actions=st.lists(actions, max_size=2).map(tuple),
    feedback=words,
    reward=finite,
    parts=st.dictionaries(words, finite, max_size=2),
)
messages = st.builds(
    Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=words
)
keys = st.builds(Key, group=st.integers(0, 2**62), sample=st.integers(0, 2**31))
trajectories = st.builds(
    Trajectory,
    key=keys,
    task=words,
    env=words,
    split=words,
    end=st.sampled_from(End),
    detail=words,
    opening=st.lists(messages, max_size=2).map(tuple),
    turns=st.lists(turns, max_size=3).map(tuple),
    tokens=st.none() | token_streams(),
    discarded=st.lists(st.sampled_from(End), max_size=2).map(tuple),
)


@given(st.lists(st.tuples(int32, st.integers(0, 1), float32)))
def test_packed_tokens_come_back_as_they_went_in(rows: list[tuple[int, int, float]]) -> None:
    ids, mask, logps = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    tokens = pack_tokens(ids, mask, logps, [0], [Span(0, 1, 2)])
    assert tokens.ids_array().tolist() == ids
    assert list(tokens.mask) == mask
    assert tokens.logps_array().tolist() == logps
    assert len(tokens) == len(rows)
    assert (tokens.turns, tokens.spans) == ((0,), (Span(0, 1, 2),))


def test_a_token_costs_nine_bytes() -> None:
    tokens = pack_tokens([1, 2], [0, 1], [0.0, -0.5])
    assert tokens.ids == struct.pack("<2i", 1, 2)
    assert tokens.logps == struct.pack("<2f", 0.0, -0.5)
    assert tokens.mask == b"\x00\x01"


@pytest.mark.parametrize("lengths", [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_token_streams_of_unequal_length_are_refused(lengths: tuple[int, int, int]) -> None:
    ids, mask, logps = lengths
    with pytest.raises(ValueError, match=f"{ids}, {mask}, {logps}"):
        pack_tokens([0] * ids, [0] * mask, [0.0] * logps)


@given(trajectories)
def test_a_trajectory_survives_its_encoding(trajectory: Trajectory) -> None:
    record = msgspec.msgpack.encode(trajectory)
    again = msgspec.msgpack.decode(record, type=Trajectory)
    assert again == trajectory
    assert msgspec.msgpack.encode(again) == record
    assert msgspec.json.decode(msgspec.json.encode(trajectory), type=Trajectory) == trajectory


def golden() -> Trajectory:
    return Trajectory(
        key=Key(3, 1),
        task="lamp-7",
        env="intention",
        split="train",
        end=End.DONE,
        detail="the user was content",
        opening=(Message("system", "You find out what is meant."), Message("user", "A lamp.")),
        turns=(
            Turn(
                text="<action>desk or floor?</action>",
                actions=(Action("action", "desk or floor?"),),
                feedback="A desk lamp.",
                reward=0.25,
                parts={"covered": 0.5, "turn": -0.25},
            ),
            Turn(text="<finish></finish>", actions=(Action("finish", ""),)),
        ),
        tokens=pack_tokens(
            [5, 6, 7, 8], [0, 1, 0, 1], [0.0, -0.5, 0.0, -1.25], [1, 3], [Span(1, 2, 4)]
        ),
        discarded=(End.MODEL_ERROR,),
    )


def test_the_first_releases_trajectory_still_decodes() -> None:
    assert msgspec.msgpack.decode(GOLDEN.read_bytes(), type=Trajectory) == golden()


def test_the_first_releases_trajectory_is_still_what_we_write() -> None:
    assert msgspec.msgpack.encode(golden()) == GOLDEN.read_bytes()


def test_tags_are_permanent() -> None:
    trajectory = golden()
    task = Task(env="e", id="t")
    group = Group(ordinal=0, task=task, trajectories=(trajectory,))
    for message, tag in [(task, "task"), (trajectory, "trajectory"), (group, "group")]:
        assert msgspec.to_builtins(message)["type"] == tag


def test_readers_refuse_a_kind_they_do_not_know() -> None:
    with pytest.raises(msgspec.ValidationError, match="type"):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"type": "poem"}), type=Trajectory)


def test_readers_ignore_fields_from_later_releases() -> None:
    raw: dict[str, Any] = msgspec.msgpack.decode(GOLDEN.read_bytes())
    raw["mood"] = "hopeful"
    raw["key"] = [*raw["key"], "later"]
    raw["turns"][0]["mood"] = "doubtful"
    raw["tokens"]["spans"] = [[*span, "later"] for span in raw["tokens"]["spans"]]
    assert msgspec.convert(raw, Trajectory) == golden()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=Trajectory) == golden()


def test_a_trajectory_needs_no_more_than_its_first_fields() -> None:
    least = {
        "type": "trajectory",
        "key": [0, 0],
        "task": "t",
        "env": "e",
        "split": "train",
        "end": "done",
    }
    trajectory = msgspec.convert(least, Trajectory)
    assert (trajectory.reward, trajectory.rewards, trajectory.oldest_version) == (0, (), None)


FINISHED = {"done", "user_ended", "max_turns", "no_action"}
CUT_SHORT = {"context_full", "truncated"}
FAILED = {"model_error", "user_error", "judge_error", "env_error"}
APART = {"timeout", "cancelled"}


def test_the_ends_are_those_of_the_table() -> None:
    assert {end.value for end in End} == FINISHED | CUT_SHORT | FAILED | APART


@pytest.mark.parametrize("end", End)
def test_every_end_is_in_the_class_the_table_gives_it(end: End) -> None:
    classes = (end.finished, end.cut_short, end.failed)
    assert classes == (end in FINISHED, end in CUT_SHORT, end in FAILED)
    assert sum(classes) == (end not in APART)


def test_the_reward_is_the_sum_of_the_turns() -> None:
    assert golden().reward == 0.25
    assert golden().rewards == (0.25, 0.0)


@given(st.lists(spans, max_size=5))
def test_the_oldest_version_is_the_oldest_that_sampled(covered: list[Span]) -> None:
    tokens = pack_tokens([], [], [], (), covered)
    trajectory = msgspec.structs.replace(golden(), tokens=tokens)
    expected = min((span.version for span in covered), default=None)
    assert trajectory.oldest_version == expected


@given(keys, keys)
def test_keys_sort_by_group_then_sample(one: Key, other: Key) -> None:
    assert (one < other) == ((one.group, one.sample) < (other.group, other.sample))
