"""Faults on plan: the same ones whatever runs beside them, and each comes to what its row says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
import trio
from chatter import TURN_S, TURNS, Talks, talk, tasks
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from duologue.engine import (
    Dialogue,
    End,
    EnvError,
    Key,
    RolloutConfig,
    Seed,
    Task,
    Trajectory,
    UsageError,
    converse,
    open_lateness,
    open_rollouts,
)
from duologue.engine.faults import (
    ENGINE_KINDS,
    GOES_ON,
    Fault,
    FaultLedger,
    FaultPlan,
    Faults,
    FaultyDialogues,
    Injection,
    Kind,
    Site,
    Where,
    attempt_at,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

KINDS = {kind.name: kind for kind in ENGINE_KINDS}
ROUND_S = TURN_S * TURNS + TURN_S / 2
"""How long a dialogue takes that nothing strikes."""


def run(virtual_time: VirtualTime, *faults: Fault, **options: Any) -> Talks:
    return virtual_time(lambda: talk(*faults, **options))  # type: ignore[no-any-return]


def only(talks: Talks) -> Trajectory:
    (trajectory,) = talks.trajectories
    return trajectory


# ---------------------------------------------------------------- what each kind comes to


def test_a_dropped_message_is_waited_for_until_the_deadline(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, Fault(kind="drop", at=4))
    one = only(talks)
    assert (one.end, len(one.turns)) == (End.TIMEOUT, 1)
    assert talks.seconds == pytest.approx(60.0)
    assert [injection.number for injection in talks.trace] == [4]


def test_a_delayed_message_costs_only_the_delay(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, Fault(kind="delay", at=(1, 4), for_s=5.0))
    assert only(talks).end is End.DONE
    assert talks.seconds == pytest.approx(ROUND_S + 10.0)


@pytest.mark.parametrize(("number", "end"), [(2, End.MODEL_ERROR), (3, End.ENV_ERROR)])
def test_a_message_past_the_bound_is_its_senders_error(
    virtual_time: VirtualTime, number: int, end: End
) -> None:
    config = RolloutConfig(attempts=1, dialogue_chars=2**20 - 1)
    talks = run(virtual_time, Fault(kind="oversize", at=number, mib=1), config=config)
    assert only(talks).end is end
    assert "dialogue_chars" in only(talks).detail


def test_a_large_message_within_the_bound_is_said(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, Fault(kind="oversize", at=2, mib=1))
    assert only(talks).end is End.DONE
    assert len(only(talks).turns[0].text) == 2**20 + len("turn 1")


@pytest.mark.parametrize("kind", ["raise_before", "raise_after", "memory"])
@pytest.mark.parametrize(
    ("party", "end"), [("agent", End.MODEL_ERROR), ("environment", End.ENV_ERROR)]
)
def test_a_party_that_fails_once_is_given_another_dialogue(
    virtual_time: VirtualTime, kind: str, party: str, end: End
) -> None:
    where = Where(party=party, attempt=0)
    talks = run(virtual_time, Fault(kind=kind, at=2, mib=2, where=where))
    one = only(talks)
    assert (one.end, one.discarded) == (End.DONE, (end,))
    assert one.reward == 0.5 * TURNS
    # Nothing is done twice: the second attempt has an environment of its own.
    first, second = (listener.heard for _, listener in talks.made)
    assert second == ["turn 1", "turn 2", "turn 3"]
    assert len(first) == (1 if (kind, party) == ("raise_after", "environment") else len(first))
    assert all(first.count(text) == 1 for text in first)


def test_a_party_that_always_fails_ends_the_dialogue_after_its_attempts(
    virtual_time: VirtualTime,
) -> None:
    fault = Fault(kind="restart_loop", where=Where(party="environment"))
    talks = run(virtual_time, fault, config=RolloutConfig(attempts=4))
    one = only(talks)
    assert (one.end, one.discarded) == (End.ENV_ERROR, (End.ENV_ERROR,) * 3)
    assert "failed before the work began" in one.detail


def test_a_restart_loop_strikes_a_dialogue_in_every_attempt_or_in_none(
    virtual_time: VirtualTime,
) -> None:
    fault = Fault(kind="restart_loop", rate=0.5, where=Where(party="agent"))
    talks = run(virtual_time, fault, number=40, config=RolloutConfig(retry_budget=9.0))
    tries = {len(t.discarded) + 1 for t in talks.trajectories if t.end is End.MODEL_ERROR}
    assert tries == {3}
    spared = [t for t in talks.trajectories if t.end is End.DONE]
    assert 10 < len(spared) < 30 and not any(t.discarded for t in spared)


def test_a_party_that_hangs_is_released_by_the_deadline(virtual_time: VirtualTime) -> None:
    fault = Fault(kind="hang", at=2, where=Where(party="agent", task="t1"))
    talks = run(virtual_time, fault, number=3)
    assert [t.end for t in talks.trajectories] == [End.DONE, End.TIMEOUT, End.DONE]


def test_a_party_that_hangs_for_a_while_goes_on(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, Fault(kind="hang", at=1, for_s=7.0, where=Where(party="agent")))
    assert only(talks).end is End.DONE
    assert talks.seconds == pytest.approx(ROUND_S + 7.0)


@pytest.mark.anyio
async def test_a_party_that_computes_makes_everybody_late_and_fails_nobody() -> None:
    fault = Fault(kind="busy", at=2, for_s=0.3, where=Where(party="agent", task="t0"))
    async with open_lateness(every_s=0.01) as lateness:
        talks = await talk(fault, number=2)
    assert [t.end for t in talks.trajectories] == [End.DONE, End.DONE]
    assert lateness.worst_s > 0.2


def test_a_leap_of_the_clock_ends_the_dialogues_whose_deadline_it_leapt_over() -> None:
    clock = MockClock(autojump_threshold=0)
    fault = Fault(kind="clock_jump", at=2, for_s=3600.0, where=Where(party="agent", task="t0"))
    config = RolloutConfig(live=2, deadline_s=60.0)

    async def main() -> Talks:
        return await talk(fault, number=4, config=config, jump=clock.jump)

    talks = trio.run(main, clock=clock)
    ends = [t.end for t in talks.trajectories]
    # Two were live when it leapt; the two admitted after that are none the wiser.
    assert ends == [End.TIMEOUT, End.TIMEOUT, End.DONE, End.DONE]


def test_a_reply_in_the_instant_of_the_deadline_ends_the_dialogue_once(
    virtual_time: VirtualTime,
) -> None:
    for party in ("agent", "environment"):
        fault = Fault(kind="expiry", at=2, where=Where(party=party))
        talks = run(virtual_time, fault, number=20)
        assert {t.end for t in talks.trajectories} == {End.TIMEOUT}
        assert talks.seconds == pytest.approx(60.0)


def test_without_a_deadline_nothing_expires(virtual_time: VirtualTime) -> None:
    config = RolloutConfig(deadline_s=float("inf"))
    talks = run(virtual_time, Fault(kind="expiry", where=Where(party="agent")), config=config)
    assert only(talks).end is End.DONE


def test_a_dialogue_with_no_time_at_all_is_a_timeout(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        talks = Talks()
        dialogue = talks.make(Task(env="talk", id="t"), Key(0, 0), Seed(0))
        outcome = await converse(dialogue, deadline_s=0.0)
        assert (outcome.end, outcome.turns) == (End.TIMEOUT, [])
        assert talks.made[0][0].closed == 1

    virtual_time(main)


def test_a_storm_of_failures_in_one_instant_is_no_longer_than_its_dialogues(
    virtual_time: VirtualTime,
) -> None:
    """Each of a thousand dialogues fails in each attempt, all at the same time."""
    fault = Fault(kind="raise_before", at=2, where=Where(party="environment"))
    config = RolloutConfig(live=1000, attempts=2, retry_budget=1.0)
    talks = run(virtual_time, fault, number=1000, config=config)
    assert talks.stats.ends == {End.ENV_ERROR: 1000}
    assert talks.seconds == pytest.approx(2 * TURN_S)


# ---------------------------------------------------------------- whom they strike


MIXED = (
    Fault(kind="drop", rate=0.02),
    Fault(kind="delay", rate=0.1, for_s=3.0),
    Fault(kind="raise_before", rate=0.05),
    Fault(kind="raise_after", rate=0.05),
    Fault(kind="hang", rate=0.02),
)


def injections(talks: Talks) -> list[Injection]:
    return sorted(
        talks.trace, key=lambda i: (i.group, i.sample, i.attempt, i.number, i.site, i.kind)
    )


def test_the_same_plan_strikes_the_same_whatever_the_interleaving(
    virtual_time: VirtualTime,
) -> None:
    crowd = RolloutConfig(samples=2, live=200, deadline_s=60.0, retry_budget=9.0)
    alone = RolloutConfig(samples=2, live=1, deadline_s=60.0, retry_budget=9.0)
    one, other = (run(virtual_time, *MIXED, number=30, config=c) for c in (crowd, alone))
    assert injections(one) == injections(other)
    assert one.trajectories == other.trajectories
    assert len({i.kind for i in one.trace}) == len(MIXED)


def test_another_seed_of_the_plan_strikes_others(virtual_time: VirtualTime) -> None:
    one, other = (run(virtual_time, *MIXED, number=30, plan_seed=seed) for seed in (0, 1))
    assert injections(one) != injections(other)


def test_a_plan_without_faults_changes_nothing(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, number=5)
    assert {t.end for t in talks.trajectories} == {End.DONE}
    assert talks.report is not None and talks.report.struck == talks.report.injected == 0
    assert talks.report.dialogues == 5


def test_a_fault_strikes_only_whom_its_selectors_name(virtual_time: VirtualTime) -> None:
    where = Where(task="t[12]", sample=(1, 2), attempt=0, env="ta*", phase="rollout")
    fault = Fault(kind="raise_before", at=1, where=where)
    talks = run(virtual_time, fault, number=4, config=RolloutConfig(samples=3))
    struck = {(i.group, i.sample) for i in talks.trace}
    assert struck == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert {i.phase for i in talks.trace} == {"rollout"}
    spared = run(virtual_time, Fault(kind="drop", where=Where(env="other")))
    assert only(spared).end is End.DONE


@given(rate=st.sampled_from([0.0, 1.0]) | st.floats(0.001, 0.999), seed=st.integers(0, 10))
def test_a_rate_is_the_share_of_opportunities(rate: float, seed: int) -> None:
    faults = Faults(FaultPlan(seed=seed, faults=(Fault(kind="drop", rate=rate),)))
    attempt = attempt_at("p", Task(env="e", id="t"), Key(0, 0), Seed(0))
    n = 2000
    struck = sum(faults.strike(Site.MESSAGE, k, attempt=attempt) is not None for k in range(n))
    # Five standard deviations of a binomial share, and exactly none and all at the ends.
    assert abs(struck / n - rate) <= 5 * (rate * (1 - rate) / n) ** 0.5


def test_of_several_faults_the_first_that_applies_strikes() -> None:
    plan = FaultPlan(faults=(Fault(kind="drop", at=2), Fault(kind="delay")))
    faults = Faults(plan)
    attempt = attempt_at("p", Task(env="e", id="t"), Key(0, 0), Seed(0))
    hits = [faults.strike(Site.MESSAGE, number, attempt=attempt) for number in (1, 2, 3)]
    assert [hit.name for hit in hits if hit is not None] == ["delay", "drop", "delay"]
    assert faults.injected == {"delay": 2, "drop": 1}
    assert attempt.kinds == {"delay", "drop"}


def test_what_belongs_to_no_dialogue_is_counted_as_it_comes() -> None:
    faults = Faults(FaultPlan(faults=(Fault(kind="slow_learner", at=(2, 3)),)))
    hits = [faults.strike_next(Site.CONSUMER) is not None for _ in range(4)]
    assert hits == [False, True, True, False]
    trace: list[Injection] = []
    told = Faults(faults.plan, trace=trace.append)
    while told.injected != faults.injected:
        told.strike_next(Site.CONSUMER)
    assert [(one.kind, one.number, one.phase) for one in trace] == [
        ("slow_learner", 2, ""),
        ("slow_learner", 3, ""),
    ]
    once = Faults(FaultPlan(faults=(Fault(kind="slow_learner", tries=1),)))
    assert once.strike(Site.CONSUMER, 1) is not None
    assert once.strike(Site.CONSUMER, 1, tried=1) is None
    # A selector of dialogues cannot match what is none.
    fault = Fault(kind="slow_learner", where=Where(task="t*"))
    assert Faults(FaultPlan(faults=(fault,))).strike_next(Site.CONSUMER) is None


# ---------------------------------------------------------------- plans


def test_a_plan_survives_being_written_down() -> None:
    plan = FaultPlan(
        seed=3,
        deadline_s=20.0,
        faults=(Fault(kind="drop", at=(1, 2), where=Where(group=4)), Fault(kind="hang", rate=0.02)),
    )
    assert msgspec.json.decode(msgspec.json.encode(plan), type=FaultPlan) == plan
    written = """
        seed = 3
        deadline_s = 20.0
        faults = [
            {kind = "drop", at = [1, 2], where = {group = 4}}, {kind = "hang", rate = 0.02},
        ]
    """
    assert msgspec.toml.decode(written, type=FaultPlan) == plan


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 1.5}, "rate is 1.5; it is a share"),
        ({"at": 0}, "opportunities are counted from 1"),
        ({"for_s": -1.0}, "for_s is -1.0"),
        ({"mib": 0}, "mib is 0"),
        ({"tries": -1}, "tries is -1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(kind="drop", **settings)
    with pytest.raises(ValueError, match="deadline_s is -1"):
        FaultPlan(deadline_s=-1.0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dorp", "did you mean 'drop'"),
        ("zzz", "there are: busy, clock_jump"),
        ("unknown_tag", "strikes a link, and nothing of that sort is wrapped here"),
        ("clock_jump", "needs a virtual clock"),
    ],
)
def test_a_kind_that_cannot_strike_here_is_refused(kind: str, words: str) -> None:
    plan = FaultPlan(faults=(Fault(kind=kind),))
    with pytest.raises(UsageError, match=words):
        Faults(plan, sites=(Site.PARTY, Site.MESSAGE))


def test_every_kind_says_what_comes_of_it() -> None:
    assert len(KINDS) == len(ENGINE_KINDS)
    for kind in ENGINE_KINDS:
        assert kind.what and kind.expected and kind.sites
        reaches_dialogues = {Site.MESSAGE, Site.PARTY}.intersection(kind.sites)
        assert bool(kind.ends) == bool(reaches_dialogues)


# ---------------------------------------------------------------- the ledger


def test_the_ledger_says_what_became_of_whom_was_struck(virtual_time: VirtualTime) -> None:
    talks = run(virtual_time, *MIXED, number=200, config=RolloutConfig(live=200, deadline_s=60.0))
    report = talks.report
    assert report is not None
    assert report.injected == len(talks.trace) == sum(t.injected for t in report.tallies)
    assert report.struck == len({(i.group, i.sample) for i in talks.trace})
    assert report.dialogues == 200 and report.surprises == 0
    by_kind = {tally.kind: tally for tally in report.tallies}
    assert list(by_kind) == [fault.kind for fault in MIXED]
    for kind, tally in by_kind.items():
        assert tally.dialogues == len({(i.group, i.sample) for i in talks.trace if i.kind == kind})
        assert sum(tally.ends.values()) == tally.dialogues
        assert tally.recovered == sum(n for end, n in tally.ends.items() if end in GOES_ON)
        assert tally.expected == KINDS[kind].expected
    assert by_kind["raise_before"].recovered > 0 == by_kind["hang"].recovered


def test_an_end_that_no_fault_explains_is_a_surprise(virtual_time: VirtualTime) -> None:
    harmless = Kind(
        name="harmless", sites=(Site.MESSAGE,), what="?", expected="?", ends=frozenset({End.DONE})
    )

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        if task.id == "t3":
            raise EnvError("no such task")
        dialogue = talks.make(task, key, seed)
        return msgspec.structs.replace(dialogue, max_turns=1 if key.group % 2 else 9)

    talks = Talks()
    found = run(virtual_time, Fault(kind="harmless"), number=60, kinds=[harmless], make=make).report
    assert found is not None
    # Odd groups end as max_turns, which "harmless" does not list; t3 was never struck.
    assert (found.struck, found.surprises, len(found.surprised)) == (59, 29, 20)
    assert {s.end for s in found.surprised} == {End.MAX_TURNS}
    assert {s.kinds for s in found.surprised} == {("harmless",)}


@pytest.mark.anyio
async def test_a_dialogue_that_is_stopped_surprises_nobody() -> None:
    talks = Talks()
    faults = Faults(FaultPlan(faults=(Fault(kind="hang", at=1),)))
    dialogues = FaultyDialogues(talks.make, faults, ledger=FaultLedger(faults))
    async with open_rollouts(
        tasks(3), dialogues.make, seed=Seed(0), observer=dialogues
    ) as rollouts:
        await anyio.wait_all_tasks_blocked()
    report = dialogues.ledger.report()
    assert rollouts.stats.ends == {End.CANCELLED: 3}
    assert (report.struck, report.surprises, report.recovered) == (3, 0, 0)
