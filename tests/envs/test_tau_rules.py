"""The rules of the tau gym: what pays, what ends, what is never said, what no trick gains."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import islice
from statistics import mean
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import Action, Message, Seed, Task, UsageError
from duologue.envs import PERSONAS, Step, check_gym, find
from duologue.envs.tau import TauEnv, TauGymConfig, get_default_config, gym
from duologue.envs.tau._calls import Move, read_call, read_released
from duologue.envs.tau._pay import told, told_as_released
from duologue.envs.tau._scripts import call, say
from duologue.envs.tau._tasks import Case, case
from duologue.envs.tau._voices import STOP

pytestmark = pytest.mark.anyio

TEST = list(islice(gym.tasks("test", Seed(3)), 300))


def some(*kinds: str) -> Task:
    """A task whose wishes are of these kinds."""
    return next(t for t in TEST if tuple(goal.kind for goal in case(t).goals) == kinds)


CANCEL = some("cancel")
DONE = say("That is done. Is there anything else?")


async def play(task: Task, script: str, seed: int = 0, **options: Any) -> list[Step]:
    """The steps of a dialogue of at most 16 turns."""
    env = gym.make(task, Seed(seed), **options)
    agent = gym.scripts[script](task, Seed(seed).at("script", task.id).random())
    messages = list(env.prompt())
    steps: list[Step] = []
    while len(steps) < gym.max_turns and not (steps and (steps[-1].done or steps[-1].user_ended)):
        action = agent(messages)
        steps.append(await env.step(action))
        messages += [Message("assistant", action.content), Message("tool", steps[-1].feedback)]
    return steps


async def pay(script: str, tasks: Sequence[Task] = TEST, **options: Any) -> float:
    """What a script earns a dialogue."""
    played = [await play(task, script, **options) for task in tasks]
    return mean(sum(step.reward for step in steps) for steps in played)


async def end(task: Task, *actions: Action, **options: Any) -> Step:
    """The last step of a dialogue of these actions."""
    env = gym.make(task, Seed(0), **options)
    env.prompt()
    return [await env.step(action) for action in actions][-1]


def right(task: Task) -> list[Action]:
    return [call(each) for each in case(task).actions]


# ---- what pays


async def test_the_right_database_pays_one_when_the_customer_is_done() -> None:
    step = await end(CANCEL, *right(CANCEL), DONE)
    assert (step.reward, step.parts, step.done) == (1.0, {"task": 1.0}, True)


async def test_finishing_is_judged_like_the_customers_goodbye() -> None:
    assert (await end(CANCEL, *right(CANCEL), Action("finish", ""))).reward == 1.0
    assert (await end(CANCEL, Action("finish", ""))).reward == 0.0
    released = await end(CANCEL, *right(CANCEL), Action("finish", ""), behaviour="official")
    assert (released.reward, released.done) == (0.0, True)


async def test_what_is_not_wanted_as_well_pays_nothing() -> None:
    found = case(CANCEL)
    other = call(found.actions[0])
    wrong = json.loads(other.content)
    if found.domain == "retail":
        reasons = {"no longer needed", "ordered by mistake"} - {wrong["arguments"]["reason"]}
        wrong["arguments"]["reason"] = reasons.pop()
    else:
        wrong["name"] = "add_bags"
        booking = found.actions[0].kwargs["booking_id"]
        env = gym.make(CANCEL, Seed(0))
        seen = json.loads((await env.step(_tool("get_booking", booking_id=booking))).feedback)
        wrong["arguments"] = {"bags": 1, "booking_id": booking, "payment_id": seen["payment_id"]}
    extra = Action("answer", json.dumps(wrong))
    for plan in ([extra, DONE], [extra, other, DONE]):
        assert (await end(CANCEL, *plan)).reward == 0.0


def _tool(name: str, **arguments: object) -> Action:
    return Action("answer", json.dumps({"name": name, "arguments": arguments}))


async def test_a_sum_that_was_asked_for_has_to_be_said() -> None:
    task = some("price")
    (output,) = case(task).outputs
    assert (await end(task, say(f"It is {output} in all."))).reward == 1.0
    assert (await end(task, say("It is 3.14 in all."))).reward == 0.0
    assert (await end(task, Action("finish", ""))).reward == 0.0


@pytest.mark.parametrize(
    ("line", "fixed", "released"),
    [
        ("It is 84.5.", True, True),
        ("It is $84.50!", True, True),
        ("It is 1,084.5.", False, True),
        ("It is 184.51.", False, True),
        ("It is 84.", False, False),
        ("23.5 and 61, 84.5 together.", True, True),
        ("1 2 3 4 5 84.5", False, True),
        ("\u0668\u0664.5", True, False),
        ("x" * 5000 + " 84.5", False, True),
    ],
)
def test_a_number_counts_as_a_number_and_not_among_many(
    line: str, fixed: bool, released: bool
) -> None:
    assert told("84.5", [line], 1) is fixed
    assert told_as_released("84.5", [line]) is released


def test_words_count_as_whole_words() -> None:
    assert told("Gold", ["You have GOLD status."], 1)
    assert not told("Gold", ["Golden rules."], 1)
    assert told_as_released("Gold", ["Golden rules."])


async def test_where_nothing_should_happen_who_did_not_look_earns_nothing() -> None:
    task = next(
        t for t in TEST if [g.kind for g in case(t).goals] == ["late"] and not case(t).outputs
    )
    refuse = say("I am sorry, that is not possible. Anything else?")
    looks = [call(each) for each in case(task).goals[0].looks]
    assert (await end(task, refuse)).reward == 0.0
    assert (await end(task, *looks, refuse)).reward == 1.0
    assert (await end(task, *looks, Action("finish", ""))).reward == 0.0
    assert (await end(task, refuse, behaviour="official")).reward == 1.0


async def test_handing_over_pays_where_it_should_be_and_ends_it() -> None:
    task = some("beyond")
    handed = right(task)
    looks = [call(each) for each in case(task).goals[0].looks]
    assert (await end(task, *looks, say("One moment."), *handed)).reward == 1.0
    assert (await end(task, *handed)).reward == 0.0
    assert (await end(task, *handed, behaviour="official")).reward == 1.0
    step = await end(CANCEL, *right(CANCEL), *handed)
    assert (step.reward, step.done) == (0.0, True)
    assert (await end(CANCEL, *right(CANCEL), *handed, behaviour="official")).reward == 1.0


# ---- tools and calls


CALLS = {
    '{"name": "get_order", "arguments": {"order_id": "#R1"}}': True,
    '```json\n{"name": "get_order", "arguments": {"order_id": "#R1"}}\n```': False,
    "{'name': 'get_order', 'arguments': {'order_id': '#R1'}}": False,
    'get_order: {"order_id": "#R1"}': True,
    'get_order({"order_id": "#R1"})': False,
    "get_order {'order_id': '#R1'}": False,
}


@pytest.mark.parametrize("content", CALLS)
def test_a_call_is_read_in_any_of_its_ways(content: str) -> None:
    made = Move("get_order", {"order_id": "#R1"})
    assert read_call(content) == made
    assert (read_released(f"[answer] {content}") == made) is CALLS[content]


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("[finish] now", Move("finish")),
        (" [search] help", Move("search_help", {"query": "help"})),
        ("[search] Tools", Move("search_tools", {"query": "Tools"})),
        ("[action]hi: you", Move("respond", {"content": "hi: you"})),
        ('[answer] {"arguments": {"a": 1}}', Move("", {"a": 1})),
        ('[answer] {"name": "x", "arguments": [1]}', Move("invalid_action", {"content": '{"name": "x", "arguments": [1]}'})),
        ('[answer] {"name": 5}', Move("invalid_action", {"content": '{"name": 5}'})),
        ("[answer] x: [1]", Move("invalid_action", {"content": "x: [1]"})),
        ("[answer]", Move("invalid_action", {"content": ""})),
        ('[answer] : {"a": null}', Move("", {"a": None})),
        ("hi", Move("invalid_action", {"content": "hi"})),
    ],
)  # fmt: skip
def test_an_input_is_read_as_the_released_code_reads_it(text: str, move: Move) -> None:
    assert read_released(text) == move


@pytest.mark.parametrize(
    "content",
    [
        "",
        "get_order",
        "{}",
        '{"name": 3}',
        '{"name": "x", "arguments": []}',
        "[1]",
        "{" * 3000,
        "{'a': " * 2000,
        '{"name": "x", "arguments": {"a": "' + "y" * 9000 + '"}}',
        "{'name': 'x', 'arguments': {'a': {1, 2}}}",
        "{'name': 'x', 'arguments': {'a': b'b'}}",
        "x: {",
        "a" + " " * 7900 + "b",
    ],
)
def test_what_is_no_call_is_none(content: str) -> None:
    assert read_call(content) is None


async def test_the_policy_and_the_typed_tools_are_shown_and_not_as_released() -> None:
    system, opening = gym.make(CANCEL, Seed(0)).prompt()
    assert "# Policy" in system.content and "Say no to what these rules forbid" in system.content
    assert opening.content == case(CANCEL).opening
    (only,) = gym.make(CANCEL, Seed(0), instructions=False, policy=False).prompt()
    assert only.role == "user"
    policy, _ = gym.make(CANCEL, Seed(0), instructions=False).prompt()
    assert policy.content.startswith("# Policy")
    released = gym.make(CANCEL, Seed(0), behaviour="official").prompt()
    assert "# Policy" not in released[0].content
    env = gym.make(CANCEL, Seed(0))
    tools = Action("search", "tools")
    for _ in range(2):
        assert "(string)" in (await env.step(tools)).feedback
    assert "Say no to" in (await env.step(Action("search", "policy"))).feedback
    assert "`search`" in (await env.step(Action("search", "?"))).feedback
    old = gym.make(CANCEL, Seed(0), behaviour="official")
    assert "(string)" not in (await old.step(tools)).feedback
    assert "above" in (await old.step(tools)).feedback


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("nope", {}, "Unknown action nope"),
        ("calculate", {}, "Error: expression missing"),
        ("calculate", {"expression": 3}, "Error: expression is to be of type string"),
        ("calculate", {"expression": "1", "x": 2}, "Error: calculate has no argument 'x'"),
        ("calculate", {"expression": "(84.5 + 0.25) * 2"}, "169.5"),
        ("calculate", {"expression": "1/0"}, "Error:"),
        ("calculate", {"expression": "9**9**9**9"}, "Error:"),
        ("calculate", {"expression": "__import__"}, "Error: invalid characters"),
        ("get_customer", {"customer_id": "c0"}, "Error: customer not found"),
        ("find_customer", {"email": "nobody@mail.example"}, "Error: there is no customer"),
    ],
)
async def test_a_tool_says_what_is_wrong(name: str, arguments: dict[str, Any], answer: str) -> None:
    for behaviour in ("fixed", "official"):
        step = await end(CANCEL, _tool(name, **arguments), behaviour=behaviour)
        assert step.feedback.startswith(answer) and not step.done


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": "#R0"},
        {"item_ids": []},
        {"item_ids": ["i0"]},
        {"new_item_ids": ["i0"]},
        {"new_item_ids": []},
        {"item_ids": "twice"},
        {"payment_id": "card_0"},
        {"item_ids": [3]},
    ],
)
async def test_an_exchange_that_cannot_be_changes_nothing(changes: dict[str, Any]) -> None:
    task = some("exchange")
    (wanted,) = case(task).actions
    if changes.get("item_ids") == "twice":
        changes = {key: wanted.kwargs[key] * 2 for key in ("item_ids", "new_item_ids")}
    refused = await end(task, _tool(wanted.name, **{**wanted.kwargs, **changes}))
    assert refused.feedback.startswith("Error")
    step = await end(task, _tool(wanted.name, **{**wanted.kwargs, **changes}), *right(task), DONE)
    assert step.reward == 1.0


async def test_what_is_no_move_gets_advice_and_costs_a_turn_only() -> None:
    for action in (Action("", "x"), Action("Action", "x"), Action("answer", "get_order")):
        step = await end(CANCEL, action)
        assert (step.reward, step.done) == (0.0, False) and "`answer`" in step.feedback


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="behaviour is 'x'"):
        gym.make(CANCEL, Seed(0), behaviour="x")
    with pytest.raises(UsageError, match="no persona 'x'"):
        gym.make(CANCEL, Seed(0), persona="x")
    data = {"domain": "retail", "user_id": "u", "opening": "Hi", "instruction": "You are Ida."}
    with pytest.raises(UsageError, match="name a checkout"):
        gym.make(Task(env="tau", id="retail-000", data=data), Seed(0))


# ---- scripts


async def test_the_expert_earns_all_and_nobody_who_knows_nothing_does() -> None:
    assert await pay("expert") == 1.0
    assert await pay("expert", behaviour="official") == 1.0
    assert 0.25 <= await pay("imperfect") <= 0.75
    for behaviour in ("fixed", "official"):
        assert await pay("random", behaviour=behaviour) <= 0.02
        assert await pay("silent", behaviour=behaviour) == 0.0


@pytest.mark.parametrize(
    ("exploit", "without", "gain"),
    [
        ("do-nothing", "silent", 0.05),
        ("hand-over", "silent", 0.05),
        ("inject", "silent", 0.05),
        ("list-sums", "one-sum", 0.03),
    ],
)
async def test_an_exploit_gains_as_released_only(exploit: str, without: str, gain: float) -> None:
    assert await pay(exploit) - await pay(without) <= 0.02
    released = await pay(exploit, behaviour="official") - await pay(without, behaviour="official")
    assert released >= gain


# ---- promises


async def test_the_conformance_kit_finds_nothing() -> None:
    report = await check_gym(find("tau"), seed=Seed(1), company=300)
    assert {check.name: check.detail for check in report.checks if check.status != "passed"} == {}


async def test_official_behaviour_shows_hidden_state_and_breaks_no_other_promise() -> None:
    report = await check_gym(gym, seed=Seed(1), company=50, options={"behaviour": "official"})
    assert [check.name for check in report.checks if check.status == "failed"] == ["hidden state"]


# DUOLOGUE_TAU_MESSAGES=20000 for a long run (with --timeout 900).
EXAMPLES = int(os.environ.get("DUOLOGUE_TAU_MESSAGES", "0")) // 4 or 60

pieces = st.sampled_from(
    [
        *(json.dumps(each.kwargs) for task in TEST[:20] for each in case(task).actions),
        *("get_order", "cancel_booking", "return_items", "calculate", "transfer_to_human"),
        *('{"name": "', '", "arguments": ', "}", ": ", "```json", "\0", "\ud800", "a" * 3000),
        *("not", "done", "yes/no", "shall i", "84.5", STOP, "[answer]", "{'a': " * 40, "(" * 300),
    ]
)
actions = st.builds(
    Action,
    st.sampled_from(["action", "action", "answer", "answer", "finish", "search", "", "Action"]),
    st.one_of(
        st.text(),
        st.lists(pieces, max_size=6).map(" ".join),
        st.lists(pieces, max_size=6).map("".join),
        st.text(st.characters(), min_size=1, max_size=3).map(lambda text: text * 20_000),
    ),
)


@given(st.integers(0, 299), st.lists(actions, min_size=4, max_size=4), st.booleans())
@settings(max_examples=EXAMPLES)
async def test_any_messages_get_bounded_answers_the_same_twice(
    index: int, moves: list[Action], official: bool
) -> None:
    options = {"behaviour": "official"} if official else {"persona": "any"}
    runs: list[list[Step]] = []
    for _ in range(2):
        env = gym.make(TEST[index], Seed(index), **options)
        steps: list[Step] = []
        for move in moves:
            began = process_time()
            steps.append(await env.step(move))
            assert process_time() - began < 0.05
        runs.append(steps)
    assert runs[0] == runs[1]
    assert all(step.reward in (0.0, 1.0) and len(step.feedback) < 5000 for step in runs[0])


# ---- personas


@pytest.mark.parametrize("persona", [*PERSONAS, "any"])
async def test_the_expert_serves_every_persona(persona: str) -> None:
    assert await pay("expert", TEST[:40], persona=persona) >= 0.95


# ---- the official API


def test_the_official_class_has_the_official_settings() -> None:
    config = get_default_config()
    assert (config.max_steps, config.task_category, config.task_split) == (30, "retail", "test")
    assert (config.data_mode, config.normalize_rewards) == ("single", False)
    with pytest.raises(UsageError, match="task_category is 'telecom'"):
        TauGymConfig(task_category="telecom").validate()


@pytest.mark.parametrize("behaviour", ["fixed", "official"])
def test_an_episode_through_the_official_class(behaviour: str) -> None:
    env = TauEnv(TauGymConfig(behaviour=behaviour))
    observation, info = env.reset(seed=1, options={"task": CANCEL})
    found: Case = case(CANCEL)
    assert found.opening in observation["feedback"]
    assert ("task" in info) == ("instruction" in observation) == (behaviour == "official")
    for action in right(CANCEL):
        _, reward, terminated, truncated, _ = env.step(f"[answer] {action.content}")
        assert (reward, terminated, truncated) == (0.0, False, False)
    observation, reward, terminated, _, _ = env.step("[action] That is done. Anything else?")
    assert (reward, terminated) == (1.0, True)
    assert (STOP in observation["feedback"]) == (behaviour == "official")
    with pytest.raises(ValueError, match="Episode is complete"):
        env.step("[action] x")


def test_there_is_no_penalty_as_released_and_one_of_ours() -> None:
    for behaviour, expected in (("official", 0.0), ("fixed", -0.1)):
        env = TauEnv(TauGymConfig(behaviour=behaviour, step_penalty=0.1))
        env.reset(options={"task": CANCEL})
        assert env.step("[search] tools")[1] == pytest.approx(expected)


def test_the_last_step_may_be_both_ends_as_released() -> None:
    env = TauEnv(TauGymConfig(behaviour="official", max_steps=1))
    env.reset(options={"task": CANCEL})
    assert env.step("[finish]")[1:4] == (0.0, True, True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[Action] hi", "Begin with"),
        ("hi", "Begin with"),
        ("  [search]help", "Choose `search`"),
        ("[answer] xx", "That is no call"),
        ('[answer] {"name": "respond", "arguments": {"content": "One moment."}}', ""),
        ('[answer] {"name": "respond", "arguments": {"content": 5}}', "That is no call"),
        ('[answer] {"name": "search_help", "arguments": {}}', "Unknown action search_help"),
        ('[answer] {"name": "finish"}', "Unknown action finish"),
        ('[answer] {"arguments": {}}', "Unknown action"),
    ],
)
def test_what_the_released_code_says_to_odd_inputs(text: str, answer: str) -> None:
    env = TauEnv(TauGymConfig(behaviour="official"))
    env.reset(options={"task": CANCEL})
    observation, reward, terminated, truncated, _ = env.step(text)
    assert observation["feedback"].startswith(answer)
    assert (reward, terminated, truncated) == (0.0, False, False)
