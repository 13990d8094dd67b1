"""Tasks of the tau gym: our own, whose splits share nothing, and the official ones."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import find
from duologue.envs.tau import gym
from duologue.envs.tau._checkout import checkout_domain
from duologue.envs.tau._store import Store, Table, canonical
from duologue.envs.tau._tasks import WORLDS, Case, case, domain_of
from duologue.envs.tau._tools import TRANSFERS
from duologue.envs.tau._words import WORDS

pytestmark = pytest.mark.anyio


def tasks(split: str, count: int = 400, seed: int = 0) -> list[Task]:
    return list(islice(gym.tasks(split, Seed(seed)), count))


# ---- our own


@pytest.mark.parametrize("split", ["train", "test"])
def test_tasks_differ_and_come_of_both_domains(split: str) -> None:
    made = tasks(split, 1000)
    assert len({task.id for task in made}) >= 990
    kinds = {(case(task).domain, goal.kind) for task in made for goal in case(task).goals}
    assert len(kinds) == 17
    assert {case(task).world for task in made} == set(range(WORLDS))


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert tasks("train", 50) == tasks("train", 50)
    assert tasks("train", 50) != tasks("train", 50, seed=1)
    with pytest.raises(UsageError, match="no split 'dev'"):
        tasks("dev")


def test_the_actions_of_a_task_can_be_done_and_are_never_nothing_unseen() -> None:
    """A task wants a change, a number or a handover, or it is one whose refusal was meant."""
    idle = 0
    for task in [*tasks("train"), *tasks("test")]:
        found = case(task)
        domain = domain_of(found, None)
        store = Store(domain.tables)
        for goal in found.goals:
            for made in (*goal.looks, *goal.calls):
                assert not domain.use(store, made.name, made.kwargs).startswith(
                    ("Error", "Unknown")
                )
        if not store.changes() and not found.outputs:
            idle += 1
            assert all(goal.why or goal.kind == "beyond" for goal in found.goals)
    assert 0.03 <= idle / 800 <= 0.15


def texts(found: Case) -> set[str]:
    domain = domain_of(found, None)
    tables = domain.tables
    people = [f"{c['first_name']} {c['last_name']}" for c in tables["customers"].values()]
    rest = [c["email"] for c in tables["customers"].values()]
    if found.domain == "retail":
        rest += [product["name"] for product in tables["products"].values()]
    else:
        rest += [*tables["flights"], *(flight["origin"] for flight in tables["flights"].values())]
    return {*people, *rest}


def test_the_splits_share_no_person_no_product_no_flight_and_no_town() -> None:
    content = {
        split: {text for task in tasks(split, 300) for text in texts(case(task))}
        for split in ("train", "test")
    }
    assert not content["train"] & content["test"]
    ours, theirs = WORDS["train"], WORDS["test"]
    for name in ("first", "last", "streets", "places", "airports", "goods"):
        assert not set(getattr(ours, name)) & set(getattr(theirs, name)), name
    values = [{v for options in w.goods.values() for v in (v for o in options.values() for v in o)} for w in (ours, theirs)]  # fmt: skip
    assert not values[0] & values[1]


async def test_what_is_learnt_by_heart_on_train_earns_nothing_on_test() -> None:
    """The calls of any train task change nothing that a test task wants."""
    learnt = [made for task in tasks("train") for made in case(task).actions]
    calls = [made for made in learnt if made.name not in TRANSFERS]
    for task in tasks("test", 40):
        env = gym.make(task, Seed(0))
        for made in calls[:60]:
            content = json.dumps({"name": made.name, "arguments": made.kwargs})
            assert not (await env.step(Action("answer", content))).done
        assert (await env.step(Action("finish", ""))).reward == 0.0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"world": WORLDS}, "world"),
    ({"world": -1}, "world"),
    ({"domain": "telecom"}, "domain"),
    ({"split": "dev"}, "split"),
    ({"goals": []}, "needs goals"),
    ({"opening": ""}, "opening"),
    ({"actions": [{"kwargs": {}}]}, "name"),
]


@pytest.mark.parametrize(("changes", "complaint"), WRONG)
def test_a_task_that_cannot_be_is_refused(changes: dict[str, Any], complaint: str) -> None:
    data = dict(tasks("train", 1)[0].data) | changes
    with pytest.raises(UsageError, match=complaint):
        case(Task(env="tau", id="x", data=data))


# ---- the database of a dialogue


def test_a_dialogue_copies_what_it_touches_and_changes_nothing_that_others_see() -> None:
    base = {"orders": {"a": {"n": [1]}, "b": {"n": [2]}}}
    store = Store(base)
    orders = store["orders"]
    assert orders.get("c") is None and orders.touched == set()
    orders["a"]["n"].append(3)
    assert base["orders"]["a"] == {"n": [1]} and orders["a"] == {"n": [1, 3]}
    assert store.changes() == {"orders": {"a": canonical({"n": [1, 3]})}}
    orders["a"]["n"].pop()
    assert store.changes() == {}
    orders["c"] = {"n": []}
    del orders["b"]
    assert set(store.changes()["orders"]) == {"b", "c"}
    assert isinstance(orders, Table) and "b" not in orders


def test_records_are_compared_as_tau_bench_compares_them() -> None:
    assert canonical({"b": 1, "a": [2]}) == canonical({"a": [2], "b": 1})
    assert canonical({"a": 1}) != canonical({"a": 1.0})
    assert canonical([1, 2]) != canonical([2, 1])


# ---- official files


RECORD = {
    "id": "retail-train-007",
    "obs": "Hello, I need help.",
    "info": {
        "task": {
            "user_id": "ida_berg_1",
            "actions": [{"name": "cancel_pending_order", "kwargs": {"order_id": "#W1"}}],
            "instruction": "Your name is Ida Berg.",
            "outputs": ["54.04"],
        },
        "source": "user",
        "user_cost": None,
        "reward_info": None,
    },
}


def read(path: Path, records: object = None) -> list[Task]:
    assert gym.read is not None
    if records is not None:
        path.write_text(json.dumps(records), encoding="utf-8")
    return list(gym.read(path))


def test_a_record_is_read_as_it_stands(tmp_path: Path) -> None:
    (task,) = read(tmp_path / "tau_train.json", [RECORD])
    found = case(task)
    assert (task.id, task.split, found.domain) == ("retail-train-007", "train", "retail")
    assert (found.opening, found.outputs) == ("Hello, I need help.", ("54.04",))
    assert found.actions[0].kwargs == {"order_id": "#W1"}


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ({}, "no JSON list"),
        ([RECORD | {"obs": ""}], "row 0: .*obs"),
        ([RECORD, RECORD], "row 1: id 'retail-train-007' is that of row 0"),
        ([{"id": "x"}], "row 0"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, records: object, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read(tmp_path / "tau_train.json", records)


def test_a_row_brings_its_prompt_and_one_of_no_record_is_named(tmp_path: Path) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "tau_train.json").write_text(json.dumps([RECORD]), encoding="utf-8")

    def rows(name: str) -> Path:
        created = {"env_name": "TauGym", "id": name, "title": None}
        row = {
            "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
            "reward_model": {"env_name": "TauGym", "ground_truth": "", "style": "rule"},
            "extra_info": {
                "split": "train",
                "tools_kwargs": {"interact_with_env": {"create_kwargs": created}},
            },
        }
        parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "rows.parquet")
        return tmp_path / "rows.parquet"

    (task,) = read(rows("retail-train-007"))
    assert case(task).prompt == (Message("system", "S"), Message("user", "U"))
    with pytest.raises(UsageError, match="row 0: id: no record is called 'retail-train-008'"):
        read(rows("retail-train-008"))


@pytest.mark.parametrize(("split", "count"), [("train", 500), ("test", 165)])
def test_official_files_are_all_read(shared: Path, split: str, count: int) -> None:
    rows = shared / f"data/userrl/rows/tau_multiturn/{split}.parquet"
    records = shared / f"data/userrl/gyms/tau_{split}.json"
    for path in (rows, records):
        if not path.is_file():
            pytest.skip(f"{path} is absent")
    own = read(records)
    assert len(own) == len({task.id for task in own}) == count
    assert {task.split for task in own} == {split}
    if sys.modules.get("pyarrow") or pytest.importorskip("pyarrow"):
        assert [task.id for task in read(rows)] == [task.id for task in own]


# ---- a checkout


TOOLS = """
from tau_bench.envs.tool import Tool


