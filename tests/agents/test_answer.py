"""The quick reader of vLLM's answers knows the sound ones, and says of them what the slow one says.

Whatever the bytes: it gives exactly that, or nothing, and then the slow one decides.
"""

from __future__ import annotations

import json
from struct import unpack
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duologue.agents.models.vllm import _wire

_answer = pytest.importorskip(
    "duologue.agents.models.vllm._answer", reason="built without a compiler"
)

MOST = 6

NUMBERS = st.one_of(
    st.floats(-1e4, 0, width=32).map(repr),
    st.floats(-1e4, 0).map(repr),
    st.floats(-1e-3, 0).map(lambda number: f"{number:.17e}"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 1).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,4})?", fullmatch=True),
    st.sampled_from(
        ["-0", "-0.0", "1e-4", "-1e400", "-01", "-.5", "-5.", "1e", "NaN", "-Infinity"]
    ),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1, 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
KEYS: tuple[str, ...] = (
    "index",
    "token_ids",
    "logprobs",
    "content",
    "finish_reason",
    "weight_versions",
    "x",
    "",
)
OTHERS: st.SearchStrategy[list[tuple[str, Any]]] = st.lists(
    st.tuples(st.sampled_from(KEYS), ANYTHING), max_size=1
)


def both(body: bytes, most: int = MOST) -> tuple[Any, Any]:
    """What the two readers say; None from the slow one for an error."""
    try:
        slow = _wire._read_any(body, most)
    except ValueError:
        slow = None
    return _answer.read(body, most), slow


def obj(fields: list[tuple[str, str]], others: list[tuple[str, Any]]) -> str:
    written = fields + [(key, json.dumps(value)) for key, value in others]
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in written) + "}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Answers: most of them sound, some with something odd in them."""
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=MOST))
    content = [
        obj(
            draw(
                st.permutations(
                    [
                        ("token_id", str(token)),
                        ("logprob", draw(NUMBERS)),
                        ("top_logprobs", "[" + draw(st.sampled_from(['{"rank":1}', ""])) + "]"),
                    ]
                )
            ),
            draw(OTHERS),
        )
        for token in ids
    ]
    edges = draw(st.lists(st.integers(0, len(ids)), max_size=3))
    versions = [
        obj([("version", '"v1"'), ("start", str(start)), ("end", str(len(ids)))], draw(OTHERS))
        for start in [0, *edges]
    ]
    choice = obj(
        draw(
            st.permutations(
                [
                    ("token_ids", "[" + ",".join(map(str, ids)) + "]"),
                    ("logprobs", obj([("content", f"[{','.join(content)}]")], draw(OTHERS))),
                    ("finish_reason", draw(st.sampled_from(['"stop"', '"length"', "null"]))),
                    ("weight_versions", f"[{','.join(versions)}]"),
                ]
            )
        ),
        draw(OTHERS),
    )
    return obj([("request_id", '"r"'), ("choices", f"[{choice}]")], draw(OTHERS)).encode()


@given(bodies())
def test_the_two_readers_never_differ(body: bytes) -> None:
    quick, slow = both(body)
    assert quick is None or quick == slow


@given(bodies(), st.data())
def test_nor_on_bodies_that_something_happened_to(body: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        put = data.draw(
            st.sampled_from([b"", b" ", b"\n", *(bytes([c]) for c in b'{}[]",:-.e01\\x\x00\xff')])
        )
        body = body[:place] + put + body[place + data.draw(st.integers(0, 2)) :]
    quick, slow = both(body)
    assert quick is None or quick == slow


@given(st.binary(max_size=60))
def test_nor_on_any_bytes(body: bytes) -> None:
    assert _answer.read(body, MOST) is None


def sound(logps: list[str], ids: list[int] | None = None) -> bytes:
    ids = list(range(len(logps))) if ids is None else ids
    content = ",".join(
        f'{{"token_id":{token},"logprob":{logp},"rank":1,"top_logprobs":[]}}'
        for token, logp in zip(ids, logps, strict=True)
    )
    versions = [{"version": "v0", "start": 0, "end": len(ids)}]
    return (
        f'{{"request_id":"r","choices":[{{"index":0,"logprobs":{{"content":[{content}]}},'
        f'"finish_reason":"stop","stop_reason":2,"token_ids":{json.dumps(ids, separators=(",", ":"))},'
        f'"weight_versions":{json.dumps(versions)},"routed_experts":null}}],"usage":null}}'
    ).encode()


@given(st.lists(st.floats(-1e4, 0, width=32), min_size=1, max_size=300))
def test_a_sound_answer_is_read_quickly(logps: list[float]) -> None:
    body = sound([repr(logp) for logp in logps])
    ids, packed, finish, versions, rendered = _answer.read(body, 300)
    assert list(unpack(f"={len(logps)}f", packed)) == logps
    assert list(unpack(f"={len(logps)}i", ids)) == list(range(len(logps)))
    assert (finish, versions) == ("stop", (("v0", 0, len(logps)),))
    assert msgspec.json.decode(b"[" + rendered + b"]") == list(range(len(logps)))


@given(NUMBERS)
@example("-0.000000000000000000000000001")
@example("-9007199254740993")  # between two doubles
@example("-1.00000005960464477540")  # between two floats of 32 bits
@example("-1152921504606847104.5")
def test_a_number_is_the_one_it_spells(number: str) -> None:
    quick, slow = both(sound([number]))
    assert quick == slow or quick is None
    if slow is not None and "." in number and len(number) < 18:
        assert quick is not None or float(number) < -1e28


@pytest.mark.parametrize(
    "body",
    [
        sound(["-1", "-2"], [2**31 - 1, 7]).replace(b"2147483647", b"2147483648"),
        sound(["-1", "-2"]).replace(b'"token_ids":[0,1]', b'"token_ids":[0,2]'),
        sound(["-1", "-2"]).replace(b'"token_ids":[0,1]', b'"token_ids":[0, 1]'),
        sound(["-1", "-2"]).replace(b'"stop"', b"null"),
        sound(["-1", "-2"]).replace(b'"v0"', b'"v\\u0030"'),
        sound(["-1"]).replace(b'"usage":null', b'"usage":' + b"[" * 40 + b"]" * 40),
        sound(["-1"] * (MOST + 1)),
        sound(["-1", "0.5"]),
        sound(["-1"])[:-1],
        sound(["-1"]) + b"x",
        sound(["-1"]).replace(b'"choices"', b'"choises"'),
    ],
)
def test_what_is_not_sound_or_not_usual_is_left_to_the_other(body: bytes) -> None:
    assert _answer.read(body, MOST) is None


def test_what_is_no_body_is_left_to_the_other_as_well() -> None:
    assert _answer.read(bytearray(sound(["-1"])), MOST) is None
    assert _answer.read(sound(["-1"]), 0) is None
    with pytest.raises(TypeError, match="a body and the most tokens"):
        _answer.read(sound(["-1"]))
    with pytest.raises(TypeError):
        _answer.read(sound(["-1"]), "6")
