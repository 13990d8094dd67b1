"""Observers: what they are told, in which order, in whose task; and what it costs to have none."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from duologue.engine import (
    Action,
    Dialogue,
    End,
    Environment,
    Key,
    Message,
    ModelError,
    Observation,
    Observer,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    Tokens,
    Trajectory,
    UserError,
    Watch,
    checkpoint,
    join_observers,
    open_rollouts,
)

VirtualTime = Callable[[Callable[[], Awaitable[Any]]], Any]

pytestmark = pytest.mark.anyio

ONE = Task(env="talk", id="one")


class Talker:
    """An agent that plays a list: text is said, an `End` is where it stops, errors are raised."""

    def __init__(self, *lines: str | End | Exception) -> None:
        self.lines = list(lines)
        self.closed = 0

    async def receive(self, observation: Observation) -> Reply:
        await checkpoint()
        match self.lines.pop(0):
            case End() as end:
                return Reply(text="enough", end=end)
            case Exception() as error:
                raise error
            case "wait":
                await anyio.sleep_forever()
                raise AssertionError
            case text:
                return Reply(text=text, actions=(Action("action", text),))

    def tokens(self) -> Tokens | None:
        return None

    def close(self) -> None:
        self.closed += 1


class Listener:
    """An environment that echoes: `bye` ends the dialogue, `sulk` fails the user."""

    async def receive(self, reply: Reply | None) -> Observation:
        await checkpoint()
        if reply is None:
            return Observation(messages=(Message("user", "hello"),))
        if reply.text == "sulk":
            raise UserError("the user sulks")
        end = End.DONE if reply.text == "bye" else None
        return Observation(feedback=reply.text, reward=1.0, end=end)


class Notes(Watch):
    """Writes down what it is told."""

    def __init__(self, lines: list[str], name: str = "") -> None:
        self.lines = lines
        self.name = name
        self.trajectory: Trajectory | None = None

    def note(self, text: str) -> None:
        self.lines.append(f"{self.name}{text}")

    def turn_began(self) -> None:
        self.note("turn")

    def replied(self, reply: Reply) -> None:
        self.note(f"says {reply.text}")

    def turn_ended(self, observation: Observation | None) -> None:
        self.note("nothing back" if observation is None else f"back {observation.feedback}")

    def retried(self, end: End, detail: str) -> None:
        self.note(f"again after {end}: {detail}")

    def dialogue_ended(self, trajectory: Trajectory, seconds: float) -> None:
        self.note(f"over: {trajectory.end}")
        self.trajectory = trajectory

    def crashed(self, error: Exception) -> None:
        self.note(f"crashed: {error}")


class Watcher(Observer):
    def __init__(self, name: str = "", lines: list[str] | None = None) -> None:
        self.name = name
        self.lines: list[str] = [] if lines is None else lines
        self.began: list[tuple[Key, str]] = []

    def dialogue_began(self, key: Key, task: Task) -> Watch | None:
        self.began.append((key, task.id))
        return Notes(self.lines, self.name)


async def run(
    observer: Observer | None, *attempts: Talker, deadline_s: float = 60.0, live: int = 1
) -> list[Trajectory]:
    """One dialogue, tried with each of `attempts` in turn."""
    left = list(attempts)

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        environment: Environment = Listener()
        return Dialogue(agent=left.pop(0), environment=environment, max_turns=4)

    config = RolloutConfig(deadline_s=deadline_s, attempts=len(attempts), live=live)
    async with open_rollouts(
        [ONE], make, seed=Seed(0), config=config, observer=observer
    ) as rollouts:
        return [trajectory async for group in rollouts for trajectory in group.trajectories]


async def test_a_dialogue_is_told_turn_by_turn() -> None:
    watcher = Watcher()
    (trajectory,) = await run(watcher, talker := Talker("one", "bye"))
    assert watcher.began == [(Key(0, 0), "one")]
    assert watcher.lines == [
        "turn", "says one", "back one", "turn", "says bye", "back bye", "over: done",
    ]  # fmt: skip
    assert trajectory.end is End.DONE
    assert talker.closed == 1


async def test_a_turn_that_the_agent_ends_has_a_reply_and_no_answer() -> None:
    watcher = Watcher()
    await run(watcher, Talker("one", End.NO_ACTION))
    assert watcher.lines[3:] == ["turn", "says enough", "nothing back", "over: no_action"]


async def test_turns_that_fail_are_closed_before_the_next_attempt() -> None:
    watcher = Watcher()
    await run(watcher, Talker(ModelError("no")), Talker("sulk"), Talker("bye"))
    assert watcher.lines == [
        "turn", "nothing back", "again after model_error: ModelError: no",
        "turn", "says sulk", "nothing back", "again after user_error: UserError: the user sulks",
        "turn", "says bye", "back bye", "over: done",
    ]  # fmt: skip


def test_a_turn_that_runs_out_of_time_is_closed(virtual_time: VirtualTime) -> None:
    watcher = Watcher()

    async def main() -> None:
        await run(watcher, Talker("one", "wait"), deadline_s=5.0)

    virtual_time(main)
    assert watcher.lines[-3:] == ["turn", "nothing back", "over: timeout"]


async def test_a_dialogue_that_is_stopped_is_over_too() -> None:
    watcher = Watcher()
    with anyio.move_on_after(0.05):
        await run(watcher, Talker("one", "wait"))
    assert watcher.lines[-2:] == ["nothing back", "over: cancelled"]


async def test_a_bug_in_a_dialogue_is_told_as_such() -> None:
    watcher = Watcher()
    with pytest.raises(ZeroDivisionError):
        await run(watcher, Talker("one", ZeroDivisionError("oops")))
    assert watcher.lines[-2:] == ["nothing back", "crashed: oops"]


@pytest.mark.parametrize("hook", ["turn_began", "replied", "turn_ended", "dialogue_ended"])
async def test_a_bug_in_a_watch_stops_the_run_and_is_nobodys_failure(hook: str) -> None:
    class Broken(Notes):
        pass

    def fail(*_: object) -> None:
        raise LookupError(hook)

    setattr(Broken, hook, fail)

    class Breaks(Watcher):
        def dialogue_began(self, key: Key, task: Task) -> Watch | None:
            return Broken(self.lines)

    watcher = Breaks()
    talker = Talker("bye")
    with pytest.raises(LookupError, match=hook):
        await run(watcher, talker)
    assert watcher.lines[-1] == f"crashed: {hook}"
    assert talker.closed == 1


async def test_observers_nest() -> None:
    lines: list[str] = []
    both = join_observers([Watcher("outer ", lines), Watcher("inner ", lines)])
    await run(both, Talker(ModelError("no")), Talker("bye"))
    assert lines == [
        "outer turn", "inner turn", "inner nothing back", "outer nothing back",
        "outer again after model_error: ModelError: no",
        "inner again after model_error: ModelError: no",
        "outer turn", "inner turn", "outer says bye", "inner says bye",
        "inner back bye", "outer back bye", "inner over: done", "outer over: done",
    ]  # fmt: skip
    lines.clear()
    with pytest.raises(ZeroDivisionError):
        await run(both, Talker(ZeroDivisionError("oops")))
    assert lines[-2:] == ["inner crashed: oops", "outer crashed: oops"]


async def test_joining_one_or_none_adds_nothing() -> None:
    watcher = Watcher()
    assert join_observers([]) is None
    assert join_observers([watcher]) is watcher


async def test_an_observer_may_leave_a_dialogue_alone() -> None:
    class Counts(Observer):
        began = 0

        def dialogue_began(self, key: Key, task: Task) -> Watch | None:
            self.began += 1
            return super().dialogue_began(key, task)

    counts = Counts()
    watcher = Watcher()
    bystanders = join_observers([counts, Counts()])
    (trajectory,) = await run(bystanders, Talker("bye"))
    assert counts.began == 1 and trajectory.end is End.DONE
    with pytest.raises(ZeroDivisionError):
        await run(counts, Talker(ZeroDivisionError("oops")))
    await run(join_observers([counts, watcher]), Talker("bye"))
    assert counts.began == 3 and watcher.lines[-1] == "over: done"


async def test_a_watch_that_overrides_nothing_changes_nothing() -> None:
    class Idle(Watch):
        pass

    class Idles(Observer):
        def dialogue_began(self, key: Key, task: Task) -> Watch | None:
            return Idle()

    talkers = (Talker(ModelError("no")), Talker("one", "bye"))
    (watched,) = await run(Idles(), *talkers)
    (alone,) = await run(None, Talker(ModelError("no")), Talker("one", "bye"))
    assert watched == alone
    with pytest.raises(ZeroDivisionError):
        await run(Idles(), Talker(ZeroDivisionError("oops")))


async def test_without_an_observer_the_parties_are_their_own() -> None:
    """Off means off: what runs is the agent itself, not a wrapper that asks whether it is on."""
    depths: dict[bool, int] = {}

    class Deep(Talker):
        async def receive(self, observation: Observation) -> Reply:
            frame, depth = sys._getframe(), 0
            while frame.f_back is not None:
                frame, depth = frame.f_back, depth + 1
            depths[len(depths) == 1] = depth
            return Reply(text="bye", actions=(Action("action", "bye"),))

    await run(None, Deep())
    await run(Watcher(), Deep())
    assert depths[False] < depths[True]


async def test_what_a_watch_sets_in_its_context_stays_in_its_dialogue() -> None:
    here: ContextVar[str] = ContextVar("here", default="nowhere")
    seen: list[tuple[str, str]] = []

    class Place(Observer):
        def dialogue_began(self, key: Key, task: Task) -> Watch | None:
            here.set(task.id)
            return None

    class Looks(Talker):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        async def receive(self, observation: Observation) -> Reply:
            for _ in range(3):
                await checkpoint()
                seen.append((self.name, here.get()))
            return Reply(text="bye", actions=(Action("action", "bye"),))

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(agent=Looks(task.id), environment=Listener(), max_turns=1)

    tasks = [Task(env="talk", id=str(number)) for number in range(20)]
    async with open_rollouts(tasks, make, seed=Seed(0), observer=Place()) as rollouts:
        async for _ in rollouts:
            assert here.get() == "nowhere"
    assert len(seen) == 60
    assert all(name == place for name, place in seen)
