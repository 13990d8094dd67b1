"""`duologue.open_rollouts` as a stranger uses it, inside programs that have other things to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.from_thread import start_blocking_portal

import duologue
from duologue import End, Gym, Seed, Step, Task, Trajectory, UsageError
from duologue.agents import TextAgent, write_call
from duologue.agents.models import Generation, Model, Request, Sampling
from duologue.engine import Action, Agent, Key, Message, Observer, Watch, open_reader
from duologue.envs import find

pytestmark = pytest.mark.anyio


class Echo:
    """Pleased by its own words."""

    def __init__(self, task: Task, seed: Seed) -> None:
        self.words: str = task.data["words"]

    def prompt(self) -> Sequence[Message]:
        return [Message("user", self.words)]

    async def step(self, action: Action) -> Step:
        pleased = action.content == self.words
        return Step(feedback="Indeed." if pleased else "What?", reward=float(pleased), done=pleased)


ROWS = [{"words": "Hello."}, {"words": "Bye.", "id": "farewell"}]


def parrot(messages: Sequence[Message]) -> Action:
    return Action("answer", messages[0].content)


async def slow_parrot(messages: Sequence[Message]) -> str:
    await anyio.lowlevel.checkpoint()
    return write_call(parrot(messages))


class Parrot:
    """A model of one's own."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.most = 0
        self.sampling: Sampling | None = None

    def open(self, session: str) -> None:
        assert session not in self.sessions, f"{session} is open already"
        self.sessions.add(session)
        self.most = max(self.most, len(self.sessions))

    def close(self, session: str) -> None:
        self.sessions.remove(session)

    async def generate(self, request: Request) -> Generation:
        assert request.session in self.sessions
        self.sampling = request.sampling
        await anyio.lowlevel.checkpoint()
        return Generation(text=write_call(parrot(request.messages)))


class Gathering(Parrot):
    """Answers nobody before so many dialogues wait for it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.asked = 0
        self.there = anyio.Event()

    async def generate(self, request: Request) -> Generation:
        self.asked += 1
        if self.asked == self.number:
            self.there.set()
        await self.there.wait()
        return await super().generate(request)


class Silent(Gathering):
    """Never answers."""

    async def generate(self, request: Request) -> Generation:
        await super().generate(request)
        await anyio.sleep_forever()
        raise AssertionError


class Taught:
    """An agent as an object that is called."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def __call__(self, messages: Sequence[Message]) -> Action:
        return Action("answer", next(w for w in self.lines if w == messages[0].content))


def two_arguments(messages: Sequence[Message], task: Task) -> Action:
    raise AssertionError


def seat(task: Task, session: str, seed: Seed) -> Agent:
    return TextAgent(Parrot(), session=session, seed=seed, sampling=Sampling())


async def collect(env: Any, agent: Any, **options: Any) -> list[Trajectory]:
    async with duologue.open_rollouts(env, agent, **options) as trajectories:
        got = [trajectory async for trajectory in trajectories]
    return sorted(got, key=lambda trajectory: trajectory.key)


@pytest.mark.parametrize("agent", [parrot, slow_parrot, Parrot(), seat, Taught("Hello.", "Bye.")])
async def test_agents_and_environments_of_ones_own(agent: Any) -> None:
    got = await collect(Echo, agent, tasks=ROWS, samples=3)
    assert [(t.env, t.task, t.end, t.reward) for t in got] == [
        ("echo", task, End.DONE, 1.0) for task in ("0", "farewell") for _ in range(3)
    ]


async def test_an_agent_gets_the_conversation_so_far_and_cannot_change_it() -> None:
    heard: list[Sequence[Message]] = []

    def listen(messages: Sequence[Message]) -> Action:
        heard.append(messages)
        return Action("answer", str(len(heard)))

    (trajectory,) = await collect(Echo, listen, tasks=ROWS[:1], max_turns=3)
    assert trajectory.end is End.MAX_TURNS
    assert [len(messages) for messages in heard] == [1, 3, 5]
    assert [m.role for m in heard[-1]] == ["user", "assistant", "tool", "assistant", "tool"]


async def test_what_an_agent_of_ones_own_raises_is_data() -> None:
    def fails(messages: Sequence[Message]) -> Action:
        raise LookupError("lost")

    (trajectory,) = await collect(Echo, fails, tasks=ROWS[:1], settings={"rollout.attempts": 2})
    assert trajectory.end is End.MODEL_ERROR
    assert "lost" in trajectory.detail
    assert trajectory.discarded == (End.MODEL_ERROR,)


