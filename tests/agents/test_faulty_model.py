"""Models under every fault that can strike a call: what the dialogue comes to, and who else waits."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from chatter import Talks, talk
from msgspec import structs

from duologue.agents import TextAgent, read_calls, write_call
from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models._faulty import MODEL_KINDS, SLOWER, FaultyModel, spoil
from duologue.agents.models.limits._limits import Limits, LimitsConfig
from duologue.engine import (
    Action,
    Dialogue,
    End,
    Environment,
    Key,
    Lineage,
    Message,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Span,
    Task,
    Trajectory,
    open_reader,
    open_store,
    pack_tokens,
)
from duologue.engine.faults import (
    ENGINE_KINDS,
    GOES_ON,
    Fault,
    FaultPlan,
    Faults,
    Hit,
    Injection,
    Kind,
    Where,
    check_invariants,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

KINDS: dict[str, Kind] = {kind.name: kind for kind in MODEL_KINDS}
REPLY_S = 1.0
CALL = write_call(Action("action", "Tell me more, please: naïve café?"))


class Slow:
    """A model that takes a second over the same call each time, and counts."""

    def __init__(self) -> None:
        self.pause_s = REPLY_S
        self.asked = self.opened = self.closed = 0
        self.pushed: list[tuple[int, str]] = []

    def open(self, session: str) -> None:
        self.opened += 1

    def close(self, session: str) -> None:
        self.closed += 1

    async def generate(self, request: Request) -> Generation:
        await anyio.sleep(self.pause_s)
        self.asked += 1
        return Generation(text=CALL)

    async def push(self, version: int, path: str) -> None:
        self.pushed.append((version, path))


class Nods:
    """An environment of three turns that keeps what it heard."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    async def receive(self, reply: Reply | None) -> Observation:
        await anyio.lowlevel.checkpoint()
        if reply is None:
            return Observation(messages=(Message("user", "go"),))
        self.replies.append(reply)
        end = End.DONE if len(self.replies) == 3 else None
        return Observation(feedback="ok", reward=1.0, end=end)


class Bench:
    """Dialogues with a faulty model, and what they came to."""

    def __init__(self, *faults: Fault, seed: int = 0, limits: LimitsConfig | None = None) -> None:
        self.model = Slow()
        self.trace: list[Injection] = []
        self.faults = Faults(
            FaultPlan(seed=seed, faults=faults),
            [*ENGINE_KINDS, *MODEL_KINDS],
            trace=self.trace.append,
        )
        self.limits = Limits("faulty", limits, seed=Seed(0))
        self.faulty = FaultyModel(self.model, self.faults, self.limits)
        self.ended_s: dict[int, float] = {}

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        agent = TextAgent(
            self.faulty, session=f"p/{key.group}/{key.sample}", seed=seed, sampling=Sampling()
        )
        environment: Environment = Nods()
        return Dialogue(agent=agent, environment=environment, max_turns=9)

    async def talk(self, number: int = 1, **options: Any) -> Talks:
        talks = await talk(number=number, make=self.make, faulty=self.faults, **options)
        stats = self.limits.stats
        assert (stats.in_flight, stats.waiting) == (0, 0)
        assert self.model.opened == self.model.closed
        assert talks.report is not None and talks.report.surprises == 0
        return talks


def once(virtual_time: VirtualTime, *faults: Fault, **options: Any) -> tuple[Trajectory, Bench]:
    """One dialogue of one attempt under the faults."""
    options.setdefault("config", RolloutConfig(attempts=1, deadline_s=300.0))
    bench = Bench(*faults)
    talks: Talks = virtual_time(lambda: bench.talk(**options))
    (trajectory,) = talks.trajectories
    return trajectory, bench


# ---------------------------------------------------------------- what each kind comes to

