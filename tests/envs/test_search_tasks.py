"""The tasks of the search gym: worlds that agree with themselves and share nothing, official files."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from duologue.engine import Seed, Task, UsageError
from duologue.envs.search import Article, contract, gym
from duologue.envs.search._articles import articles
from duologue.envs.search._index import QUERY_CHARS, Index, index
from duologue.envs.search._relations import BY_KIND, relations_of
from duologue.envs.search._tasks import LONGEST, question
from duologue.envs.search._world import Thing, world

SPLITS = ("train", "test")


def some(split: str, count: int, seed: int = 0) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count))


# ---- the worlds


@pytest.mark.parametrize("split", SPLITS)
def test_facts_agree_with_each_other(split: str) -> None:
    things = world(split).things

    def born(name: str) -> int:
        return int(things[name].facts["born"])

    for thing in things.values():
        facts = thing.facts
        match thing.kind:
            case "person":
                if "teacher" in facts:
                    assert 15 <= born(thing.name) - born(facts["teacher"])
                if "spouse" in facts:
                    assert things[facts["spouse"]].facts["spouse"] == thing.name
            case "town":
                assert 30 <= int(facts["charter"]) - born(facts["mayor"]) <= 60
            case "region":
                assert things[facts["capital"]].facts["region"] == thing.name
            case "company":
                assert 25 <= int(facts["founded"]) - born(facts["founder"]) <= 55
            case "work":
                assert 22 <= int(facts["finished"]) - born(facts["maker"]) <= 65
            case "ship":
                assert things[facts["builder"]].noun == "shipyard"
                assert int(facts["launched"]) > int(things[facts["builder"]].facts["founded"])
            case _:
                assert int(facts["departed"]) > int(things[facts["ship"]].facts["launched"])
                assert 25 < int(facts["departed"]) - born(facts["leader"]) <= 55
    for winners in world(split).winners.values():
        assert all(25 <= int(year) - born(name) <= 70 for year, name in winners.items())


@pytest.mark.parametrize("split", SPLITS)
def test_every_fact_has_a_relation_and_a_value_of_its_kind(split: str) -> None:
    here = world(split)
    for thing in here.things.values():
        known = relations_of(here, thing.kind, thing.name)
        assert {relation.name for relation, _ in known} == set(thing.facts)
        for relation, value in known:
            match relation.gives:
                case "year":
                    assert re.fullmatch(r"1[789][0-9]{2}", value)
                case "word":
                    assert value not in here.things and not relation.calls
                case kind:
                    assert here.things[value].kind == kind


def test_a_name_means_one_thing() -> None:
    for split in SPLITS:
        lowered = [name.lower() for name in world(split).things]
        assert len(set(lowered)) == len(lowered)
        families = {name.split()[-1] for name in world(split).things}
        assert len(families) < len(lowered), "without shared names a search would be no search"


def names_of(split: str) -> set[str]:
    """The words that make up names in a world: of things, rivers, coins, animals and prizes."""
    here = world(split)
    nouns = {thing.noun for thing in here.things.values()} | {"the", "river", "prize"}
    said = {*here.things, *here.winners}
    for thing in here.things.values():
        said |= {v for k, v in thing.facts.items() if k in ("river", "currency", "emblem")}
    return {word.lower() for name in said for word in name.split()} - nouns


def test_the_splits_share_no_name_no_fact_and_no_question() -> None:
    train, test = names_of("train"), names_of("test")
    assert len(train) > 200 and len(test) > 100
    assert not train & test
    told = {word.lower() for each in articles("train") for word in re.findall(r"\w+", each.text)}
    assert not test & told
    told = {word.lower() for each in articles("test") for word in re.findall(r"\w+", each.text)}
    assert not train & told
    asked = [{task.data["question"] for task in some(split, 2000)} for split in SPLITS]
    assert not asked[0] & asked[1]


# ---- the questions


def test_there_are_tasks_without_end_and_they_differ() -> None:
    assert len({task.id for task in some("train", 3000)}) > 2400
    assert len({task.id for task in some("test", 1000)}) > 800
    assert some("train", 20, 1) == some("train", 20, 1) != some("train", 20, 2)
    with pytest.raises(UsageError, match="no split 'dev'"):
        gym.tasks("dev", Seed(0))


def test_questions_have_two_to_four_steps_and_all_kinds_of_answers() -> None:
    gives = {relation.name: relation.gives for kind in BY_KIND.values() for relation in kind}
    lengths: dict[int, int] = {}
    kinds: dict[str, int] = {}
    for task in some("train", 1500):
        hops = question(task).hops
        lengths[len(hops)] = lengths.get(len(hops), 0) + 1
        kind = gives.get(task.id.rpartition("-")[2], "person")  # a prize is won by a person
        kinds[kind] = kinds.get(kind, 0) + 1
    assert set(lengths) == {2, 3, LONGEST} and min(lengths.values()) > 200
    assert set(kinds) == {"person", "year", "town", "region", "word", "company"}
    assert max(kinds.values()) < 0.6 * 1500


def test_no_question_says_its_answer_or_a_step_of_it() -> None:
    for split in SPLITS:
        for task in some(split, 1000):
            asked = question(task)
            assert asked.hops[-1].value == asked.answer
            assert not [hop.value for hop in asked.hops if hop.value in asked.question], task.id
            assert "{" not in asked.question and asked.question.endswith("?")


@pytest.mark.parametrize("split", SPLITS)
def test_each_step_is_found_by_asking_for_it_as_the_contract_says(split: str) -> None:
    for task in some(split, 250):
        for fact in contract(task).facts:
            found = index(split).search(fact.ask, 5)
            assert any(fact.value in each.text for each in found), (task.id, fact)


def test_most_questions_take_more_than_one_search() -> None:
    tasks = some("test", 300)
    at_once = 0
    for task in tasks:
        asked = question(task)
        found = index("test").search(asked.question, 5)
        at_once += any(asked.answer in each.text for each in found)
    assert at_once <= 0.2 * len(tasks)


def test_no_article_tells_a_fact_of_another_thing() -> None:
    for split in SPLITS:
        here = world(split)
        for thing, article in zip(here.things.values(), articles(split), strict=False):
            assert article.title == f"{thing.name} ({thing.noun})"
            assert strangers(thing, article.text, here.things) == set()


def strangers(thing: Thing, text: str, things: dict[str, Thing]) -> set[str]:
    """The things that a text speaks of and that are no fact of `thing`."""
    own = {thing.name, *thing.facts.values()}
    pairs = re.findall(r"(?=\b([A-Z]\w+ [A-Z]\w+)\b)", text)
    return {name for name in (*pairs, *re.findall(r"[A-Z]\w+", text)) if name in things} - own


# ---- the index


def test_the_index_ranks_by_rare_words_titles_and_length() -> None:
    made = Index(
        [
            Article("Red", "A red thing."),
            Article("Blue", "A thing that is not red at all, and long, and longer still, and on."),
            Article("Green", "A green thing, by the Kraken."),
        ]
    )
    assert [each.title for each in made.search("red thing", 5)] == ["Red", "Blue", "Green"]
    assert [each.title for each in made.search("the KRAKENS", 1)] == ["Green"]
    assert made.search("what is the", 5) == made.search("", 5) == made.search("red", 0) == []
    assert made.search("rêd", 1) == made.search("red", 1)


def test_what_is_remembered_is_bounded_and_nobodys_to_change() -> None:
    made = Index(articles("test"))
    fresh = made.search("Umbra Bank", 5)
    made.search("Umbra Bank", 5).clear()
    assert made.search("Umbra Bank", 5) == fresh != []
    for number in range(3000):
        made.search(f"Umbra Bank {number} " + "x" * 1000, 5)
    assert made._remembered.cache_info().currsize <= 1024
    assert made.search("Umbra Bank", 5) == fresh


def test_only_the_beginning_of_a_query_is_read() -> None:
    made = index("test")
    assert made.search(" " * QUERY_CHARS + "Umbra Bank", 5) == []
    assert len(made.terms("who founded it " + " ".join(names_of("test")))) <= 8


def test_an_index_may_be_searched_from_any_thread() -> None:
    asks = [hop.ask for task in some("test", 40) for hop in question(task).hops]
    made = Index(articles("test"))
    expected = [made.search(ask, 5) for ask in asks]
    came: list[list[list[Article]]] = []
    threads = [
        Thread(target=lambda: came.append([made.search(ask, 5) for ask in asks])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == [expected] * 4


# ---- what is read


@pytest.mark.parametrize(
    "data",
    [{"question": "x"}, {"question": "", "answer": "x"}, {"question": "x", "answer": 7},
     {"question": "x", "answer": "y", "world": "odd"},
     {"question": "x", "answer": "y", "hops": [{"ask": "z"}]}],
)  # fmt: skip
def test_what_is_no_question_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no task of the search gym"):
        gym.make(Task(env="search", id="bad", data=data), Seed(0))


def official(folder: Path, *records: Any) -> Path:
    path = folder / "questions.json"
    path.write_text(json.dumps(records))
    return path


RECORD = {"id": "B-1", "question": "Who was it?", "answer": "Nobody"}


def test_a_file_of_questions_is_read_as_it_is(tmp_path: Path) -> None:
    assert gym.read is not None
    [task] = list(gym.read(official(tmp_path, RECORD | {"extra": 1})))
    assert (task.id, task.split, task.data) == ("B-1", "test", RECORD | {"extra": 1})
    assert contract(task).facts == ()


@pytest.mark.parametrize(
    ("record", "words"),
    [({"id": "B-2"}, "question"), (RECORD, "row 0 too"), (RECORD | {"id": 3}, "id")],
)
def test_a_bad_row_is_named(tmp_path: Path, record: Any, words: str) -> None:
    assert gym.read is not None
    with pytest.raises(UsageError, match=rf"row 1: .*{words}"):
        list(gym.read(official(tmp_path, RECORD, record)))


def test_the_official_questions_and_rows_are_read(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    assert gym.read is not None
    data = shared / "data" / "userrl"
    tasks = {task.id: task for task in gym.read(data / "gyms" / "questions.json")}
    rows = list(gym.read(data / "rows" / "bamboogle_multiturn" / "test.parquet"))
    assert len(tasks) == len(rows) == 125
    assert {task.id for task in rows} == set(tasks)
    for row in rows:
        plain = {name: value for name, value in row.data.items() if name != "prompt"}
        assert plain == tasks[row.id].data
        system, opening = gym.make(row, Seed(0), behaviour="official").prompt()
        assert (system.role, opening.role) == ("system", "user")
        assert question(row).question in opening.content


def test_a_row_that_does_not_fit_the_questions_is_named(tmp_path: Path, shared: Path) -> None:
    pytest.importorskip("pyarrow")
    assert gym.read is not None
    rows = tmp_path / "test.parquet"
    rows.write_bytes((shared / "data/userrl/rows/bamboogle_multiturn/test.parquet").read_bytes())
    official(tmp_path, RECORD)
    with pytest.raises(UsageError, match=r"row 0: create_kwargs.id: 'Bamboogle-19' is not in"):
        gym.read(rows)
    official(tmp_path, RECORD | {"id": "Bamboogle-19"})
    with pytest.raises(UsageError, match=r"row 0: ground_truth: not that of 'Bamboogle-19'"):
        gym.read(rows)
