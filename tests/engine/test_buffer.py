"""The buffer: every group is in one place, and nothing old is ever in a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engine import (
    Buffer,
    BufferClosed,
    BufferStats,
    End,
    Group,
    Key,
    Message,
    Span,
    Task,
    Trajectory,
    Turn,
    checkpoint,
    pack_tokens,
)
from duologue.engine._buffer import group_bytes

Rule = tuple[Literal["put", "take", "cancel_put", "cancel_take", "close", "drain"], int, int]

rules: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "put",
                "put",
                "put",
                "put",
                "take",
                "take",
                "cancel_put",
                "cancel_take",
                "close",
                "drain",
            ]
        ),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=30,
)


async def settle() -> None:
    for _ in range(8):
        await checkpoint()


def group(ordinal: int, *versions: int | None) -> Group:
    task = Task(env="e", id=f"t{ordinal}")
    return Group(
        ordinal=ordinal,
        task=task,
        trajectories=tuple(
            Trajectory(
                key=Key(ordinal, sample),
                task=task.id,
                env=task.env,
                split=task.split,
                end=End.DONE,
                tokens=None
                if version is None
                else pack_tokens([1, 2], [1, 1], [0.0, 0.0], [0], [Span(0, 2, version)]),
            )
            for sample, version in enumerate(versions)
        ),
    )


def since(oldest: int) -> Callable[[Group], bool]:
    """Fresh is what no version before `oldest` had a part in."""

    def fresh(group: Group) -> bool:
        versions = [trajectory.oldest_version for trajectory in group.trajectories]
        return all(version is None or version >= oldest for version in versions)

    return fresh


def conserved(stats: BufferStats) -> bool:
    return stats.put == stats.taken + stats.stale + stats.buffered


class Model:
    """One producer, one consumer, lists of (ordinal, version)."""

    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self.capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.groups: list[tuple[int, int]] = []
        self.putting: tuple[int, int] | None = None
        self.taking: tuple[int, int] | None = None
        self.closed = False
        self.log: list[str] = []

    def run(self) -> None:
        """Until nobody who waits can go on."""
        while self._take() or self._put():
            pass

    def _take(self) -> bool:
        if self.taking is None:
            return False
        count, oldest = self.taking
        fresh = [g for g in self.groups if g[1] >= oldest]
        stale = [g for g in self.groups if g[1] < oldest]
        if len(fresh) < count:
            if not stale:
                if self.closed:
                    self.taking = None
                    self.log.append("take closed")
                return self.closed
            count = 0
        batch, self.groups = fresh[:count], fresh[count:]
        self.taking = None
        self.log.append(f"took {[g[0] for g in batch]} swept {[g[0] for g in stale]}")
        return True

    def _put(self) -> bool:
        if self.putting is None or not (self.closed or self._fits(self.putting[0])):
            return False
        if self.closed:
            self.log.append("put closed")
        else:
            self.groups.append(self.putting)
            self.log.append(f"put {self.putting[0]}")
        self.putting = None
        return True

    def _fits(self, ordinal: int) -> bool:
        wanted = 1 if self.taking is None else max(1, self.taking[0])
        light = self.weight + weigh(ordinal) <= self.capacity_bytes or len(self.groups) < wanted
        return light and len(self.groups) < self.capacity

    @property
    def weight(self) -> int:
        return sum(weigh(ordinal) for ordinal, _ in self.groups)


def weigh(ordinal: int) -> int:
    return 1 + ordinal % 3


class Driver:
    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self.buffer = Buffer(
            capacity, capacity_bytes=capacity_bytes, size=lambda group: weigh(group.ordinal)
        )
        self.log: list[str] = []
        self.putter = self.taker = anyio.CancelScope()

    async def put(self, item: Group) -> None:
        with anyio.CancelScope() as self.putter:
            try:
                await self.buffer.put(item)
                self.log.append(f"put {item.ordinal}")
            except BufferClosed:
                self.log.append("put closed")

    async def take(self, count: int, oldest: int) -> None:
        with anyio.CancelScope() as self.taker:
            try:
                taken = await self.buffer.take(count, fresh=since(oldest))
            except BufferClosed:
                self.log.append("take closed")
            else:
                batch, stale = ([g.ordinal for g in gs] for gs in (taken.batch, taken.stale))
                self.log.append(f"took {batch} swept {stale}")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(capacity=st.integers(1, 4), capacity_bytes=st.integers(1, 12), rules=rules)
@settings(max_examples=120, deadline=None)
def test_a_buffer_does_what_a_list_would(
    backend: str, capacity: int, capacity_bytes: int, rules: list[Rule]
) -> None:
    async def play() -> None:
        driver, model = Driver(capacity, capacity_bytes), Model(capacity, capacity_bytes)
        async with anyio.create_task_group() as tasks:
            for number, (rule, one, other) in enumerate(rules):
                match rule:
                    case "put" if model.putting is None:
                        model.putting = (number, one)
                        tasks.start_soon(driver.put, group(number, 9, one))
                    case "take" if model.taking is None:
                        count = min(other, capacity)
                        model.taking = (count, one)
                        tasks.start_soon(driver.take, count, one)
                    case "cancel_put":
                        model.putting = None
                        driver.putter.cancel()
                    case "cancel_take":
                        model.taking = None
                        driver.taker.cancel()
                    case "close":
                        model.closed = True
                        driver.buffer.close()
                    case "drain":
                        drained = [g.ordinal for g in driver.buffer.drain()]
                        assert drained == [g[0] for g in model.groups]
                        model.groups = []
                    case _:
                        pass
                model.run()
                await settle()
                # Both sides may go on in one instant: what happened counts, not who ran first.
                assert sorted(driver.log) == sorted(model.log)
                stats = driver.buffer.stats()
                assert conserved(stats)
                assert stats.buffered == len(model.groups)
                assert stats.waiting_puts == (model.putting is not None)
                assert stats.bytes == model.weight
            tasks.cancel_scope.cancel()

    anyio.run(play, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(capacity=st.integers(1, 3), cancelled=st.sets(st.integers(0, 11)))
@settings(max_examples=40, deadline=None)
def test_many_producers_lose_and_double_nothing(
    backend: str, capacity: int, cancelled: set[int]
) -> None:
    async def play() -> None:
        buffer = Buffer(capacity)
        arrived: list[int] = []
        scopes = [anyio.CancelScope() for _ in range(12)]
        accepted: list[int] = []

        async def put(ordinal: int) -> None:
            with scopes[ordinal]:
                await buffer.put(group(ordinal, 0))
                accepted.append(ordinal)

        async with anyio.create_task_group() as tasks:
            for ordinal in range(12):
                tasks.start_soon(put, ordinal)
            await settle()
            for ordinal in cancelled:
                scopes[ordinal].cancel()
                # Taken in the same instant: the room made must not be lost with the cancelled.
                arrived += [g.ordinal for g in buffer.drain()]
                assert conserved(buffer.stats())
            await settle()
            while len(arrived) < 12 - len(cancelled - set(accepted)):
                arrived += [g.ordinal for g in (await buffer.take(1, fresh=since(0))).batch]
        assert sorted(arrived) == sorted(accepted)
        assert set(range(12)) - cancelled <= set(arrived)
        assert buffer.stats().waiting_puts == 0

    anyio.run(play, backend=backend)


def test_a_buffer_holds_at_least_one_group() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        Buffer(0)
    with pytest.raises(ValueError, match="capacity_bytes is 0"):
        Buffer(1, capacity_bytes=0)


@pytest.mark.anyio
async def test_groups_are_taken_in_the_order_their_puts_began_whoever_waited() -> None:
    buffer = Buffer(2)
    order: list[int] = []
    async with anyio.create_task_group() as tasks:
        for ordinal in range(12):
            tasks.start_soon(buffer.put, group(ordinal, 0))
            await settle()
        assert buffer.hop().waiting_in == 10
        while len(order) < 12:
            order += [g.ordinal for g in (await buffer.take(1, fresh=since(0))).batch]
            # Somebody new comes just when there is room, and has to queue all the same.
            if len(order) == 3:
                tasks.start_soon(buffer.put, group(12, 0))
        order += [g.ordinal for g in (await buffer.take(1, fresh=since(0))).batch]
    assert order == list(range(13))


@pytest.mark.anyio
async def test_a_batch_heavier_than_the_buffer_may_be_still_comes_together() -> None:
    buffer = Buffer(8, capacity_bytes=10, size=lambda group: 100)
    async with anyio.create_task_group() as tasks:
        for ordinal in range(5):
            tasks.start_soon(buffer.put, group(ordinal, 0))
        await settle()
        # Nobody asks yet: one lies there, alone, and the others wait.
        assert (buffer.hop().depth, buffer.hop().bytes, buffer.hop().waiting_in) == (1, 100, 4)
        taken = await buffer.take(3, fresh=since(0))
        assert len(taken.batch) == 3
        assert (buffer.stats().buffered, buffer.stats().waiting_puts) == (1, 1)
        assert len((await buffer.take(2, fresh=since(0))).batch) == 2
    assert buffer.stats().bytes == 0


@pytest.mark.anyio
async def test_a_light_group_goes_on_when_the_heavy_one_before_it_gives_up() -> None:
    buffer = Buffer(8, capacity_bytes=10, size=lambda group: group.ordinal)
    await buffer.put(group(6, 0))
    heavy = anyio.CancelScope()

    async def put_heavy() -> None:
        with heavy:
            await buffer.put(group(7, 0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_heavy)
        await settle()
        tasks.start_soon(buffer.put, group(2, 0))
        await settle()
        assert buffer.stats().waiting_puts == 2
        heavy.cancel()
    assert [g.ordinal for g in buffer.drain()] == [6, 2]


@pytest.mark.anyio
async def test_room_made_in_the_instant_of_a_cancellation_goes_to_the_next_group() -> None:
    buffer = Buffer(1)
    await buffer.put(group(0, 0))
    doomed = anyio.CancelScope()

    async def put() -> None:
        with doomed:
            await buffer.put(group(1, 0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        await settle()
        tasks.start_soon(buffer.put, group(2, 0))
        await settle()
        doomed.cancel()
        assert [g.ordinal for g in buffer.drain()] == [0]
    assert [g.ordinal for g in buffer.drain()] == [2]
    assert conserved(buffer.stats())


@pytest.mark.anyio
async def test_closing_refuses_a_group_that_waits_for_room() -> None:
    buffer = Buffer(1)
    await buffer.put(group(0, 0))

    async def put() -> None:
        with pytest.raises(BufferClosed, match="no learner"):
            await buffer.put(group(1, 0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put)
        await settle()
        buffer.close()
    assert [g.ordinal for g in buffer.drain()] == [0]
    assert conserved(buffer.stats())


def test_a_group_weighs_its_tokens_and_its_text() -> None:
    task = Task(env="e", id="t")
    said = Trajectory(
        key=Key(0, 0),
        task="t",
        env="e",
        split="train",
        end=End.DONE,
        opening=(Message("user", "12345"),),
        turns=(Turn(text="123", feedback="12"),),
        tokens=pack_tokens([1, 2], [0, 1], [0.0, -1.0]),
    )
    assert group_bytes(Group(ordinal=0, task=task, trajectories=(said, said))) == 2 * (10 + 18)


@pytest.mark.anyio
async def test_a_batch_larger_than_the_buffer_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot take 3 groups from a buffer that holds 2"):
        await Buffer(2).take(3, fresh=since(0))


@pytest.mark.anyio
async def test_one_old_token_makes_a_group_stale_and_no_policy_makes_none() -> None:
    buffer = Buffer(4)
    await buffer.put(group(0, 5, 3))
    await buffer.put(group(1, None, None))
    await buffer.put(group(2, 4, 5))
    taken = await buffer.take(2, fresh=since(4))
    assert [g.ordinal for g in taken.batch] == [1, 2]
    assert [g.ordinal for g in taken.stale] == [0]
    assert buffer.stats().stale == 1


@pytest.mark.anyio
async def test_old_groups_are_swept_at_once_so_that_new_ones_can_come() -> None:
    buffer = Buffer(2)
    await buffer.put(group(0, 0))
    await buffer.put(group(1, 2))
    taken = await buffer.take(2, fresh=since(1))
    assert taken.batch == ()
    assert [g.ordinal for g in taken.stale] == [0]
    await buffer.put(group(2, 2))
    assert [g.ordinal for g in (await buffer.take(2, fresh=since(1))).batch] == [1, 2]


@pytest.mark.anyio
async def test_closing_tells_everyone_and_leaves_what_is_there() -> None:
    buffer = Buffer(2)
    await buffer.put(group(0, 0))

    async def take() -> None:
        with pytest.raises(BufferClosed, match="1 of 2 groups"):
            await buffer.take(2, fresh=since(0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await settle()
        buffer.close()
    with pytest.raises(BufferClosed, match="no learner"):
        await buffer.put(group(1, 0))
    assert [g.ordinal for g in buffer.drain()] == [0]
