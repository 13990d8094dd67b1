"""Progress on long work: bars on a terminal, plain lines elsewhere.

Progress goes to stderr and results to stdout, so that a pipe gets results only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

EVERY_S = 5.0
"""How often a plain line is printed at most."""


class Bar(Protocol):
    """One stretch of long work."""

    def update(self, done: int, note: str = "") -> None: ...


class Reporter(Protocol):
    """Where progress is shown."""

    def bar(self, label: str, total: int | None) -> Bar: ...

    def say(self, text: str) -> None:
        """One line for a person."""
        ...


@contextmanager
def open_reporter() -> Generator[Reporter]:
    """Bars when stderr is a terminal, plain lines when it is not."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:<26}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def bar(self, label: str, total: int | None) -> Bar:
        return _RichBar(self._progress, self._progress.add_task(label, total=total, note=""))

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, emoji=False)


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, note=note)


class _Lines:
    def bar(self, label: str, total: int | None) -> Bar:
        return _LineBar(label, total)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _LineBar:
    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._began = time.monotonic()
        self._next = self._began + EVERY_S
        self._complete = False

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        complete = done == self._total
        if self._complete or (now < self._next and not complete):
            return
        self._complete = complete
        self._next = now + EVERY_S
        of = "" if self._total is None else f"/{self._total}"
        print(
            f"{self._label}: {done}{of}, {now - self._began:.0f} s{note and ', ' + note}",
            file=sys.stderr,
            flush=True,
        )
