"""Rollouts: every dialogue ends once, every group closes, nothing depends on who else is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue.engine import (
    Action,
    Carried,
    Credits,
    Dialogue,
    End,
    EnvError,
    Fate,
    Group,
    JudgeError,
    Key,
    Message,
    ModelError,
    Observation,
    Reply,
    RolloutConfig,
    Rollouts,
    Seed,
    StoreError,
    Task,
    Tokens,
    Trajectory,
    UsageError,
    UserError,
    checkpoint,
    first_fate,
    open_reader,
    open_rollouts,
    open_store,
    pack_tokens,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(20):
        await checkpoint()


def tasks(number: int) -> list[Task]:
    return [Task(env="dice", id=f"t{index}") for index in range(number)]


def endless() -> Iterator[Task]:
    return (Task(env="dice", id=f"t{index}") for index in count())


class Dice:
    """Both parties of a dialogue that rolls dice: how long it lasts, how it ends, what it says."""

    def __init__(self, seed: Seed) -> None:
        self.agents_dice = (seed / "agent").random()
        self.worlds_dice = (seed / "world").random()
        self.said: list[int] = []
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        for _ in range(self.agents_dice.randrange(3)):
            await checkpoint()
        number = self.agents_dice.randrange(1000)
        self.said.append(number)
        match self.agents_dice.randrange(12):
            case 0:
                return Reply(text=str(number), end=End.NO_ACTION)
            case 1:
                raise ModelError("the model rolled a 1")
            case _:
                return Reply(text=str(number), actions=(Action("action", str(number)),))

    def tokens(self) -> Tokens | None:
        return pack_tokens(self.said, [1] * len(self.said), [-0.5] * len(self.said))

    def close(self) -> None:
        self.closed += 1


class DiceWorld:
    def __init__(self, dice: Dice) -> None:
        self.dice = dice.worlds_dice

    async def receive(self, reply: Reply | None) -> Observation:
        for _ in range(self.dice.randrange(3)):
            await checkpoint()
        if reply is None:
            return Observation(messages=(Message("user", str(self.dice.randrange(1000))),))
        match self.dice.randrange(20):
            case 0:
                raise UserError("the user rolled a 1")
            case 1:
                raise JudgeError("the judge rolled a 2")
            case 2:
                raise KeyError("the environment rolled a 3")
            case 3 | 4 | 5:
                return Observation(reward=1.0, end=End.DONE)
            case _:
                return Observation(feedback="on", reward=self.dice.random())


class Table:
    """Makes dice dialogues and remembers them."""

    def __init__(self) -> None:
        self.made: list[Dice] = []
        self.unmade = 0

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        if (seed / "make").random().random() < 0.05:
            self.unmade += 1
            raise EnvError("no table is free")
        dice = Dice(seed)
        self.made.append(dice)
        return Dialogue(agent=dice, environment=DiceWorld(dice), max_turns=6)


class Line:
    """An agent whose every dialogue goes by one script: an end, an error, or a wait for ever."""

    def __init__(self, script: End | Exception | None) -> None:
        self.script = script
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        await checkpoint()
        if self.script is None:
            await anyio.sleep_forever()
        if isinstance(self.script, Exception):
            raise self.script
        return Reply(text="x", end=self.script)

    def tokens(self) -> Tokens | None:
        return None

    def close(self) -> None:
        self.closed += 1


class Opening:
    async def receive(self, reply: Reply | None) -> Observation:
        await checkpoint()
        return Observation()


Script = Callable[[Key, int], End | Exception | None]


class Play:
    """Makes dialogues from a script: (key, attempt) → what the agent does."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.attempts: Counter[Key] = Counter()
        self.lines: list[Line] = []

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        line = Line(self.script(key, self.attempts[key]))
        self.attempts[key] += 1
        self.lines.append(line)
        return Dialogue(agent=line, environment=Opening(), max_turns=1)

    @property
    def closed(self) -> bool:
        return all(line.closed == 1 for line in self.lines)


