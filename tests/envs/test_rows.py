"""Official files, read as they are: ids and splits kept, `None` dropped, bad rows named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duologue.engine import (
    End,
    Key,
    RolloutConfig,
    Seed,
    Task,
    UsageError,
    open_reader,
    open_rollouts,
    open_store,
)
from duologue.envs import Gym, find, make_dialogues, scripted_agent
from duologue.envs._rows import Row, join_rows, parquet_rows, read_rows

pyarrow: Any = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.anyio

RECORD = {
    "id": "func-1",
    "rule": "a + b + c + d",
    "test_case": [1, 2, 3, 4],
    "expected_result": 10.0,
}


def row(**changes: Any) -> dict[str, Any]:
    """An official row after merging, where every gym's arguments are there."""
    kwargs = {"env_name": "FunctionGym", "id": "func-1", "title": None, "claim": None}
    made: dict[str, Any] = {
        "data_source": "interact_function",
        "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "ability": "interaction",
        "reward_model": {"env_name": "FunctionGym", "ground_truth": "10.0", "style": "rule"},
        "extra_info": {
            "index": 0,
            "split": "train",
            "tools_kwargs": {"interact_with_env": {"create_kwargs": kwargs}},
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = made
        for name in parents:
            node = node[name]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return made


def write(folder: Path, *rows: dict[str, Any], records: Any = (RECORD,)) -> Path:
    (folder / "functions.json").write_text(json.dumps(records))
    path = folder / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def read(gym: Gym, path: Path) -> list[Task]:
    assert gym.read is not None
    return list(gym.read(path))


FUNCTION = find("function")
KWARGS = "extra_info__tools_kwargs__interact_with_env__create_kwargs"


def test_a_row_becomes_a_task_with_its_own_prompt(tmp_path: Path) -> None:
    [task] = read(FUNCTION, write(tmp_path, row(extra_info__split="test")))
    assert (task.id, task.split) == ("func-1", "test")
    prompt = FUNCTION.make(task, Seed(0)).prompt()
    assert [(message.role, message.content) for message in prompt] == [
        ("system", "S"),
        ("user", "U"),
    ]
    assert len(FUNCTION.make(task, Seed(0), instructions=False).prompt()) == 1


def test_arguments_of_other_gyms_are_dropped(tmp_path: Path) -> None:
    [only] = parquet_rows(write(tmp_path, row()), "FunctionGym")
    assert only.kwargs == {"env_name": "FunctionGym", "id": "func-1"}


def test_rows_of_other_gyms_are_passed_over(tmp_path: Path) -> None:
    other = row(**{f"{KWARGS}__env_name": "TurtleGym", f"{KWARGS}__title": "A story"})
    assert [task.id for task in read(FUNCTION, write(tmp_path, other, row()))] == ["func-1"]
    with pytest.raises(UsageError, match=r"no row of FunctionGym; its rows are of TurtleGym"):
        read(FUNCTION, write(tmp_path, other))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ...}, "row 0.*prompt"),
        ({"prompt": []}, r"row 0.*\$\.prompt"),
        ({"prompt": [{"role": "king", "content": "x"}]}, r"row 0.*role"),
        ({"extra_info__split": None}, r"row 0.*split"),
        ({"extra_info__tools_kwargs": "x"}, r"row 0.*tools_kwargs"),
        ({f"{KWARGS}__id": None}, r"row 0.*neither an `id` nor a `title`"),
        ({f"{KWARGS}__id": "func-9"}, r"row 0: create_kwargs.id: 'func-9' is not in"),
        ({f"{KWARGS}__env_name": "ChessGym"}, r"row 0: create_kwargs.env_name: 'ChessGym'"),
        ({"reward_model__ground_truth": "11"}, r"row 0: reward_model.ground_truth: '11'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=rf"rows\.parquet, {words}"):
        read(FUNCTION, write(tmp_path, row(**changes)))


def test_an_id_comes_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"row 1: id 'func-1' is that of row 0 too"):
        read(FUNCTION, write(tmp_path, row(), row()))


def test_rows_without_the_file_their_ids_point_into_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, row())
    (tmp_path / "functions.json").unlink()
    with pytest.raises(UsageError, match=r"functions\.json.*was not found; put it beside"):
        read(FUNCTION, path)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({}, "no JSON list"),
        ([{**RECORD, "rule": "a ; b"}], r"row 0: rule: ';' is not expected there"),
        ([{**RECORD, "test_case": [1, 2]}], r"row 0.*test_case"),
        ([{**RECORD, "rule": "a - b + c + d"}], r"row 0: expected_result: 10.0 is not what"),
        ([RECORD, RECORD], "row 1: id 'func-1' is that of row 0 too"),
        ([{"id": "x"}], "row 0.*rule"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, records: Any, words: str) -> None:
    path = tmp_path / "functions.json"
    path.write_text(json.dumps(records))
    with pytest.raises(UsageError, match=rf"functions\.json.*{words}"):
        read(FUNCTION, path)


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "functions.json").write_text(json.dumps([RECORD]))
    path = tmp_path / "rows.parquet"
    for content in (b"", b"PAR1", b"\0" * 100, b"{}"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"rows\.parquet is no parquet file"):
            read(FUNCTION, path)
    with pytest.raises(UsageError, match=r"cannot read .*absent\.parquet: No such file"):
        read(FUNCTION, tmp_path / "absent.parquet")
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    with pytest.raises(UsageError, match="cannot read"):
        read(FUNCTION, folder)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, row())
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoArrow(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"pip install 'duologue\[data\]'"):
        read(FUNCTION, path)


