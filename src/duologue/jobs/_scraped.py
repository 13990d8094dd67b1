"""A job's metrics, for Prometheus to scrape while it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..agents.models._extras import extra
from ..engine import Board
from ..progress import Reporter

if TYPE_CHECKING:
    from ..metrics import Metrics


@asynccontextmanager
async def open_scraped(
    port: int | None, board: Board, reporter: Reporter
) -> AsyncGenerator[Metrics | None]:
    """Serve the board and the dialogues at `port` of the loopback; None serves nothing.

    Raises `UsageError` when the port cannot be had, or the extra `metrics` is not installed.
    """
    if port is None:
        yield None
        return
    from ..metrics import open_metrics
    from ..metrics_server import LOOPBACK, open_metrics_server

    with extra("metrics"):
        from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    async with (
        open_metrics_server(registry, port) as bound,
        open_metrics(registry, board=board) as metrics,
    ):
        reporter.say(f"metrics: http://{LOOPBACK}:{bound}/metrics")
        yield metrics