def always(what: End | Exception | None) -> Play:
    return Play(lambda key, attempt: what)


def config(**changes: Any) -> RolloutConfig:
    settings: dict[str, Any] = {"samples": 2, "live": 8, "retry_budget": 1000.0, **changes}
    return RolloutConfig(**settings)


async def all_groups(rollouts: Rollouts) -> list[Group]:
    return [group async for group in rollouts]


# Ends


async def test_every_task_is_tried_as_often_as_asked_and_recorded_once(tmp_path: Path) -> None:
    table = Table()
    path = tmp_path / "run.db"
    async with (
        open_store(path) as store,
        open_rollouts(
            tasks(40), table.make, seed=Seed(1), config=config(samples=3), store=store
        ) as rollouts,
    ):
        groups = await all_groups(rollouts)
        stats = rollouts.stats
    assert sorted(group.ordinal for group in groups) == list(range(40))
    for group in groups:
        assert [t.key for t in group.trajectories] == [Key(group.ordinal, s) for s in range(3)]
        assert {t.task for t in group.trajectories} == {group.task.id}
    assert all(dice.closed == 1 for dice in table.made)
    ends = Counter(t.end for group in groups for t in group.trajectories)
    assert {End.DONE, End.NO_ACTION, End.MAX_TURNS} <= set(ends)
    assert (stats.admitted, stats.live, stats.ended, stats.groups) == (120, 0, 120, 40)
    assert stats.ends == ends
    assert stats.retried == len(table.made) + table.unmade - 120 > 0
    counted = [t for group in groups for t in group.trajectories if t.end.finished]
    assert stats.counted == len(counted)
    assert stats.mean_reward == pytest.approx(sum(t.reward for t in counted) / len(counted))
    assert stats.turns == sum(len(t.turns) for group in groups for t in group.trajectories)
    with open_reader(path) as reader:
        stored = list(reader.trajectories())
        assert [s.trajectory for s in stored] == [
            t for group in sorted(groups, key=lambda g: g.ordinal) for t in group.trajectories
        ]
        assert sum(reader.fates().values()) == sum(reader.ends().values()) == 120
        assert all(s.fate is first_fate(s.trajectory.end) for s in stored)
        assert reader.tasks("rollout") == tasks(40)


@pytest.mark.parametrize(
    ("end", "fate"),
    [
        *((end, Fate.READY) for end in End if end.finished or end.cut_short),
        *((end, Fate.FAILED) for end in End if end.failed),
        (End.TIMEOUT, Fate.FAILED),
        (End.CANCELLED, Fate.CANCELLED),
    ],
)
def test_a_trajectorys_first_fate_follows_from_its_end(end: End, fate: Fate) -> None:
    assert first_fate(end) is fate


def test_the_mean_of_no_rewards_is_not_a_number() -> None:
    from duologue.engine import RolloutStats

    assert RolloutStats().mean_reward != RolloutStats().mean_reward


async def test_who_is_tried_again_can_be_told_instead_of_budgeted() -> None:
    asked: list[tuple[str, Key, int, bool]] = []

    def odd_ones(phase: str, key: Key, tries: int, budgeted: bool) -> bool:
        asked.append((phase, key, tries, budgeted))
        return key.group % 2 == 1

    play = always(UserError("gone"))
    async with open_rollouts(
        tasks(40),
        play.make,
        seed=Seed(0),
        config=config(samples=1, attempts=2, retry_budget=0),
        phase="probe",
        may_retry=odd_ones,
    ) as rollouts:
        groups = await all_groups(rollouts)
    tries = {t.key.group: 1 + len(t.discarded) for group in groups for t in group.trajectories}
    assert tries == {group: 1 + group % 2 for group in range(40)}
    assert rollouts.stats.retried == 20
    # Once each, because attempts are the dialogue's own; the budget's word is no more than advice.
    assert sorted(key for _, key, _, _ in asked) == [Key(group, 0) for group in range(40)]
    assert {(phase, t) for phase, _, t, _ in asked} == {("probe", 1)}
    assert {budgeted for *_, budgeted in asked} == {True, False}


