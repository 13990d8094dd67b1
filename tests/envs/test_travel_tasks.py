"""The travel gym's tasks: generated without leaks, and the official files as they are."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs._rows import OFFICIAL, parquet_rows
from duologue.envs.travel import gym, gym_of, overlap, travel444
from duologue.envs.travel._generate import generate
from duologue.envs.travel._requests import Lookup
from duologue.envs.travel._scripts import request
from duologue.envs.travel._tasks import SHAPES, listed, read, shape_of, trip
from duologue.envs.travel._world import TOPICS


def some(split: str, count: int, seed: int = 0) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count))


TRAIN = some("train", 400)
TEST = some("test", 150, 1)

# ---- generated


def test_tasks_are_many_different_and_the_same_for_the_same_seed() -> None:
    for split, tasks in (("train", TRAIN), ("test", TEST)):
        assert len({task.id for task in tasks}) == len(tasks)
        assert len({task.data["initial_description"] for task in tasks}) > 0.95 * len(tasks)
        assert {task.split for task in tasks} == {split}
    assert TRAIN[:20] == some("train", 20) != some("train", 20, 7)


def parts(tasks: list[Task]) -> set[tuple[Any, ...]]:
    """The aspects with what is wanted of each."""
    return {
        (aspect, *sorted((row[1], row[4]) for row in task.data[aspect]["preferences"]))
        for task in tasks
        for aspect in task.data["dimensions"]
    }


def said(tasks: list[Task], field: str) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        for aspect in task.data["dimensions"]:
            part = task.data[aspect]
            match field:
                case "hint":
                    found |= {row[3] for row in part["preferences"]}
                case "name":
                    found |= {o["name"].split()[0] for o in listed(trip(task).parts[aspect])}
                case _:
                    found |= {
                        v for k, v in part["arguments"].items() if k in ("city", "to", "from")
                    }
    return found


def test_the_splits_share_no_preferences_no_hint_no_place_and_no_name_whatever_the_seeds() -> None:
    test = TEST + some("test", 150, 9)
    assert len(parts(TRAIN)) > 500 and len(parts(test)) > 200
    assert parts(TRAIN).isdisjoint(parts(test))
    for field in ("hint", "city", "name"):
        assert said(TRAIN, field) and said(TRAIN, field).isdisjoint(said(test, field))


def test_all_shapes_occur_and_a_gym_of_one_has_no_other() -> None:
    shapes = Counter("".join(sorted(map(str, task.data["wanted_num"]))) for task in TRAIN)
    assert set(shapes) == set(SHAPES) and min(shapes.values()) > 25
    for shape in SHAPES:
        for task in islice(gym_of(shape).tasks("test", Seed(0)), 3):
            planned = trip(task)
            wanted = Counter(each.aspect for each in planned.preferences)
            assert [wanted[aspect] for aspect in planned.parts] == task.data["wanted_num"]
            assert shape_of(task.id) == shape
    assert shape_of(next(travel444.tasks("train", Seed(0))).id) == "444"


def test_the_opening_says_all_that_a_search_needs() -> None:
    for task in TEST:
        planned = trip(task)
        lookup = Lookup({aspect: part.arguments for aspect, part in planned.parts.items()})
        for aspect, part in planned.parts.items():
            assert lookup.judge(request(aspect, part)).verdict == "aligned"
            for value in part.arguments.values():
                assert value in planned.opening


def test_what_is_right_suits_and_is_the_cheapest_and_nothing_else_suits() -> None:
    for task in TEST:
        for aspect, part in trip(task).parts.items():
            wanted = {row[1]: row[4] for row in part.preferences} | part.arguments
            suits = [o for o in listed(part) if all(o[k] == v for k, v in wanted.items())]
            assert {o["id"] for o in suits} == set(part.correct_ids)
            assert min(suits, key=lambda o: o["cost"])["id"] == part.best_id
            costs = [o["cost"] for o in listed(part)]
            assert len({o["id"] for o in listed(part)}) == len(costs) == len(set(costs))
            assert all(o["id"][0] == part.best_id[0] for o in listed(part)), aspect


def test_the_lists_do_not_tell_what_is_wanted() -> None:
    for task in TEST:
        for part in trip(task).parts.values():
            offered = [*part.options.correct, *part.options.wrong]
            for row in part.preferences:
                counts = Counter(o[row[1]] for o in offered)
                assert len(counts) == 3 and len(set(counts.values())) == 1


def test_hints_are_three_a_value_and_have_no_word_of_it() -> None:
    hints: list[str] = []
    for topics in TOPICS.values():
        assert len(topics) == 6
        for topic in topics.values():
            assert len(topic.values) == 3
            for value, lines in topic.values.items():
                assert len(lines) == 3
                hints += lines
                words = {word for word in value.split() if len(word) > 3} - {"room", "none"}
                for line in lines:
                    spoken = line.casefold().replace(",", " ").replace(".", " ").split()
                    assert words.isdisjoint(spoken), (value, line)
    assert len(set(hints)) == len(hints) == 270


@pytest.mark.parametrize(
    ("split", "shapes", "complaint"),
    [
        ("dev", SHAPES, "no split 'dev'"),
        ("train", ("23",), "no shape '23'"),
        ("train", (), "no shape"),
    ],
)
def test_a_split_or_shape_that_is_not_there_is_refused(
    split: str, shapes: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        generate(split, Seed(0), shapes=shapes)


# ---- official

RECORD: dict[str, Any] = {k: v for k, v in TEST[0].data.items() if k not in ("generated",)}


def test_reading_keeps_ids_and_takes_the_split_from_the_name(tmp_path: Path) -> None:
    for name, split in (("travelgym_data_22.json", "train"), ("x_test.json", "test")):
        path = tmp_path / name
        path.write_text(json.dumps({"flight:2-1|hotel:2-1": RECORD}))
        (task,) = read(path)
        assert (task.env, task.id, task.split) == ("travel", "flight:2-1|hotel:2-1", split)
        assert task.data == RECORD
        assert not trip(task).generated


def broken(**changes: object) -> dict[str, Any]:
    return {"x": RECORD | changes}


FIRST: str = RECORD["dimensions"][0]
NOTHING: dict[str, object] = {}


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([RECORD], "no JSON object"),
        ({"x": 3}, "no JSON object"),
        (broken(dimensions=["boat"]), "row 0: dimensions: 'boat'"),
        (broken(dimensions=[]), "row 0: dimensions"),
        (broken(dimensions=[FIRST, FIRST]), "row 0: dimensions"),
        (broken(initial_description=3), "row 0: Expected `str`"),
        (broken(**{FIRST: NOTHING}), "row 0: .*missing"),
        (broken(**{FIRST: RECORD[FIRST] | {"best_id": "Z1"}}), "best_id 'Z1' is not among"),
        (broken(**{FIRST: RECORD[FIRST] | {"options": {"wrong": [{}]}}}), "an option has no id"),
        ({"x": {k: v for k, v in RECORD.items() if k != FIRST}}, f"{FIRST}: it is missing"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, rows: object, complaint: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=complaint) as caught:
        read(path)
    assert "rows.json" in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json: No such file"):
        read(tmp_path / "nowhere.json")
    (tmp_path / "broken.json").write_bytes(b'{"x": ')
    with pytest.raises(UsageError, match=r"broken\.json is no JSON object"):
        read(tmp_path / "broken.json")


@pytest.mark.parametrize("name", ["", "flight", "boat:2-1", "flight:two-1", "flight:2"])
def test_an_id_that_is_none_is_said(name: str) -> None:
    with pytest.raises(ValueError, match="id:"):
        shape_of(name)


def manifest(shared: Path) -> list[dict[str, Any]]:
    whole = json.loads((shared / "reference/data_manifest.json").read_bytes())
    return [entry for entry in whole["parquet"] if "/travel" in entry["file"]]


def test_the_official_rows_are_those_of_the_manifest(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    entries = manifest(shared)
    assert len(entries) == 18
    for entry in entries:
        path = shared / "data/userrl/rows" / entry["file"].removeprefix("data/")
        rows = parquet_rows(path, OFFICIAL["travel"])
        ids = [["TravelGym", row.id] for row in rows]
        assert len(rows) == entry["rows"]
        assert sha256(json.dumps(ids).encode()).hexdigest() == entry["ids_sha256"]
        assert {shape_of(row.id) for row in rows} <= set(SHAPES)
        shape = entry["file"].split("/")[1].partition("_")[0].removeprefix("travel")
        assert not shape or {shape_of(row.id) for row in rows} == {shape}


def test_official_rows_find_their_records_and_bring_split_and_prompt(
    shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    source = shared / "data/userrl/rows/travel22_multiturn_onechoice/test.parquet"
    path = tmp_path / "test.parquet"
    path.write_bytes(source.read_bytes())
    with pytest.raises(UsageError, match=r"travelgym_data_22\.json"):
        read(path)
    # The records themselves are not to be had here: these are ours under the official ids.
    ids = [row.id for row in parquet_rows(source, OFFICIAL["travel"])]
    (tmp_path / "gyms").mkdir()
    data = tmp_path / "gyms/travelgym_data_22.json"
    data.write_text(json.dumps(dict.fromkeys(ids, RECORD)))
    tasks = read(path)
    assert [task.id for task in tasks] == ids and len(ids) == 101
    assert {task.split for task in tasks} == {"test"}
    opening = gym.make(tasks[0], Seed(0)).prompt()
    assert [m.role for m in opening] == ["system", "user"]
    assert "one-way flight" not in opening[0].content and "TravelGym" in opening[0].content
    data.write_text(json.dumps(dict.fromkeys(ids[1:], RECORD)))
    with pytest.raises(UsageError, match=r"row 0: create_kwargs\.id"):
        read(path)


def test_the_official_records_are_read_where_they_are(shared: Path) -> None:
    paths = sorted((shared / "data/userrl/gyms").glob("travelgym_data_*.json"))
    if not paths:
        pytest.skip("travelgym_data_*.json: the official records are not available")
    for path in paths:
        assert all(shape_of(task.id) in path.stem for task in read(path))


def test_the_official_test_trips_are_mostly_made_of_parts_seen_in_training(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    ids: dict[str, list[str]] = {"train": [], "test": []}
    for entry in manifest(shared):
        path = shared / "data/userrl/rows" / entry["file"].removeprefix("data/")
        if "/travel_" not in entry["file"]:
            ids[path.stem] += [row.id for row in parquet_rows(path, OFFICIAL["travel"])]
    found = overlap(ids["train"], ids["test"])
    assert (found.parts, found.seen_parts) == (931, 806)
    assert (found.trips, found.seen_trips) == (471, 346)
    seen = {part for name in ids["train"] for part in name.split("|")}
    assert len(found.clean) == 6
    assert all(seen.isdisjoint(name.split("|")) for name in found.clean)
