"""What each step of a trip earns."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ...engine import UsageError


class Pay(Struct, frozen=True, kw_only=True):
    """The rewards of the gym.

    search:     for each aspect whose options are found.
    preference: for each preference that is asked for; of a `shared` one, for all of an aspect.
    best:       for booking the cheapest option that suits; `correct` for another that suits.
    wrong:      the penalty for one that does not.
    """

    search: float = 0.0
    preference: float = 0.2
    best: float = 1.0
    correct: float = 0.8
    wrong: float = 0.0
    shared: bool = False

    def asking(self, of_aspect: int) -> float:
        """The pay for one of the `of_aspect` preferences of an aspect."""
        return self.preference / max(1, of_aspect) if self.shared else self.preference

    def most(self, counts: Mapping[str, int]) -> float:
        """The most that a trip can earn, from the number of preferences of each aspect."""
        asking = sum(self.asking(count) * count for count in counts.values())
        return asking + (self.search + self.best) * len(counts)


PAYS: Mapping[str, Pay] = {
    "shared": Pay(shared=True),
    "paper": Pay(search=0.2, preference=0.2),
    "training": Pay(search=0.0, preference=0.8),
    "evaluation": Pay(search=0.2, preference=0.6),
}
"""`shared` is ours: asking is worth a fifth of a booking, however many questions it takes. The
others are the paper's, and what the released training and evaluation set."""


def pay_of(name: str, behaviour: str) -> Pay:
    """The rewards of that name; for `default`, `shared` in `fixed` and `training` in `official`."""
    if name == "default":
        name = "training" if behaviour == "official" else "shared"
    try:
        return PAYS[name]
    except KeyError:
        raise UsageError(f"pay is {name!r}; it is 'default' or one of {list(PAYS)}") from None