async def test_a_group_closes_though_all_of_it_failed() -> None:
    play = always(UserError("gone"))
    async with open_rollouts(tasks(2), play.make, seed=Seed(0), config=config()) as rollouts:
        groups = await all_groups(rollouts)
    ends = [t.end for group in groups for t in group.trajectories]
    assert ends == [End.USER_ERROR] * 4
    assert rollouts.stats.counted == 0


async def test_a_place_that_cannot_be_set_up_is_a_failure_like_any_other() -> None:
    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        raise UserError("no such persona")

    async with open_rollouts(tasks(1), make, seed=Seed(0), config=config()) as rollouts:
        [group] = await all_groups(rollouts)
    for trajectory in group.trajectories:
        assert trajectory.end is End.USER_ERROR
        assert trajectory.detail == "UserError: no such persona"
        assert trajectory.discarded == (End.USER_ERROR, End.USER_ERROR)


async def test_no_tasks_are_no_groups() -> None:
    for wave in (0, 2):
        async with open_rollouts(
            [], always(End.DONE).make, seed=Seed(0), config=config(wave=wave)
        ) as rollouts:
            with pytest.raises(anyio.EndOfStream):
                await rollouts.receive()


# Retries


async def test_a_failed_dialogue_is_tried_again_whole_with_a_fresh_environment() -> None:
    play = Play(lambda key, attempt: End.DONE if attempt == 2 else ModelError(str(attempt)))
    async with open_rollouts(
        tasks(1), play.make, seed=Seed(0), config=config(samples=1)
    ) as rollouts:
        [group] = await all_groups(rollouts)
    [trajectory] = group.trajectories
    assert trajectory.end is End.DONE
    assert trajectory.discarded == (End.MODEL_ERROR, End.MODEL_ERROR)
    assert len(play.lines) == 3
    assert play.closed
    assert rollouts.stats.retried == 2
    assert rollouts.stats.admitted == 1


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_a_dialogue_that_keeps_failing_is_tried_so_often_and_recorded(attempts: int) -> None:
    play = always(JudgeError("no verdict"))
    async with open_rollouts(
        tasks(2), play.make, seed=Seed(0), config=config(attempts=attempts)
    ) as rollouts:
        groups = await all_groups(rollouts)
    for trajectory in [t for group in groups for t in group.trajectories]:
        assert trajectory.end is End.JUDGE_ERROR
        assert trajectory.discarded == (End.JUDGE_ERROR,) * (attempts - 1)
    assert len(play.lines) == 4 * attempts


async def test_an_outage_does_not_become_a_storm_of_retries() -> None:
    play = always(ModelError("503"))
    async with open_rollouts(
        tasks(200), play.make, seed=Seed(0), config=config(samples=1, retry_budget=0.1)
    ) as rollouts:
        await all_groups(rollouts)
    assert rollouts.stats.retried == 20
    assert len(play.lines) == 220


async def test_a_small_run_may_retry_ten_times_whatever_its_share() -> None:
    play = always(ModelError("503"))
    async with open_rollouts(
        tasks(20), play.make, seed=Seed(0), config=config(samples=1, retry_budget=0.0)
    ) as rollouts:
        await all_groups(rollouts)
    assert rollouts.stats.retried == 10


@pytest.mark.parametrize("end", [e for e in End if not e.failed and e is not End.CANCELLED])
async def test_an_end_that_is_no_failure_is_never_retried(end: End) -> None:
    play = always(end)
    async with open_rollouts(tasks(1), play.make, seed=Seed(0), config=config()) as rollouts:
        [group] = await all_groups(rollouts)
    assert [t.end for t in group.trajectories] == [end, end]
    assert len(play.lines) == 2


