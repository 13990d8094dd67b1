"""What is exported is what was stored, in both formats; the file is whole or not there."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue.cli import main
from duologue.engine import (
    Action,
    End,
    Fate,
    Key,
    Message,
    Span,
    StoreError,
    Task,
    Trajectory,
    Turn,
    UsageError,
    open_reader,
    open_store,
    pack_tokens,
)
from duologue.engine._prune import drop_records
from duologue.jobs import _export
from duologue.jobs._export import export
from duologue.progress import open_reporter

PHASES = ("train", "eval/expert")


def trajectory(group: int, sample: int) -> Trajectory:
    """Different in everything; every third dialogue failed, every fourth has no tokens."""
    n = 3 * group + sample
    ids = list(range(n, n + 5 + group % 7))
    mask = [i % 2 for i in range(len(ids))]
    logps = [-0.1 * i * m for i, m in enumerate(mask)]
    return Trajectory(
        key=Key(group, sample),
        task=f"t{group}",
        env="e",
        split="train",
        end=End.USER_ERROR if n % 3 == 2 else End.DONE,
        detail="no answer" if n % 3 == 2 else "",
        opening=(Message("system", "söme\nrules"), Message("user", "a wish")),
        turns=tuple(
            Turn(
                text=f"turn {turn}",
                actions=(Action("action", "ask"),) * (turn % 3),
                feedback="yes",
                reward=0.1 * n + turn,
                parts={"a": 0.1 * n, "b": float(turn)} if turn else {},
            )
            for turn in range(n % 5)
        ),
        tokens=None if n % 4 == 3 else pack_tokens(ids, mask, logps, [1], [Span(1, 3, group)]),
        discarded=(End.MODEL_ERROR,) if n % 5 == 4 else (),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()

    async def fill() -> None:
        async with open_store(folder / "run.db", name="run") as store:
            for group in range(40):
                for phase in PHASES:
                    task = Task(env="e", id=f"t{group}", data={"wish": [group, None, "ü"]})
                    await store.open_group(phase, group, task)
                async with anyio.create_task_group() as tasks:
                    for phase in PHASES:
                        for sample in range(3):
                            tasks.start_soon(append, store, phase, trajectory(group, sample))
            await store.set_fates("train", [Key(0, 0)], Fate.TRAINED, 1)

    async def append(store: Any, phase: str, one: Trajectory) -> None:
        await store.append(phase, one, seconds=0.5)

    anyio.run(fill)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """A file's rows in one shape, whichever format it has."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    parquet: Any = import_module("pyarrow.parquet")
    with path.open("rb") as file:
        table = parquet.ParquetFile(file).read().to_pylist()
    return [shaped(row) for row in table]


def shaped(row: dict[str, Any]) -> dict[str, Any]:
    names = ("ids", "mask", "logps", "turns", "spans")
    packed = {name: row.pop(f"token_{name}") for name in names}
    row["data"] = json.loads(row["data"])
    row["tokens"] = None if packed["ids"] is None else packed
    for turn in row["turns"]:
        turn["parts"] = dict(turn["parts"])
    return row


def restored(row: dict[str, Any]) -> Trajectory:
    """The trajectory that a row was made of: nothing of it is lost."""
    tokens = row["tokens"]
    return Trajectory(
        key=Key(row["group"], row["sample"]),
        task=row["task"],
        env=row["env"],
        split=row["split"],
        end=End(row["end"]),
        detail=row["detail"],
        opening=tuple(Message(**message) for message in row["opening"]),
        turns=tuple(
            Turn(
                text=turn["text"],
                actions=tuple(Action(**action) for action in turn["actions"]),
                feedback=turn["feedback"],
                reward=turn["reward"],
                parts=turn["parts"],
            )
            for turn in row["turns"]
        ),
        tokens=tokens
        and pack_tokens(
            tokens["ids"],
            tokens["mask"],
            tokens["logps"],
            tokens["turns"],
            [Span(**span) for span in tokens["spans"]],
        ),
        discarded=tuple(End(end) for end in row["discarded"]),
    )


