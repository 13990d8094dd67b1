"""Which loss, as settings: apart from the losses themselves, so that reading a configuration
needs no torch."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

LossName = Literal["clip", "gspo", "cispo", "icepop"]
Aggregation = Literal["token", "sequence", "budget"]


class LossConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which loss, and how tokens are averaged.

    The defaults are DAPO's: the clipped ratio, wider above than below, and the mean over all
    tokens of the step. `PRESETS` has the other algorithms by their papers' names.

    clip_low, clip_high: how far the ratio may leave 1 before it stops counting. `cispo` truncates
                         at 1 + clip_high; `icepop` drops tokens outside
                         [1 - clip_low, 1 + clip_high].
    dual_clip:           bound on the ratio where the advantage is negative (`clip` only).
    aggregate:           `token` and `sequence` divide by the step's trained tokens or sequences,
                         `budget` by `budget_tokens`, whatever came (Dr.GRPO, C3PO).
    """

    name: LossName = "clip"
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float | None = None
    aggregate: Aggregation = "token"
    budget_tokens: int = 0

    def __post_init__(self) -> None:
        for value, names in ((self.name, LossName), (self.aggregate, Aggregation)):
            if value not in get_args(names):
                raise ValueError(f"unknown name {value!r}; known: {', '.join(get_args(names))}")
        if not 0.0 <= self.clip_low <= 1.0 or self.clip_high < 0.0:
            raise ValueError(
                f"clip_low={self.clip_low} must lie in [0, 1], clip_high={self.clip_high} above 0"
            )
        if self.dual_clip is not None and self.dual_clip <= 1.0:
            raise ValueError(f"dual_clip must be above 1, not {self.dual_clip}")
        if (self.aggregate == "budget") != (self.budget_tokens > 0):
            raise ValueError(
                f"budget_tokens={self.budget_tokens} goes with aggregate='budget', "
                f"not {self.aggregate!r}"
            )

    def denominator(self, *, tokens: int, sequences: int) -> int:
        """What the step's token losses are divided by, given the whole step's counts."""
        match self.aggregate:
            case "token":
                return tokens
            case "sequence":
                return sequences
            case "budget":
                return self.budget_tokens


PRESETS: dict[str, LossConfig] = {
    "dapo": LossConfig(),
    "grpo": LossConfig(clip_high=0.2, aggregate="sequence"),
    "gspo": LossConfig(name="gspo", clip_low=3e-4, clip_high=4e-4, aggregate="sequence"),
    "cispo": LossConfig(name="cispo", clip_high=4.0),
    "icepop": LossConfig(name="icepop", clip_low=0.5, clip_high=4.0),
}