class GetOrderDetails(Tool):
    @staticmethod
    def invoke(data, order_id):
        if order_id not in data["orders"]:
            return "Error: order not found"
        return str(data["orders"][order_id])

    @staticmethod
    def get_info():
        shape = {"type": "object", "properties": {"order_id": {"type": "string"}}}
        return {"function": {"name": "get_order_details", "description": "d", "parameters": shape}}


class Cancel(Tool):
    @staticmethod
    def invoke(data, order_id):
        data["orders"][order_id]["status"] = "cancelled"
        return "ok"

    @staticmethod
    def get_info():
        shape = {"properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
        return {"function": {"name": "cancel_pending_order", "description": "d", "parameters": shape}}


class Calculate(Tool):
    @staticmethod
    def invoke(data, expression):
        return str(eval(expression))

    @staticmethod
    def get_info():
        shape = {"properties": {"expression": {"type": "string"}}, "required": ["expression"]}
        return {"function": {"name": "calculate", "description": "d", "parameters": shape}}


ALL_TOOLS = [GetOrderDetails, Cancel, Calculate]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder laid out as tau-bench, whose packages cannot be imported by themselves."""
    retail = tmp_path / "tau_bench" / "envs" / "retail"
    (retail / "tools").mkdir(parents=True)
    (retail / "data").mkdir()
    for package in (tmp_path / "tau_bench", retail.parent, retail):
        (package / "__init__.py").write_text("import a_client_that_is_not_installed\n")
    (retail.parent / "tool.py").write_text("class Tool:\n    pass\n")
    (retail / "tools" / "__init__.py").write_text(TOOLS)
    orders = {"#W1": {"user_id": "ida_berg_1", "status": "pending"}}
    data = (
        f"def load_data():\n    return {{'orders': {orders!r}, 'users': {{'ida_berg_1': {{}}}}}}\n"
    )
    (retail / "data" / "__init__.py").write_text(data)
    (retail / "wiki.md").write_text("Be kind.")
    return tmp_path


async def test_official_tasks_are_played_over_a_checkout(checkout: Path, tmp_path: Path) -> None:
    record = json.loads(json.dumps(RECORD))
    (task,) = read(tmp_path / "tau_train.json", [record])
    options = {"tau_bench": str(checkout)}
    env = gym.make(task, Seed(0), **options)
    assert "Be kind." in env.prompt()[0].content
    cancel = Action("answer", 'cancel_pending_order: {"order_id": "#W1"}')
    tower = Action("answer", '{"name": "calculate", "arguments": {"expression": "9**9**9**9"}}')
    bad = Action("answer", '{"name": "get_order_details", "arguments": {"bad": 1}}')
    assert (await env.step(tower)).feedback.startswith("Error")
    assert "unexpected keyword argument 'bad'" in (await env.step(bad)).feedback
    assert (await env.step(cancel)).feedback == "ok"
    await env.step(Action("action", "You get 54.04 back."))
    assert (await env.step(Action("finish", ""))).reward == 1.0
    # The next dialogue finds the database as it was.
    again = gym.make(task, Seed(0), **options)
    assert (await again.step(Action("finish", ""))).reward == 0.0
    assert not any(name.partition(".")[0] == "tau_bench" for name in sys.modules)


def test_what_is_no_checkout_is_named(checkout: Path) -> None:
    with pytest.raises(UsageError, match="is no checkout of tau-bench"):
        checkout_domain(checkout, "airline")
    (checkout / "tau_bench/envs/retail/tools/__init__.py").write_text("import nothing_like_this\n")
    with pytest.raises(UsageError, match="no checkout of tau-bench that we know"):
        checkout_domain(checkout / "." / "", "retail")


async def test_all_official_tasks_over_the_real_database(shared: Path) -> None:
    """As counted with the released code: 31 tasks pay who does nothing. Ours pay nobody for it."""
    real = os.environ.get("TAU_BENCH")
    if not real:
        pytest.skip("no checkout of tau-bench is named in TAU_BENCH")
    for split, idle in (("train", 5), ("test", 7 + 19)):
        path = shared / f"data/userrl/gyms/tau_{split}.json"
        if not path.is_file():
            pytest.skip(f"{path} is absent")
        own = read(path)
        for behaviour, script, paid in (
            ("official", "hand-over", idle),
            ("fixed", "hand-over", 0),
            ("fixed", "do-nothing", 0),
            ("official", "expert", len(own)),
            ("fixed", "expert", len(own)),
        ):
            assert await total(own, behaviour, script, real) == paid, (split, behaviour, script)


async def total(own: list[Task], behaviour: str, script: str, real: str) -> float:
    reward = 0.0
    for task in own:
        env = find("tau").make(task, Seed(0), behaviour=behaviour, tau_bench=real)
        agent = gym.scripts[script](task, Seed(0).random())
        for _ in range(40):
            step = await env.step(agent([]))
            reward += step.reward
            if step.done:
                break
    return reward


def test_no_part_of_a_record_is_met_twice_in_it() -> None:
    # A dialogue's copy of a record would give each place its own.
    for split in ("train", "test"):
        for task in tasks(split, 100):
            for table in domain_of(case(task), None).tables.values():
                for record in table.values():
                    parts = list(_parts(record))
                    assert len({id(part) for part in parts}) == len(parts)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:  # pyright: ignore
            yield from _parts(each)


@pytest.mark.parametrize("odd", [(1, [2]), {3}, 1.0, True, None, [{"b": [], "a": 1}]])
def test_a_dialogue_keeps_its_own_copy_of_any_record(odd: Any) -> None:
    base = {"one": {"odd": odd, "list": [{"price": 1}]}}
    table = Table(base)
    assert table["one"] == base["one"]
    assert table.changes() == {}
    table["one"]["list"][0]["price"] = 1.0
    assert table.changes() == {"one": canonical(table["one"])}
    assert base["one"]["list"] == [{"price": 1}]
    table["one"]["list"][0]["price"] = 1
    table["one"]["list"], table["one"]["odd"] = table["one"].pop("list"), table["one"].pop("odd")
    assert table.changes() == {}, "the order of keys is no change"
