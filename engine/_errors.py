"""What can go wrong, named after the boundary that broke.

A failed model, user, judge or environment is data: the exception names the party, the dialogue
ends with the matching `End`, and nothing else stops. Anything that is not one of these classes is
a bug and propagates until it stops the run.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import cast


class DuologueError(Exception):
    """Base of every error this library raises on purpose."""


class UsageError(DuologueError):
    """The caller asked for something that cannot be: names the thing, the value, what to try."""


class PartyError(DuologueError):
    """One party of a dialogue failed; the dialogue ends with the party's reason."""


class ModelError(PartyError):
    """The agent's policy model failed to answer."""


class UserError(PartyError):
    """The simulated user failed to answer."""


class JudgeError(PartyError):
    """The judge failed, or gave something that is no judgement."""


class EnvError(PartyError):
    """The environment's own code raised."""


class MailboxClosed(DuologueError):
    """The actor behind this mailbox has stopped, so nobody would read the message."""


class BufferClosed(DuologueError):
    """The buffer has no more groups and will get none."""


class StoreError(DuologueError):
    """The run store cannot be opened, read or written."""


@contextmanager
def one_error() -> Generator[None]:
    """Raise a lone error as itself.

    A task group wraps whatever it lets through, even one error; our blocks hide their task
    groups, so they hide the wrapping too. Several errors at once stay a group.
    """
    try:
        yield
    except ExceptionGroup as group:
        lone = _lone(group)
        raise lone from lone.__cause__


def _lone(error: Exception) -> Exception:
    """The only error in a group however deep it lies; an error, or a real group, as it is."""
    if not isinstance(error, ExceptionGroup):
        return error
    inside = cast("ExceptionGroup[Exception]", error).exceptions
    return _lone(inside[0]) if len(inside) == 1 else cast("Exception", error)
