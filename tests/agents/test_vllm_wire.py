"""What goes over the wire to vLLM says what the request says, and what comes back is checked."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.models import Request, Sampling
from duologue.agents.models.vllm._wire import History, read_answer, write_ask
from duologue.engine import Span

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=8)


def text_of(ids: Iterable[int]) -> str:
    return " ".join(map(str, ids))


@given(st.lists(IDS, max_size=6))
def test_a_history_that_grows_is_always_the_whole_of_it(parts: list[list[int]]) -> None:
    tokens = array("i")
    history = History()
    for part in parts:
        tokens.extend(part)
        assert msgspec.json.decode(b"[" + history.render(tokens) + b"]") == list(tokens)
        assert msgspec.json.decode(b"[" + history.render(tokens) + b"]") == list(tokens)


@given(st.lists(st.tuples(st.integers(0, 2), IDS), max_size=8))
def test_what_is_not_the_same_array_is_rendered_from_the_start(
    steps: list[tuple[int, list[int]]],
) -> None:
    history = History()
    arrays = [array("i"), array("i", [7, 8])]
    for which, ids in steps:
        tokens: Sequence[int]
        if which == 2:
            tokens = ids  # a list may be anything the next time
        else:
            tokens = arrays[which]
            arrays[which].extend(ids)
        assert msgspec.json.decode(b"[" + history.render(tokens) + b"]") == list(tokens)


@given(st.lists(st.tuples(IDS, IDS, st.booleans()), max_size=6))
def test_what_was_expected_need_not_come(turns: list[tuple[list[int], list[int], bool]]) -> None:
    tokens = array("i", [7])
    history = History()
    history.render(tokens)
    for sampled, seen, comes in turns:
        if sampled:
            history.expect(array("i", sampled), msgspec.json.encode(sampled)[1:-1])
        if comes:
            tokens.extend(sampled)
        tokens.extend(seen)
        assert msgspec.json.decode(b"[" + history.render(tokens) + b"]") == list(tokens)
    history.expect(array("i", [1]), b"1")
    assert history.render(array("i", [1, 5])) == b"1,5"  # another conversation's


def test_a_list_changed_in_place_is_seen() -> None:
    history, tokens = History(), [1, 2, 3]
    assert history.render(tokens) == b"1,2,3"
    tokens[0] = 9
    assert history.render(tokens) == b"9,2,3"


def test_an_array_that_shrank_is_rendered_from_the_start() -> None:
    history, tokens = History(), array("i", [1, 2, 3])
    history.render(tokens)
    del tokens[1:]
    assert history.render(tokens) == b"1"
    tokens.append(5)
    assert history.render(tokens) == b"1,5"


def test_a_request_says_everything_the_server_would_fill_in_otherwise() -> None:
    sampling = Sampling(temperature=0.7, max_tokens=99, stop=(2, 5))
    body = write_ask(bytearray(b"1,2"), sampling, seed=(1 << 63) + 3, most=9, salt="v4")
    assert msgspec.json.decode(body) == {
        "token_ids": [1, 2],
        "sampling_params": {
            "temperature": 0.7,
            "max_tokens": 9,
            "seed": 3,
            "stop_token_ids": [2, 5],
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "ignore_eos": True,
            "logprobs": 0,
            "detokenize": False,
        },
        "cache_salt": "v4",
    }


def answer(ids: list[int], logps: list[Any], finish: str = "stop", **others: Any) -> bytes:
    """An answer of vLLM's, with what else it says."""
    content = [
        {"token_id": token, "logprob": logp, "rank": 1, "top_logprobs": [{"token_id": 0}]}
        for token, logp in zip(ids, logps, strict=True)
    ]
    choice = {
        "index": 0,
        "finish_reason": finish,
        "stop_reason": None,
        "token_ids": ids,
        "weight_versions": [{"version": "v3", "start": 0, "end": len(ids)}],
        "logprobs": {"content": content},
        **others,
    }
    return msgspec.json.encode({"request_id": "r", "choices": [choice], "prompt_logprobs": None})


def read(body: bytes, *, most: int = 4, stop: tuple[int, ...] = (2,)) -> Any:
    request = Request(session="s", tokens=[1], sampling=Sampling(stop=stop))
    return read_answer(
        body, request, most=most, version_of=lambda name: int(name[1:]), text_of=text_of
    )


@given(
    ids=st.lists(st.integers(3, 2**31 - 1), min_size=1, max_size=4),
    logps=st.lists(st.floats(-9999, 0, width=32), min_size=4, max_size=4),
    stopped=st.booleans(),
)
def test_an_answer_is_read_token_by_token(
    ids: list[int], logps: list[float], stopped: bool
) -> None:
    if stopped:
        ids[-1] = 2
    logps = logps[: len(ids)]
    reply = read(answer(ids, logps, "stop" if stopped else "length"))
    assert list(reply.ids) == ids and list(reply.logps) == logps
    assert reply.finish == ("stop" if stopped else "length")
    assert reply.text == text_of(ids[:-1] if stopped else ids)
    assert reply.spans == (Span(0, len(ids), 3),)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (answer([5, 2], [-1.0, 0.5]), "log-probabilities that are none"),
        (answer([5, 2], [-1.0, 1e39]), "log-probabilities that are none"),
        (answer([5, 2], [-1.0, -1e300]), "log-probabilities that are none"),
        (answer([5, 2], [-1.0, None]), "Expected `float`"),
        (answer([5] * 5, [-1.0] * 5), "5 tokens instead of 1 to 4"),
        (answer([], []), "0 tokens instead of 1 to 4"),
        (answer([5, 6], [-1.0, -1.0]), "finish reason 'stop'"),
        (answer([5, 2], [-1.0, -1.0], "length"), "finish reason 'length'"),
        (answer([5, 2], [-1.0, -1.0], token_ids=[5, 3]), "log-probabilities of other tokens"),
        (answer([5, 2], [-1.0, -1.0], weight_versions=[]), "no weight versions"),
        (answer([5, 2], [-1.0, -1.0], logprobs=None), "Expected `object`"),
    ],
)
def test_an_answer_that_does_not_fit_says_how(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(body)
