"""What a dialogue was worth: the database against the one it should be, and what had to be said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from .._hearing import HEARD_CHARS
from ._store import Store
from ._tasks import Call, Case
from ._tools import TRANSFERS, Domain

Changes = Mapping[str, Mapping[str, str]]

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_SPARE = 3
"""Numbers that a message may have besides those that were asked for. With more it is a list in
which anything can be found, and tells nothing."""


def wanted(found: Case, domain: Domain) -> Changes:
    """What the actions of the task change in the database."""
    return _wanted(msgspec.json.encode(found.actions), domain.name, _Tables(domain))


class _Tables:
    """A domain, equal to itself: tables are too large to compare and are never replaced."""

    def __init__(self, domain: Domain) -> None:
        self.domain: Domain = domain

    def __hash__(self) -> int:
        return id(self.domain.tables)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tables) and other.domain.tables is self.domain.tables


@lru_cache(maxsize=4096)
def _wanted(actions: bytes, name: str, tables: _Tables) -> Changes:
    store = Store(tables.domain.tables)
    for call in msgspec.json.decode(actions, type=tuple[Call, ...]):
        if call.name not in TRANSFERS:
            tables.domain.use(store, call.name, call.kwargs)
    return store.changes()


def asks_nothing(found: Case, changes: Changes) -> bool:
    """Whether the right end of a task is as if nothing had happened."""
    return not changes and not found.outputs


def wants_transfer(found: Case) -> bool:
    """Whether the agent should hand the customer over."""
    return any(call.name in TRANSFERS for call in found.actions)


def told_as_released(output: str, said: Sequence[str]) -> bool:
    """Whether the output's letters are anywhere in what was said, commas aside."""
    return any(output.lower() in line.lower().replace(",", "") for line in said)


def told(output: str, said: Sequence[str], outputs: int) -> bool:
    """Whether a message says the output: a number as that number, words as whole words."""
    number = _NUMBER.fullmatch(output)
    for line in said:
        # At most as long as a customer listens.
        low = line[:HEARD_CHARS].casefold().replace(",", "")
        if number is None:
            if re.search(rf"(?<!\w){re.escape(output.casefold())}(?!\w)", low):
                return True
            continue
        numbers = {float(each) for each in _NUMBER.findall(low)}
        if float(output) in numbers and len(numbers) <= outputs + _SPARE:
            return True
    return False
