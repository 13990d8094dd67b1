"""The transcript: a dialogue's tokens, append-only.

What was sampled is what is trained on. Nothing already written is rendered or tokenised again: an
observation is tokenised alone and appended, a generation is appended as it was sampled.
"""

from __future__ import annotations

from array import array

from ..engine import Span, Tokens
from .models import Generation
from .models.text._arrays import pack_ints


class Transcript:
    """Grows by `read` and `wrote`; `tokens` packs it."""

    __slots__ = ("_ids", "_spans", "_written")

    def __init__(self) -> None:
        self._ids: array[int] = array("i")
        self._written: list[tuple[int, array[float]]] = []  # where a turn begins; its logps
        self._spans: list[Span] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> array[int]:
        """The tokens so far. A live view: append through the methods only."""
        return self._ids

    def read(self, ids: list[int]) -> None:
        """Append tokens the agent was shown."""
        self._ids.frombytes(pack_ints(ids))

    def wrote(self, generation: Generation) -> None:
        """Append a generation: a new turn, its tokens trained on."""
        start = len(self._ids)
        self._ids.extend(generation.ids)
        self._written.append((start, generation.logps))
        for span in generation.spans:
            self._spans.append(Span(start + span.start, start + span.end, span.version))

    def tokens(self) -> Tokens:
        # Only now, and not at every turn: most of what there is to say is where turns begin.
        mask, logps = bytearray(len(self._ids)), array("f", bytes(4 * len(self._ids)))
        for start, written in self._written:
            end = start + len(written)
            mask[start:end] = b"\x01" * len(written)
            logps[start:end] = written
        return Tokens(
            ids=self._ids.tobytes(),
            mask=bytes(mask),
            logps=logps.tobytes(),
            turns=tuple(start for start, _ in self._written),
            spans=tuple(self._spans),
        )
