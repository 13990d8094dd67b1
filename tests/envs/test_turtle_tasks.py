"""Tasks of the turtle gym: composed of situations, or read from the official files."""

from __future__ import annotations

import json
from itertools import islice
from math import fsum
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs._hearing import stems
from duologue.envs.turtle import gym
from duologue.envs.turtle._ideas import Lexicon
from duologue.envs.turtle._judge import grade, rubric_score, weights
from duologue.envs.turtle._situations import Situation, lexicon, situations
from duologue.envs.turtle._tasks import generate, story
from duologue.envs.turtle._words import SMALL

COUNTS = {"train": 436, "test": 192}


def tasks(split: str, count: int = 0, seed: int = 0) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count or COUNTS[split]))


@pytest.mark.parametrize("split", COUNTS)
def test_every_story_comes_once_before_any_comes_again(split: str) -> None:
    count = COUNTS[split]
    twice = tasks(split, 2 * count)
    assert len({task.id for task in twice[:count]}) == count
    assert {task.id for task in twice[count:]} == {task.id for task in twice[:count]}
    assert len({story(task).new_bottom for task in twice}) == count
    assert [t.id for t in twice[count:]] != [t.id for t in twice[:count]]


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert tasks("train", 50) == tasks("train", 50)
    assert tasks("train", 50) != tasks("train", 50, seed=1)
    with pytest.raises(UsageError, match="'validation'"):
        generate("validation", Seed(0))


def test_weights_sum_to_one_and_statements_are_the_story() -> None:
    for split in COUNTS:
        for task in tasks(split):
            told = story(task)
            assert abs(fsum(point.score for point in told.evaluation) - 1.0) <= 1e-9
            assert all(point.score > 0.0 for point in told.evaluation)
            assert grade(told, told.new_bottom) == [1.0] * len(told.evaluation)
            assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


# ---- what is written


def written() -> list[Situation]:
    return [one for split in COUNTS for one in situations(split).values()]


def groups_of(known: Lexicon, text: str) -> int:
    heard = 0
    for stem in stems(text):
        heard |= known.bits.get(stem, 0)
    return heard


@pytest.mark.parametrize("here", written(), ids=lambda here: here.name)
def test_a_situation_says_what_it_means(here: Situation) -> None:
    known = lexicon(here.name)
    assert len(here.weights) == len(here.slots) == 3
    for slot, facts in enumerate(known.points):
        for number, fact in enumerate(facts):
            clause = here.clause(slot, number)
            assert fact.share(known.told(clause)) == 1.0, clause
            others = [other for i, other in enumerate(facts) if i != number]
            assert all(other.share(groups_of(known, clause)) < 1.0 for other in others), clause
            assert clause[0].islower() and not clause.endswith("."), clause
            assert fact.share(groups_of(known, f"{here.title} {here.surface}")) < 1.0, clause


# ---- leakage


def content(text: str) -> set[str]:
    return set(stems(text)) - SMALL


