"""Axes: N tokens of the stream, E hidden size, V vocabulary, M selected tokens."""

from __future__ import annotations

import copy
import json
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import load_model
from duologue.agents.models.local._head import token_log_probs
from duologue.agents.models.local._qwen3 import Qwen3, Qwen3Config, initialise, load_weights
from duologue.engine import UsageError

torch.set_num_threads(1)


def tiny(**sizes: Any) -> Qwen3:
    defaults: dict[str, Any] = {
        "vocab": 61,
        "hidden": 32,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 8,
        "intermediate": 48,
    }
    model = Qwen3(Qwen3Config(**{**defaults, **sizes}))
    initialise(model, 0)
    return model


def logits(model: Qwen3, ids_N: Tensor, lengths: list[int]) -> Tensor:
    attend = PackedAttention(lengths)
    return model.head(model.hidden(ids_N, attend.positions_N, attend))


def backward(loss: Tensor) -> None:
    cast(Any, loss).backward()  # torch leaves it untyped


def pieces(stream: Tensor, lengths: list[int]) -> list[Tensor]:
    ends = list(accumulate(lengths))
    return [stream[end - size : end] for end, size in zip(ends, lengths, strict=True)]


def peer(**changes: Any) -> Any:
    """A random Qwen3ForCausalLM of transformers, in float32."""
    from transformers import Qwen3Config as PeerConfig
    from transformers import Qwen3ForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 61,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 40,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
    }
    cast(Any, torch).manual_seed(7)
    model: Any = Qwen3ForCausalLM(PeerConfig(**{**sizes, **changes}))
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model.float().eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "head_dim": 8},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}},
    ],
    ids=["gqa", "untied", "mha", "mqa", "theta"],
)
def test_logits_equal_those_of_transformers(changes: dict[str, Any], tmp_path: Path) -> None:
    theirs = peer(**changes)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    ids = torch.randint(61, (100,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(ids[None]).logits[0]
        assert (logits(ours, ids, [100]) - expected).abs().max() <= 1e-5


def test_a_sharded_checkpoint_loads_like_a_whole_one(tmp_path: Path) -> None:
    theirs = peer(tie_word_embeddings=False)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    ours = dict(load_model(tmp_path).named_parameters())
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.named_parameters())


def test_an_older_config_keeps_its_rotary_base(tmp_path: Path) -> None:
    peer(rope_parameters={"rope_type": "default", "rope_theta": 50_000.0}).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    assert Qwen3Config.from_hf(config).rope_theta == 50_000.0
    del config["rope_parameters"]
    old = {**config, "rope_theta": 50_000.0, "rope_scaling": None}
    assert Qwen3Config.from_hf(old) == Qwen3Config.from_hf(config | {"rope_theta": 5e4})
    assert Qwen3Config.from_hf(old).rope_theta == 50_000.0


def test_what_the_model_does_not_compute_is_refused() -> None:
    config = tiny().config.to_hf()
    for change in (
        {"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_parameters": None},
        {"use_sliding_window": True},
        {"attention_bias": True},
        {"model_type": "llama"},
    ):
        with pytest.raises(UsageError, match=r"config\.json says"):
            Qwen3Config.from_hf({**config, **change})
    assert Qwen3Config.from_hf(config) == tiny().config


def test_weights_that_do_not_fit_are_named_and_change_nothing() -> None:
    model = tiny()
    before = copy.deepcopy(model.state_dict())
    weights = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    norm = weights.pop("model.norm.weight")
    with pytest.raises(UsageError, match=r"here: .*model\.norm\.weight is missing"):
        load_weights(model, weights, "here")
    weights["model.norm.weight"] = norm[:-1]
    weights["model.layers.9.mlp.up_proj.weight"] = norm
    with pytest.raises(UsageError, match=r"layers\.9\.mlp\.up_proj\.weight is unknown.*shape"):
        load_weights(model, weights, "here")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_tied_head_may_be_repeated_but_not_differ() -> None:
    model = tiny()
    weights = {name: weight.clone() for name, weight in model.named_parameters()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    load_weights(model, weights, "here")
    weights["lm_head.weight"] += 1
    with pytest.raises(UsageError, match="ties lm_head"):
        load_weights(model, weights, "here")


def test_initialise_repeats_itself_and_spares_the_global_generator() -> None:
    state = torch.get_rng_state()
    one, two = tiny(), tiny()
    other = tiny()
    initialise(other, 1)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    assert 0.09 < one.model.embed_tokens.weight.std().item() < 0.11


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_packed_sequences_do_not_see_each_other(lengths: list[int]) -> None:
    model = tiny()
    ids = torch.randint(61, (sum(lengths),), generator=torch.Generator().manual_seed(len(lengths)))
    with torch.no_grad():
        packed = logits(model, ids, lengths)
        alone = [logits(model, piece, [len(piece)]) for piece in pieces(ids, lengths)]
    assert (packed - torch.cat(alone)).abs().max() <= 1e-5


def test_packed_attention_has_the_gradients_of_each_sequence_alone() -> None:
    lengths, ids = [5, 2, 9], torch.arange(16)
    packed, alone = tiny(), tiny()
    backward(logits(packed, ids, lengths).square().sum())
    for piece in pieces(ids, lengths):
        backward(logits(alone, piece, [len(piece)]).square().sum())
    for one, two in zip(packed.parameters(), alone.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 5, 64])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunked_log_probs_equal_the_plain_formula(chunk: int, temperature: float) -> None:
    model = tiny(tied=False)
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(17, 32, generator=generator)
    targets = torch.randint(61, (17,), generator=generator)
    up = torch.randn(2, 17, generator=generator)
    results: list[tuple[Tensor, ...]] = []
    for size in (chunk, None):
        hidden = states.clone().requires_grad_()
        model.zero_grad()
        logp, entropy = token_log_probs(model, hidden, targets, temperature, size)
        backward((logp * up[0] + entropy * up[1]).sum())
        assert hidden.grad is not None and model.lm_head.weight.grad is not None
        results.append((logp, entropy, hidden.grad, model.lm_head.weight.grad.clone()))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    plain = (model.head(states) / temperature).log_softmax(-1)
    torch.testing.assert_close(results[0][0], plain[torch.arange(17), targets])


def test_log_probs_are_float32_whatever_the_model() -> None:
    model = tiny().bfloat16()
    for chunk in (None, 4):
        hidden = torch.randn(9, 32, dtype=torch.bfloat16, requires_grad=True)
        logp, entropy = token_log_probs(model, hidden, torch.arange(9), chunk=chunk)
        assert logp.dtype == entropy.dtype == torch.float32
        backward(logp.sum())
        assert hidden.grad is not None and hidden.grad.dtype == torch.bfloat16
