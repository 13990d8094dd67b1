"""A database for one dialogue: copies of what it touches, over tables that all dialogues share.

tau-bench reads its files, megabytes of them, twice an episode. Here a table is loaded once; a record
is copied when it is first asked for, so that a dialogue pays for the records it uses alone, and what
it changed is among those.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Record = Any
"""JSON: what a tool of tau-bench keeps in a table is its own affair."""

Tables = Mapping[str, Mapping[str, Record]]


class Table(dict[str, Record]):
    """A table of one dialogue. Iterating gives shared records: they are for reading."""

    def __init__(self, base: Mapping[str, Record]) -> None:
        super().__init__(base)
        self.base: Mapping[str, Record] = base
        self.touched: set[str] = set()

    def __getitem__(self, key: str) -> Record:
        if key not in self.touched:
            super().__setitem__(key, _copied(super().__getitem__(key)))
            self.touched.add(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, record: Record) -> None:
        super().__setitem__(key, record)
        self.touched.add(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.touched.add(key)

    def get(self, key: str, default: Any = None) -> Any:
        # Through our own `[]`, which copies.
        return self[key] if key in self else default  # noqa: SIM401

    def changes(self) -> dict[str, str]:
        """What is otherwise than in the beginning: a record's key, and its text; "" when gone."""
        changed: dict[str, str] = {}
        for key in self.touched:
            record, before = super().get(key), self.base.get(key)
            # Most records were only read. Equal as they are, they are equal in any order.
            if key in self and key in self.base and repr(record) == repr(before):
                continue
            now = canonical(record) if key in self else ""
            if now != (canonical(before) if key in self.base else ""):
                changed[key] = now
        return changed


class Store(dict[str, Table]):
    """The database of one dialogue, a table by its name."""

    def __init__(self, tables: Tables) -> None:
        super().__init__({name: Table(base) for name, base in tables.items()})

    def changes(self) -> dict[str, dict[str, str]]:
        """What the dialogue changed. Two stores over the same tables are equal when these are."""
        return {name: changed for name, table in self.items() if (changed := table.changes())}

    def has_read(self, owner: str) -> bool:
        """Whether a record of that customer, or one that names it, was asked for by its key."""
        for table in self.values():
            for key in table.touched:
                record: Record = table.get(key)
                if key == owner or (isinstance(record, dict) and owner in _owners(record)):
                    return True
        return False


def _owners(record: Record) -> tuple[Any, Any]:
    return record.get("user_id"), record.get("customer_id")


_PLAIN = frozenset((str, int, float, bool, type(None)))


def _copied(value: Any) -> Any:
    """A record of one's own. JSON is a tree, so no part of it has to be met twice."""
    kind = type(value)  # pyright: ignore
    if kind is dict:
        return {k: each if type(each) in _PLAIN else _copied(each) for k, each in value.items()}
    if kind is list:
        return [each if type(each) in _PLAIN else _copied(each) for each in value]
    return value if kind in _PLAIN else deepcopy(value)


def canonical(value: Any) -> str:
    """A record as text, the same for any order of its keys. As tau-bench hashes it: 1 is not 1.0."""
    return repr(_ordered(value))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple([(str(key), _ordered(item)) for key, item in sorted(value.items())])  # pyright: ignore
    if isinstance(value, list):
        return tuple([_ordered(item) for item in value])  # pyright: ignore
    return value