def export_to(run: Path, out: Path, **options: Any) -> _export.Exported:
    with open_reporter() as reporter:
        return export(run, out, reporter=reporter, **options)


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_every_trajectory_comes_back_as_it_was(
    run: Path, tmp_path: Path, name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_export, "BATCH_ROWS", batch)
    result = export_to(run, tmp_path / name)
    with open_reader(run / "run.db") as reader:
        stored = list(reader.trajectories())
    back = rows(tmp_path / name)
    assert result.trajectories == len(back) == len(stored) == 240
    assert [restored(row) for row in back] == [one.trajectory for one in stored]
    for row, one in zip(back, stored, strict=True):
        assert (row["phase"], row["life"], row["seconds"]) == (one.phase, one.life, one.seconds)
        assert one.fate is not None and row["fate"] == one.fate.value
        assert row["rewards"] == list(one.trajectory.rewards)
        assert row["reward"] == (None if one.trajectory.end.failed else one.trajectory.reward)
        assert row["version"] == one.trajectory.oldest_version
        assert row["data"] == {"wish": [row["group"], None, "ü"]}
    assert result.bytes == (tmp_path / name).stat().st_size


def test_both_formats_have_the_same_columns(run: Path, tmp_path: Path) -> None:
    export_to(run, tmp_path / "a.jsonl")
    export_to(run, tmp_path / "a.parquet")
    for line, row in zip(rows(tmp_path / "a.jsonl"), rows(tmp_path / "a.parquet"), strict=True):
        assert line == row


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_one_phase_can_be_exported_under_any_name(run: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"some.{format}"
    export_to(run, out, phase="train")
    back = rows(out)
    assert {row["phase"] for row in back} == {"train"} and len(back) == 120
    other = tmp_path / "no suffix"
    assert export_to(run, other, format=format, phase="train").format == format
    assert other.read_bytes() == out.read_bytes()


def test_pruned_trajectories_are_counted_and_left_out(run: Path, tmp_path: Path) -> None:
    drop_records(run / "run.db", {"train": None})
    result = export_to(run, tmp_path / "a.jsonl")
    assert (result.trajectories, result.pruned) == (120, 120)
    assert export_to(run, tmp_path / "b.parquet", phase="train").trajectories == 0
    assert rows(tmp_path / "b.parquet") == []


def test_what_json_cannot_say_is_null_and_parquet_says_it(tmp_path: Path) -> None:
    async def fill() -> None:
        odd = Trajectory(
            key=Key(0, 0), task="t", env="e", split="s", end=End.DONE,
            turns=(Turn(text="", reward=math.inf),),
            tokens=pack_tokens([1], [1], [-math.inf]),
        )  # fmt: skip
        async with open_store(tmp_path / "run.db") as store:
            await store.append("p", odd, seconds=1)

    anyio.run(fill)
    export_to(tmp_path, tmp_path / "a.jsonl")
    export_to(tmp_path, tmp_path / "a.parquet")
    [line], [row] = rows(tmp_path / "a.jsonl"), rows(tmp_path / "a.parquet")
    assert line["rewards"] == [None] and line["tokens"]["logps"] == [None]
    assert row["rewards"] == [math.inf] and row["tokens"]["logps"] == [-math.inf]
    assert line["data"] is row["data"] is None  # a group that nobody opened has no task


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_an_export_that_fails_leaves_nothing(
    run: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _export._rows

    def dying(*args: Any) -> Iterator[Any]:
        for number, row in enumerate(real(*args)):
            if number == 100:
                raise OSError("the disk is gone")
            yield row

    monkeypatch.setattr(_export, "BATCH_ROWS", 10)
    monkeypatch.setattr(_export, "_rows", dying)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="the disk is gone"):
        export_to(run, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").touch()
    for out, options, message in (
        (tmp_path / "a.csv", {}, "cannot export to 'csv'; --format is parquet or jsonl"),
        (tmp_path / "a", {}, "--format is parquet or jsonl"),
        (tmp_path / "a", {"format": "xlsx"}, "cannot export to 'xlsx'"),
        (tmp_path / "there.jsonl", {}, "exists already"),
        (tmp_path / "no" / "a.jsonl", {}, "no directory .*/no to write a.jsonl into"),
        (tmp_path / "a.jsonl", {"phase": "tarin"}, "no phase 'tarin'; it has: train, eval/expert"),
    ):
        with pytest.raises(UsageError, match=message):
            export_to(run, out, **options)
    with pytest.raises(StoreError, match="no run store"):
        export_to(tmp_path, tmp_path / "a.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "there.jsonl"]


def test_without_pyarrow_the_extra_is_named_and_jsonl_still_works(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"'pyarrow'.*pip install 'duologue\[data\]'"):
        export_to(run, tmp_path / "a.parquet")
    assert not list(tmp_path.glob("*a.parquet*"))
    assert export_to(run, tmp_path / "a.jsonl").trajectories == 240


def test_the_command_says_what_it_wrote(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "a.jsonl"
    monkeypatch.setattr(sys, "argv", ["duologue", "export", str(run), str(out), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["trajectories"] == 240
