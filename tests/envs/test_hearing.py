"""What rule-based users hear: words, stems, numbers, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.envs._hearing import canonical, numbers_said, stem, stems, synonym_table, words


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("twenty-one and 1,200 or three", [21, 1200, 3]),
        ("one two three", [1, 2, 3]),
        ("two hundred and five people", [205]),
        ("five thousand three hundred twenty", [5320]),
        ("twenty twenty", [20, 20]),
        ("ninety nine million", [99_000_000]),
        ("a hundred and one", [101]),
        ("five twenty", [5, 20]),
        ("zero five ten", [0, 5, 10]),
        ("no number", []),
        ("room 4a", []),
        ("1" * 400, []),
    ],
)
def test_numbers_in_digits_and_in_words(text: str, numbers: list[int]) -> None:
    assert numbers_said(text) == numbers


@given(st.lists(st.integers(0, 9999), max_size=6))
def test_digits_are_read_back(numbers: list[int]) -> None:
    assert numbers_said("; ".join(map(str, numbers))) == numbers


@settings(max_examples=300)
@given(
    st.text(max_size=5000)
    | st.lists(st.sampled_from(["one", "hundred", "million", "ten", "and", "a"])).map(" ".join)
)
def test_any_text_is_heard(text: str) -> None:
    assert all(0 <= number <= 10**16 for number in numbers_said(text))
    assert len(stems(text)) == len(words(text)) <= 2000


@given(st.text(st.characters(codec="ascii"), max_size=300))
def test_plain_ascii_is_heard_like_any_text(text: str) -> None:
    # One letter of another script makes the whole line one that is read by Unicode's rules.
    assert [*words(text), "\u00e9"] == words(f"{text} \u00e9")


def test_inflections_have_one_stem_and_synonyms_one_meaning() -> None:
    assert stem("prices") == stem("price") and stem("booking") == stem("bookings")
    table = synonym_table([("cheap", "inexpensive"), ("hotel", "lodging", "inn")])
    assert canonical("Cheap lodgings?", table) == canonical("inexpensive hotels", table)
