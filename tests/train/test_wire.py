"""What crosses between the engine's side and the learner, and how a corrupt stream shows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import Key, Span, pack_tokens
from duologue.train._loss_config import PRESETS
from duologue.train._wire import (
    LIMIT_BYTES,
    Answer,
    Broken,
    Order,
    PolicyBatch,
    Ready,
    Save,
    SaveCheckpoint,
    Saved,
    Setup,
    SupervisedBatch,
    Trained,
    WireSample,
    body_length,
    decode_answer,
    decode_order,
    frame,
)

# The tags are permanent: a learner must understand the engine's side of another release.
TAGS: dict[type[msgspec.Struct], str] = {
    Setup: "setup",
    PolicyBatch: "policy_batch",
    SupervisedBatch: "supervised_batch",
    Save: "save",
    SaveCheckpoint: "save_checkpoint",
    Ready: "ready",
    Trained: "trained",
    Saved: "saved",
    Broken: "broken",
}

SMALL = st.integers(0, 2**31 - 1)
REAL = st.floats(allow_nan=False)


@st.composite
def wire_samples(draw: st.DrawFn) -> WireSample:
    ids = draw(st.lists(SMALL, max_size=5))
    size = len(ids)
    return WireSample(
        key=Key(draw(SMALL), draw(SMALL)),
        tokens=pack_tokens(
            ids,
            draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)),
            draw(st.lists(st.floats(width=32), min_size=size, max_size=size)),
            turns=draw(st.lists(SMALL, max_size=2)),
            spans=draw(st.lists(st.builds(Span, SMALL, SMALL, SMALL), max_size=2)),
        ),
        advantages=tuple(draw(st.lists(REAL, max_size=3))),
    )


BATCH: dict[str, st.SearchStrategy[Any]] = {
    "step": SMALL,
    "learning_rate": REAL,
    "samples": st.lists(wire_samples(), max_size=3).map(tuple),
}
ORDERS: st.SearchStrategy[Order] = st.one_of(
    st.builds(
        Setup,
        model=st.text(),
        weights_dir=st.text(),
        device=st.text(),
        threads=SMALL,
        bf16=st.booleans(),
        deterministic=st.booleans(),
        version=SMALL,
        next_version=SMALL,
        checkpoint=st.text(),
        budget_tokens=SMALL,
        max_grad_norm=REAL,
        temperature=REAL,
        loss=st.sampled_from(list(PRESETS.values())),
    ),
    st.builds(PolicyBatch, **BATCH),
    st.builds(SupervisedBatch, **BATCH),
    st.builds(Save, path=st.text()),
    st.builds(SaveCheckpoint, path=st.text(), step=SMALL, consumed=st.binary()),
)
ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Ready, parameters=SMALL, device=st.text()),
    st.builds(
        Trained,
        step=SMALL,
        version=SMALL,
        weights=st.none() | st.text(),
        stats=st.dictionaries(st.text(), st.none() | st.text() | REAL, max_size=3),
    ),
    st.builds(Saved, path=st.text()),
    st.builds(Broken, error=st.text()),
)


@given(ORDERS)
def test_order_comes_out_as_it_went_in(order: Order) -> None:
    framed = frame(order)
    assert body_length(framed[:4]) == len(framed) - 4
    assert decode_order(framed[4:]) == order


@given(ANSWERS)
def test_answer_comes_out_as_it_went_in(answer: Answer) -> None:
    framed = frame(answer)
    assert body_length(framed[:4]) == len(framed) - 4
    assert decode_answer(framed[4:]) == answer


def test_tags_are_permanent() -> None:
    assert {kind: kind.__struct_config__.tag for kind in TAGS} == TAGS


def test_unknown_tag_is_refused_and_an_unknown_field_is_not() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_order(msgspec.msgpack.encode({"type": "dance"}))
    with pytest.raises(msgspec.ValidationError):
        decode_order(frame(Saved(path="p"))[4:])
    later = {"type": "save", "path": "p", "added_later": 1}
    assert decode_order(msgspec.msgpack.encode(later)) == Save(path="p")


@pytest.mark.parametrize("header", [b"\xff\xff\xff\xff", (LIMIT_BYTES + 1).to_bytes(4, "little")])
def test_length_that_cannot_be_is_corruption(header: bytes) -> None:
    with pytest.raises(ValueError, match="the stream is corrupt"):
        body_length(header)


def test_largest_length_is_allowed() -> None:
    assert body_length(LIMIT_BYTES.to_bytes(4, "little")) == LIMIT_BYTES
