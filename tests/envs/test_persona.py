"""Personas: the manner changes, the facts do not, and the seed decides it all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import Seed, UsageError
from duologue.envs._persona import PERSONAS, Manner, Persona, persona

NAMES = st.sampled_from(sorted(PERSONAS))


@given(NAMES, st.integers(0, 1000), st.lists(st.text(max_size=30), max_size=8))
def test_the_same_seed_speaks_the_same(name: str, seed: int, lines: list[str]) -> None:
    one, other = (Manner(PERSONAS[name], Seed(seed)) for _ in range(2))
    assert [one.say(line, fact=True) for line in lines] == [
        other.say(line, fact=True) for line in lines
    ]


@given(NAMES, st.integers(0, 1000))
def test_a_fact_is_in_the_line_whatever_the_manner(name: str, seed: int) -> None:
    said = Manner(PERSONAS[name], Seed(seed)).say("The budget is 40 euros.", fact=True)
    assert "40 euros" in said


@pytest.mark.parametrize(
    ("line", "terse"),
    [
        ("I want a red one.", "a red one."),
        ("I have no preference, please.", "no preference."),
        ("I would say: after noon.", "after noon."),
        ("I have not touched chicken in years.", "I have not touched chicken in years."),
        ("I have my skis waxed already.", "I have my skis waxed already."),
        ("I want to step straight outside.", "I want to step straight outside."),
        ("I want someone to do the sheets.", "I want someone to do the sheets."),
        ("My company pays, and I want to lie flat.", "My company pays, and I want to lie flat."),
        ("Two chairs, that is all I want out there.", "Two chairs, that is all I want out there."),
    ],
)
def test_who_is_terse_leaves_out_only_what_can_be_done_without(line: str, terse: str) -> None:
    assert Manner(PERSONAS["terse"], Seed(0)).say(line, fact=True) == terse


def test_plain_says_it_as_it_is() -> None:
    manner = Manner(PERSONAS["plain"], Seed(0))
    assert [manner.say("Yes."), manner.say("")] == ["Yes.", ""]
    assert manner.dodge("budget") is None
    assert all(manner.leave(productive=False) is None for _ in range(100))


def test_the_styles_differ() -> None:
    lines = {
        name: tuple(
            Manner(PERSONAS[name], Seed(n)).say("I have no preference, please.") for n in range(20)
        )
        for name in ("plain", "terse", "chatty", "formal", "learner")
    }
    assert len(set(lines.values())) == 5


def test_what_is_dodged_is_answered_when_asked_again() -> None:
    dodged = 0
    for n in range(200):
        manner = Manner(PERSONAS["evasive"], Seed(n))
        if manner.dodge("budget") is not None:
            dodged += 1
            assert manner.dodge("budget") is None
    assert 70 < dodged < 130


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=30))
def test_patience_is_turns_in_a_row_that_led_nowhere(patience: int, turns: list[bool]) -> None:
    manner = Manner(Persona(name="p", patience=patience), Seed(0))
    idle = 0
    for productive in turns:
        idle = 0 if productive else idle + 1
        left = manner.leave(productive)
        assert (left is not None) == (idle >= patience)


def test_any_draws_them_all_and_an_unknown_name_is_refused() -> None:
    assert {persona("any", Seed(n)).name for n in range(300)} == set(PERSONAS)
    assert persona("any", Seed(7)) == persona("any", Seed(7))
    with pytest.raises(UsageError, match=r"'grumpy'.*hurried"):
        persona("grumpy", Seed(0))


@pytest.mark.parametrize("wrong", [{"patience": -1}, {"cooperation": 1.2}, {"knowledge": -0.1}])
def test_a_persona_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Persona(name="odd", **wrong)  # type: ignore[arg-type]


def test_a_model_is_told_what_a_rule_does() -> None:
    assert PERSONAS["plain"].describe() == ""
    assert "patience after 3 turns" in PERSONAS["difficult"].describe()
    assert len({one.describe() for one in PERSONAS.values()}) == len(PERSONAS)
