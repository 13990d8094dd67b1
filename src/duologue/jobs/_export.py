"""`duologue export`: a run's trajectories for other tools, as Parquet or JSON lines.

One row a trajectory, the same columns in both formats. A page of them is in memory at a time, and
the file appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from ..agents.models._extras import extra
from ..engine import Reader, Stored, Task, Tokens, UsageError, open_reader
from ..progress import Reporter
from ..rundir import DATABASE

FORMATS = ("parquet", "jsonl")

BATCH_ROWS = 4096
BATCH_BYTES = 32 << 20
"""A batch is written when it has so many rows, or about so many bytes of text and tokens."""


class Exported(Struct, frozen=True, kw_only=True):
    """A file that was written. pruned: trajectories whose records were no longer there."""

    run: str
    path: str
    format: str
    trajectories: int
    pruned: int
    bytes: int


class Row(Struct, frozen=True, kw_only=True):
    """One trajectory as it is exported.

    data:    the task's own content. version: the oldest policy version that sampled any token.
    reward:  empty for a dialogue that failed, which is not a reward of 0.
    opening: the messages before the first turn. turns: what the agent said and what came back.
    rewards: one number a turn, as in `turns`.
    tokens:  empty for an agent without tokens (a script, say).

    JSON has no infinity and no NaN: they are null there.
    """

    phase: str
    group: int
    sample: int
    life: int
    env: str
    task: str
    split: str
    data: Any
    end: str
    detail: str
    reward: float | None
    fate: str | None
    version: int | None
    seconds: float
    discarded: list[str]
    opening: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    rewards: list[float]
    tokens: Tokens | None


def export(
    run: Path, out: Path, *, format: str = "", phase: str | None = None, reporter: Reporter
) -> Exported:
    """Write the trajectories of `run`, or of one `phase` of it, to the file `out`.

    format: `parquet` or `jsonl`; empty goes by the file's name. Also while the run goes on: the
    trajectories that are there when it begins. Raises `UsageError`, and `StoreError` when the
    store is damaged: nothing is written then.
    """
    kind = format or out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(
            f"cannot export to {kind or str(out)!r}; --format is {' or '.join(FORMATS)}"
        )
    if out.exists():
        raise UsageError(f"{out} exists already; choose another path, or remove it first")
    if not out.parent.is_dir():
        raise UsageError(f"there is no directory {out.parent} to write {out.name} into; make it")
    open_sink = _open_parquet if kind == "parquet" else _open_lines
    written = 0
    with open_reader(run / DATABASE) as reader:
        reader.check()
        if phase is not None and phase not in reader.phases():
            raise UsageError(
                f"{run} has no phase {phase!r}; it has: {', '.join(reader.phases()) or 'none'}"
            )
        pruned = reader.pruned(phase)
        bar = reporter.bar(f"exporting {run.name}", reader.count(phase) - pruned)
        with _whole(out) as file, open_sink(file) as write:
            for batch in _batches(_rows(reader, phase)):
                write(batch)
                written += len(batch)
                bar.update(written)
    return Exported(
        run=str(run),
        path=str(out),
        format=kind,
        trajectories=written,
        pruned=pruned,
        bytes=out.stat().st_size,
    )


def _rows(reader: Reader, phase: str | None) -> Iterator[Row]:
    place, task = ("", -1), None
    for stored in reader.trajectories(phase):
        here = (stored.phase, stored.trajectory.key.group)
        if here != place:
            place, task = here, reader.task(*here)
        yield _row(stored, task)


def _row(stored: Stored, task: Task | None) -> Row:
    one = stored.trajectory
    counts = one.end.finished or one.end.cut_short
    return Row(
        phase=stored.phase,
        group=one.key.group,
        sample=one.key.sample,
        life=stored.life,
        env=one.env,
        task=one.task,
        split=one.split,
        data=None if task is None else task.data,
        end=one.end.value,
        detail=one.detail,
        reward=float(one.reward) if counts else None,
        fate=None if stored.fate is None else stored.fate.value,
        version=one.oldest_version,
        seconds=stored.seconds,
        discarded=[end.value for end in one.discarded],
        opening=msgspec.to_builtins(one.opening),
        turns=msgspec.to_builtins(one.turns),
        rewards=list(one.rewards),
        tokens=one.tokens,
    )


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += 9 * len(row.tokens or ())
        size += sum(len(turn["text"]) + len(turn["feedback"]) for turn in row.turns)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _whole(out: Path) -> Generator[BinaryIO]:
    """A draft beside `out` that becomes it when the block ends well, and is gone if it does not."""
    draft = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


Write = Callable[[Sequence[Row]], None]


# ---- JSON lines


@contextmanager
def _open_lines(file: BinaryIO) -> Generator[Write]:
    encode = msgspec.json.Encoder().encode

    def write(rows: Sequence[Row]) -> None:
        file.writelines(encode(_line(row)) + b"\n" for row in rows)

    yield write


def _line(row: Row) -> dict[str, Any]:
    tokens = row.tokens
    return {
        **msgspec.structs.asdict(row),
        "tokens": tokens
        and {
            "ids": tokens.ids_array().tolist(),
            "mask": list(tokens.mask),
            "logps": tokens.logps_array().tolist(),
            "turns": tokens.turns,
            "spans": [{"start": s.start, "end": s.end, "version": s.version} for s in tokens.spans],
        },
    }


# ---- Parquet


@contextmanager
def _open_parquet(file: BinaryIO) -> Generator[Write]:
    with extra("data"):
        # Imported by name because pyarrow has no types: this block is where they end.
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    plain = _plain_columns(arrow)
    packed = _token_columns(arrow)
    schema = arrow.schema({**plain, **{name: kind for name, (kind, _) in packed.items()}})

    def write(rows: Sequence[Row]) -> None:
        lines = [_flat(row) for row in rows]
        columns = [
            arrow.array([line[name] for line in lines], type=kind) for name, kind in plain.items()
        ]
        every = [row.tokens for row in rows]
        columns += [_packed(arrow, kind, every, get) for kind, get in packed.values()]
        writer.write_batch(arrow.RecordBatch.from_arrays(columns, schema=schema))

    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield write


def _flat(row: Row) -> dict[str, Any]:
    """The columns that are not packed: the task's content is JSON text, parts are pairs."""
    tokens = row.tokens
    return {
        **msgspec.structs.asdict(row),
        "data": msgspec.json.encode(row.data).decode(),
        "turns": [{**turn, "parts": list(turn["parts"].items())} for turn in row.turns],
        "token_turns": tokens and tokens.turns,
        "token_spans": tokens and [msgspec.structs.asdict(span) for span in tokens.spans],
    }