async def test_an_agent_that_says_a_thing_of_the_wrong_kind_is_told_so() -> None:
    def counts(messages: Sequence[Message]) -> Any:
        return len(messages)

    (trajectory,) = await collect(Echo, counts, tasks=ROWS[:1])
    assert trajectory.end is End.MODEL_ERROR
    assert "counts" in trajectory.detail and "an int, not text" in trajectory.detail


async def test_tasks_may_be_rows_tasks_a_file_or_endless(tmp_path: Path) -> None:
    def endless() -> Any:
        while True:
            yield {"words": "Hello."}

    assert len(await collect(Echo, parrot, tasks=endless(), count=7)) == 7
    task = Task(env="echo", id="own", split="test", data={"words": "Hi."})
    (own,) = await collect(Echo, parrot, tasks=[task])
    assert (own.task, own.split) == ("own", "test")
    intention = find("intention")
    generated = [
        task.data for _, task in zip(range(2), intention.tasks("test", Seed(0)), strict=False)
    ]
    assert generated
    with pytest.raises(UsageError, match="reads no task files"):
        await collect(Echo, parrot, tasks=tmp_path / "rows.json")


async def test_a_user_and_a_judge_of_ones_own() -> None:
    asked: list[str] = []

    async def user(messages: Sequence[Message]) -> str:
        asked.append("user")
        return "Whatever you say."

    async def judge(messages: Sequence[Message]) -> str:
        asked.append("judge")
        raise LookupError("no opinion")

    (trajectory,) = await collect(
        "intention", "scripted:expert", count=1, user=user, judge=judge,
        settings={"rollout.attempts": 1},
    )  # fmt: skip
    assert asked == ["user", "judge"]
    assert trajectory.end is End.JUDGE_ERROR and "no opinion" in trajectory.detail


MISTAKES: list[tuple[Callable[[], Any], str]] = [
    (lambda: collect("intension", parrot), "did you mean 'intention'"),
    (lambda: collect(Echo, parrot), "give them as tasks="),
    (lambda: collect(17, parrot), "the environment is an int"),
    (lambda: collect(Echo, None, tasks=ROWS), "the agent is None"),
    (lambda: collect(Echo, Parrot, tasks=ROWS), r"the class Parrot; .* Parrot\(...\)"),
    (lambda: collect(Echo, two_arguments, tasks=ROWS), "takes 2 arguments"),
    (lambda: collect(Echo, "gpt-5", tasks=ROWS), "openai:NAME"),
    (lambda: collect("intention", "scripted:nobody"), "has no scripted agent 'nobody'"),
    (lambda: collect(Echo, parrot, tasks=ROWS[0]), "one mapping"),
    (lambda: collect(Echo, parrot, tasks=3), "tasks is an int"),
    (lambda: collect(Echo, parrot, tasks=["Hello."]), "task 0 is a str"),
    (lambda: collect(Echo, parrot, tasks=ROWS, count=-1), "count is -1"),
    (lambda: collect(Echo, parrot, tasks=ROWS, live=0), "live is 0"),
    (lambda: collect(Echo, parrot, tasks=ROWS, options={"loud": 1}), "no option 'loud'"),
    (lambda: collect("intention", parrot, split="dev"), "no split is called 'dev'"),
    (
        lambda: collect(Echo, parrot, tasks=ROWS, settings={"model.temprature": 1}),
        "settings: unknown key 'model.temprature'; did you mean 'temperature'",
    ),
    (lambda: collect(Echo, parrot, tasks=ROWS, settings="no.toml"), "no.toml"),
    (lambda: collect(Echo, parrot, tasks=ROWS, user=slow_parrot), "neither user nor judge"),
    (lambda: collect(Echo, parrot, tasks=ROWS, user="openai:x"), "neither user nor judge"),
    (lambda: collect("intention", parrot, judge=3), "the judge is an int"),
    (lambda: collect("intention", parrot, user="gpt"), "openai:NAME"),
]


