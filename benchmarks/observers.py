"""What watching dialogues costs a turn: CPU with an observer, beyond the same dialogues without.

Bar: none, because there is nothing to hold: without an observer no line of ours runs for it (a
test compares the call stacks). These are the prices of turning one on. Each figure is the median
over interleaved repeats of `function` dialogues of eight turns in memory, CPU of the process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import anyio
from _common import machine
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace import SpanProcessor as Processor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

import duologue
from duologue.engine import Key
from duologue.metrics import Metrics
from duologue.tracing import Tracing


class Idle(duologue.Observer):
    """Watches and does nothing: the seam's own price."""

    def dialogue_began(self, key: Key, task: duologue.Task) -> duologue.Watch:
        return duologue.Watch()


class Drop(Processor):
    """Where spans go: nowhere. What an exporter costs is the host's choice."""

    def on_end(self, span: ReadableSpan | Span) -> None:
        pass


def tracing(*, sampled: bool) -> Tracing:
    provider = TracerProvider() if sampled else TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(Drop())
    return Tracing(provider)


OBSERVERS: dict[str, Callable[[], duologue.Observer | None]] = {
    "off": lambda: None,
    "idle observer": Idle,
    "metrics": lambda: Metrics(CollectorRegistry()),
    "tracing, sampled out": lambda: tracing(sampled=False),
    "tracing": lambda: tracing(sampled=True),
}


async def cost_us(observer: duologue.Observer | None, dialogues: int) -> float:
    """CPU microseconds a turn."""
    async with duologue.open_rollouts(
        "function", "scripted:benchmark", count=dialogues, observer=observer
    ) as trajectories:
        began = time.process_time()
        turns = 0
        async for trajectory in trajectories:
            turns += len(trajectory.turns)
    return 1e6 * (time.process_time() - began) / turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few dialogues, three repeats")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    dialogues, repeats = (300, 3) if options.quick else (2000, 9)
    costs: dict[str, list[float]] = {name: [] for name in OBSERVERS}
    for _ in range(repeats):
        for name, make in OBSERVERS.items():
            costs[name].append(anyio.run(cost_us, make(), dialogues))
    facts = machine()
    if not options.json:
        print(f"{facts['machine']}, Python {facts['python']}, {dialogues} dialogues, n = {repeats}")
    for name, figures in costs.items():
        extra = [a - b for a, b in zip(figures, costs["off"], strict=True)]
        line = {
            "what": name,
            "us_a_turn": round(statistics.median(figures), 2),
            "extra_us": round(statistics.median(extra), 2),
            "extra_spread_us": [round(min(extra), 2), round(max(extra), 2)],
        }
        if options.json:
            print(json.dumps({**line, "dialogues": dialogues, "n": repeats, **facts}))
        else:
            print(
                f"{name:<22} {line['us_a_turn']:8.2f} us a turn, {line['extra_us']:+7.2f} "
                f"({min(extra):+.2f} .. {max(extra):+.2f})"
            )


if __name__ == "__main__":
    main()
