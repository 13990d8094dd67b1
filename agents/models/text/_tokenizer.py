"""A byte-level BPE tokenizer for tiny models, trained on their own dialogues.

Sequences are what a tiny model pays for, so whole words are single tokens, and so are the parts
of a tool call that never change. Any text survives: decode(encode(text)) == text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

END_OF_TEXT, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

_CALL_HEAD = (
    re.escape('<tool_call>\n{"name": "interact_with_env", "arguments": {"choice": "')
    + "(?:action|answer|search|finish)"
    + re.escape('", "content": "')
)
_CALL_TAIL = "[?.!]?" + re.escape('"}}\n</tool_call>')

# What becomes one token if the corpus repeats it. The order matters: the first that fits wins.
_PIECES = (
    f"{_CALL_HEAD}|{_CALL_TAIL}"
    r"|<tool_response>\n|\n</tool_response>"
    r"|(?:system|user|assistant)\n"
    r"| ?\p{L}+| ?\p{N}+"
    # Punctuation stops where the tail of a call or an answer begins.
    r"| ?[^\s\p{L}\p{N}]+?(?=[?.!]?\"\}\}\n</tool_call>|[\s\p{L}\p{N}]|$)"
    r"|\s+?(?=\n</tool_response>|\S|$)"
)


def train_tokenizer(corpus: Iterable[str], vocab: int) -> Tokenizer:
    """A tokenizer of at most `vocab` tokens; fewer when the corpus has no more to merge."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(_PIECES), "isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = ByteDecoder()
    trainer = BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT, START_OF_TURN, END_OF_TURN],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def tokenizer_config(context: int) -> dict[str, Any]:
    """tokenizer_config.json: what transformers and vLLM need besides tokenizer.json."""
    return {
        # The generic class: a Qwen class would rebuild tokenizer.json with Qwen's own pieces.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [START_OF_TURN, END_OF_TURN],
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template(),
    }


def chat_template() -> str:
    """The ChatML template of Qwen3, tool calls included, without the parts about thinking."""
    return (resources.files(__package__ or "") / "_chatml.jinja").read_text(encoding="utf-8")
