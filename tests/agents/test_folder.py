from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from tokenizers import Tokenizer

from duologue.agents.models._extras import extra
from duologue.agents.models.local import _folder
from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import (
    init_model,
    load_model,
    load_tokenizer,
    read_weights,
    save_weights,
)
from duologue.agents.models.text._tokenizer import train_tokenizer
from duologue.engine import UsageError

torch.set_num_threads(1)

HEAD = '<tool_call>\n{"name": "interact_with_env", "arguments": {"choice": "action", "content": "'
TAIL = '"}}\n</tool_call>'


def peer(name: str) -> Any:
    """A class of transformers, which is only partly typed."""
    return getattr(import_module("transformers"), name)


def dialogue(topic: str) -> str:
    call = f"{HEAD}What about the {topic}?{TAIL}"
    answer = f"<tool_response>\nThe {topic} is important to me.\n</tool_response>"
    turns = [("user", "I need a restaurant."), ("assistant", call), ("user", answer)]
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)


CORPUS = [dialogue(topic) for topic in ("budget", "time", "place", "mood")] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    init_model(path, corpus=CORPUS, seed=3)
    return path


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CORPUS, 1200)


def test_a_fresh_model_is_one_that_transformers_loads(folder: Path) -> None:
    theirs = peer("AutoModelForCausalLM").from_pretrained(folder)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert theirs.dtype == torch.float32
    ours = load_model(folder)
    ids = torch.arange(50) % ours.config.vocab
    attend = PackedAttention([50])
    with torch.no_grad():
        logits = ours.head(ours.hidden(ids, attend.positions_N, attend))
        assert (logits - theirs(ids[None]).logits[0]).abs().max() <= 1e-5


def test_its_tokenizer_chats_with_tools_in_transformers(folder: Path) -> None:
    theirs = peer("AutoTokenizer").from_pretrained(folder)
    ours = load_tokenizer(folder)
    for text in [*CORPUS[:2], 'Ünïcode 漢字 \n\n\t 12,5 <|im_end|> ?"}}\n</tool_call>']:
        assert theirs.encode(text) == ours.encode(text).ids
    assert theirs.eos_token == "<|im_end|>" and theirs.pad_token == "<|endoftext|>"
    tool: dict[str, Any] = {
        "type": "function",
        "function": {"name": "interact_with_env", "parameters": {}},
    }
    call = {"name": "interact_with_env", "arguments": {"choice": "action", "content": "Hi?"}}
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "tool_calls": [{"type": "function", "function": call}]},
        {"role": "tool", "content": "Yes."},
    ]
    text = theirs.apply_chat_template(
        messages, tools=[tool], add_generation_prompt=True, tokenize=False
    )
    assert text.startswith("<|im_start|>system\nBe kind.\n\n# Tools\n\nYou may call one or more")
    assert text.endswith(
        "<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        f"<|im_start|>assistant\n{HEAD}Hi?{TAIL}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nYes.\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_words_and_the_fixed_parts_of_a_call_are_single_tokens(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(dialogue("budget")).ids]
    call = ["assistant\n", HEAD, "What", " about", " the", " budget", "?" + TAIL]
    answer = ["user\n", "<tool_response>\n", "The", " budget", " is", " important", " to", " me"]
    joined = "\x00".join(pieces)
    assert "\x00".join(call) in joined
    assert "\x00".join([*answer, ".", "\n</tool_response>"]) in joined


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from([HEAD, TAIL, "<tool_response>\n", "\n</tool_response>", "user\n"]),
            st.sampled_from(["<|im_end|>", "\n", "  ", "?", '"}}', "\r\n", "é", "🜁"]),
        )
    ).map("".join)
)
def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_same_seed_makes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    init_model(again, corpus=CORPUS, seed=3)
    init_model(other, corpus=CORPUS, seed=4)
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted(file.name for file in again.iterdir())
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes()
        same = (folder / name).read_bytes() == (other / name).read_bytes()
        assert same == (name != "model.safetensors")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "other"]


def test_saved_weights_come_back(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    file = tmp_path / "weights.safetensors"
    save_weights(model, file)
    save_weights(model, file)
    weights = read_weights(file)
    assert "lm_head.weight" not in weights  # tied: the embedding is there once
    assert all(torch.equal(weights[name], value) for name, value in model.named_parameters())
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_a_failed_init_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(_folder, "save_weights", full)
        with pytest.raises(OSError, match="disk full"):
            init_model(tmp_path / "m", corpus=CORPUS, seed=0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(UsageError, match="taken exists already"):
        init_model(tmp_path / "taken", corpus=CORPUS, seed=0)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model folder at .*nowhere; .*init_model"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"config\.json is missing"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is not JSON"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="not a tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half a fi")
    with pytest.raises(UsageError, match="not a whole safetensors file"):
        load_model(tmp_path)
    save_file({"model.norm.weight": torch.ones(96)}, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"weights do not fit .* is missing"):
        load_model(tmp_path)


def test_a_config_without_a_size_is_named(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="hidden_size"):
        load_model(tmp_path)


def test_a_missing_package_is_named_with_its_extra() -> None:
    with (
        pytest.raises(UsageError, match=r"'torch'.*pip install 'duologue\[train\]'"),
        extra("train"),
    ):
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    with pytest.raises(ModuleNotFoundError, match="ours"), extra("train"):
        raise ModuleNotFoundError("ours", name="duologue.agents.ours")
