"""The claims of our own, read from the two files beside this one: a file a split."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct


class Against(Struct, frozen=True):
    """What speaks against a claim; see `Consideration`."""

    hint: str
    point: str
    words: str


class Claim(Struct, frozen=True):
    """A claim, how its holders argue for it, and what speaks against it."""

    text: str
    arguments: tuple[str, ...]
    against: tuple[Against, ...]


class _File(Struct, frozen=True):
    claim: tuple[Claim, ...]


@lru_cache(maxsize=2)
def claims(split: str) -> tuple[Claim, ...]:
    """The claims of a split, in the order of its file."""
    raw = Path(__file__).with_name(f"claims_{split}.toml").read_bytes()
    return msgspec.toml.decode(raw, type=_File).claim
