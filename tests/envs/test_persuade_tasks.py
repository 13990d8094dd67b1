"""The persuade gym's tasks: our own in two worlds that share nothing, and the official files."""

from __future__ import annotations

import json
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs._hearing import stems
from duologue.envs.persuade import contract, gym, persuade_general, shared_claims
from duologue.envs.persuade._arguments import Arguments
from duologue.envs.persuade._claims import Claim, claims
from duologue.envs.persuade._considerations import THEMES, Consideration, general
from duologue.envs.persuade._stance import LAST
from duologue.envs.persuade._tasks import opinion
from duologue.envs.persuade._words import FUNCTION_WORDS

BOTH = (*claims("train"), *claims("test"))


def texts(claim: Claim) -> list[str]:
    return [claim.text, *claim.arguments, *(t for a in claim.against for t in (a.point, a.hint))]


def content(text: str) -> set[str]:
    return {stem for stem in stems(text) if stem not in FUNCTION_WORDS}


def alike(one: str, other: str) -> float:
    """The share of content words that two texts have in common."""
    a, b = content(one), content(other)
    return len(a & b) / len(a | b)


def test_there_is_no_end_of_tasks_and_many_are_different() -> None:
    for split, fewest in (("train", 900), ("test", 500)):
        made = list(islice(gym.tasks(split, Seed(0)), 1000))
        assert len({task.id for task in made}) > fewest
        assert len({task.data["claim"] for task in made}) == len(claims(split))
        assert {task.split for task in made} == {split}
    with pytest.raises(UsageError, match="no split 'dev'"):
        gym.tasks("dev", Seed(0))


def test_general_considerations_are_shared_by_the_splits_and_claims_are_not() -> None:
    points: dict[str, set[str]] = {}
    held: dict[str, set[str]] = {}
    for split in ("train", "test"):
        made = [opinion(task) for task in islice(persuade_general.tasks(split, Seed(0)), 300)]
        points[split] = {each.point for one in made for each in one.considerations}
        held[split] = {one.claim for one in made}
        assert all(sum(each.levels for each in one.considerations) == LAST for one in made)
    assert points["train"] == points["test"] == {point for _, point, _ in THEMES}
    assert not held["train"] & held["test"]
    with pytest.raises(UsageError, match="no split 'dev'"):
        persuade_general.tasks("dev", Seed(0))


def test_the_same_seed_makes_the_same_tasks() -> None:
    one, same, other = (list(islice(gym.tasks("train", Seed(s)), 50)) for s in (1, 1, 2))
    assert one == same != other


def test_no_text_is_in_both_splits_nor_one_like_it() -> None:
    pairs = product(claims("train"), claims("test"))
    worst = max(
        (alike(one, other), one, other)
        for train, test in pairs
        for one, other in product(texts(train), texts(test))
    )
    assert worst[0] <= 0.5, worst


def test_no_claim_is_about_what_another_is_about() -> None:
    for train, test in product(claims("train"), claims("test")):
        assert alike(train.text, test.text) <= 0.25, (train.text, test.text)


def test_generated_tasks_share_no_part_between_the_splits() -> None:
    parts: dict[str, set[str]] = {}
    for split in ("train", "test"):
        held = [opinion(task) for task in islice(gym.tasks(split, Seed(3)), 500)]
        parts[split] = {text for one in held for text in (one.claim, one.argument)}
        parts[split] |= {t for one in held for c in one.considerations for t in (c.point, c.hint)}
    assert parts["train"].isdisjoint(parts["test"])


@pytest.mark.parametrize("written", BOTH, ids=lambda written: written.text[:30])
def test_each_point_is_whole_and_heard_as_itself_and_no_hint_makes_it(written: Claim) -> None:
    held = tuple(Consideration(a.point, a.hint, 1, a.words) for a in written.against)
    for argument in written.arguments:
        model = Arguments(written.text, argument, held)
        for i, one in enumerate(held):
            heard = model.hear(one.point).points
            assert list(heard) == [i]
            assert model.weight(heard[i]) >= 1.0
            assert model.hear(one.hint).points == {}
        assert model.hear(f"{written.text} {argument}").points == {}


