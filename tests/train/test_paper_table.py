"""The paper's table, against slow readings of what its words say."""

from __future__ import annotations

from itertools import combinations, islice
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import RolloutConfig, Seed, open_rollouts
from duologue.envs import find, make_dialogues, scripted_agent
from duologue.train import Evaluation, Measured
from duologue.train._bootstrap import interval, weighted_interval
from duologue.train._paper_metrics import Answer, Item, official_comparison, travel_score
from duologue.train._paper_table import (
    agent_score,
    gym_score,
    paper_table,
    pass_hat_k,
    published_scores,
)
from duologue.train._published import GYMS, PUBLISHED, TEST_SIZES

SEED = Seed(0) / "paper"

REWARDS = st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=1, max_size=6)


def dialogue(task: str, rewards: list[float]) -> Measured:
    return Measured(task, sum(rewards), 2.0, tuple(rewards))


SOME = st.lists(st.builds(dialogue, st.sampled_from("abcd"), REWARDS), min_size=1, max_size=12)


def evaluation(measured: dict[str, list[Measured]]) -> Evaluation:
    return Evaluation(agent="x", rewards={}, turns=0.0, ends={}, measured=measured)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def by_task(dialogues: list[Measured]) -> dict[str, list[float]]:
    tasks = sorted({dialogue.task for dialogue in dialogues})
    return {name: [d.score for d in dialogues if d.task == name] for name in tasks}


def test_published_averages_are_the_papers() -> None:
    """Every row of Table 3 comes out of its columns and Table 2's sizes, as printed."""
    assert sum(TEST_SIZES.values()) == 1010 and set(TEST_SIZES) == set(GYMS)
    assert len({row.model for row in PUBLISHED}) == 15
    for row, found in zip(PUBLISHED, published_scores(GYMS), strict=True):
        assert found.micro == pytest.approx(row.average, abs=1e-4), row.model
        assert found.effective_turns == row.effective_turns


def test_of_some_gyms_only_what_is_published_of_them_is_shown() -> None:
    found = published_scores(["turtle", "function"])[0]
    assert found.gyms == {"turtle": 0.1854, "function": 0.4231}
    assert found.micro == pytest.approx((48 * 0.1854 + 78 * 0.4231) / 126)
    assert found.macro == pytest.approx((0.1854 + 0.4231) / 2)
    assert found.effective_turns is None and found.time_weighted is None


@given(SOME)
def test_a_gyms_row_is_what_its_words_say(dialogues: list[Measured]) -> None:
    found = gym_score("intention", dialogues, seed=SEED, failed=3)
    tasks = by_task(dialogues).items()
    assert found.score.mean == pytest.approx(mean([mean(values) for _, values in tasks]))
    assert found.share.mean == pytest.approx(found.score.mean / 2)
    last: dict[str, list[float]] = {}
    timely: dict[str, list[float]] = {}
    early: dict[str, list[float]] = {}
    for dialogue in dialogues:
        turns = [number for number, r in enumerate(dialogue.rewards, 1) if r != 0.0]
        last.setdefault(dialogue.task, []).append(float(turns[-1]) if turns else 0.0)
        weighted = [r / (number + 1) for number, r in enumerate(dialogue.rewards, 1)]
        timely.setdefault(dialogue.task, []).append(sum(weighted))
        earlier = [r / (number + 1) for number, r in enumerate(dialogue.rewards)]
        early.setdefault(dialogue.task, []).append(sum(earlier))
    assert found.effective_turns.mean == pytest.approx(mean([mean(v) for v in last.values()]))
    assert found.time_weighted.mean == pytest.approx(mean([mean(v) for v in timely.values()]))
    assert found.time_weighted_0 == pytest.approx(mean([mean(v) for v in early.values()]))
    assert found.score.n == len(dialogues) and found.uncounted == 3
    solved = {
        task: [float(d.score >= 2.0 - 1e-9) for d in dialogues if d.task == task]
        for task in {d.task for d in dialogues}
    }
    assert found.pass_k == pytest.approx(pass_hat_k(solved))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=5))
def test_pass_k_is_the_share_of_all_choices_of_k_that_are_all_solved(
    outcomes: list[list[bool]],
) -> None:
    solved = {str(task): [float(each) for each in of] for task, of in enumerate(outcomes)}
    found = pass_hat_k(solved)
    for k, chance in enumerate(found, 1):
        enough = [of for of in outcomes if len(of) >= k]
        assert 2 * len(enough) >= len(outcomes)
        shares = [mean([float(all(some)) for some in combinations(of, k)]) for of in enough]
        assert chance == pytest.approx(mean(shares))
    enough = [of for of in outcomes if len(of) > len(found)]
    assert 2 * len(enough) < len(outcomes)


