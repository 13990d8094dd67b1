"""The short way gives the library's own ids and text, whatever is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split, Whitespace
from tokenizers.trainers import BpeTrainer

from duologue.agents.models.text import _byte_level
from duologue.agents.models.text._byte_level import Decoder, Encoder, ascii_pattern
from duologue.agents.models.text._tokenizer import train_tokenizer

CALL = (
    '<tool_call>\n{"name": "interact_with_env", "arguments": {"choice": "action", "content": '
    '"What about the stars?"}}\n</tool_call>'
)
CORPUS = [
    CALL,
    "user\n<tool_response>\nIt's 1,200 or so; they'll pay (if  at all).\n</tool_response>",
    "Ein Café für 37 €, naïve — 数字 и слова.",
] * 3

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = [
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<tool>",
    "two words",
]

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def like_qwen(pattern: str = QWEN) -> Any:
    """The make of Qwen's tokenizers: their expression, NFC, and tokens that are not special."""
    tokenizer: Any = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(pattern), "isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in ADDED])
    tokenizer.encode_special_tokens = True
    return tokenizer


def tiny() -> Any:
    tokenizer: Any = train_tokenizer(CORPUS, 500)
    tokenizer.encode_special_tokens = True
    return tokenizer


TOKENIZERS = {"tiny": tiny(), "like Qwen": like_qwen()}
ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}
DECODERS = {name: Decoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}
every = pytest.mark.parametrize("name", TOKENIZERS)

ASCII = st.text(st.characters(max_codepoint=127), max_size=12)
PIECES = ["<|im_", "<tool", "</tool_response", '"}}\n</tool_call>', '."}}\n', "((", "it's", "'LL"]
SPACES = [" ", "  ", "\n", "\r\n", "\t", "\x0b", "\x1c", "\x7f"]
SCRAPS = st.sampled_from([*SPECIAL, *ADDED, *PIECES, *SPACES, "The budget", " 1200"])
TEXT = st.lists(st.one_of(SCRAPS, ASCII), max_size=8).map("".join)
WILD = st.lists(st.one_of(SCRAPS, st.text(max_size=6)), max_size=6).map("".join)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@every
@given(text=st.one_of(TEXT, WILD))
def test_ids_are_the_librarys(name: str, text: str) -> None:
    assert ENCODERS[name](text) == ids_of(TOKENIZERS[name], text)


@every
@given(data=st.data())
def test_text_is_the_librarys_even_of_half_characters_and_unknown_ids(
    name: str, data: st.DataObject
) -> None:
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() + 9), max_size=12))
    assert DECODERS[name](ids) == tokenizer.decode(ids, skip_special_tokens=False)


@every
@given(text=WILD, cuts=st.lists(st.integers(0, 40), max_size=2))
def test_text_survives_and_a_cut_anywhere_reads_as_the_library_reads_it(
    name: str, text: str, cuts: list[int]
) -> None:
    tokenizer = TOKENIZERS[name]
    ids = ENCODERS[name](text)
    assert DECODERS[name](ids) == tokenizer.decode(ids, skip_special_tokens=False)
    part = ids[min(cuts, default=0) : max(cuts, default=99)]
    assert DECODERS[name](part) == tokenizer.decode(part, skip_special_tokens=False)


@every
def test_ascii_does_not_go_to_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Encoder(TOKENIZERS[name])

    def slowly(text: str) -> list[int]:
        raise AssertionError(f"to the library: {text!r}")

    monkeypatch.setattr(encode, "_slowly", slowly)
    for text in CORPUS[:2]:
        assert encode(text) == ids_of(TOKENIZERS[name], text)
    with pytest.raises(AssertionError, match="Café"):
        encode(CORPUS[2])


def test_an_added_token_is_found_where_the_library_finds_it() -> None:
    tokenizer = TOKENIZERS["like Qwen"]
    text = "(<tool_call><tool><tool_callx<|im_end|>two words</tool_response>"
    ids = ENCODERS["like Qwen"](text)
    assert ids == ids_of(tokenizer, text)
    named = {tokenizer.token_to_id(word) for word in ("<tool_call>", "<tool>", "two words")}
    assert named <= set(ids)
    assert not {tokenizer.token_to_id(word) for word in SPECIAL} & set(ids)


