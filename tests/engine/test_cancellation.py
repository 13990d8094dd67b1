"""Cancellation at every step: each scenario is run, and run again cut one step later, until it
comes to its end uncut. Whatever the step, the books must balance."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import anyio
import pytest
from sweeping import Cut, sweep

from duologue.engine import (
    Buffer,
    Credits,
    Dialogue,
    End,
    Group,
    Key,
    Mailbox,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    checkpoint,
    converse,
    open_actor,
    open_reader,
    open_rollouts,
    open_store,
)

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@backends
def test_a_mailbox_keeps_every_message_in_one_place(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        box: Mailbox[int] = Mailbox(2)
        sent: list[int] = []
        got: list[int] = []

        async def send(base: int) -> None:
            for number in range(base, base + 6):
                await box.put(number)
                sent.append(number)
                if number % 3 == 0:
                    await checkpoint()

        async def receive() -> None:
            for number in range(6):
                got.append(await box.get())
                if number % 2 == 0:
                    await checkpoint()

        with cut:
            async with anyio.create_task_group() as tasks:
                for base in (0, 10):
                    tasks.start_soon(send, base)
                    tasks.start_soon(receive)
        stats = box.stats()
        assert (stats.waiting_senders, stats.waiting_receivers) == (0, 0)
        assert stats.sent == len(sent)
        assert stats.received == len(got)
        assert sorted(got + box.abandon()) == sorted(sent)

    sweep(backend, scenario, at_least=10)


@backends
def test_credits_all_come_back(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        credits = Credits(2)

        async def work() -> None:
            for _ in range(3):
                await credits.acquire()
                try:
                    await checkpoint()
                finally:
                    credits.release()

        with cut:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(work)
        assert (credits.outstanding, credits.waiting) == (0, 0)

    sweep(backend, scenario, at_least=10)


@backends
def test_an_actor_accounts_for_every_message_and_reply(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        answered: list[int] = []
        finished: list[int] = []

        async def receive(number: int) -> int:
            await checkpoint()
            if number % 2:
                await checkpoint()
            finished.append(number)
            return number

        async with open_actor(receive, capacity=2) as actor:

            async def ask(number: int) -> None:
                answered.append(await actor.ask(number))

            with cut:
                async with anyio.create_task_group() as tasks:
                    for number in range(6):
                        tasks.start_soon(ask, number)
        stats = actor.stats()
        assert stats.mailbox.sent == stats.mailbox.received == len(finished)
        assert len(finished) == len(answered) + stats.dead_replies

    sweep(backend, scenario, at_least=10)


@backends
def test_an_actors_block_can_be_cut_anywhere(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        handled = 0

        async def receive(number: int) -> int:
            nonlocal handled
            await checkpoint()
            handled += 1
            return number

        actor = None
        with cut:
            async with open_actor(receive, capacity=2) as actor:
                for number in range(4):
                    await actor.tell(number)
                await actor.ask(9)
        if actor is not None:
            stats = actor.stats().mailbox
            assert stats.buffered == 0
            assert stats.sent == stats.received + stats.dead
            # At most one was in hand when it was cut.
            assert stats.received - handled in (0, 1)
            assert cut.fired or handled == 5

    sweep(backend, scenario, at_least=5)


def group(ordinal: int) -> Group:
    return Group(ordinal=ordinal, task=Task(env="e", id="t"), trajectories=())


@backends
def test_a_buffer_keeps_every_group_in_one_place(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        buffer = Buffer(3)
        put: list[int] = []
        taken: list[int] = []

        async def pump(base: int) -> None:
            for ordinal in range(base, base + 5):
                await buffer.put(group(ordinal))
                put.append(ordinal)

        async def learn() -> None:
            # Eight of the ten are fresh. How many takes that is depends on who put first: a take
            # may sweep a stale one out beside its two, or come back with nothing else.
            fresh = 0
            while fresh < 8:
                both = await buffer.take(2, fresh=lambda one: one.ordinal % 5 != 3)
                taken.extend(one.ordinal for one in both.batch + both.stale)
                fresh += len(both.batch)

        with cut:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pump, 0)
                tasks.start_soon(pump, 5)
                await learn()
        stats = buffer.stats()
        assert stats.put == stats.taken + stats.stale + stats.buffered == len(put)
        assert stats.waiting_puts == 0
        assert sorted(taken + [one.ordinal for one in buffer.drain()]) == sorted(put)

    sweep(backend, scenario, at_least=10)


class Party:
    """An agent that needs two steps and, in the first attempt of every other dialogue, fails."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        await checkpoint()
        if self.fails:
            raise ModelError("first attempt")
        return Reply(text="x")

    def tokens(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed += 1


class Counter2:
    """An environment of two turns."""

    def __init__(self) -> None:
        self.replies = 0

    async def receive(self, reply: Reply | None) -> Observation:
        await checkpoint()
        if reply is None:
            return Observation()
        self.replies += 1
        return Observation(reward=0.5, end=End.DONE if self.replies == 2 else None)


@backends
def test_a_dialogue_closes_its_agent_once(backend: str) -> None:
    async def scenario(cut: Cut) -> None:
        party = Party(fails=False)
        dialogue = Dialogue(agent=party, environment=Counter2(), max_turns=9)
        outcome = None
        with cut:
            outcome = await converse(dialogue, deadline_s=60)
        assert party.closed == 1
        assert outcome is None or outcome.end is End.DONE

    sweep(backend, scenario, at_least=4)


@backends
@pytest.mark.parametrize("wave", [0, 1])
def test_rollouts_account_for_every_dialogue(backend: str, wave: int, tmp_path: Path) -> None:
    """The store is within the cut: opening, writing and closing it are cut as well."""
    numbers = count()

    async def scenario(cut: Cut) -> None:
        path = tmp_path / f"{next(numbers)}.db"
        parties: list[Party] = []
        first: Counter[Key] = Counter()

        def make(task: Task, key: Key, seed: Seed) -> Dialogue:
            party = Party(fails=key.sample == 1 and not first[key])
            first[key] += 1
            parties.append(party)
            return Dialogue(agent=party, environment=Counter2(), max_turns=9)

        credits = Credits(1)
        groups: list[Group] = []
        rollouts = None
        with cut:
            async with (
                open_store(path) as store,
                open_rollouts(
                    [Task(env="e", id=f"t{number}") for number in range(2)],
                    make,
                    seed=Seed(0),
                    config=RolloutConfig(samples=2, live=3, wave=wave),
                    store=store,
                    credits=credits,
                ) as rollouts,
            ):
                async for one in rollouts:
                    groups.append(one)
                    credits.release()
        assert all(party.closed == 1 for party in parties)
        assert (credits.outstanding, credits.waiting) == (0, 0)
        assert all(len(one.trajectories) == 2 for one in groups)
        if rollouts is None:
            assert not parties
            return
        stats = rollouts.stats
        assert (stats.admitted, stats.live, stats.ended) == (len(first), 0, len(first))
        with open_reader(path) as reader:
            stored = {one.trajectory.key: one.trajectory for one in reader.trajectories()}
            assert set(stored) == set(first)
            assert reader.count() == sum(reader.fates().values()) == stats.admitted
            assert reader.ends() == stats.ends
        for trajectory in (t for one in groups for t in one.trajectories):
            assert trajectory == stored[trajectory.key]
            assert trajectory.end is End.DONE
        assert cut.fired or len(groups) == 2

    sweep(backend, scenario, at_least=30)
