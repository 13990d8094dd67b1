"""Dialogues: exactly one typed end, each by its own cause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from duologue.engine import (
    Action,
    Dialogue,
    End,
    EnvError,
    JudgeError,
    Message,
    ModelError,
    Observation,
    Outcome,
    PartyError,
    Reply,
    Tokens,
    UserError,
    checkpoint,
    converse,
    pack_tokens,
)
from duologue.engine._dialogue import describe, end_of

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

SAY = Reply(text="hello?", actions=(Action("action", "hello?"),))
HEAR = Observation(messages=(Message("user", "hm"),), feedback="hm", reward=0.5, parts={"p": 0.5})
OPENING = Observation(messages=(Message("system", "rules"), Message("user", "hi")))
TOKENS = pack_tokens([1], [1], [-0.5])


class Talker:
    """An agent that goes through its lines: replies, errors to raise, seconds to take."""

    def __init__(self, *lines: Reply | Exception | float) -> None:
        self.lines = list(lines)
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        await checkpoint()
        line = self.lines.pop(0) if self.lines else SAY
        if isinstance(line, Exception):
            raise line
        if isinstance(line, Reply):
            return line
        await anyio.sleep(line)
        return SAY

    def tokens(self) -> Tokens | None:
        assert not self.closed
        return TOKENS

    def close(self) -> None:
        self.closed += 1


class World:
    """An environment that goes through its observations; the first answers the opening."""

    def __init__(self, *seen: Observation | Exception | float) -> None:
        self.seen = list(seen)
        self.steps: list[Reply | None] = []

    async def receive(self, reply: Reply | None) -> Observation:
        self.steps.append(reply)
        await checkpoint()
        line = self.seen.pop(0) if self.seen else HEAR
        if isinstance(line, Exception):
            raise line
        if isinstance(line, Observation):
            return line
        await anyio.sleep(line)
        return HEAR


def over(end: End) -> Observation:
    return Observation(feedback="bye", reward=1.0, end=end)


async def outcome_of(agent: Talker, world: World, *, max_turns: int = 3) -> Outcome:
    dialogue = Dialogue(agent=agent, environment=world, max_turns=max_turns)
    outcome = await converse(dialogue, deadline_s=60)
    assert agent.closed == 1
    assert outcome.tokens == TOKENS
    return outcome


@pytest.mark.anyio
@pytest.mark.parametrize("end", [End.DONE, End.USER_ENDED])
async def test_the_environment_says_when_it_is_over(end: End) -> None:
    world = World(OPENING, HEAR, over(end))
    outcome = await outcome_of(Talker(), world)
    assert outcome.end is end
    assert outcome.opening == OPENING.messages
    assert [turn.reward for turn in outcome.turns] == [0.5, 1.0]
    assert [turn.feedback for turn in outcome.turns] == ["hm", "bye"]
    assert outcome.turns[0].parts == {"p": 0.5}
    assert outcome.turns[0].text == SAY.text
    assert outcome.turns[0].actions == SAY.actions
    assert world.steps == [None, SAY, SAY]


@pytest.mark.anyio
async def test_the_turn_limit_ends_a_dialogue_that_goes_on() -> None:
    world = World(OPENING)
    outcome = await outcome_of(Talker(), world, max_turns=2)
    assert outcome.end is End.MAX_TURNS
    assert len(outcome.turns) == 2
    assert len(world.steps) == 3


@pytest.mark.anyio
async def test_an_end_in_the_last_turn_is_not_the_turn_limit() -> None:
    outcome = await outcome_of(Talker(), World(OPENING, over(End.DONE)), max_turns=1)
    assert outcome.end is End.DONE


@pytest.mark.anyio
async def test_an_environment_may_be_over_before_the_agent_speaks() -> None:
    outcome = await outcome_of(Talker(), World(over(End.DONE)))
    assert (outcome.end, outcome.turns) == (End.DONE, [])


@pytest.mark.anyio
@pytest.mark.parametrize("end", [End.NO_ACTION, End.TRUNCATED])
async def test_the_agents_last_words_are_a_turn_that_earns_nothing(end: End) -> None:
    world = World(OPENING)
    outcome = await outcome_of(Talker(SAY, Reply(text="uh", end=end)), world)
    assert outcome.end is end
    assert [(turn.text, turn.reward) for turn in outcome.turns] == [("hello?", 0.5), ("uh", 0.0)]
    assert len(world.steps) == 2  # the environment never hears it


@pytest.mark.anyio
async def test_a_full_context_is_an_end_without_a_turn() -> None:
    outcome = await outcome_of(Talker(SAY, Reply(end=End.CONTEXT_FULL)), World(OPENING))
    assert outcome.end is End.CONTEXT_FULL
    assert len(outcome.turns) == 1


PARTIES = [
    (ModelError, End.MODEL_ERROR),
    (UserError, End.USER_ERROR),
    (JudgeError, End.JUDGE_ERROR),
    (EnvError, End.ENV_ERROR),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("error", "end"), PARTIES)
async def test_a_failing_party_ends_the_dialogue_with_its_reason(
    error: type[PartyError], end: End
) -> None:
    world = World(OPENING, HEAR, error("gone"))
    outcome = await outcome_of(Talker(), world)
    assert outcome.end is end
    assert outcome.detail == f"{error.__name__}: gone"
    assert len(outcome.turns) == 1  # what was said before stays
    assert len(world.steps) == 3  # and the step that may have run is not run again


@pytest.mark.anyio
async def test_a_failing_model_ends_the_dialogue_with_its_reason() -> None:
    outcome = await outcome_of(Talker(ModelError("500")), World(OPENING))
    assert (outcome.end, outcome.detail) == (End.MODEL_ERROR, "ModelError: 500")


@pytest.mark.anyio
async def test_whatever_an_environment_raises_is_its_own_failure() -> None:
    outcome = await outcome_of(Talker(), World(OPENING, KeyError("street")))
    assert outcome.end is End.ENV_ERROR
    assert outcome.detail.startswith("EnvError: KeyError: 'street' (in receive, line ")


@pytest.mark.anyio
@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
async def test_a_reward_that_is_no_number_is_a_failure_and_not_a_reward(reward: float) -> None:
    outcome = await outcome_of(Talker(), World(OPENING, Observation(reward=reward)))
    assert outcome.end is End.ENV_ERROR
    assert outcome.turns == []


@pytest.mark.anyio
async def test_an_environment_may_fail_at_the_opening() -> None:
    outcome = await outcome_of(Talker(), World(EnvError("no map")))
    assert (outcome.end, outcome.opening, outcome.turns) == (End.ENV_ERROR, (), [])


@pytest.mark.anyio
async def test_a_bug_in_an_agent_is_not_data_and_propagates() -> None:
    agent = Talker(KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        await converse(
            Dialogue(agent=agent, environment=World(OPENING), max_turns=3), deadline_s=60
        )
    assert agent.closed == 1


class Forsaken(World):
    """Awaits something that somebody else has cancelled."""

    async def receive(self, reply: Reply | None) -> Observation:
        await super().receive(reply)
        forsaken: asyncio.Future[Observation] = asyncio.get_running_loop().create_future()
        forsaken.cancel()
        return await forsaken


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_is_not_ours_is_the_environments_failure() -> None:
    """Else it would pass for one of ours and end the whole run without a word."""
    outcome = await outcome_of(Talker(), Forsaken(OPENING))
    assert outcome.end is End.ENV_ERROR
    assert "environment awaited something that was cancelled" in outcome.detail


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_is_not_ours_is_the_agents_bug() -> None:
    class Lost(Talker):
        async def receive(self, observation: Observation) -> Reply:
            lost: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            lost.cancel()
            return await lost

    agent = Lost()
    with pytest.raises(RuntimeError, match="agent awaited something that was cancelled"):
        await outcome_of(agent, World(OPENING))
    assert agent.closed == 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_bare_cancellation_of_the_task_is_still_a_cancellation() -> None:
    agent = Talker(3600.0)
    dialogue = Dialogue(agent=agent, environment=World(OPENING), max_turns=3)
    task = asyncio.create_task(converse(dialogue, deadline_s=7200))
    for _ in range(8):
        await checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.closed == 1


@pytest.mark.anyio
async def test_a_cancelled_dialogue_closes_its_agent_and_unwinds() -> None:
    agent = Talker(3600.0)
    dialogue = Dialogue(agent=agent, environment=World(OPENING), max_turns=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: converse(dialogue, deadline_s=7200))
        for _ in range(8):
            await checkpoint()
        assert not agent.closed
        tasks.cancel_scope.cancel()
    assert agent.closed == 1


@pytest.mark.anyio
async def test_a_deadline_ends_a_dialogue_on_either_loop() -> None:
    agent = Talker(3600.0)
    outcome = await converse(
        Dialogue(agent=agent, environment=World(OPENING), max_turns=3), deadline_s=0.001
    )
    assert (outcome.end, agent.closed) == (End.TIMEOUT, 1)


@pytest.mark.parametrize(
    ("agent", "world", "turns"),
    [
        (Talker(SAY, 61.0), World(OPENING), 1),
        (Talker(), World(OPENING, HEAR, 61.0), 1),
        (Talker(), World(61.0), 0),
        # No single wait is too long; together they are.
        (Talker(25.0, 25.0, 25.0), World(OPENING), 2),
        (Talker(20.0, 20.0), World(OPENING, HEAR, 21.0), 1),
    ],
)
def test_the_deadline_counts_all_waiting(
    virtual_time: VirtualTime, agent: Talker, world: World, turns: int
) -> None:
    async def main() -> tuple[Outcome, float]:
        started = anyio.current_time()
        return await outcome_of(agent, world), anyio.current_time() - started

    outcome, took = virtual_time(main)
    assert outcome.end is End.TIMEOUT
    assert outcome.detail == f"not over after 60 s, in turn {turns + 1}"
    assert len(outcome.turns) == turns
    assert took == pytest.approx(60)


def test_a_dialogue_just_within_its_deadline_is_not_cut(virtual_time: VirtualTime) -> None:
    async def main() -> Outcome:
        return await outcome_of(Talker(29.0, 30.0), World(OPENING, HEAR, over(End.DONE)))

    assert virtual_time(main).end is End.DONE


@pytest.mark.parametrize(("error", "end"), PARTIES)
def test_an_error_of_ones_own_keeps_its_party(error: type[PartyError], end: End) -> None:
    own = type("Own", (error,), {})
    assert end_of(own("x")) is end


def test_a_failure_of_no_named_party_is_the_environments() -> None:
    assert end_of(PartyError("x")) is End.ENV_ERROR


def test_an_error_without_words_is_described_by_its_name() -> None:
    assert describe(KeyError()) == "KeyError"
    assert describe(UserError()) == "UserError"
    try:
        raise ValueError
    except ValueError as error:
        assert describe(error).startswith("ValueError (in test_an_error_without_words")


def test_a_dialogues_outcomes_share_nothing() -> None:
    Outcome().turns.append(None)  # type: ignore[arg-type]
    assert Outcome().turns == []
    assert Outcome().end is End.CANCELLED


# A limit on what one dialogue may hold

HUGE = "x" * 100_000_000


def seen(chars: int) -> Observation:
    """As environments say it: the feedback is the message, one text held once."""
    text = "y" * chars
    return Observation(messages=(Message("tool", text),), feedback=text, reward=1.0)


async def bounded(agent: Talker, world: World, most_chars: int) -> Outcome:
    dialogue = Dialogue(agent=agent, environment=world, max_turns=100)
    return await converse(dialogue, deadline_s=60, most_chars=most_chars)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "turns"),
    [
        ([Observation(messages=(Message("user", HUGE),))], 0),
        ([OPENING, HEAR, Observation(feedback=HUGE)], 1),
        ([OPENING, Observation(messages=(Message("tool", HUGE),), end=End.DONE)], 0),
    ],
    ids=["opening", "feedback", "last"],
)
async def test_an_environment_that_says_100_mb_has_failed_before_the_agent_hears_it(
    said: list[Observation], turns: int
) -> None:
    agent, world = Talker(), World(*said)
    outcome = await converse(Dialogue(agent=agent, environment=world, max_turns=9), deadline_s=60)
    assert outcome.end is End.ENV_ERROR
    assert "the environment's answer has 100,000,000 characters" in outcome.detail
    assert "rollout.dialogue_chars is 16,777,216" in outcome.detail
    assert len(outcome.turns) == turns


@pytest.mark.anyio
async def test_an_agent_that_says_100_mb_has_failed() -> None:
    outcome = await outcome_of(Talker(SAY, Reply(text=HUGE)), World(OPENING), max_turns=9)
    assert outcome.end is End.MODEL_ERROR
    assert "the agent's reply has 100,000,000 characters" in outcome.detail
    assert len(outcome.turns) == 1


@pytest.mark.anyio
async def test_what_adds_up_bit_by_bit_ends_the_dialogue_for_want_of_room() -> None:
    outcome = await bounded(Talker(), World(seen(10), *[seen(20)] * 9), most_chars=100)
    # 10 to begin with, and 20 + len("hello?") a turn: the fourth passes 100, and is kept.
    assert (outcome.end, len(outcome.turns)) == (End.CONTEXT_FULL, 4)
    assert outcome.detail == "the dialogue has 114 characters; rollout.dialogue_chars is 100"


@pytest.mark.anyio
async def test_a_last_word_that_just_passes_the_limit_is_heard() -> None:
    outcome = await bounded(
        Talker(), World(seen(60), Observation(feedback="z" * 60, end=End.DONE)), most_chars=100
    )
    assert (outcome.end, len(outcome.turns)) == (End.DONE, 1)


@pytest.mark.anyio
async def test_an_agent_that_keeps_too_many_tokens_has_failed_and_they_are_dropped() -> None:
    class Hoarder(Talker):
        def tokens(self) -> Tokens | None:
            return pack_tokens([1] * 101, [1] * 101, [0.0] * 101)

    outcome = await bounded(Hoarder(), World(OPENING, over(End.DONE)), most_chars=100)
    assert (outcome.end, outcome.tokens) == (End.MODEL_ERROR, None)
    assert outcome.detail == "the agent kept 101 tokens; rollout.dialogue_chars is 100"


@pytest.mark.anyio
async def test_an_error_that_holds_100_mb_is_recorded_in_a_few_words() -> None:
    outcome = await outcome_of(Talker(), World(OPENING, ValueError(HUGE)))
    assert outcome.end is End.ENV_ERROR
    assert outcome.detail.startswith("EnvError: ValueError: xxx")
    assert "xxx... (cut off)" in outcome.detail
    assert len(outcome.detail) < 5000
