"""Axes: N tokens of the stream, R rows, V vocabulary."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from duologue.agents.models import Sampling
from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._head import token_log_probs
from duologue.agents.models.local._noise import draw, uniforms
from duologue.agents.models.local._qwen3 import Qwen3, Qwen3Config, initialise
from duologue.agents.models.local._sampler import Drawn, Sampler
from duologue.engine import ModelError, Span

torch.set_num_threads(1)

STOP = 7


def tiny(seed: int = 0, kv_heads: int = 1) -> Qwen3:
    config = Qwen3Config(
        vocab=37,
        hidden=24,
        layers=2,
        heads=4,
        kv_heads=kv_heads,
        head_dim=8,
        intermediate=32,
        context=200,
    )
    model = Qwen3(config)
    initialise(model, seed)
    return model


def numbers(tensor: Tensor) -> list[float]:
    return cast("list[float]", cast(Any, tensor).tolist())  # torch leaves it untyped


def run(sampler: Sampler) -> dict[str, Drawn]:
    """Everything that is live, to its end."""
    done: dict[str, Drawn] = {}
    while sampler.live:
        done.update(sampler.step())
    return done


def full_forward(model: Qwen3, prompt: list[int], ids: list[int]) -> list[float]:
    """The log-probabilities of `ids` after `prompt`, from one uncached packed forward."""
    stream = torch.tensor(prompt + ids)
    attend = PackedAttention([len(stream)])
    with torch.no_grad():
        hidden = model.hidden(stream, attend.positions_N, attend)[len(prompt) - 1 : -1]
        return numbers(token_log_probs(model, hidden, stream[len(prompt) :])[0])


def assert_exact(model: Qwen3, prompt: list[int], drawn: Drawn) -> None:
    expected = full_forward(model, prompt, drawn.ids.tolist())
    np.testing.assert_allclose(drawn.logps, expected, atol=1e-5)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_cached_log_probs_equal_a_full_forward_over_many_turns(kv_heads: int) -> None:
    model, random = tiny(kv_heads=kv_heads), Random(0)
    sampler = Sampler(model, slots=8)
    texts = {f"s{i}": [random.randrange(37) for _ in range(1 + 5 * i)] for i in range(7)}
    for turn in range(4):
        # Not everybody speaks in every turn: idle rows stand between live ones.
        speakers = [name for name in texts if random.random() < 0.7]
        for name in speakers:
            limit = Sampling(max_tokens=random.randint(1, 12), stop=(STOP,))
            sampler.start(name, texts[name], limit, seed=100 * turn + len(texts[name]))
        done = run(sampler)
        assert sorted(done) == sorted(speakers)
        for name, drawn in done.items():
            assert_exact(model, texts[name], drawn)
            assert drawn.finish == ("stop" if drawn.ids[-1] == STOP else "length")
            assert STOP not in drawn.ids[:-1]
            texts[name] += [
                *drawn.ids,
                *(random.randrange(37) for _ in range(random.randint(1, 9))),
            ]


def test_only_what_is_new_is_computed() -> None:
    sampler = Sampler(tiny(), slots=2)
    prompt = [1, 2, 3, 4]
    sampler.start("s", prompt, Sampling(max_tokens=3), 0)
    ids = run(sampler)["s"].ids.tolist()
    assert sampler.cached("s") == len(prompt) + 2  # the last token has not been through the model
    sampler.start("s", prompt + ids + [5], Sampling(max_tokens=1), 0)
    assert sampler.cached("s") == len(prompt) + 2
    run(sampler)
    sampler.start("s", [1, 2, 9, 4, 5, 6], Sampling(max_tokens=1), 0)
    assert sampler.cached("s") == 2


def test_a_fork_falls_back_to_the_common_prefix() -> None:
    model = tiny()
    sampler = Sampler(model)
    for prompt in ([1, 2, 3, 4, 5], [1, 2, 9, 9], [1, 2, 9, 9], [1], [8, 8, 8, 8, 8, 8]):
        sampler.start("s", prompt, Sampling(max_tokens=6), seed=3)
        assert_exact(model, prompt, run(sampler)["s"])


def test_an_evicted_session_comes_back_and_nobody_is_refused() -> None:
    model = tiny()
    sampler = Sampler(model, slots=2)
    texts = {name: [i + 1, i + 2, i + 3] for i, name in enumerate("abc")}
    for turn in range(3):
        for name, text in texts.items():
            assert sampler.room == 2
            sampler.start(name, text, Sampling(max_tokens=4), seed=turn)
            drawn = run(sampler)[name]
            assert_exact(model, text, drawn)
            text += [*drawn.ids, 4]
    assert [sampler.cached(name) > 0 for name in "abc"] == [False, True, True]


def test_a_weight_change_splits_the_spans_and_every_token_is_exact() -> None:
    models = {1: tiny(1), 2: tiny(2), 3: tiny(3)}
    sampler = Sampler(tiny(1), version=1, forward_tokens=16)
    prompts = {f"s{i}": [i + 1] * (3 + i) for i in range(5)}
    for i, (name, prompt) in enumerate(prompts.items()):
        sampler.start(name, prompt, Sampling(max_tokens=9), seed=i)
    for _ in range(4):
        sampler.step()
    sampler.load(dict(models[2].named_parameters()), 2)
    sampler.load(dict(models[3].named_parameters()), 3)  # nothing was sampled from 2
    for name, drawn in run(sampler).items():
        assert drawn.spans == (Span(0, 4, 1), Span(4, 9, 3))
        for span in drawn.spans:
            seen = prompts[name] + drawn.ids[: span.start].tolist()
            part = drawn.ids[span.start : span.end].tolist()
            expected = full_forward(models[span.version], seen, part)
            np.testing.assert_allclose(drawn.logps[span.start : span.end], expected, atol=1e-5)
    assert sampler.cached("s0") > 0
    sampler.load(dict(models[2].named_parameters()), 4)
    assert sampler.cached("s0") == 0  # idle contexts are of no more use either
    sampler.start("s0", prompts["s0"], Sampling(max_tokens=2), seed=0)
    assert run(sampler)["s0"].spans == (Span(0, 2, 4),)


def test_a_cancelled_generation_leaves_the_session_as_it_was() -> None:
    model = tiny()
    sampler = Sampler(model)
    sampler.start("s", [1, 2, 3], Sampling(max_tokens=50), seed=1)
    sampler.start("t", [1, 2, 3], Sampling(max_tokens=5), seed=2)
    for _ in range(3):
        sampler.step()
    sampler.cancel("s")
    sampler.cancel("s")
    assert_exact(model, [1, 2, 3], run(sampler)["t"])
    assert sampler.cached("s") == 3
    sampler.start("s", [1, 2, 3, 4], Sampling(max_tokens=5), seed=1)
    assert_exact(model, [1, 2, 3, 4], run(sampler)["s"])


def test_closed_sessions_give_their_slots_back() -> None:
    sampler = Sampler(tiny(), slots=3)
    for i in range(20):
        sampler.start(f"s{i}", [1, 2], Sampling(max_tokens=2), seed=i)
        if i % 2:
            run(sampler)
        sampler.close(f"s{i}")
        sampler.close(f"s{i}")
        assert sampler.live == 0 and sampler.cached(f"s{i}") == 0


def test_the_noise_of_a_row_does_not_depend_on_its_neighbours() -> None:
    def reply(company: int) -> list[int]:
        sampler = Sampler(tiny())
        for i in range(company):
            sampler.start(f"n{i}", [i + 1, 5], Sampling(max_tokens=20), seed=1000 + i)
            sampler.step()
        sampler.start("s", [3, 1, 4], Sampling(max_tokens=20), seed=42)
        return run(sampler)["s"].ids.tolist()

    assert reply(0) == reply(1) == reply(9)


def test_temperature_zero_takes_the_likeliest_and_reports_it_at_temperature_one() -> None:
    model = tiny()
    sampler = Sampler(model)
    sampler.start("cold", [1, 2], Sampling(temperature=0, max_tokens=8), seed=1)
    sampler.start("warm", [1, 2], Sampling(temperature=0.5, max_tokens=8), seed=1)
    done = run(sampler)
    assert_exact(model, [1, 2], done["cold"])
    stream = [1, 2]
    for token, logp in zip(done["warm"].ids, done["warm"].logps, strict=True):
        attend = PackedAttention([len(stream)])
        with torch.no_grad():
            h = model.hidden(torch.tensor(stream), attend.positions_N, attend)[-1:]
            expected = (model.head(h) / 0.5).log_softmax(-1)[0, token].item()
        assert logp == pytest.approx(expected, abs=1e-5)
        stream.append(token)


def test_a_reply_ends_at_the_context_limit() -> None:
    sampler = Sampler(tiny(), context=10)
    sampler.start("s", [1] * 7, Sampling(max_tokens=99), seed=0)
    drawn = run(sampler)["s"]
    assert len(drawn.ids) == 3 and drawn.finish == "length"


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        ([], "no tokens"),
        ([1] * 10, "10 tokens.*context of 10"),
        ([1, 37], "token 37.*37"),
        ([-1], "-1"),
    ],
)
def test_what_cannot_be_sampled_after_is_refused(tokens: list[int], complaint: str) -> None:
    sampler = Sampler(tiny(), context=10)
    with pytest.raises(ModelError, match=f"'s'.*{complaint}"):
        sampler.start("s", tokens, Sampling(), seed=0)
    assert sampler.live == 0


def test_weights_that_are_not_numbers_are_an_error_and_reset_recovers() -> None:
    model = tiny()
    sampler = Sampler(model)
    broken = {name: weight * torch.nan for name, weight in tiny().named_parameters()}
    sampler.load(broken, 1)
    sampler.start("s", [1, 2], Sampling(max_tokens=5), seed=0)
    with pytest.raises(FloatingPointError, match="version 1"):
        sampler.step()
    assert sampler.reset() == ["s"]
    sampler.load(dict(tiny().named_parameters()), 2)
    sampler.start("t", [1, 2], Sampling(max_tokens=5), seed=0)
    assert_exact(tiny(), [1, 2], run(sampler)["t"])


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, -torch.inf, 1.0, -4.0]).expand(4000, -1)
    u = uniforms(np.arange(4000, dtype=np.uint64), np.zeros(4000, dtype=np.int64))
    for heat in (1.0, 2.0):
        token, logp = draw(logits, torch.as_tensor(u), torch.full((4000,), heat))
        p = (logits[0] / heat).softmax(-1)
        torch.testing.assert_close(logp, p[token].log())
        counts = Counter(numbers(token))
        assert counts[3] == 0
        chi_square = sum(
            (counts[i] - 4000 * q) ** 2 / (4000 * q) for i, q in enumerate(numbers(p)) if q
        )
        assert chi_square < 18.5  # p = 0.001 at 4 degrees of freedom


def test_noise_is_uniform_along_seeds_and_along_turns() -> None:
    n = 20_000
    along_seeds = uniforms(np.arange(n, dtype=np.uint64), np.zeros(n, dtype=np.int64))
    along_turns = uniforms(np.full(n, 2**64 - 1, dtype=np.uint64), np.arange(n))
    for u in (along_seeds, along_turns):
        assert 0 <= u.min() and u.max() < 1
        counts = np.bincount((u * 50).astype(int), minlength=50)
        assert ((counts - n / 50) ** 2 / (n / 50)).sum() < 85.4  # p = 0.001, 49 degrees
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03


@settings(max_examples=200, deadline=None)
@given(
    logits=st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=40),
    u=st.sampled_from([0.0, 1e-7, 0.5, 1 - 2**-24]),
    heat=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_no_corner_of_the_distribution_draws_the_impossible(
    logits: list[float], u: float, heat: float
) -> None:
    row = torch.tensor([[*logits, -torch.inf]])
    token, logp = draw(row, torch.tensor([u]), torch.tensor([heat]))
    assert token.item() < len(logits)
    assert torch.isfinite(logp).all()