def test_words_are_forgotten_when_they_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_byte_level, "_REMEMBERED_BYTES", 5000)
    encode = Encoder(TOKENIZERS["tiny"])
    most = 0
    for number in range(200):
        text = " ".join(chr(97 + number % 26) * (place + 1) for place in range(5))
        assert encode(text) == ids_of(TOKENIZERS["tiny"], text)
        most = max(most, len(encode._words))
    assert 10 < most < 25
    encode("x" * 10_000)
    assert "x" * 10_000 not in encode._words


def spaced(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(QWEN), "isolated"), ByteLevel(add_prefix_space=True, use_regex=False)]
    )


def removed(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(r"\s+"), "removed"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def twice(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(r"\s+"), "isolated"), ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def by_string(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Sequence(
        [Split(".", "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def gaps(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(r"\p{L}+"), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def whitespace(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = Whitespace()


def bare(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = None


def lower(tokenizer: Any) -> None:
    tokenizer.normalizer = normalizers.Lowercase()


def short(tokenizer: Any) -> None:
    tokenizer.enable_truncation(3)


def padded(tokenizer: Any) -> None:
    tokenizer.enable_padding(length=64)


def greedy(tokenizer: Any) -> None:
    tokenizer.add_tokens([AddedToken("stars", lstrip=True, normalized=False)])


def mixed(tokenizer: Any) -> None:
    tokenizer.add_tokens([AddedToken("stars", normalized=True)])


def other_model(tokenizer: Any) -> None:
    tokenizer.model = WordLevel({"a": 0, "?": 1}, unk_token="?")


OTHERS: list[Callable[[Any], None]] = [
    spaced, removed, twice, by_string, gaps, whitespace, bare, lower, short, padded, greedy, mixed,
    other_model,
]  # fmt: skip


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
def test_tokenizers_of_another_make_are_asked_themselves(
    change: Callable[[Any], None],
) -> None:
    tokenizer = like_qwen()
    change(tokenizer)
    encode = Encoder(tokenizer)
    for text in (*CORPUS, "A Star, two words: starstars.", ""):
        assert encode(text) == ids_of(tokenizer, text)


def test_special_tokens_are_tokens_where_the_tokenizer_says_so() -> None:
    tokenizer = like_qwen()
    tokenizer.encode_special_tokens = False
    encode = Encoder(tokenizer)
    text = "a<|im_end|>\n<tool_call>"
    assert encode(text) == ids_of(tokenizer, text)
    assert tokenizer.token_to_id("<|im_end|>") in encode(text)


def test_a_decoder_of_another_make_is_asked_itself() -> None:
    tokenizer: Any = like_qwen()
    tokenizer.decoder = decoders.Fuse()
    ids = ids_of(tokenizer, CORPUS[0])
    assert Decoder(tokenizer)(ids) == tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{Han}", r"\P{L}", r"\h", r"\bx", r"\X", r"[[:alpha:]]", r"[a&&b]", r"[a--b]",
        r"\p{N}{1,3}+", r"(a)", r"(?m:.)", r"(?<n>a)", r"(?>a)", "\u017f", "[a", "a\\",
    ],
)  # fmt: skip
def test_what_may_mean_something_else_is_not_rewritten(pattern: str) -> None:
    assert ascii_pattern(pattern) is None


def test_classes_are_rewritten_inside_and_outside_of_brackets() -> None:
    assert ascii_pattern(r"[^\r\n\p{L}\p{N}]?\p{Lu}+") == r"[^\r\nA-Za-z0-9]?[A-Z]+"


LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)


@given(TEXT)
def test_the_expression_of_another_family_cuts_the_same(text: str) -> None:
    assert LLAMA_ENCODER._cut is not None
    assert LLAMA_ENCODER(text) == ids_of(LLAMA_TOKENIZER, text)


LLAMA_TOKENIZER = like_qwen(LLAMA)
LLAMA_ENCODER = Encoder(LLAMA_TOKENIZER)