SPOILT = {
    "empty": End.NO_ACTION,
    "truncated": End.TRUNCATED,
    "bad_json": End.NO_ACTION,
    "unknown_tool": End.NO_ACTION,
    "refusal": End.NO_ACTION,
    "wrong_role": End.NO_ACTION,
    "timeout": End.MODEL_ERROR,
    "reset": End.MODEL_ERROR,
    "context_overflow": End.MODEL_ERROR,
    "no_time": End.MODEL_ERROR,
    "rate_limited": End.MODEL_ERROR,
    "retry_after": End.MODEL_ERROR,
    "server_error": End.MODEL_ERROR,
    "slow_drip": End.DONE,
    "slow_replica": End.DONE,
    "unicode_noise": End.DONE,
    "weights_swapped": End.DONE,
}


@pytest.mark.parametrize(("kind", "end"), SPOILT.items())
def test_a_call_that_is_struck_every_time_ends_the_dialogue_as_its_row_says(
    virtual_time: VirtualTime, kind: str, end: End
) -> None:
    one, bench = once(virtual_time, Fault(kind=kind, at=2))
    assert one.end is end
    assert end in KINDS[kind].ends
    assert bench.trace[0].number == 2
    if end.failed:
        assert len(one.turns) == 1 and "injected" in one.detail
    elif end is not End.DONE:
        # The turn that said nothing of use is there, and has earned nothing.
        assert one.rewards == (1.0, 0.0)
    else:
        assert one.rewards == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("kind", ["timeout", "reset", "context_overflow", "no_time"])
def test_what_the_endpoint_does_not_try_again_the_dialogue_does(
    virtual_time: VirtualTime, kind: str
) -> None:
    fault = Fault(kind=kind, at=2, for_s=5.0, where=Where(attempt=0))
    one, bench = once(virtual_time, fault, config=RolloutConfig(attempts=2))
    assert (one.end, one.discarded, len(bench.trace)) == (End.DONE, (End.MODEL_ERROR,), 1)


@pytest.mark.parametrize("kind", ["rate_limited", "retry_after", "server_error"])
def test_what_the_endpoint_tries_again_the_dialogue_never_hears_of(
    virtual_time: VirtualTime, kind: str
) -> None:
    one, bench = once(virtual_time, Fault(kind=kind, at=2, tries=1))
    assert (one.end, one.discarded) == (End.DONE, ())
    assert (len(bench.trace), bench.limits.stats.retries, bench.model.asked) == (1, 1, 3)


def test_nobody_calls_before_the_server_wants_to_be_called(virtual_time: VirtualTime) -> None:
    bench = Bench(Fault(kind="retry_after", at=1, tries=1, for_s=40.0, where=Where(task="t0")))
    talks: Talks = virtual_time(lambda: bench.talk(8))
    assert {t.end for t in talks.trajectories} == {End.DONE}
    # Calls that were under way came home; all others waited for the 40 seconds to pass.
    assert talks.seconds >= 40.0 + 2 * REPLY_S


def test_a_timeout_lasts_as_long_as_the_plan_says(virtual_time: VirtualTime) -> None:
    bench = Bench(Fault(kind="timeout", at=1, for_s=12.0))
    talks: Talks = virtual_time(lambda: bench.talk(config=RolloutConfig(attempts=1)))
    assert talks.seconds == pytest.approx(12.0)
    assert bench.model.asked == 0


def test_an_answer_that_drips_is_late_and_whole(virtual_time: VirtualTime) -> None:
    bench = Bench(Fault(kind="slow_drip", at=1, for_s=9.0))
    talks: Talks = virtual_time(bench.talk)
    assert talks.seconds == pytest.approx(3 * REPLY_S + 9.0)
    late = Bench(Fault(kind="slow_drip", at=1, for_s=99.0))
    talks = virtual_time(lambda: late.talk(config=RolloutConfig(deadline_s=50.0)))
    assert talks.stats.ends == {End.TIMEOUT: 1}