def test_a_timeout_is_recorded_and_not_retried(virtual_time: VirtualTime) -> None:
    play = always(None)

    async def main() -> list[Group]:
        async with open_rollouts(
            tasks(3), play.make, seed=Seed(0), config=config(deadline_s=3600)
        ) as rollouts:
            return await all_groups(rollouts)

    groups = virtual_time(main)
    assert [t.end for group in groups for t in group.trajectories] == [End.TIMEOUT] * 6
    assert len(play.lines) == 6
    assert play.closed


# Same seed, same run


async def recorded(folder: Path, name: str, **changes: Any) -> list[bytes]:
    path = folder / f"{name}.db"
    async with (
        open_store(path) as store,
        open_rollouts(
            tasks(12), Table().make, seed=Seed(5), config=config(**changes), store=store
        ) as rollouts,
    ):
        await all_groups(rollouts)
    with open_reader(path) as reader:
        return reader.records("rollout")


def test_one_seed_is_one_run_on_any_loop_at_any_width(tmp_path: Path) -> None:
    runs: dict[str, list[bytes]] = {}
    for backend in ("asyncio", "trio"):
        for shape in ({"live": 1}, {"live": 1000}, {"wave": 1}, {"live": 8, "wave": 4}):
            name = f"{backend} {shape}"

            async def main(name: str = name, shape: dict[str, int] = shape) -> list[bytes]:
                return await recorded(tmp_path, name, **shape)

            runs[name] = anyio.run(main, backend=backend)
    [first, *others] = runs.values()
    assert len(first) == 24
    assert len(set(first)) == 24
    assert all(other == first for other in others)


async def test_another_seed_another_epoch_or_another_phase_is_another_run() -> None:
    async def said(seed: int, first_group: int) -> set[str]:
        async with open_rollouts(
            tasks(3), Table().make, seed=Seed(seed), config=config(), first_group=first_group
        ) as rollouts:
            groups = await all_groups(rollouts)
        return {t.opening[0].content for g in groups for t in g.trajectories if t.opening}

    assert await said(1, 0) == await said(1, 0)
    assert await said(1, 0) != await said(2, 0)
    assert await said(1, 0) != await said(1, 3)


# Backpressure


@pytest.mark.parametrize("samples", [1, 3])
async def test_a_consumer_that_stops_stops_admission(samples: int) -> None:
    play = always(End.DONE)
    made = 0

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        nonlocal made
        made += 1
        return play.make(task, key, seed)

    live = 4
    async with open_rollouts(
        endless(), make, seed=Seed(0), config=config(samples=samples, live=live)
    ) as rollouts:
        await rollouts.receive()
        await settle()
        for _ in range(3):
            await settle()
        stopped_at = made
        assert stopped_at <= samples * (live + 2)
        await settle()
        assert made == stopped_at
        await rollouts.receive()
        await settle()
        assert made > stopped_at
    assert play.closed


async def test_no_more_dialogues_live_than_there_are_places() -> None:
    alive = highest = 0

    class Counted(Line):
        async def receive(self, observation: Observation) -> Reply:
            nonlocal alive, highest
            alive += 1
            highest = max(highest, alive)
            await settle()
            alive -= 1
            return Reply(text="x", end=End.DONE)

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(agent=Counted(None), environment=Opening(), max_turns=1)

    async with open_rollouts(
        tasks(20), make, seed=Seed(0), config=config(samples=3, live=5)
    ) as rollouts:
        await all_groups(rollouts)
    assert highest == 5


async def test_tasks_are_read_no_faster_than_they_are_admitted() -> None:
    read = 0

    def reading() -> Iterator[Task]:
        nonlocal read
        for task in endless():
            read += 1
            yield task

    play = always(None)
    async with open_rollouts(reading(), play.make, seed=Seed(0), config=config(samples=1, live=3)):
        await settle()
        assert (len(play.lines), read) == (3, 4)


