"""Make what a run of the peers needs: a small tokenizer with its settings, and the model's answer.

python benchmarks/peers/_prepare.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from _dialogue import ANSWER_TOKENS, SENTENCES

from duologue.agents import write_call
from duologue.agents.models.text._tokenizer import tokenizer_config, train_tokenizer
from duologue.engine import Action


def prepare(folder: Path) -> None:
    """The answer is a tool call of exactly `ANSWER_TOKENS` tokens, the one that ends it included."""
    # Punctuation is a token too, so words that have none: one more word is one more token.
    words = [word for word in " ".join(SENTENCES[:8]).split() if word.isalpha()]
    calls = [write_call(Action("action", " ".join(words[n : n + 40]))) for n in range(40)]
    tokenizer = train_tokenizer([*SENTENCES, *calls] * 4, 1200)
    for length in range(1, len(words)):
        text = write_call(Action("action", " ".join(words[:length])))
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) == ANSWER_TOKENS - 1:
            break
    else:
        raise RuntimeError(f"no call of {ANSWER_TOKENS} tokens in this tokenizer")
    stop = tokenizer.token_to_id("<|im_end|>")
    assert stop is not None
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in {
        "tokenizer_config": tokenizer_config(8192),
        "answers": [{"text": text, "token_ids": [*ids, stop]}],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
