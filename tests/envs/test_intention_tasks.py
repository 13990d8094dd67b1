"""Tasks of the intention gym: generated without end, or read from the official files."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs.intention import gym
from duologue.envs.intention._tasks import generate

GYMS = "data/userrl/gyms"


def some_tasks(split: str, seed: int, count: int) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count))


def content(task: Task) -> str:
    """What a task is about, whatever its wording."""
    data = task.data
    missing = [(d["description"], d["value"], d["importance"]) for d in data["missing_details"]]
    return repr((data["domain"], sorted(map(str, data["shown"])), sorted(missing)))


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert some_tasks("train", 3, 50) == some_tasks("train", 3, 50)
    assert some_tasks("train", 3, 50) != some_tasks("train", 4, 50)


def test_splits_share_no_content_whatever_the_seed() -> None:
    train = [task for seed in range(4) for task in some_tasks("train", seed, 2000)]
    test = [task for seed in range(4) for task in some_tasks("test", seed, 500)]
    assert {content(t) for t in train}.isdisjoint({content(t) for t in test})
    assert {t.id for t in train}.isdisjoint({t.id for t in test})
    assert {t.split for t in train} == {"train"}
    assert {t.split for t in test} == {"test"}


def test_ids_name_the_data() -> None:
    tasks = [task for seed in range(3) for task in some_tasks("train", seed, 1000)]
    assert len({t.id for t in tasks}) == len({json.dumps(t.data) for t in tasks})


def test_tasks_survive_a_trip_through_the_store() -> None:
    for task in some_tasks("test", 0, 20):
        assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


def test_tasks_hide_what_they_do_not_show() -> None:
    for task in some_tasks("train", 1, 500):
        shown = dict(task.data["shown"])
        hidden = {d["description"]: d for d in task.data["missing_details"]}
        assert 1 <= len(shown) <= 2
        assert 3 <= len(hidden) <= 4
        assert shown.keys().isdisjoint(hidden)
        for topic, value in shown.items():
            assert topic in task.data["task"] and value in task.data["task"]
        _, given_away = re.split(r"(?<=[.?]) ", task.data["task"], maxsplit=1)
        for topic, detail in hidden.items():
            assert topic not in given_away
            assert detail["value"] in detail["options"]
            assert detail["importance"] in {"1", "2", "3"}


def test_four_domains_are_usual_and_more_can_be_had() -> None:
    assert len({t.data["domain"] for t in some_tasks("train", 0, 400)}) == 4
    wide = islice(generate("train", Seed(0), domains=8), 400)
    assert len({t.data["domain"] for t in wide}) == 8
    with pytest.raises(UsageError, match="domains is 9"):
        generate("train", Seed(0), domains=9)


def test_an_unknown_split_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="'validation'"):
        gym.tasks("validation", Seed(0))


ROW: dict[str, Any] = {
    "id": "a",
    "category": "Travel",
    "task": "Plan a trip.",
    "missing_details": [
        {
            "description": "Budget",
            "importance": "3",
            "inquiry": "What is your budget?",
            "options": ["Low", "High"],
        }
    ],
}


def read(path: Path, rows: object) -> list[Task]:
    assert gym.read is not None
    path.write_text(json.dumps(rows), encoding="utf-8")
    return list(gym.read(path))


@pytest.mark.parametrize(("name", "split"), [("x_train.json", "train"), ("x_test.json", "test")])
def test_reading_keeps_ids_and_takes_the_split_from_the_name(
    tmp_path: Path, name: str, split: str
) -> None:
    (task,) = read(tmp_path / name, [ROW])
    assert (task.env, task.id, task.split) == ("intention", "a", split)
    assert task.data == {k: v for k, v in ROW.items() if k != "id"}


def detail(**changes: object) -> dict[str, Any]:
    return ROW | {"missing_details": [ROW["missing_details"][0] | changes]}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([ROW, ROW | {"id": 7}], r"row 1: Expected `str`, got `int` - at `\$\.id`"),
        ([{k: v for k, v in ROW.items() if k != "task"}], r"row 0: .*missing .*`task`"),
        ([detail(importance="4")], r"row 0: .*'4' - at `\$\.missing_details\[0\]\.importance`"),
        ([detail(options=())], r"row 0: .*length >= 1 - at `\$\.missing_details\[0\]\.options`"),
        ([ROW | {"missing_details": ()}], r"row 0: .*at `\$\.missing_details`"),
        ([ROW, 3], r"row 1: Expected `object`, got `int`"),
        ([ROW, ROW], r"row 1: id 'a' is that of row 0 too"),
        ({"rows": ()}, r"no JSON list"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path: Path, rows: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        read(tmp_path / "rows.json", rows)
    assert "rows.json" in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    assert gym.read is not None
    with pytest.raises(UsageError, match=r"nowhere\.json: No such file"):
        gym.read(tmp_path / "nowhere.json")
    (tmp_path / "broken.json").write_bytes(b'[{"id": ')
    with pytest.raises(UsageError, match=r"broken\.json is no JSON list"):
        gym.read(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"rule": "a + b"}, "missing required field"),
        ({k: v for k, v in ROW.items() if k != "id"} | {"domain": "moon"}, "'moon'"),
        ({k: v for k, v in ROW.items() if k != "id"} | {"domain": "trip"}, "'Budget' is no topic"),
    ],
)
def test_a_task_of_another_gym_is_refused(data: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gym.make(Task(env="function", id="f", data=data), Seed(0))


def test_the_official_files_are_read_unmodified(shared: Path) -> None:
    assert gym.read is not None
    train = list(gym.read(shared / GYMS / "all_intentions_train.json"))
    test = list(gym.read(shared / GYMS / "all_intentions_test.json"))
    assert (len(train), len(test)) == (1012, 95)
    assert {t.split for t in train} == {"train"} and {t.split for t in test} == {"test"}
    rows = json.loads((shared / GYMS / "all_intentions_test.json").read_text(encoding="utf-8"))
    assert [t.id for t in test] == [row["id"] for row in rows]
