"""A compact Qwen3 (dense), with the weight names and the config.json of Hugging Face.

The model is a pure function of a flat stream of tokens: `hidden` runs every layer over N tokens
without caring which conversation each belongs to, and hands queries, keys and values to an
`Attend`, which does care. Training passes `PackedAttention`, sampling a view of its cache; so
padding exists inside attention at most, and no linear layer ever multiplies any.

Axes: N tokens of the stream, M selected tokens, E hidden size, H query heads, K key/value heads,
      D head size, F width of the feed-forward layer, V vocabulary.

Source: Qwen3 technical report (arXiv 2505.09388); checked against `Qwen3ForCausalLM` of
transformers, whose logits these equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....engine import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Config:
    """The sizes of a model: the part of config.json that decides what is computed."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    context: int = 1024
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tied: bool = True

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Qwen3Config:
        """Read a decoded config.json; raises `UsageError` for what this model does not compute."""
        _refuse_unsupported(config)
        missing = [name for name in _NEEDED if name not in config]
        if missing:
            raise UsageError(
                f"config.json lacks {', '.join(missing)}; is it that of a Qwen3 model?"
            )
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return cls(
            vocab=config["vocab_size"],
            hidden=hidden,
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            intermediate=config["intermediate_size"],
            context=config.get("max_position_embeddings", 32_768),
            rope_theta=float(_rope(config).get("rope_theta", 10_000.0)),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            tied=config.get("tie_word_embeddings", False),
        )

    def to_hf(self) -> dict[str, Any]:
        """What config.json says about these sizes.

        The rotary base is written in the layout of transformers 5 and in the older one, so that
        servers of either age find it.
        """
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rms_norm_eps": self.norm_eps,
            "tie_word_embeddings": self.tied,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
        }


_NEEDED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    # transformers 5 keeps the base inside `rope_parameters`; before it stood at the top level,
    # beside `rope_scaling`, whose type was once spelled `type`.
    rope: dict[str, Any] = {}
    if "rope_theta" in config:
        rope["rope_theta"] = config["rope_theta"]
    rope.update(config.get("rope_scaling") or {})
    rope.update(config.get("rope_parameters") or {})
    return rope


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    rope = _rope(config)
    found = {
        "model_type": (config.get("model_type", "qwen3"), "qwen3"),
        "hidden_act": (config.get("hidden_act", "silu"), "silu"),
        "attention_bias": (bool(config.get("attention_bias", False)), False),
        "use_sliding_window": (bool(config.get("use_sliding_window", False)), False),
        "rope_type": (rope.get("rope_type", rope.get("type", "default")), "default"),
    }
    for name, (value, known) in found.items():
        if value != known:
            raise UsageError(
                f"config.json says {name} = {value!r}, but the built-in Qwen3 computes only "
                f"{known!r}; serve this model with vLLM (vllm:PATH) instead"
            )