def test_a_slow_replica_slows_its_own_dialogues_and_nobody_elses(
    virtual_time: VirtualTime,
) -> None:
    bench = Bench(Fault(kind="slow_replica", rate=0.25))
    ended: dict[int, float] = {}

    async def main() -> Talks:
        began = anyio.current_time()
        real = bench.faulty.close

        def close(session: str) -> None:
            ended[int(session.split("/")[1])] = anyio.current_time() - began
            real(session)

        bench.faulty.close = close  # type: ignore[method-assign]
        return await bench.talk(40, config=RolloutConfig(live=40, deadline_s=600.0))

    talks: Talks = virtual_time(main)
    slow = {i.group for i in bench.trace}
    assert 3 < len(slow) < 20
    for number, seconds in ended.items():
        expected = 3 * REPLY_S * (SLOWER if number in slow else 1.0)
        assert seconds == pytest.approx(expected)
    assert talks.stats.ends == {End.DONE: 40}


def test_a_call_with_no_time_gives_its_place_back(virtual_time: VirtualTime) -> None:
    bench = Bench(Fault(kind="no_time", at=1), limits=LimitsConfig(concurrency=1))
    talks: Talks = virtual_time(lambda: bench.talk(5, config=RolloutConfig(attempts=1)))
    assert talks.stats.ends == {End.MODEL_ERROR: 5}
    assert talks.seconds == 0.0


def test_an_outage_that_no_call_survives_leaves_no_reward_behind(
    virtual_time: VirtualTime,
) -> None:
    bench = Bench(Fault(kind="server_error"), limits=LimitsConfig(concurrency=8, failures=4))
    config = RolloutConfig(live=8, attempts=2, deadline_s=900.0)
    talks: Talks = virtual_time(lambda: bench.talk(20, config=config))
    assert talks.stats.ends == {End.MODEL_ERROR: 20}
    assert talks.stats.counted == 0 and bench.model.asked == 0


# ---------------------------------------------------------------- texts and tokens


def hit(kind: str, seed: int = 0) -> Hit:
    return Hit(KINDS[kind], Fault(kind=kind), Seed(seed))


TOKENS = Generation(
    text=CALL,
    ids=array("i", range(10)),
    logps=array("f", [-0.5] * 10),
    spans=(Span(0, 4, 6), Span(4, 10, 7)),
)


@pytest.mark.parametrize("seed", range(40))
def test_a_piece_that_comes_twice_is_read_strictly(seed: int) -> None:
    text = spoil(hit("duplicate_chunk", seed), Generation(text=CALL)).text
    assert len(text) > len(CALL) and set(text) == set(CALL)
    (said,) = read_calls(CALL)
    for action in read_calls(text):
        # Either the very call, or one whose words were doubled inside; never another choice.
        assert action.choice == said.choice
    assert spoil(hit("duplicate_chunk"), Generation(text="")).text == ""


def test_a_cut_answer_keeps_tokens_and_versions_together() -> None:
    cut = spoil(hit("truncated"), TOKENS)
    assert (cut.finish, list(cut.ids), len(cut.logps)) == ("length", [0, 1, 2, 3, 4], 5)
    assert cut.spans == (Span(0, 4, 6), Span(4, 5, 7))
    assert CALL.startswith(cut.text) and cut.text
    assert spoil(hit("truncated"), Generation(text=CALL)).spans == ()


def test_weights_that_change_in_mid_answer_leave_both_versions_on_record() -> None:
    swapped = spoil(hit("weights_swapped"), TOKENS)
    assert swapped.spans == (Span(0, 4, 6), Span(4, 7, 7), Span(7, 10, 8))
    assert swapped.ids == TOKENS.ids and swapped.text == CALL
    record = Trajectory(
        key=Key(0, 0),
        task="t",
        env="e",
        split="train",
        end=End.DONE,
        tokens=pack_tokens(range(10), [1] * 10, [0.0] * 10, [0], swapped.spans),
    )
    assert record.oldest_version == 6
    lineage = Lineage([(6, None), (7, 6), (8, 7)])
    assert lineage.staleness(record, 8) == 2
    short = Generation(ids=array("i", [1]), logps=array("f", [0.0]), spans=(Span(0, 1, 3),))
    assert spoil(hit("weights_swapped"), short).spans == (Span(0, 1, 4),)
    assert spoil(hit("weights_swapped"), Generation(text="x")).spans == ()