async def test_one_credit_is_taken_per_group_and_stays_out_with_it() -> None:
    credits = Credits(2)
    play = always(End.DONE)
    async with open_rollouts(
        endless(), play.make, seed=Seed(0), config=config(), credits=credits
    ) as rollouts:
        groups = [await rollouts.receive(), await rollouts.receive()]
        await settle()
        assert len(play.lines) == 4
        assert credits.outstanding == 2
        credits.release()  # the fate of the first is settled
        groups.append(await rollouts.receive())
        assert sorted(group.ordinal for group in groups) == [0, 1, 2]
    # Those of the two groups that were taken are still out: their fates are the consumer's.
    assert credits.outstanding == 2


@pytest.mark.parametrize("wave", [0, 2])
async def test_credits_of_groups_that_nobody_took_come_back(wave: int) -> None:
    credits = Credits(5)
    play = Play(lambda key, attempt: End.DONE if key.group % 2 else None)
    async with open_rollouts(
        endless(), play.make, seed=Seed(0), config=config(wave=wave), credits=credits
    ):
        await settle()
        assert credits.outstanding > 1
    assert credits.outstanding == 0


async def test_waves_are_admitted_together_and_ended_together() -> None:
    alive: set[Key] = set()
    waves: list[set[int]] = []

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        if not alive:
            waves.append(set())
        alive.add(key)
        waves[-1].add(key.group)
        line = Line(End.DONE)

        def close() -> None:
            alive.discard(key)

        line.close = close  # type: ignore[method-assign]
        return Dialogue(agent=line, environment=Opening(), max_turns=1)

    async with open_rollouts(
        tasks(5), make, seed=Seed(0), config=config(wave=2, live=4)
    ) as rollouts:
        await all_groups(rollouts)
    assert waves == [{0, 1}, {2, 3}, {4}]


# Stopping


@pytest.mark.parametrize("wave", [0, 3])
async def test_leaving_early_cancels_and_records_what_is_alive(tmp_path: Path, wave: int) -> None:
    path = tmp_path / "run.db"
    play = Play(lambda key, attempt: End.DONE if key.group == 0 else None)
    async with (
        open_store(path) as store,
        open_rollouts(
            endless(), play.make, seed=Seed(0), config=config(wave=wave), store=store
        ) as rollouts,
    ):
        await rollouts.receive()
        with anyio.fail_after(10):
            while len(play.lines) < (6 if wave else 8):
                await checkpoint()
    assert play.closed
    stats = rollouts.stats
    assert (stats.live, stats.admitted, stats.ended) == (0, len(play.lines), len(play.lines))
    with open_reader(path) as reader:
        assert reader.count() == len(play.lines)
        assert reader.ends() == {End.DONE: 2, End.CANCELLED: len(play.lines) - 2}
        assert reader.fates() == {Fate.READY: 2, Fate.CANCELLED: len(play.lines) - 2}
        details = {s.trajectory.detail for s in reader.trajectories()}
    assert details == {"", "the run was stopped"}


async def test_an_error_of_the_consumers_comes_out_as_itself() -> None:
    """Also while dialogues wait for it to take their groups."""
    play = always(End.DONE)
    with pytest.raises(KeyError, match="mine"):
        async with open_rollouts(endless(), play.make, seed=Seed(0), config=config()):
            await settle()
            raise KeyError("mine")
    assert play.closed


@pytest.mark.parametrize("wave", [0, 2])
async def test_a_bug_stops_the_run_with_that_very_error(wave: int) -> None:
    bug = ValueError("off by one")
    play = Play(lambda key, attempt: bug if key == Key(2, 1) else End.DONE)
    with pytest.raises(ValueError, match="off by one") as caught:
        async with open_rollouts(
            endless(), play.make, seed=Seed(0), config=config(wave=wave)
        ) as rollouts:
            await all_groups(rollouts)
    assert caught.value is bug
    assert play.closed


