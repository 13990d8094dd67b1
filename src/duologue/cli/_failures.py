"""What went wrong, as one line to a person."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from typing import Never, cast

from ..engine import DuologueError

_REFUSALS = {
    errno.ENOSPC: "free some space (`duologue prune RUN` helps), or use another disk",
    errno.EDQUOT: "free some of your quota (`duologue prune RUN` helps), or use another disk",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or use another disk",
    errno.EACCES: "ask for permission, or name another place",
    errno.EPERM: "ask for permission, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.EMFILE: "allow more open files (ulimit -n 4096)",
    errno.ENFILE: "the machine has no more open files to give; close something",
    errno.EIO: "the disk does not answer as it should; copy what you can and look at it",
}
"""What an operating system refuses whoever asks, and what to try. Any other `OSError` is a bug."""


def expected(error: Exception) -> list[Exception]:
    """The errors in it, if every one of them is a message to a person and not a bug."""
    if isinstance(error, ExceptionGroup):
        inside = cast("ExceptionGroup[Exception]", error).exceptions
        each = [expected(one) for one in inside]
        return [one for found in each for one in found] if all(each) else []
    refused = isinstance(error, OSError) and error.errno in _REFUSALS
    return [error] if refused or isinstance(error, DuologueError) else []


def explain(error: Exception, notes: Iterable[str]) -> str:
    """One line: what went wrong, what to try, and what was noted on the way."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror}; {_REFUSALS[error.errno]}"
    # Once each: a note stays on the error and on every group around it.
    return "; ".join(dict.fromkeys([text, *getattr(error, "__notes__", ()), *notes]))


def fail(message: str, code: int) -> Never:
    """Say it on stderr and leave with `code`."""
    print(f"duologue: {message}", file=sys.stderr)
    raise SystemExit(code)
