"""The collector's setting is borrowed, not taken."""

from __future__ import annotations

import gc

import pytest

from duologue.engine import relaxed_collector


def test_the_collectors_thresholds_come_back_whatever_happens() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), relaxed_collector(12_345):
        assert gc.get_threshold()[0] == 12_345
        raise KeyError
    assert gc.get_threshold() == before
