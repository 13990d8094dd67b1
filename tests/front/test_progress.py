"""Progress: bars for a terminal, plain lines for the rest, never a word on stdout."""

from __future__ import annotations

import pytest

from duologue import progress
from duologue.progress import EVERY_S, open_reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test turns."""
    now = [1000.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(progress, "time", Time)
    return now


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rich believe that stderr is a terminal, of a known width."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("NO_COLOR", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_plain_lines_come_at_intervals_and_at_the_end(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with open_reporter() as reporter:
        bar = reporter.bar("dialogues", 10)
        for done in range(1, 11):
            clock[0] += EVERY_S / 2
            bar.update(done, f"reward {done}")
    assert lines(capsys) == [
        "dialogues: 2/10, 5 s, reward 2",
        "dialogues: 4/10, 10 s, reward 4",
        "dialogues: 6/10, 15 s, reward 6",
        "dialogues: 8/10, 20 s, reward 8",
        "dialogues: 10/10, 25 s, reward 10",
    ]


def test_quick_work_is_one_line_and_said_once(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with open_reporter() as reporter:
        bar = reporter.bar("dialogues", 3)
        for done in (1, 2, 3, 3):
            bar.update(done)
    assert lines(capsys) == ["dialogues: 3/3, 0 s"]


def test_work_without_a_known_end_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with open_reporter() as reporter:
        bar = reporter.bar("dialogues", None)
        clock[0] += EVERY_S
        bar.update(7)
    assert lines(capsys) == ["dialogues: 7, 5 s"]


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter() as reporter:
        reporter.say("made [a] model")
    assert lines(capsys) == ["made [a] model"]


def test_terminal_gets_a_bar_with_numbers_and_note(
    capsys: pytest.CaptureFixture[str], terminal: None
) -> None:
    with open_reporter() as reporter:
        bar = reporter.bar("dialogues", 4)
        bar.update(4, "reward 0.5")
    last = "".join(lines(capsys))
    assert "dialogues" in last and "4/4" in last and "reward 0.5" in last
    assert "\x1b[" in last


@pytest.mark.parametrize("text", ["runs/[b]/x", "[/] and [/b]", ":smile: [red]", "a [link=x] b"])
def test_text_is_text_on_a_terminal_too(
    capsys: pytest.CaptureFixture[str], terminal: None, text: str
) -> None:
    """A path may look like rich's markup; it is neither swallowed nor an error."""
    with open_reporter() as reporter:
        bar = reporter.bar(text, 1)
        bar.update(1, f"note {text}")
        reporter.say(f"said {text}")
    shown = "".join(lines(capsys))
    assert shown.count(text) >= 3
    assert f"note {text}" in shown and f"said {text}" in shown
