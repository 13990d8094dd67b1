"""The cyclic garbage collector, and thousands of live dialogues.

Each collection walks every live object. With ten thousand dialogues alive and its usual threshold
of 700 allocations the collector spends most of the time looking at things that are not garbage.
The setting belongs to the application, so this is a helper and not something we do on import.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def relaxed_collector(threshold: int = 50_000) -> Generator[None]:
    """Collect once in `threshold` allocations for as long as the block lasts.

    Cycles are still found, only later. `benchmarks/engine.py` shows what it brings.
    """
    before = gc.get_threshold()
    gc.set_threshold(threshold, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
