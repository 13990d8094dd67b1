"""What a sampler knows about each of its slots, in arrays."""

from __future__ import annotations

from array import array
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ....engine import Span
from .._model import Sampling

_T = TypeVar("_T", bound=np.generic)


class SlotTable:
    """One row a slot, so that a decode step needs no loop over its rows.

    ids, logps: by slot and position. start: where the generation's own tokens begin; length: where
    they end so far; last: where they must end. cached: how many tokens the cache holds.
    """

    def __init__(self) -> None:
        self.ids = np.zeros((0, 0), dtype=np.int64)
        self.logps = np.zeros((0, 0), dtype=np.float32)
        self.stops = np.zeros((0, 1), dtype=np.int64)  # padded with -1
        self.start = np.zeros(0, dtype=np.int64)
        self.length = np.zeros(0, dtype=np.int64)
        self.last = np.zeros(0, dtype=np.int64)
        self.cached = np.zeros(0, dtype=np.int64)
        self.seed = np.zeros(0, dtype=np.uint64)
        self.temperature = np.zeros(0, dtype=np.float32)
        self._marks: dict[int, list[tuple[int, int]]] = {}  # (first position, version), in order

    def resize(self, slots: int, positions: int) -> None:
        """Grow to so many slots and positions; what is there stays."""
        self.ids = _grown(self.ids, slots, positions)
        self.logps = _grown(self.logps, slots, positions)
        self.stops = _grown(self.stops, slots, self.stops.shape[1])
        self.start = _grown(self.start, slots)
        self.length = _grown(self.length, slots)
        self.last = _grown(self.last, slots)
        self.cached = _grown(self.cached, slots)
        self.seed = _grown(self.seed, slots)
        self.temperature = _grown(self.temperature, slots)

    def write(
        self,
        slot: int,
        ids: NDArray[np.int64],
        last: int,
        sampling: Sampling,
        seed: int,
        version: int,
    ) -> None:
        """Begin a generation after `ids`, keeping as much of the cache as they confirm."""
        # One token at least must run, to have something to draw from.
        known = min(int(self.cached[slot]), len(ids) - 1)
        wrong = np.flatnonzero(self.ids[slot, :known] != ids[:known])
        self.cached[slot] = wrong[0] if len(wrong) else known
        self.ids[slot, : len(ids)] = ids
        self.start[slot] = self.length[slot] = len(ids)
        self.last[slot] = last
        self.seed[slot] = seed & 0xFFFF_FFFF_FFFF_FFFF
        self.temperature[slot] = sampling.temperature
        if len(sampling.stop) > self.stops.shape[1]:
            self.stops = _grown(self.stops, len(self.stops), len(sampling.stop), fill=-1)
        self.stops[slot] = -1
        self.stops[slot, : len(sampling.stop)] = sampling.stop
        self._marks[slot] = [(len(ids), version)]

    def mark(self, slot: int, version: int) -> None:
        """The slot's tokens from here on come from `version`."""
        marks = self._marks[slot]
        if marks[-1][0] == self.length[slot]:
            marks.pop()
        marks.append((int(self.length[slot]), version))

    def read(self, slot: int) -> tuple[array[int], array[float], tuple[Span, ...]]:
        """The generation's tokens, log-probabilities and version spans."""
        start, end = int(self.start[slot]), int(self.length[slot])
        marks = self._marks[slot]
        edges = [position - start for position, _ in marks] + [end - start]
        spans = tuple(Span(edges[i], edges[i + 1], mark[1]) for i, mark in enumerate(marks))
        ids, logps = self.ids[slot, start:end], self.logps[slot, start:end]
        return array("i", ids.tolist()), array("f", logps.tobytes()), spans

    def forget_after(self, slot: int, position: int) -> None:
        """The conversation ends at `position`, whatever was sampled beyond."""
        self.length[slot] = position
        self.cached[slot] = min(int(self.cached[slot]), position)


def _grown(old: NDArray[_T], *shape: int, fill: int = 0) -> NDArray[_T]:
    new = np.full(shape, fill, dtype=old.dtype)
    new[tuple(slice(size) for size in old.shape)] = old
    return new