@given(
    st.dictionaries(st.sampled_from(["turtle", "function", "tau"]), SOME, min_size=1), st.randoms()
)
def test_averages_agree_with_the_released_analysis(
    gyms: dict[str, list[Measured]], rng: Random
) -> None:
    """`analyze.py` weighs by numbers of items; given as many as the paper has, it says the same."""
    items = {
        gym: {task: Item(rewards=[d.rewards for d in dialogues if d.task == task])
              for task in by_task(dialogues)}
        for gym, dialogues in gyms.items()
    }  # fmt: skip
    travel = {"t": Item(history=[[Answer("answer", "F1", 1.0)]])}
    released = official_comparison({"x": {**items, "travel22": travel}}).per_gym["x"]
    for dialogues in gyms.values():
        rng.shuffle(dialogues)
    found = agent_score(evaluation(gyms), seed=SEED)
    assert found.micro is not None and found.macro is not None
    for score in found.gyms:
        assert score.score.mean == pytest.approx(released[score.gym])
    total = sum(TEST_SIZES[gym] for gym in gyms)
    slow = sum(TEST_SIZES[gym] * released[gym] for gym in gyms) / total
    assert found.micro.mean == pytest.approx(slow)
    assert found.macro.mean == pytest.approx(mean([released[gym] for gym in gyms]))
    assert found.micro.low - 1e-9 <= found.micro.mean <= found.micro.high + 1e-9


def test_a_weighted_interval_resamples_within_groups() -> None:
    rng = Random(0)
    groups = {
        name: {str(task): [rng.random()] for task in range(size)}
        for name, size in (("a", 7), ("b", 3))
    }
    weights = {"a": 1.0, "b": 3.0}
    found = weighted_interval(groups, weights, seed=SEED, n=50)
    slow = np.zeros(50)
    for name, tasks in groups.items():
        values = [tasks[task][0] for task in sorted(tasks)]
        drawn = np.random.default_rng((SEED / name).integer()).integers(
            len(values), size=(50, len(values))
        )
        for row in range(50):
            slow[row] += weights[name] / 4 * mean([values[at] for at in drawn[row]])
    assert found.mean == pytest.approx(
        sum(weights[name] / 4 * mean([v for (v,) in groups[name].values()]) for name in groups)
    )
    assert [found.low, found.high] == pytest.approx(list(np.quantile(slow, [0.025, 0.975])))
    assert (found.n, found.tasks) == (10, 10)
    alone = weighted_interval({"a": groups["a"]}, weights, seed=SEED)
    assert alone.mean == pytest.approx(interval(groups["a"], seed=SEED).mean)
    with pytest.raises(ValueError, match="no weight"):
        weighted_interval({}, weights, seed=SEED)
    with pytest.raises(ValueError, match="level=2"):
        weighted_interval(groups, weights, seed=SEED, level=2)


def test_gyms_of_others_have_rows_and_are_in_no_average() -> None:
    own = [Measured("a", 0.5, 1.0, (0.5,))]
    table = paper_table([evaluation({"waiter": own, "function": own})], seed=SEED)
    (agent,) = table.agents
    assert [score.gym for score in agent.gyms] == ["function", "waiter"]
    assert agent.micro is not None and agent.micro.n == 1
    assert list(table.published[0].gyms) == ["function"] and len(table.missing) == 7
    alone = paper_table([evaluation({"waiter": own})], seed=SEED)
    assert alone.published == () and alone.agents[0].micro is None and alone.missing == ()


@pytest.mark.anyio
@pytest.mark.parametrize("behaviour", ["fixed", "official"])
async def test_a_trip_is_worth_what_the_released_analysis_says(behaviour: str) -> None:
    gym = find("travel")
    tasks = list(islice(gym.tasks("test", Seed(5)), 24))
    worth: list[float] = []
    for script in ("imperfect", "any-option", "expert"):
        make = make_dialogues(gym, scripted_agent(gym, script), options={"behaviour": behaviour})
        async with open_rollouts(tasks, make, seed=Seed(1), config=RolloutConfig()) as rollouts:
            async for group in rollouts:
                (trajectory,) = group.trajectories
                history = [
                    Answer(turn.actions[0].choice, turn.actions[0].content, turn.reward)
                    for turn in trajectory.turns
                    if turn.actions
                ]
                found, best = gym.score(group.task, trajectory)
                shape = "travel" + "2" * len(group.task.data["dimensions"])
                assert found == pytest.approx(travel_score(shape, history)) and best == 1.0
                worth.append(found)
    assert 0.0 < mean(worth) < 1.0 and len(set(worth)) > 3


def test_what_a_wish_is_worth_at_most_is_a_question_for_each_detail() -> None:
    gym = find("function+intention")
    pay = {"1": 0.4, "2": 0.7, "3": 1.0}
    for task in islice(gym.tasks("test", Seed(0)), 20):
        part = gym.parts[task.env]
        if part.best is None:
            assert task.env == "function"
            continue
        wanted = sum(pay[detail["importance"]] for detail in task.data["missing_details"])
        assert part.best(task) == pytest.approx(wanted)