def overlap(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def test_the_splits_share_no_situation_no_title_and_no_fact() -> None:
    train, test = situations("train").values(), situations("test").values()
    for field in ("name", "title", "surface"):
        assert {getattr(s, field) for s in train}.isdisjoint({getattr(s, field) for s in test})
    for one in train:
        for other in test:
            assert overlap(content(one.surface), content(other.surface)) <= 0.3
    clauses = [
        {
            (clause, frozenset(content(clause)))
            for s in side
            for slot in s.slots
            for clause, _ in slot
        }
        for side in (train, test)
    ]
    closest = max(overlap(set(a), set(b)) for _, a in clauses[0] for _, b in clauses[1])
    assert closest <= 0.5
    assert {t.id for t in tasks("train")}.isdisjoint({t.id for t in tasks("test")})


def test_knowing_the_train_stories_by_heart_earns_nothing_on_the_test() -> None:
    stories = [story(task).new_bottom for task in tasks("train", 200)]
    earned = [
        [rubric_score(weights(told), grade(told, text)) for text in stories]
        for told in map(story, tasks("test", 30))
    ]
    assert mean(map(mean, earned)) <= 0.02
    # Even if one knew which of them comes closest, by a word that both happen to have.
    assert mean(map(max, earned)) <= 0.2


def test_a_surface_does_not_settle_its_story() -> None:
    several = [one for one in written() if not one.fixed]
    assert len(several) >= 20
    assert all(len(list(one.truths())) == 27 for one in several)


# ---- official files


RECORD: dict[str, Any] = {
    "judgment_thought": "t",
    "judgment": "Yes",
    "new_title": "The Mute Bell",
    "new_surface": "A bell makes no sound.",
    "new_bottom": "It is painted with tar.",
    "evaluation_thought": "t",
    "evaluation": [{"statement": "The bell is tarred.", "score": 1.0}],
}


def read(path: Path, records: object) -> list[Task]:
    assert gym.read is not None
    path.write_text(json.dumps(records), encoding="utf-8")
    return list(gym.read(path))


@pytest.mark.parametrize(("name", "split"), [("x.json", "train"), ("x_test.json", "test")])
def test_a_record_is_read_as_it_stands(tmp_path: Path, name: str, split: str) -> None:
    (task,) = read(tmp_path / name, {"5": RECORD})
    assert (task.id, task.split, task.data) == ("The Mute Bell", split, RECORD)
    assert story(task).evaluation[0].score == 1.0


BAD: list[tuple[object, str]] = [
    ([RECORD], "no JSON object of stories"),
    ({"a": RECORD, "b": RECORD}, "row 1: there are two stories 'The Mute Bell'"),
    ({"a": RECORD | {"new_title": ""}}, r"row 0: .*length >= 1 - at `\$\.new_title`"),
    ({"a": RECORD | {"evaluation": ()}}, r"row 0: .*at `\$\.evaluation`"),
    (
        {"a": RECORD | {"evaluation": [{"statement": "s", "score": 5}]}},
        r"row 0: .*<= 1.0 - at `\$\.evaluation\[0\]\.score`",
    ),
    ({"a": 3}, "row 0: Expected `object`, got `int`"),
]


@pytest.mark.parametrize(("records", "complaint"), BAD)
def test_a_bad_record_is_named(tmp_path: Path, records: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        read(tmp_path / "stories.json", records)
    assert "stories.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert gym.read is not None
    with pytest.raises(UsageError, match=r"nowhere\.json: No such file"):
        gym.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"situation": "nowhere"}, "no situation 'nowhere'"),
        ({"truth": [0, 0, 7]}, r"has no story \(0, 0, 7\)"),
        ({"truth": []}, r"has no story \(\)"),
        ({"evaluation": [{"statement": "s", "score": 1.0}]}, "has no story"),
        ({"evaluation": 1}, "no task of the turtle gym"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(changes: Any, complaint: str) -> None:
    task = tasks("train", 1)[0]
    data = dict(task.data) | changes
    with pytest.raises(UsageError, match=complaint):
        story(Task(env="turtle", id="x", data=data))


def write_rows(folder: Path, **kwargs: str) -> Path:
    """A parquet file of one official row beside the stories."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    (folder / "all_stories_refined.json").write_text(json.dumps({"5": RECORD}), encoding="utf-8")
    created = {"env_name": "TurtleGym", "title": "The Mute Bell", "id": None} | kwargs
    row = {
        "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "reward_model": {"env_name": "TurtleGym", "ground_truth": "tar", "style": "rule"},
        "extra_info": {
            "split": "test",
            "tools_kwargs": {"interact_with_env": {"create_kwargs": created}},
        },
    }
    parquet.write_table(pyarrow.Table.from_pylist([row]), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_a_row_brings_its_split_and_its_prompt(tmp_path: Path) -> None:
    assert gym.read is not None
    (task,) = gym.read(write_rows(tmp_path, surface="A bell makes no sound."))
    assert (task.id, task.split) == ("The Mute Bell", "test")
    prompt = gym.make(task, Seed(0)).prompt()
    assert [message.content for message in prompt] == ["S", "U\n(Only your first answer counts.)"]
    released = gym.make(task, Seed(0), behaviour="official").prompt()
    assert [message.content for message in released] == ["S", "U"]


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({"title": "Another"}, "row 0: create_kwargs.title: 'Another' is not in "),
        ({"surface": "x"}, "row 0: create_kwargs.surface: not that of 'The Mute Bell' in "),
        ({"bottom": "x"}, "row 0: create_kwargs.bottom: not that of 'The Mute Bell' in "),
    ],
)
def test_a_row_that_contradicts_the_stories_is_named(
    tmp_path: Path, kwargs: dict[str, str], complaint: str
) -> None:
    assert gym.read is not None
    with pytest.raises(UsageError, match=complaint):
        gym.read(write_rows(tmp_path, **kwargs))


@pytest.mark.parametrize(("split", "count"), [("train", 423), ("test", 48)])
def test_official_rows_are_all_read(shared: Path, split: str, count: int) -> None:
    pytest.importorskip("pyarrow")
    path = shared / f"data/userrl/rows/turtle_multiturn/{split}.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    assert gym.read is not None
    rows = list(gym.read(path))
    assert len(rows) == len({row.id for row in rows}) == count
    assert {row.split for row in rows} == {split}
    system, task = gym.make(rows[0], Seed(0), behaviour="official").prompt()
    assert system.role == "system" and task.content == rows[0].data["prompt"][1]["content"]


def test_the_official_stories_are_all_read_and_138_sum_to_less_than_one(shared: Path) -> None:
    path = shared / "data/userrl/gyms/all_stories_refined.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    assert gym.read is not None
    told = [story(task) for task in gym.read(path)]
    assert len(told) == 471
    short = 0
    for one in told:
        total = 0.0
        for point in one.evaluation:
            total += point.score
        short += total < 1.0
    assert short == 138
