r"""Byte-level BPE at the price of a dictionary: the same ids and the same text as the library's.

The tokenizers library takes 25 to 100 µs for a sentence, most of it in a regular-expression engine
that knows all of Unicode, and in offsets that nobody reads. But a byte-level BPE merges inside
words only, words being what one expression cuts; so a word's tokens depend on the word alone and
can be remembered. ASCII text is cut here, by the tokenizer's own expression rewritten for `re`:
within ASCII, \p{L} is [A-Za-z]. Everything else, be it text or a tokenizer of another make, goes
to the library, and so does a text which the rewritten expression does not cover whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REMEMBERED_BYTES = 16 << 20
"""Words are forgotten, all at once, when they take so much."""

_LONG = 64
"""Characters beyond which a word is not remembered: it will hardly come again."""

_LETTERS = {"L": "A-Za-z", "Lu": "A-Z", "Ll": "a-z", "N": "0-9", "Nd": "0-9"}
_ESCAPES = frozenset("sSdDwWrntfv")
_GROUPS = ("(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!")
_NORMALIZERS = frozenset({"NFC", "NFD", "NFKC", "NFKD"})  # all leave ASCII as it is


class Encoder:
    """Text to ids: what `tokenizer.encode(text, add_special_tokens=False).ids` gives.

    The tokenizer's settings are read once, here; change them before.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._words = _Words(tokenizer.model)
        self._cut = _cut_of(tokenizer)
        added = _added(tokenizer) if self._cut is not None else None
        if added is None:
            self._cut = None
        self._added: dict[str, int | None] = added or {}
        self._marks = _any_of(self._added) if any(self._added.values()) else None

    def __call__(self, text: str) -> list[int]:
        if self._cut is None or not text.isascii():
            return self._slowly(text)
        if self._marks is None or (mark := self._marks.search(text)) is None:
            return self._plain(text)
        ids: list[int] = []
        start = 0
        while mark is not None:
            token = self._added[mark.group()]
            if token is not None:  # else it is special, and nobody may speak it: text
                ids += self._plain(text[start : mark.start()])
                ids.append(token)
                start = mark.end()
            mark = self._marks.search(text, mark.end())
        return ids + self._plain(text[start:])

    def _plain(self, text: str) -> list[int]:
        """Text without added tokens."""
        assert self._cut is not None
        words = self._cut(text)
        if "".join(words) != text:
            return self._slowly(text)
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def _slowly(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


class Decodes(Protocol):
    """What is needed of a tokenizer to read what it wrote."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...


class Decoder:
    """Ids to text: what `tokenizer.decode(ids, skip_special_tokens=False)` gives."""

    def __init__(self, tokenizer: Decodes) -> None:
        self._tokenizer = tokenizer
        # A tokenizer of transformers has a decoder too, and does more than that one.
        ours = hasattr(tokenizer, "id_to_token") and hasattr(tokenizer, "decoder")
        level: Any = tokenizer if ours else None
        self._bytes = _Bytes(level) if ours and _kind(level.decoder) == "ByteLevel" else None

    def __call__(self, ids: Iterable[int]) -> str:
        if self._bytes is None:
            return self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return b"".join(map(self._bytes.__getitem__, ids)).decode("utf-8", "replace")


class _Words(dict[str, tuple[int, ...]]):
    """The ids of every word met lately."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._tokenize = model.tokenize
        self._taken = 0

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(token.id for token in self._tokenize(word.translate(_MAPPED)))
        if len(word) <= _LONG:
            # An entry of the table, a string, a tuple, and an integer object for each id.
            self._taken += 200 + len(word) + 40 * len(ids)
            if self._taken > _REMEMBERED_BYTES:
                self.clear()
                self._taken = 0
            self[word] = ids
        return ids


class _Bytes(dict[int, bytes]):
    """The bytes that each token met so far stands for; as large as the vocabulary at most."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> bytes:
        word = self._tokenizer.id_to_token(token)
        if word is None:  # the library leaves out what it does not know; not remembered, for
            return b""  # there is no end of such numbers
        try:
            found = bytes([_BYTES[char] for char in word])
        except KeyError:  # an added token may be any text
            found = word.encode()
        self[token] = found
        return found


def _characters() -> dict[int, str]:
    """How byte-level tokenizers write each byte: printable ones as themselves, the others from
    U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(0x100 + place) for place, byte in enumerate(others)
    }