def test_the_levels_of_a_task_move_it_from_one_end_to_the_other() -> None:
    for task in islice(gym.tasks("train", Seed(4)), 100):
        assert sum(one.levels for one in opinion(task).considerations) == LAST
        promised = contract(task)
        assert sum(goal["levels"] for goal in promised["goals"]) == LAST
        assert promised["end"] == {"stance": "Strongly Disagree"}


@pytest.mark.parametrize(
    "data",
    [
        {"argument": "x"},
        {"claim": ""},
        {"claim": "x", "considerations": [{"point": "p", "hint": "h", "levels": 7}]},
        {"claim": "x", "considerations": [{"point": "p", "hint": "h", "levels": 2}]},
    ],
)
def test_a_task_that_cannot_be_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="'odd'"):
        gym.make(Task(env="persuade", id="odd", data=data), Seed(0))


# ---- official files: the statements may not be shared, so their layout is filled with our own

STATEMENTS = [
    {"id": f"S{i}", "claim": claim.text, "argument": claim.arguments[0]}
    for i, claim in enumerate(claims("test"))
]


def write_rows(path: Path, split: str, rows: list[dict[str, Any]]) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = [
        {
            "data_source": "interact_persuade",
            "prompt": [
                {"role": "system", "content": "Use the tool."},
                {"role": "user", "content": row["claim"]},
            ],
            "ability": "interact",
            "reward_model": {
                "style": "rule",
                "ground_truth": "none",
                "env_name": "PersuadeGym",
                "id": row["id"],
            },
            "extra_info": {
                "split": split,
                "index": i,
                "need_tools_kwargs": True,
                "tools_kwargs": {
                    "interact_with_env": {
                        "create_kwargs": {"env_name": "PersuadeGym", "title": None, **row}
                    }
                },
            },
        }
        for i, row in enumerate(rows)
    ]
    parquet.write_table(arrow.Table.from_pylist(table), path)


def test_a_json_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "all_statements_refined.json"
    path.write_text(json.dumps(STATEMENTS))
    assert gym.read is not None
    found = list(gym.read(path))
    assert [task.id for task in found] == [row["id"] for row in STATEMENTS]
    assert [task.data["claim"] for task in found] == [row["claim"] for row in STATEMENTS]
    assert {task.split for task in found} == {"train"}


def test_rows_bring_their_prompt_and_their_split(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    write_rows(path, "test", STATEMENTS)
    assert gym.read is not None
    found = list(gym.read(path))
    assert [task.id for task in found] == [row["id"] for row in STATEMENTS]
    assert {task.split for task in found} == {"test"}
    prompt = gym.make(found[0], Seed(0)).prompt()
    assert [message.content for message in prompt] == ["Use the tool.", STATEMENTS[0]["claim"]]


@pytest.mark.parametrize(
    ("row", "said"),
    [({"claim": 3}, "claim"), ({"argument": None}, "argument"), ({"claim": ""}, "claim")],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([STATEMENTS[0], STATEMENTS[1] | row]))
    assert gym.read is not None
    with pytest.raises(UsageError, match=rf"row 1.*{said}"):
        list(gym.read(path))


def test_claims_of_two_splits_are_found() -> None:
    made = [
        Task(env="persuade", id=name, split=split, data={"claim": claim, "argument": "x"})
        for name, split, claim in (("1", "train", "A."), ("2", "test", "A."), ("3", "test", "B."))
    ]
    assert shared_claims(made) == {"A."}


@pytest.mark.parametrize(("split", "rows"), [("train", 378), ("test", 42)])
def test_the_official_rows_are_all_there(shared: Path, split: str, rows: int) -> None:
    path = shared / f"data/userrl/rows/persuasion_multiturn/{split}.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is absent: the statements' licence forbids sharing them")
    assert gym.read is not None
    found = list(gym.read(path))
    assert len({task.id for task in found}) == rows
    assert {task.split for task in found} == {split}


def test_a_claim_alone_draws_considerations_that_stay_its_own() -> None:
    held = [general(f"Claim {i}.") for i in range(60)]
    assert len(set(held)) > 40
    assert held == [general(f"Claim {i}.") for i in range(60)]
    assert {sum(one.levels for one in each) for each in held} == {LAST}
    for each in held:
        model = Arguments("Claim.", "", each)
        for i, one in enumerate(each):
            assert list(model.hear(one.point).points) == [i]
            assert model.hear(one.hint).points == {}