class _NoArrow:
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = write(tmp_path, row())
    damaged = data.draw(st.sampled_from([path, tmp_path / "functions.json"]))
    content = bytearray(damaged.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(bytes(content))
    try:
        tasks = read(FUNCTION, path)
    except UsageError:
        return
    assert len(tasks) == 1


# ---- rows and the records that they name


def records_in(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return found


def agree(row: Row, record: dict[str, Any], where: str) -> None:
    if record["result"] != row.ground_truth:
        raise ValueError(f"result: not {row.ground_truth} in {where}")


def take(row: Row, record: dict[str, Any]) -> None:
    """Whatever the record says."""


def two_files(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> Path:
    for name, records in (("first.json", first), ("second.json", second)):
        (folder / name).write_text(json.dumps(records))
    other = row(**{f"{KWARGS}__id": "func-2", "extra_info__split": "test"})
    return write(folder, other, row())


def test_a_row_is_joined_with_the_record_it_names(tmp_path: Path) -> None:
    path = two_files(tmp_path, {"func-1": {"result": "10.0"}}, {"func-2": {"result": "10.0"}})
    tasks = read_rows(path, "function", ["first.json", "second.json"], records_in, agree)
    assert [(task.env, task.id, task.split) for task in tasks] == [
        ("function", "func-2", "test"),
        ("function", "func-1", "train"),
    ]
    prompt = ({"role": "system", "content": "S"}, {"role": "user", "content": "U"})
    assert [task.data for task in tasks] == [{"result": "10.0", "prompt": prompt}] * 2


def test_of_two_records_of_one_name_the_later_files_counts(tmp_path: Path) -> None:
    wrong, right = {"result": "?"}, {"result": "10.0"}
    path = two_files(tmp_path, {"func-1": wrong, "func-2": right}, {"func-1": right})
    read_rows(path, "function", ["first.json", "second.json"], records_in, agree)
    with pytest.raises(
        UsageError, match=r"row 1: result: not 10\.0 in .*second.* or .*first\.json$"
    ):
        read_rows(path, "function", ["second.json", "first.json"], records_in, agree)


def test_a_row_that_names_no_record_is_told_where_there_is_none(tmp_path: Path) -> None:
    path = two_files(tmp_path, {"func-2": {"result": "10.0"}}, {})
    places = r".*first\.json or .*second\.json$"
    with pytest.raises(UsageError, match=r"row 1: create_kwargs.id: 'func-1' is not in " + places):
        read_rows(path, "function", ["first.json", "second.json"], records_in, agree)
    with pytest.raises(
        UsageError, match=r"create_kwargs.title: 'func-2' is not in .*second\.json$"
    ):
        read_rows(path, "function", ["second.json"], records_in, agree, named_by="title")
    rows = parquet_rows(path, "FunctionGym")
    with pytest.raises(UsageError, match=r"rows\.parquet, row 0: .*id: 'func-2' is nowhere$"):
        join_rows(path, "function", rows, {}, take, absent="is nowhere")


def test_joining_leaves_the_records_as_they_are(tmp_path: Path) -> None:
    """Two rows may name one record, each with a prompt of its own."""
    path = write(tmp_path, row())
    records: dict[str, dict[str, Any]] = {"func-1": {"result": "10.0"}}
    rows = parquet_rows(path, "FunctionGym") * 2
    tasks = join_rows(path, "function", rows, records, take, absent="")
    assert records == {"func-1": {"result": "10.0"}}
    assert [task.data["result"] for task in tasks] == ["10.0"] * 2


# ---- the official data


def official(shared: Path, name: str) -> list[tuple[Path, int]]:
    data = shared / "data/userrl"
    if name == "function":
        files = [("gyms/functions.json", 538)]
    else:
        files = [("gyms/all_intentions_train.json", 1012), ("gyms/all_intentions_test.json", 95)]
    counts = {"function": (460, 78), "intention": (380, 40)}[name]
    for split, count in zip(("train", "test"), counts, strict=True):
        files.append((f"rows/{name}_multiturn/{split}.parquet", count))
    return [(data / file, count) for file, count in files]


@pytest.mark.parametrize("name", ["function", "intention"])
def test_official_files_are_read_unmodified(shared: Path, name: str) -> None:
    gym = find(name)
    for path, count in official(shared, name):
        tasks = read(gym, path)
        assert len(tasks) == len({task.id for task in tasks}) == count
        if path.suffix == ".parquet":
            assert {task.split for task in tasks} == {path.stem}
            raw = parquet.read_table(path).to_pylist()
            for task, plain in zip(tasks, raw, strict=True):
                assert task.id == plain["reward_model"]["id"]
                opening = gym.make(task, Seed(0)).prompt()
                assert [{"content": m.content, "role": m.role} for m in opening] == plain["prompt"]


@pytest.mark.parametrize(
    ("name", "script"),
    [("function", "benchmark"), ("function", "random"), ("intention", "expert")],
)
async def test_official_tasks_run_four_samples_each_and_are_all_stored(
    shared: Path, tmp_path: Path, name: str, script: str
) -> None:
    gym = find(name)
    path = official(shared, name)[0][0] if script == "benchmark" else official(shared, name)[-1][0]
    tasks = read(gym, path)
    make = make_dialogues(gym, scripted_agent(gym, script))
    ends: list[End] = []
    async with (
        open_store(tmp_path / "store") as store,
        open_rollouts(
            tasks, make, seed=Seed(0), config=RolloutConfig(samples=4), store=store
        ) as rollouts,
    ):
        async for group in rollouts:
            ends += [trajectory.end for trajectory in group.trajectories]
    assert len(ends) == 4 * len(tasks)
    assert all(end.finished for end in ends)
    with open_reader(tmp_path / "store") as reader:
        keys = [stored.trajectory.key for stored in reader.trajectories()]
    assert sorted(keys) == [Key(group, n) for group in range(len(tasks)) for n in range(4)]
