"""Randomness by path.

A seed is a place in a tree, not a position in a stream: ``Seed(0) / "group" / 3 / "user"`` names
the same numbers whoever asks, whenever, and however many others asked before. So a dialogue comes
out the same alone or among ten thousand, and adding an actor shifts nobody else's numbers.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from struct import Struct


class Seed:
    """One node of the tree of seeds. Immutable; `/` descends, the other methods read it."""

    __slots__ = ("_digest",)

    def __init__(self, root: int) -> None:
        self._digest = _digest(b"duologue", root)

    def __truediv__(self, part: str | int) -> Seed:
        child = _blank(Seed)
        child._digest = _digest(self._digest, part)
        return child

    def at(self, *path: str | int) -> Seed:
        """The seed further down `path`: the same as dividing by each part in turn."""
        digest = self._digest
        for part in path:
            digest = _digest(digest, part)
        seed = _blank(Seed)
        seed._digest = digest
        return seed

    def integer(self) -> int:
        """A number in [0, 2**63): what numpy, torch and SQLite take as a seed."""
        first: int = _first(self._digest)[0]
        return first >> 1

    def integer_at(self, part: str | int) -> int:
        """`(self / part).integer()`, which a turn draws, without the seed between."""
        first: int = _first(_digest(self._digest, part))[0]
        return first >> 1

    def random(self) -> Random:
        """A generator of its own, at the start of this path's stream."""
        return Random(self.integer())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seed) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"Seed({self._digest.hex()[:12]})"


def _digest(parent: bytes, part: str | int) -> bytes:
    # The type byte keeps 1 and "1" apart; the parent has a fixed length (or is the root's
    # constant), so no two paths run into each other.
    named = b"i%d" % part if isinstance(part, int) else b"s" + part.encode()
    state = _empty()
    state.update(parent + named)
    return state.digest()


# A copy of a state that was set up once is cheaper than setting one up: a turn draws a seed.
_empty = blake2b(digest_size=16).copy
_blank = object.__new__
_first = Struct("<Q").unpack_from