def test_an_answer_that_is_empty_has_no_tokens_either() -> None:
    nothing = spoil(hit("empty"), TOKENS)
    assert (nothing.text, len(nothing.ids), len(nothing.logps), nothing.spans) == ("", 0, 0, ())


@pytest.mark.anyio
async def test_noise_in_a_reply_can_be_stored_and_read(tmp_path: Path) -> None:
    bench = Bench(Fault(kind="unicode_noise"))
    bench.model.pause_s = 0.0
    path = tmp_path / "run.db"
    async with open_store(path) as store:
        talks = await bench.talk(1, store=store)
    with open_reader(path) as reader:
        check_invariants(stats=talks.stats, groups=talks.groups, reader=reader)
        (stored,) = reader.trajectories()
    assert stored.trajectory == talks.trajectories[0]
    assert "\x00" in stored.trajectory.turns[0].text
    assert CALL in stored.trajectory.turns[0].text


# ---------------------------------------------------------------- whom they strike


BAD_DAY = (
    Fault(kind="server_error", rate=0.05),
    Fault(kind="rate_limited", rate=0.05),
    Fault(kind="reset", rate=0.05),
    Fault(kind="refusal", rate=0.05),
    Fault(kind="slow_drip", rate=0.05, for_s=20.0),
    Fault(kind="hang", rate=0.01),
)


def test_the_same_calls_are_struck_whatever_the_interleaving(virtual_time: VirtualTime) -> None:
    runs: list[tuple[set[tuple[object, ...]], list[Trajectory]]] = []
    for live in (1, 60):
        bench = Bench(*BAD_DAY)
        config = RolloutConfig(live=live, retry_budget=9.0, deadline_s=120.0)
        talks: Talks = virtual_time(lambda b=bench, c=config: b.talk(60, config=c))  # type: ignore[misc]
        struck = {structs.astuple(injection) for injection in bench.trace}
        runs.append((struck, talks.trajectories))
    assert runs[0] == runs[1]
    assert len({fault[0] for fault in runs[0][0]}) == len(BAD_DAY)


def test_half_the_calls_may_fail_and_the_dialogues_still_come_home(
    virtual_time: VirtualTime,
) -> None:
    bench = Bench(Fault(kind="server_error", rate=0.5), limits=LimitsConfig(retry_budget=9.0))
    config = RolloutConfig(live=100, deadline_s=3600.0)
    talks: Talks = virtual_time(lambda: bench.talk(100, config=config))
    report = talks.report
    assert report is not None and report.struck > 70
    assert report.recovered / report.struck > 0.8
    assert set(talks.stats.ends) <= {End.DONE, End.MODEL_ERROR}


@pytest.mark.anyio
async def test_a_model_outside_of_dialogues_is_struck_by_its_calls_seed() -> None:
    class Quick(Slow):
        async def generate(self, request: Request) -> Generation:
            await anyio.lowlevel.checkpoint()
            return Generation(text="fine")

    async def answers() -> list[bool]:
        bench = Bench(Fault(kind="reset", rate=0.5))
        faulty = FaultyModel(Quick(), bench.faults, bench.limits)
        faulty.open("s")
        told: list[bool] = []
        for seed in range(30):
            try:
                told.append((await faulty.generate(Request(session="s", seed=seed))).text == "fine")
            except ModelError:
                told.append(False)
        faulty.close("s")
        # A session that was never opened can ask as well: a judge asks so.
        await faulty.generate(Request(session="other", seed=told.index(True)))
        return told

    first, again = await answers(), await answers()
    assert first == again and 5 < sum(first) < 25


@pytest.mark.anyio
async def test_weights_are_handed_on() -> None:
    bench = Bench()
    await bench.faulty.push(3, "weights/3")
    assert bench.model.pushed == [(3, "weights/3")]


def test_every_kind_of_a_model_has_been_seen_here() -> None:
    assert {kind.name for kind in MODEL_KINDS} - set(SPOILT) == {"duplicate_chunk"}
    for kind in MODEL_KINDS:
        assert kind.what and kind.expected and kind.ends
        assert kind.ends & GOES_ON or kind.ends == {End.MODEL_ERROR}