class Attend(Protocol):
    """Attention over the stream, for one layer."""

    def __call__(self, layer: int, q_NHD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
        """What each query sees of the keys and values up to its own place: o_NHD."""
        ...


class Qwen3(nn.Module):
    """The model. Weights are uninitialised until loaded, or drawn by `initialise`."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        self.model = _Decoder(config)
        self.lm_head = _Linear(config.hidden, config.vocab, bias=False)
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        exponents = torch.arange(0, config.head_dim, 2, device="cpu").float() / config.head_dim
        # Not a buffer: `model.to(torch.bfloat16)` would round the frequencies, and the angles
        # of far positions with them.
        self._frequencies = {torch.device("cpu"): 1.0 / config.rope_theta**exponents}

    def hidden(self, ids_N: Tensor, positions_N: Tensor, attend: Attend) -> Tensor:
        """The final hidden states h_NE (after the last norm) of a stream of tokens.

        positions_N: int64, each token's place in its own conversation.
        """
        h_NE: Tensor = self.model.embed_tokens(ids_N)
        rotary = self._rotary(positions_N, h_NE.dtype)
        for block in self.model.layers:
            h_NE = block(h_NE, rotary, attend)
        return cast(Tensor, self.model.norm(h_NE))

    def head(self, hidden_ME: Tensor) -> Tensor:
        """The logits_MV of selected hidden states, in the dtype of the weights."""
        return cast(Tensor, self.lm_head(hidden_ME))

    def _rotary(self, positions_N: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        device = positions_N.device
        if device not in self._frequencies:
            self._frequencies[device] = self._frequencies[torch.device("cpu")].to(device)
        angles = positions_N[:, None].float() * self._frequencies[device]
        angles_N1D = torch.cat((angles, angles), -1)[:, None]
        return angles_N1D.cos().to(dtype), angles_N1D.sin().to(dtype)


class _Linear(nn.Linear):
    """A linear layer that leaves its weights alone, and the global generator with them."""

    def reset_parameters(self) -> None:
        pass


class _Embedding(nn.Embedding):
    """An embedding that leaves its weights alone."""

    def reset_parameters(self) -> None:
        pass


class _Norm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class _Attention(nn.Module):
    def __init__(self, config: Qwen3Config, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        width, kv_width = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = _Linear(config.hidden, width, bias=False)
        self.k_proj = _Linear(config.hidden, kv_width, bias=False)
        self.v_proj = _Linear(config.hidden, kv_width, bias=False)
        self.o_proj = _Linear(width, config.hidden, bias=False)
        self.q_norm = _Norm(config.head_dim, config.norm_eps)
        self.k_norm = _Norm(config.head_dim, config.norm_eps)

    def forward(self, x_NE: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        q_NHD = self.q_norm(self.q_proj(x_NE).unflatten(-1, (-1, self.head_dim)))
        k_NKD = self.k_norm(self.k_proj(x_NE).unflatten(-1, (-1, self.head_dim)))
        v_NKD = self.v_proj(x_NE).unflatten(-1, (-1, self.head_dim))
        o_NHD = attend(self.layer, _rotate(q_NHD, rotary), _rotate(k_NKD, rotary), v_NKD)
        return cast(Tensor, self.o_proj(o_NHD.flatten(-2)))


def _rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotary
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class _FeedForward(nn.Module):
    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.gate_proj = _Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = _Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = _Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x_NE: Tensor) -> Tensor:
        return cast(Tensor, self.down_proj(F.silu(self.gate_proj(x_NE)) * self.up_proj(x_NE)))


class _Block(nn.Module):
    def __init__(self, config: Qwen3Config, layer: int) -> None:
        super().__init__()
        self.self_attn = _Attention(config, layer)
        self.mlp = _FeedForward(config)
        self.input_layernorm = _Norm(config.hidden, config.norm_eps)
        self.post_attention_layernorm = _Norm(config.hidden, config.norm_eps)

    def forward(self, h_NE: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        h_NE = h_NE + self.self_attn(self.input_layernorm(h_NE), rotary, attend)
        return h_NE + cast(Tensor, self.mlp(self.post_attention_layernorm(h_NE)))


class _Decoder(nn.Module):
    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.embed_tokens = _Embedding(config.vocab, config.hidden)
        self.layers = nn.ModuleList(_Block(config, i) for i in range(config.layers))
        self.norm = _Norm(config.hidden, config.norm_eps)


@torch.no_grad()
def initialise(model: Qwen3, seed: int) -> None:
    """Draw fresh weights; the same seed gives the same weights.

    Small models need larger weights than the usual 0.02: with that, a model of width 96 does not
    learn to copy from its context in 600 steps, with these it does in 150. Embeddings get 0.1,
    linear layers 1/sqrt(fan-in), and what writes into the residual stream 1/sqrt(2·layers) of it.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            weight.fill_(1.0)
            continue
        std = 0.1 if name.endswith("embed_tokens.weight") else 1 / math.sqrt(weight.shape[1])
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            std /= math.sqrt(2 * model.config.layers)
        # Drawn on the CPU in float32, so that the device and the dtype do not change the numbers.
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)


def load_weights(model: Qwen3, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy `weights` into `model`, all or nothing; `source` names them in the error.

    Every parameter must be there with its shape, and nothing else. A tied model's `lm_head.weight`
    may be missing; if present it must equal the embedding, because it would be ignored.
    Raises `UsageError` before anything is changed.
    """
    wanted = dict(model.named_parameters())
    given = dict(weights)
    if model.config.tied and "lm_head.weight" in given:
        head, embedding = given.pop("lm_head.weight"), given.get("model.embed_tokens.weight")
        if embedding is not None and not torch.equal(head, embedding):
            raise UsageError(
                f"{source}: config.json ties lm_head to the embedding, but the weights differ; "
                "set tie_word_embeddings to false"
            )
    complaints = [
        *(f"{name} is missing" for name in sorted(wanted.keys() - given.keys())),
        *(f"{name} is unknown" for name in sorted(given.keys() - wanted.keys())),
        *(
            f"{name} has shape {tuple(given[name].shape)}, not {tuple(weight.shape)}"
            for name, weight in wanted.items()
            if name in given and given[name].shape != weight.shape
        ),
    ]
    if complaints:
        shown = "; ".join(complaints[:5]) + ("; ..." if len(complaints) > 5 else "")
        raise UsageError(
            f"{source}: {len(complaints)} weights do not fit the config.json of the model: {shown}"
        )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(given[name])