def _plain_columns(arrow: Any) -> dict[str, Any]:
    text, real, whole = arrow.string(), arrow.float64(), arrow.int64()
    message = arrow.struct({"role": text, "content": text})
    action = arrow.struct({"choice": text, "content": text})
    turn = arrow.struct(
        {
            "text": text,
            "actions": arrow.list_(action),
            "feedback": text,
            "reward": real,
            "parts": arrow.map_(text, real),
        }
    )
    return {
        **dict.fromkeys(("phase", "env", "task", "split", "data", "end", "detail", "fate"), text),
        **dict.fromkeys(("group", "sample", "life", "version"), whole),
        **dict.fromkeys(("reward", "seconds"), real),
        "discarded": arrow.list_(text),
        "opening": arrow.list_(message),
        "turns": arrow.list_(turn),
        "rewards": arrow.list_(real),
        "token_turns": arrow.list_(arrow.int32()),
        "token_spans": arrow.list_(arrow.struct({"start": whole, "end": whole, "version": whole})),
    }


def _token_columns(arrow: Any) -> dict[str, tuple[Any, Callable[[Tokens], bytes]]]:
    return {
        "token_ids": (arrow.list_(arrow.int32()), lambda tokens: tokens.ids),
        "token_mask": (arrow.list_(arrow.uint8()), lambda tokens: tokens.mask),
        "token_logps": (arrow.list_(arrow.float32()), lambda tokens: tokens.logps),
    }


def _packed(
    arrow: Any, kind: Any, every: Sequence[Tokens | None], get: Callable[[Tokens], bytes]
) -> Any:
    """A column of lists straight from the packed bytes: no Python number is ever made."""
    content = b"".join(get(tokens) for tokens in every if tokens is not None)
    width = kind.value_type.bit_width // 8
    values = arrow.Array.from_buffers(
        kind.value_type, len(content) // width, [None, arrow.py_buffer(content)]
    )
    ends: list[int] = []
    for tokens in every:
        ends.append((ends[-1] if ends else 0) + (0 if tokens is None else len(tokens)))
    absent = arrow.array([tokens is None for tokens in every])
    offsets = arrow.array(chain([0], ends), type=arrow.int32())
    return arrow.ListArray.from_arrays(offsets, values, type=kind, mask=absent)
