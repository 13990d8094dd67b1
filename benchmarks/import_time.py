"""What importing the engine costs, beyond the two packages it stands on.

Bar: at most 40 ms more than importing anyio and msgspec. Each figure is the median of fresh
processes, the two kinds taken in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from _common import machine

BASE = "import anyio, msgspec"
OURS = "import duologue.engine"
BAR_MS = 40.0


def measure(statement: str) -> float:
    """Milliseconds that a fresh interpreter spends on the statement itself."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return 1000 * float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 processes instead of 25")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    n = 5 if options.quick else 25
    pairs = [(measure(BASE), measure(OURS)) for _ in range(n)]
    base, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
    extra = statistics.median(b - a for a, b in pairs)
    result = {
        "what": "import duologue.engine",
        "base_ms": round(base, 1),
        "ours_ms": round(ours, 1),
        "extra_ms": round(extra, 1),
        "bar_ms": BAR_MS,
        "n": n,
        "spread_ms": [round(min(o for _, o in pairs), 1), round(max(o for _, o in pairs), 1)],
        **machine(),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"anyio and msgspec {base:.1f} ms, the engine {ours:.1f} ms: {extra:+.1f} ms", end=" "
        )
        print(f"(bar {BAR_MS:.0f} ms, n = {n}, {result['machine']}, Python {result['python']})")
    # A smoke test shows that it runs; five processes on a busy machine say nothing about speed.
    sys.exit(not options.quick and extra > BAR_MS)


if __name__ == "__main__":
    main()
