"""How a run's tokens read: the tokenizer that lies with its model, if one does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..report import Spell

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TORN = "\N{REPLACEMENT CHARACTER}"


def find_spell(run: Path, config: Config | None) -> tuple[Spell | None, str]:
    """The run's tokenizer as a function, or None and why the page shows numbers instead."""
    file = next(filter(Path.is_file, _places(run, config)), None)
    if file is None:
        return None, "no tokenizer lies with the run or its model"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None, "`tokenizers` is missing: pip install 'duologue[train]'"
    try:
        return _speller(Tokenizer.from_file(str(file))), ""
    # tokenizers raises bare `Exception` for a file it cannot read.
    except Exception as error:  # noqa: BLE001
        return None, f"{file} is not a tokenizer ({error})"


def _places(run: Path, config: Config | None) -> list[Path]:
    folders = sorted((run / "models").glob("*")) if (run / "models").is_dir() else []
    if config is not None:
        kind, _, name = config.model.spec.partition(":")
        if kind in ("local", "vllm") and name and "://" not in name:
            folders.append(Path(name))
        if config.vllm.tokenizer:
            folders.append(Path(config.vllm.tokenizer))
    return [folder / "tokenizer.json" for folder in folders]


def _speller(tokenizer: Tokenizer) -> Spell:
    """A character may be spread over several tokens: then the first of them has its text, and the
    others none. Alone, each would read as a torn character."""
    alone: dict[int, str] = {}

    def read(token: int) -> str:
        text = alone.get(token)
        if text is None:
            text = alone[token] = tokenizer.decode([token], skip_special_tokens=False)
        return text

    def spell(ids: Sequence[int]) -> list[str]:
        pieces: list[str] = []
        for torn, run in groupby(ids, key=lambda token: _TORN in read(token)):
            tokens = list(run)
            if torn:
                whole = tokenizer.decode(tokens, skip_special_tokens=False)
                pieces += [whole, *[""] * (len(tokens) - 1)]
            else:
                pieces += map(read, tokens)
        return pieces

    return spell
