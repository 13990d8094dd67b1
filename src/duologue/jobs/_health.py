"""A job that watches itself: how late its loop is and who holds it, what everybody waits for, and
the watchdog that ends it when nothing happens any more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from ..config import Config
from ..engine import (
    Board,
    Lateness,
    Offender,
    Snapshot,
    Stall,
    Stalled,
    Wait,
    one_error,
    open_lateness,
    open_watchdog,
)
from ..progress import Reporter
from ..rundir import Run

HEALTH = "health.json"
STALL = "stall.json"

LATE_MS = 20.0
"""A loop whose 99th percentile is later than this is spoken of at the end."""

SHOWN_S = 1.0
OFFENDERS = 20
RESTART_S = 30.0
"""What a server of ours takes at most beyond `vllm.ready_s`, from its death to the next start."""


class Health(Struct, frozen=True, kw_only=True):
    """How a run's loop was, and who made it late; `health.json` in the run directory."""

    late_p50_ms: float
    late_p99_ms: float
    late_worst_ms: float
    offenders: tuple[Offender, ...] = ()


@asynccontextmanager
async def open_health(run: Run, reporter: Reporter) -> AsyncGenerator[Lateness]:
    """Measure the loop for as long as the block lasts, and show that and the store on its board.

    Afterwards `health.json` says how it was, and the reporter too where it was late.
    """
    async with open_lateness(blame=run.config.health.blame) as lateness:
        run.board.lateness = lateness
        try:
            with run.board.showing(run.store.hop):
                yield lateness
        finally:
            health = describe(lateness)
            _write(run.path / HEALTH, health)
        if health.late_p99_ms > LATE_MS:
            reporter.say(late_words(health))


def describe(lateness: Lateness) -> Health:
    """The lateness as it is kept."""
    return Health(
        late_p50_ms=1e3 * lateness.quantile(0.5),
        late_p99_ms=1e3 * lateness.quantile(0.99),
        late_worst_ms=1e3 * lateness.worst_s,
        offenders=tuple(lateness.offenders[:OFFENDERS]),
    )


def late_words(health: Health) -> str:
    """One line on a loop that was late, and who held it most."""
    held = ", ".join(
        f"{one.where} {one.total_ms:,.0f} ms in all, {one.worst_ms:,.0f} at worst"
        + (f" ({one.task})" if one.task else "")
        for one in health.offenders[:3]
    )
    return (
        f"the event loop was late: p99 {health.late_p99_ms:.0f} ms, "
        f"worst {health.late_worst_ms:.0f} ms" + (f"; held by {held}" if held else "")
    )


@asynccontextmanager
async def open_guard(run: Run, show: Callable[[Snapshot], None]) -> AsyncGenerator[None]:
    """Call `show` every second with what the board shows, and end the block by `Stalled` when nothing
    has progressed for as long as `health.watchdog_s` allows; `stall.json` then holds all of it."""

    async def keep_showing() -> None:
        while True:
            await anyio.sleep(SHOWN_S)
            show(run.board.snapshot())

    with one_error():
        async with (
            open_job_watchdog(run.board, run.config, run.path),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(keep_showing, name="progress")
            yield
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_job_watchdog(
    board: Board, config: Config, folder: Path | None
) -> AsyncGenerator[None]:
    """The watchdog as `config` sets it, which leaves its report in `folder`, if there is one."""
    if folder is None:
        async with open_watchdog(board, limit_s=patience_s(config)):
            yield
        return
    file = folder / STALL

    def tell(stall: Stall) -> None:
        _write(file, stall)

    file.unlink(missing_ok=True)  # an earlier life's
    try:
        async with open_watchdog(board, limit_s=patience_s(config), tell=tell):
            yield
    except Stalled as error:
        error.add_note(f"who waits for what is in {file}")
        raise


def waits_for(now: Snapshot) -> str:
    """What there is to say of it on a progress line; nothing where nothing is held up."""
    cause, why = now.why
    return "" if cause in (Wait.NOTHING, Wait.TASKS) else f"waits for {why}"


def troubles(folder: Path) -> list[str]:
    """What the report of the run in `folder` warns of: a stall, a loop that was late."""
    said: list[str] = []
    with suppress(OSError, msgspec.DecodeError):
        said.append(msgspec.json.decode((folder / STALL).read_bytes(), type=Stall).summary())
    with suppress(OSError, msgspec.DecodeError):
        health = msgspec.json.decode((folder / HEALTH).read_bytes(), type=Health)
        if health.late_p99_ms > LATE_MS:
            said.append(late_words(health))
    return said


def patience_s(config: Config) -> float:
    """How long nothing may happen: the setting, but no less than a server of ours may take to come
    up again, which is waited for and has a limit of its own. 0 is for ever."""
    limit = config.health.watchdog_s
    own_server = config.model.spec.startswith("vllm:") and "://" not in config.model.spec
    return max(limit, config.vllm.ready_s + RESTART_S) if limit and own_server else limit


def _write(path: Path, content: Struct) -> None:
    # A disk that is full may be the very thing that is reported.
    with suppress(OSError):
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