_MAPPED = _characters()
_BYTES = {char: byte for byte, char in _MAPPED.items()}


def _state(part: Any) -> dict[str, Any]:
    """A tokenizer's part as tokenizer.json would have it."""
    return dict(json.loads(part.__getstate__())) if part is not None else {}


def _kind(part: Any) -> str:
    return str(_state(part).get("type", ""))


def _cut_of(tokenizer: Any) -> Any:
    """What cuts ASCII text into this tokenizer's words; None if it is not of the make we know."""
    parts = _state(tokenizer.pre_tokenizer).get("pretokenizers", [])
    if len(parts) != 2 or tokenizer.truncation or tokenizer.padding:
        return None
    if tokenizer.normalizer is not None and _kind(tokenizer.normalizer) not in _NORMALIZERS:
        return None
    split, level = parts
    model = tokenizer.model
    if (
        (split["type"], split.get("behavior"), split.get("invert")) != ("Split", "Isolated", False)
        or (level["type"], level.get("add_prefix_space")) != ("ByteLevel", False)
        or level.get("use_regex")
        or "Regex" not in split["pattern"]
        or type(model).__name__ != "BPE"
        or model.dropout
        or model.continuing_subword_prefix
        or model.end_of_word_suffix
    ):
        return None
    pattern = ascii_pattern(split["pattern"]["Regex"])
    return None if pattern is None else re.compile(pattern, re.ASCII | re.MULTILINE).findall


def _added(tokenizer: Tokenizer) -> dict[str, int | None] | None:
    """Tokens that are cut out before anything else, with their ids; None for those that are text
    although they are tokens. None instead of all when they are cut out in other ways."""
    found: dict[str, int | None] = {}
    added = tokenizer.get_added_tokens_decoder()
    if len({token.normalized for token in added.values()}) > 1:
        return None
    for number, token in added.items():
        is_text = token.special and tokenizer.encode_special_tokens
        if not is_text and (token.lstrip or token.rstrip or token.single_word):
            return None
        found[token.content] = None if is_text else number
    return found


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """The leftmost of these, the longest where several begin."""
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))


def ascii_pattern(pattern: str) -> str | None:
    r"""Oniguruma's `pattern` for Python's `re` (flags ASCII and MULTILINE), the same on ASCII text.

    None when it has something in it that we do not know to be the same in both.
    """
    done: list[str] = []
    place, within = 0, False  # within [brackets]
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            if found := re.compile(r"\\p\{(\w+)\}").match(pattern, place):
                letters = _LETTERS.get(found[1])
                if letters is None:
                    return None
                done.append(letters if within else f"[{letters}]")
                place = found.end()
                continue
            escaped = pattern[place : place + 2]
            if len(escaped) < 2 or (escaped[1].isalnum() and escaped[1] not in _ESCAPES):
                return None
            done.append(escaped)
            place += 2
            continue
        if within:
            if char == "[" or pattern.startswith(("&&", "--", "||", "~~"), place):  # sets of sets
                return None
            within = char != "]"
        elif char == "[":
            within = True
        elif pattern.startswith("(?", place) and not pattern.startswith(_GROUPS, place):
            return None
        elif (char == "(" and not pattern.startswith("(?", place)) or pattern.startswith(
            "}+", place
        ):
            # A group that captures changes what `findall` gives; {n}+ is greedy in one and
            # possessive in the other.
            return None
        elif not char.isascii():  # under (?i:) it may be another case of one that is
            return None
        done.append(char)
        place += 1
    text = "".join(done)
    try:
        re.compile(text, re.ASCII | re.MULTILINE)
    except re.error:
        return None
    return text
