"""What the database prints, and when it prints nothing."""

from __future__ import annotations

import msgspec

from ...engine import Seed
from ._tasks import Part, listed


def menu(part: Part, seed: Seed, most: int = 0) -> list[str]:
    """The options of an aspect: in any order, a line of JSON each, without what says which are
    right. At most `most` of them, the best one included; 0 is all."""
    options = [dict(option) for option in listed(part)]
    seed.random().shuffle(options)
    if most:
        others = [option for option in options if option["id"] != part.best_id][: most - 1]
        options = [option for option in options if option["id"] == part.best_id or option in others]
    for option in options:
        option.pop("type", None)
        option.pop("reason", None)
    return [msgspec.json.encode(option).decode() for option in options]


class Outage:
    """Fails one search in so many; 0 never."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._searches = 0

    def strikes(self) -> bool:
        """Count a search; whether it is one that fails."""
        self._searches += 1
        return self._every > 0 and self._searches % self._every == 0
