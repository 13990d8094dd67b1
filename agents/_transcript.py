"""The transcript: a dialogue's tokens, append-only.

What was sampled is what is trained on. Nothing already written is rendered or tokenised again: an
observation is tokenised alone and appended, a generation is appended as it was sampled.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ..engine import Span, Tokens
from .models import Generation


class Transcript:
    """Grows by `read` and `wrote`; `tokens` packs it."""

    __slots__ = ("_ids", "_logps", "_mask", "_spans", "_turns")

    def __init__(self) -> None:
        self._ids: array[int] = array("i")
        self._mask = bytearray()
        self._logps: array[float] = array("f")
        self._turns: list[int] = []
        self._spans: list[Span] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> array[int]:
        """The tokens so far. A live view: append through the methods only."""
        return self._ids

    def read(self, ids: Sequence[int]) -> None:
        """Append tokens the agent was shown."""
        self._ids.extend(ids)
        self._mask.extend(bytes(len(ids)))
        self._logps.frombytes(bytes(self._logps.itemsize * len(ids)))  # zeros

    def wrote(self, generation: Generation) -> None:
        """Append a generation: a new turn, its tokens trained on."""
        start = len(self._ids)
        self._turns.append(start)
        self._ids.extend(generation.ids)
        self._mask.extend(b"\x01" * len(generation.ids))
        self._logps.extend(generation.logps)
        for span in generation.spans:
            self._spans.append(Span(start + span.start, start + span.end, span.version))

    def tokens(self) -> Tokens:
        return Tokens(
            ids=self._ids.tobytes(),
            mask=bytes(self._mask),
            logps=self._logps.tobytes(),
            turns=tuple(self._turns),
            spans=tuple(self._spans),
        )
