"""Tasks of the telepathy gym: of our own, and the official files as they are."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs.telepathy import gym
from duologue.envs.telepathy._base import domains, split_of
from duologue.envs.telepathy._gym import called
from duologue.envs.telepathy._tasks import target

DATA = "data/userrl"


def some(split: str, seed: int, count: int) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count))


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert some("train", 3, 50) == some("train", 3, 50)
    assert some("train", 3, 50) != some("train", 4, 50)


def test_there_are_enough_things_in_each_split_before_one_comes_again() -> None:
    for split, least in (("train", 600), ("test", 100)):
        titles = {(t.data["domain"], t.data["title"]) for t in some(split, 0, least)}
        assert len(titles) == least
        assert {t.data["domain"] for t in some(split, 0, 200)} == set(domains())


def test_no_thing_of_one_split_is_in_the_other_under_any_name() -> None:
    names: dict[str, set[str]] = {"train": set(), "test": set()}
    for split, found in names.items():
        for seed in range(3):
            for task in some(split, seed, 900):
                assert task.split == split == split_of(task.data["title"])
                found.update(called(target(task)))
    assert not names["train"] & names["test"]


def test_no_two_things_of_different_splits_have_the_same_facts() -> None:
    for domain in domains().values():
        facts: dict[str, set[tuple[int, ...]]] = {"train": set(), "test": set()}
        for entity in domain.entities:
            facts[split_of(entity.name)].add(entity.facts)
        assert not facts["train"] & facts["test"]


def test_neither_the_id_nor_the_opening_tells() -> None:
    for task in some("train", 1, 300):
        env = gym.make(task, Seed(0))
        said = f" {' '.join(m.content for m in env.prompt())} {task.id} ".casefold()
        for name in called(target(task)):
            assert f" {name} " not in said


def test_tasks_survive_a_trip_through_the_store() -> None:
    for task in some("test", 0, 20):
        assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


def test_an_unknown_split_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="'validation'"):
        gym.tasks("validation", Seed(0))


# ---- official


ROW: dict[str, Any] = {
    "id": "entity_1",
    "title": "Kazoo",
    "description": "I am thinking of an instrument.",
    "goal": "Guess it.",
    "target_entity": "Kazoo - a small instrument that buzzes",
    "category": "instrument",
}


def read(path: Path, rows: object) -> list[Task]:
    assert gym.read is not None
    path.write_text(json.dumps(rows), encoding="utf-8")
    return list(gym.read(path))


@pytest.mark.parametrize(("name", "split"), [("x.json", "train"), ("x_test.json", "test")])
def test_reading_keeps_the_record_and_names_it_by_its_title(
    tmp_path: Path, name: str, split: str
) -> None:
    (task,) = read(tmp_path / name, [ROW])
    assert (task.env, task.id, task.split, task.data) == ("telepathy", "Kazoo", split, ROW)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([ROW, ROW | {"id": "entity_2"}], r"row 1: title 'Kazoo' is that of an earlier row"),
        ([ROW, ROW], r"row 1: id 'entity_1' is that of row 0 too"),
        ([ROW | {"title": ""}], r"row 0: .*length >= 1 - at `\$\.title`"),
        ([ROW | {"target_entity": 3}], r"row 0: .*at `\$\.target_entity`"),
        ([ROW | {"id": ""}], r"row 0: id: there is none"),
        ([ROW | {"domain": "animal"}], r"row 0: domain 'animal'"),
        ([7], r"row 0: Expected `object`"),
        ({"rows": ()}, r"no JSON list"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path: Path, rows: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        read(tmp_path / "rows.json", rows)
    assert "rows.json" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"rule": "a + b"}, "missing required field"),
        (ROW | {"domain": "moon"}, "'moon'"),
        (ROW | {"domain": "animal"}, "'Kazoo' is nothing of domain 'animal'"),
    ],
)
def test_a_task_of_another_gym_is_refused(data: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gym.make(Task(env="function", id="f", data=data), Seed(0))


def present(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def test_the_official_file_is_read_unmodified(shared: Path) -> None:
    assert gym.read is not None
    path = present(shared / DATA / "gyms/all_entities_refined.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    tasks = list(gym.read(path))
    assert [t.data for t in tasks] == rows
    assert len({t.id for t in tasks}) == 401


@pytest.mark.parametrize(("split", "count"), [("train", 360), ("test", 41)])
def test_the_official_rows_bring_their_prompts(shared: Path, split: str, count: int) -> None:
    pytest.importorskip("pyarrow")
    assert gym.read is not None
    path = present(shared / DATA / f"rows/telepathy_multiturn/{split}.parquet")
    tasks = list(gym.read(path))
    assert len(tasks) == count and {t.split for t in tasks} == {split}
    for task in tasks:
        assert [m.role for m in gym.make(task, Seed(0)).prompt()] == ["system", "user"]


def test_official_rows_share_no_title(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    assert gym.read is not None
    folder = shared / DATA / "rows/telepathy_multiturn"
    train, test = (
        {t.id for t in gym.read(present(folder / f"{split}.parquet"))}
        for split in ("train", "test")
    )
    assert not train & test
