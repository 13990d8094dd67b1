"""Environments by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from duologue.engine import UsageError
from duologue.envs import Gym, _registry, find, names
from duologue.envs.intention import gym


@pytest.fixture
def with_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if two more packages had registered environments."""
    points = [
        EntryPoint("intention", "duologue.envs.intention:gym", _registry.GROUP),
        EntryPoint("zoo", "duologue.envs:Gym", _registry.GROUP),
    ]
    monkeypatch.setattr(_registry, "_installed", lambda: {point.name: point for point in points})
    yield


def test_own_environment_is_found_by_its_name() -> None:
    assert "intention" in names()
    assert find("intention") is gym
    assert all(isinstance(find(name), Gym) and find(name).name == name for name in names())


def test_unknown_name_is_answered_with_the_near_miss() -> None:
    with pytest.raises(UsageError, match="'intension'; did you mean 'intention'"):
        find("intension")


def test_name_like_no_other_is_answered_with_all_of_them(with_others: None) -> None:
    with pytest.raises(UsageError, match="'qqqq'; installed: intention, zoo"):
        find("qqqq")


def test_entry_point_that_is_no_gym_is_refused(with_others: None) -> None:
    with pytest.raises(UsageError, match="environment 'zoo' is a type, not a Gym"):
        find("zoo")


def test_environment_that_is_not_installed_is_found_where_it_lies() -> None:
    assert find("duologue.envs.intention:gym") is gym


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:gym", "there is no module 'no_such_module'"),
        ("duologue.envs.nothing:gym", "there is no module 'duologue.envs.nothing'"),
        ("duologue.envs.intention:gim", "duologue.envs.intention has no 'gim'"),
        ("duologue.envs:find", "is a function, not a Gym"),
    ],
)
def test_place_that_holds_no_environment_is_named(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find(name)