@pytest.mark.parametrize(("attempt", "words"), MISTAKES)
async def test_mistakes_are_named_before_anything_runs(
    attempt: Callable[[], Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await attempt()


async def test_half_a_model_is_no_model() -> None:
    class Half:
        async def generate(self, request: Request) -> Generation:
            raise AssertionError

        def open(self, session: str) -> None: ...

    with pytest.raises(UsageError, match="a Half is no model: it has no close"):
        await collect(Echo, Half(), tasks=ROWS)


async def test_settings_reach_the_model_and_are_left_as_they_were(tmp_path: Path) -> None:
    model = Parrot()
    settings = {"model": {"max_tokens": 9}, "model.temperature": 0.25, "rollout.samples": 2}
    before = repr(settings)
    got = await collect(Echo, model, tasks=ROWS[:1], settings=settings)
    assert model.sampling == Sampling(temperature=0.25, max_tokens=9)
    assert len(got) == 2 and repr(settings) == before
    file = tmp_path / "settings.toml"
    file.write_text("[model]\ntemperature = 0.5\n[rollout]\nsamples = 5\n")
    got = await collect(Echo, model, tasks=ROWS[:1], settings=file, samples=1)
    assert model.sampling == Sampling(temperature=0.5) and len(got) == 1


async def test_a_run_directory_is_optional_and_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    got = await collect(Echo, parrot, tasks=ROWS, run=folder)
    with open_reader(folder / "run.db") as reader:
        assert [stored.trajectory for stored in reader.trajectories()] == got
    text = (folder / "config.toml").read_text()
    assert 'spec = "python:parrot"' in text and 'name = "echo"' in text
    with pytest.raises(UsageError, match="already holds a run"):
        await collect(Echo, parrot, tasks=ROWS, run=folder)


async def test_leaving_early_cancels_what_is_alive_and_stores_it_as_such(tmp_path: Path) -> None:
    model = Silent(10)
    async with duologue.open_rollouts(
        Echo, model, tasks=ROWS * 5, run=tmp_path / "run"
    ) as trajectories:
        await model.there.wait()
        assert trajectories.stats.live == trajectories.snapshot().live == 10
    assert not model.sessions
    stats = trajectories.stats
    assert (stats.live, stats.ends) == (0, {End.CANCELLED: 10})
    with open_reader(tmp_path / "run" / "run.db") as reader:
        assert reader.ends() == {End.CANCELLED: 10}


async def test_a_consumer_may_break_off_and_take_up_again() -> None:
    keys: list[Key] = []
    async with duologue.open_rollouts("intention", "scripted:expert", samples=4) as trajectories:
        async for trajectory in trajectories:
            keys.append(trajectory.key)
            break
        keys.append((await anext(trajectories)).key)
        assert keys == [Key(0, 0), Key(0, 1)]
        async for group in trajectories.groups:
            assert [t.key.sample for t in group.trajectories] == [0, 1, 2, 3]
            break


async def test_several_consumers_share_the_stream() -> None:
    seen: list[Key] = []

    async def consume(trajectories: duologue.Trajectories) -> None:
        async for trajectory in trajectories:
            seen.append(trajectory.key)
            await anyio.lowlevel.checkpoint()

    async with (
        duologue.open_rollouts("intention", "scripted:expert", count=30, samples=2) as trajectories,
        anyio.create_task_group() as consumers,
    ):
        for _ in range(3):
            consumers.start_soon(consume, trajectories)
    assert sorted(seen) == [Key(group, sample) for group in range(30) for sample in range(2)]


async def test_the_programs_own_error_leaves_the_block_as_itself() -> None:
    model = Silent(2)
    with pytest.raises(ZeroDivisionError):
        async with duologue.open_rollouts(Echo, model, tasks=ROWS):
            raise ZeroDivisionError
    assert not model.sessions


async def test_a_bug_in_a_seat_stops_the_block_as_itself() -> None:
    def broken(task: Task, session: str, seed: Seed) -> Agent:
        raise LookupError("no seat")

    with pytest.raises(LookupError, match="no seat"):
        await collect(Echo, broken, tasks=ROWS)


async def test_blocks_share_an_open_agent_and_a_board() -> None:
    model = Gathering(24)  # so that all blocks are there at once
    board = duologue.Board()

    async def one(agent: duologue.SharedAgent, got: list[Trajectory]) -> None:
        got.extend(await collect(Echo, agent, tasks=ROWS, samples=4, board=board))

    shares: list[list[Trajectory]] = [[], [], []]
    async with duologue.open_agent(model, Echo) as agent, anyio.create_task_group() as blocks:
        for share in shares:
            blocks.start_soon(one, agent, share)
    assert shares[0] == shares[1] == shares[2] and len(shares[0]) == 8
    assert model.most == 24 and not model.sessions
    assert board.snapshot().phases == ()


async def test_observers_see_what_the_block_does() -> None:
    ends: list[End] = []

    class Ends(Watch):
        def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
            ends.append(trajectory.end)

    class Looks(Observer):
        def dialogue_began(self, key: Key, task: Task) -> Watch | None:
            return Ends()

    await collect(Echo, parrot, tasks=ROWS, observer=Looks())
    await collect(Echo, parrot, tasks=ROWS, observer=[Looks(), Looks()])
    await collect(Echo, parrot, tasks=ROWS, observer=[])
    assert ends == [End.DONE] * 6


async def test_equal_seeds_give_equal_dialogues_whoever_else_is_there() -> None:
    alone = await collect("intention", "scripted:imperfect", count=20, seed=3)
    async with duologue.open_rollouts("function", "scripted:expert"):
        together = await collect("intention", "scripted:imperfect", count=20, seed=3, live=7)
    assert together == alone
    assert await collect("intention", "scripted:imperfect", count=20, seed=4) != alone


class TestInsideAsyncio:
    """The host is asyncio, and has its own ways to stop things."""

    def run(self, main: Callable[[], Any]) -> Any:
        with asyncio.Runner() as runner:
            return runner.run(main())

    def test_among_other_tasks_and_blocks_in_blocks(self) -> None:
        async def main() -> None:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            async with duologue.open_rollouts("intention", "scripted:expert", count=5) as outer:
                async for trajectory in outer:
                    inner = await collect(Echo, parrot, tasks=[{"words": trajectory.task}])
                    assert inner[0].end is End.DONE
            ticking.cancel()
            assert ticks > 5
            assert asyncio.all_tasks() == {asyncio.current_task(), ticking}

        self.run(main)

    def test_the_hosts_timeout(self) -> None:
        model = Silent(2)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await collect(Echo, model, tasks=ROWS)
            # The timeout inside the block: the block goes on.
            async with duologue.open_rollouts(Echo, model, tasks=ROWS) as trajectories:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(trajectories)
                assert trajectories.stats.live == 2

        self.run(main)
        assert not model.sessions

    def test_the_hosts_cancellation(self) -> None:
        model = Silent(2)

        async def main() -> None:
            task = asyncio.create_task(collect(Echo, model, tasks=ROWS))
            await model.there.wait()
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not model.sessions and task.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        self.run(main)

    def test_in_a_task_group_of_the_hosts(self) -> None:
        async def main() -> list[Trajectory]:
            async with asyncio.TaskGroup() as group:
                jobs = [group.create_task(collect(Echo, parrot, tasks=ROWS)) for _ in range(3)]
            return [trajectory for job in jobs for trajectory in job.result()]

        assert len(self.run(main)) == 6

    def test_on_the_hosts_uvloop(self) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert len(runner.run(collect("intention", "scripted:expert", count=5))) == 5

    def test_from_a_program_without_a_loop(self) -> None:
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(
                duologue.open_rollouts("intention", "scripted:expert")
            ) as trajectories,
        ):
            got = [portal.call(trajectories.__anext__) for _ in range(3)]
        assert [trajectory.key.group for trajectory in got] == [0, 1, 2]


def test_the_hosts_collector_and_signal_handlers_are_left_alone() -> None:
    import gc
    import signal

    before = gc.get_threshold(), signal.getsignal(signal.SIGINT)

    async def main() -> None:
        async with duologue.open_rollouts("intention", "scripted:expert", count=3) as got:
            assert (gc.get_threshold(), signal.getsignal(signal.SIGTERM)) is not None
            assert gc.get_threshold() == before[0]
            async for _ in got:
                pass

    asyncio.run(main())
    assert (gc.get_threshold(), signal.getsignal(signal.SIGINT)) == before


def test_what_is_taken_is_typed() -> None:
    """For the type checkers: every kind of agent and environment is accepted as it is."""
    model: Model = Parrot()
    gym: Gym = find("intention")
    blocks = [
        duologue.open_rollouts(Echo, parrot, tasks=ROWS),
        duologue.open_rollouts("intention", model),
        duologue.open_rollouts(gym, seat),
        duologue.open_rollouts(Echo, slow_parrot, tasks=[Task(env="echo", id="1")]),
    ]
    assert all(isinstance(block, AbstractAsyncContextManager) for block in blocks)