async def test_a_bug_where_dialogues_are_made_stops_the_run() -> None:
    play = always(End.DONE)

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        if key == Key(1, 1):
            raise KeyError("bug")
        return play.make(task, key, seed)

    with pytest.raises(KeyError, match="bug"):
        async with open_rollouts(endless(), make, seed=Seed(0), config=config()) as rollouts:
            await all_groups(rollouts)
    assert play.closed


async def test_a_store_that_fails_stops_the_run(tmp_path: Path) -> None:
    play = always(End.DONE)
    credits = Credits(4)
    async with open_store(tmp_path / "run.db") as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        async with open_rollouts(
            tasks(3), play.make, seed=Seed(0), config=config(), store=store, credits=credits
        ) as rollouts:
            await all_groups(rollouts)
    assert credits.outstanding == 0


# Going on where an earlier life stopped


@pytest.mark.parametrize("wave", [0, 2])
async def test_a_group_that_was_carried_over_is_finished_under_its_ordinal(wave: int) -> None:
    def done(ordinal: int, sample: int) -> Trajectory:
        return Trajectory(
            key=Key(ordinal, sample),
            task=f"t{ordinal}",
            env="dice",
            split="train",
            end=End.USER_ENDED,
        )

    whole = Carried(
        ordinal=3, task=Task(env="dice", id="t3"), trajectories=(done(3, 1), done(3, 0))
    )
    half = Carried(ordinal=5, task=Task(env="dice", id="t5"), trajectories=(done(5, 1),))
    play = always(End.DONE)
    async with open_rollouts(
        tasks(1),
        play.make,
        seed=Seed(0),
        config=config(wave=wave),
        carried=[whole, half],
        first_group=7,
    ) as rollouts:
        groups = {group.ordinal: group for group in await all_groups(rollouts)}
    assert set(groups) == {3, 5, 7}
    assert [t.end for t in groups[3].trajectories] == [End.USER_ENDED] * 2
    assert [t.end for t in groups[5].trajectories] == [End.DONE, End.USER_ENDED]
    assert [t.key.sample for t in groups[3].trajectories] == [0, 1]
    assert set(play.attempts) == {Key(5, 0), Key(7, 0), Key(7, 1)}
    assert rollouts.stats.groups == 3


# Configuration


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"live": 0}, "live is 0"),
        ({"attempts": 0}, "attempts is 0"),
        ({"deadline_s": 0}, "deadline_s is 0"),
        ({"wave": -1}, "wave is -1"),
        ({"wave": 5}, "a wave of 5 groups of 2 needs live = 10, but live is 8"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)


async def test_a_wave_that_its_credits_would_never_admit_is_refused() -> None:
    with pytest.raises(UsageError, match="a wave of 3 groups needs 3 credits, but there are 2"):
        async with open_rollouts(
            tasks(3), Table().make, seed=Seed(0), config=config(wave=3), credits=Credits(2)
        ):
            pass  # pragma: no cover


async def test_a_run_that_a_bug_stops_does_not_look_finished() -> None:
    """A consumer that is told "no more" would go on with half a run until the bug reaches it."""

    class Buggy:
        async def receive(self, observation: Observation) -> Reply:
            raise ZeroDivisionError

        def tokens(self) -> Tokens | None:
            return None

        def close(self) -> None:
            pass

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        world = DiceWorld(Dice(seed))
        return Dialogue(agent=Buggy(), environment=world, max_turns=4)

    came_to_the_end = False
    with pytest.raises(ZeroDivisionError):
        async with open_rollouts(tasks(1), make, seed=Seed(0)) as rollouts:
            async for _ in rollouts:
                raise AssertionError
            came_to_the_end = True
    assert not came_to_the_end
