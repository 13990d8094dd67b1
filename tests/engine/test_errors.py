"""Errors: flat classes named after boundaries, and lone errors raised as themselves."""

from __future__ import annotations

import pytest

from duologue import engine
from duologue.engine import DuologueError, PartyError, one_error


def test_every_error_has_the_one_base() -> None:
    errors = [
        value
        for value in vars(engine).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(errors) == 11
    assert all(issubclass(error, DuologueError) for error in errors)
    assert {error.__name__ for error in errors if issubclass(error, PartyError)} == {
        "PartyError",
        "ModelError",
        "UserError",
        "JudgeError",
        "EnvError",
    }


def test_a_lone_error_is_raised_as_itself_however_deep() -> None:
    lone = KeyError("x")
    with pytest.raises(KeyError) as caught, one_error():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [lone])])
    assert caught.value is lone


def test_a_lone_error_keeps_its_cause() -> None:
    lone, cause = KeyError("x"), ValueError("y")
    lone.__cause__ = cause
    with pytest.raises(KeyError) as caught, one_error():
        raise ExceptionGroup("outer", [lone])
    assert caught.value.__cause__ is cause


def test_several_errors_stay_a_group() -> None:
    group = ExceptionGroup("two", [KeyError("x"), ValueError("y")])
    with pytest.raises(ExceptionGroup) as caught, one_error():
        raise ExceptionGroup("outer", [group])
    assert caught.value is group


def test_other_errors_and_success_pass() -> None:
    with one_error():
        pass
    with pytest.raises(KeyError), one_error():
        raise KeyError("x")


def test_an_interrupt_is_never_unwrapped() -> None:
    with pytest.raises(BaseExceptionGroup) as caught, one_error():
        raise BaseExceptionGroup("stop", [KeyboardInterrupt()])
    assert isinstance(caught.value.exceptions[0], KeyboardInterrupt)
