"""Model folders in the layout of Hugging Face: made, read, written whole.

A folder holds config.json, model.safetensors (or an index and its parts) and tokenizer.json; those
we make also say to transformers and vLLM how to chat and when to stop.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from tokenizers import Tokenizer
from torch import Tensor

from ....engine import UsageError
from ..text._tokenizer import END_OF_TEXT, END_OF_TURN, tokenizer_config, train_tokenizer
from ._qwen3 import Qwen3, Qwen3Config, initialise, load_weights

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def init_model(
    path: str | Path,
    *,
    corpus: Iterable[str],
    seed: int,
    vocab: int = 1200,
    hidden: int = 96,
    layers: int = 2,
    heads: int = 3,
    kv_heads: int = 1,
    head_dim: int = 32,
    intermediate: int = 288,
    context: int = 1024,
) -> None:
    """Make a folder at `path` with a fresh tiny model and a tokenizer trained on `corpus`.

    corpus: rendered dialogues, ChatML marks and tool calls included, as the model will see them.
    vocab:  at most so many tokens; the model's vocabulary is what the tokenizer came to.

    The same corpus and seed give the same bytes. The folder appears whole or not at all; raises
    `UsageError` if something is at `path` already.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists already; choose another path, or remove it first")
    tokenizer = train_tokenizer(corpus, vocab)
    config = Qwen3Config(
        vocab=tokenizer.get_vocab_size(),
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=intermediate,
        context=context,
    )
    model = Qwen3(config)
    initialise(model, seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    draft.mkdir()
    try:
        save_model(draft, model, tokenizer)
        _sync(draft)
        os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(target.parent)


def save_model(path: Path, model: Qwen3, tokenizer: Tokenizer) -> None:
    """Write everything a model folder holds into the existing folder `path`."""
    ends = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END_OF_TURN),
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
    }
    dtype = str(model.lm_head.weight.dtype).removeprefix("torch.")
    context = model.config.context
    _write_json(path / "config.json", {**model.config.to_hf(), **ends, "torch_dtype": dtype})
    _write_json(path / "generation_config.json", {**ends, "do_sample": True, "temperature": 1.0})
    _write_json(path / "tokenizer_config.json", tokenizer_config(context))
    _write_text(path / "tokenizer.json", tokenizer.to_str(pretty=True))
    save_weights(model, path / _WEIGHTS)


def load_model(
    path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Qwen3:
    """The model in the folder `path`, strictly: every weight there, none besides."""
    folder = _folder(path)
    model = Qwen3(Qwen3Config.from_hf(_read_json(folder / "config.json"))).to(device, dtype)
    load_weights(model, _folder_weights(folder), str(folder))
    return model


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of the folder `path`."""
    file = _existing(_folder(path) / "tokenizer.json")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare `Exception` for a file it cannot read
        raise UsageError(f"{file} is not a tokenizer: {error}; copy it again") from error


def save_weights(model: Qwen3, file: str | Path) -> None:
    """Write the weights to a safetensors file, whole or not at all.

    A tied head is written once, as the embedding, the way transformers does.
    """
    weights = {
        name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()
    }
    _write(Path(file), lambda draft: save_file(weights, draft, metadata={"format": "pt"}))


def one_file(path: str | Path, target: str | Path) -> Path:
    """The file with all the weights of the folder `path`; written to `target` if they are in parts.

    For those who take weights by file: `WeightSink.push`.
    """
    folder = _folder(path)
    if not (folder / _INDEX).exists():
        return _existing(folder / _WEIGHTS)
    weights = _folder_weights(folder)
    _write(Path(target), lambda draft: save_file(weights, draft, metadata={"format": "pt"}))
    return Path(target)


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, on the CPU."""
    path = _existing(Path(file))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UsageError(
            f"{path} is not a whole safetensors file: {error}; copy it again"
        ) from error


def _folder_weights(folder: Path) -> dict[str, Tensor]:
    index = folder / _INDEX
    if not index.exists():
        return read_weights(folder / _WEIGHTS)
    places = cast("dict[str, str]", _read_json(index)["weight_map"])
    weights: dict[str, Tensor] = {}
    for part in sorted(set(places.values())):
        weights.update(read_weights(folder / part))
    return weights


def _folder(path: str | Path) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(
            f"there is no model folder at {folder}; give the path of a folder with config.json, "
            f"tokenizer.json and {_WEIGHTS}, or make a tiny one with `init_model`"
        )
    return folder


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UsageError(
            f"{file} is missing; a model folder needs config.json, tokenizer.json and {_WEIGHTS} "
            f"(or {_INDEX} with its parts): copy the whole folder, or download it again"
        )
    return file


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(_existing(file).read_text(encoding="utf-8")))
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}; copy it again") from error


def _write_json(file: Path, value: dict[str, Any]) -> None:
    _write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write_text(file: Path, text: str) -> None:
    _write(file, lambda draft: draft.write_text(text, encoding="utf-8"))


def _write(file: Path, fill: Callable[[Path], object]) -> None:
    """Have `fill` write a draft beside `file`, make it durable, and put it in place at once."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        fill(draft)
        _sync(draft)
        os.replace(draft, file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
