"""An environment in its seat: every action of a turn counts, and set-up fails as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from duologue.engine import (
    Action,
    End,
    EnvError,
    Key,
    Message,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    Trajectory,
    UsageError,
    UserError,
    open_rollouts,
)
from duologue.envs import EnvSeat, Gym, Script, Step, make_dialogues, scripted_agent

pytestmark = pytest.mark.anyio


class Counter:
    """Pays the number it is told; `stop` ends it, `leave` is the user leaving, `boom` a bug."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def prompt(self) -> Sequence[Message]:
        return [Message("system", "Count."), Message("user", "Go.")]

    async def step(self, action: Action) -> Step:
        self.heard.append(action.content)
        match action.content:
            case "stop":
                return Step(feedback="stopped", reward=10.0, parts={"end": 10.0}, done=True)
            case "leave":
                return Step(feedback="bye", user_ended=True)
            case "boom":
                raise RuntimeError("boom")
            case "sulk":
                raise UserError("the user does not answer")
            case number:
                return Step(feedback=f"heard {number}", reward=int(number), parts={"n": 1.0})


def reply(*contents: str) -> Reply:
    return Reply(text="...", actions=tuple(Action("action", content) for content in contents))


def gym(**changes: Any) -> Gym:
    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        number = 0
        while True:
            yield Task(env="counter", id=f"{split}-{number}", split=split)
            number += 1

    def make(task: Task, seed: Seed, *, loud: bool = False) -> Counter:
        return Counter()

    def say(content: str) -> Any:
        def make_script(task: Task, rng: Random) -> Script:
            return lambda messages: Action("action", content)

        return make_script

    scripts = {name: say(name) for name in ("1", "stop", "leave", "boom", "sulk")}
    settings: dict[str, Any] = {
        "name": "counter", "tasks": tasks, "make": make, "scripts": scripts,
        "max_turns": 3, "options": {"loud": False},
    }  # fmt: skip
    return Gym(**{**settings, **changes})


async def play(counter: Gym, script: str, **options: Any) -> Trajectory:
    make = make_dialogues(counter, scripted_agent(counter, script), **options)
    task = next(counter.tasks("train", Seed(0)))
    config = RolloutConfig(attempts=2)
    async with open_rollouts([task], make, seed=Seed(0), config=config) as rollouts:
        (trajectory,) = (await rollouts.receive()).trajectories
    return trajectory


async def test_opening_is_the_environments_prompt() -> None:
    observation = await EnvSeat(Counter()).receive(None)
    assert observation == Observation(
        messages=(Message("system", "Count."), Message("user", "Go."))
    )


async def test_every_action_of_a_turn_is_taken_and_paid() -> None:
    observation = await EnvSeat(Counter()).receive(reply("1", "2", "3"))
    assert observation.reward == 6
    assert observation.parts == {"n": 3.0}
    assert observation.feedback == "heard 1\nheard 2\nheard 3"
    assert observation.messages == (Message("tool", observation.feedback),)
    assert observation.end is None


async def test_a_turns_parts_are_a_record_whatever_the_environment_does_to_its_own() -> None:
    class Tally(Counter):
        """Keeps one dict for all its steps, and writes in it."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = {"n": 0.0}

        async def step(self, action: Action) -> Step:
            self.parts["n"] = float(action.content)
            return Step(feedback="", reward=self.parts["n"], parts=self.parts)

    seat = EnvSeat(Tally())
    seen = [await seat.receive(reply(number)) for number in ("1", "1", "2", "1")]
    assert [observation.parts for observation in seen] == [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 1}]
    # Those that are equal in a row are one object: a live dialogue keeps them all.
    assert seen[0].parts is seen[1].parts


async def test_nothing_is_done_after_the_end_though_what_came_before_it_counts() -> None:
    env = Counter()
    observation = await EnvSeat(env).receive(reply("2", "stop", "3"))
    assert env.heard == ["2", "stop"]
    assert observation.reward == 12
    assert observation.parts == {"n": 1.0, "end": 10.0}
    assert observation.end is End.DONE


async def test_a_user_who_leaves_ends_it_by_name() -> None:
    observation = await EnvSeat(Counter()).receive(reply("leave", "1"))
    assert observation.end is End.USER_ENDED


@pytest.mark.parametrize(
    ("script", "end", "turns"),
    [
        ("1", End.MAX_TURNS, 3),
        ("stop", End.DONE, 1),
        ("leave", End.USER_ENDED, 1),
        ("boom", End.ENV_ERROR, 0),
        ("sulk", End.USER_ERROR, 0),
    ],
)
async def test_each_dialogue_ends_with_its_typed_reason(script: str, end: End, turns: int) -> None:
    trajectory = await play(gym(), script)
    assert (trajectory.end, len(trajectory.turns)) == (end, turns)
    assert (trajectory.task, trajectory.env, trajectory.key) == ("train-0", "counter", Key(0, 0))


async def test_max_turns_is_the_gyms_unless_somebody_says() -> None:
    assert len((await play(gym(), "1")).turns) == 3
    assert len((await play(gym(), "1", max_turns=1)).turns) == 1


async def test_options_reach_the_environment() -> None:
    seen: list[dict[str, Any]] = []

    def make(task: Task, seed: Seed, **options: Any) -> Counter:
        seen.append(options)
        return Counter()

    await play(gym(make=make), "stop")
    await play(gym(make=make), "stop", options={"loud": True})
    assert seen == [{"loud": False}, {"loud": True}]


async def test_environment_that_cannot_be_built_is_data_and_tried_again() -> None:
    def make(task: Task, seed: Seed, **options: Any) -> Counter:
        raise KeyError("hidden")

    trajectory = await play(gym(make=make), "1")
    assert trajectory.end is End.ENV_ERROR
    assert trajectory.discarded == (End.ENV_ERROR,)
    assert trajectory.detail == "EnvError: task 'train-0' cannot be set up: 'hidden'"


async def test_party_error_while_building_keeps_its_party() -> None:
    def make(task: Task, seed: Seed, **options: Any) -> Counter:
        raise UserError("nobody home")

    assert (await play(gym(make=make), "1")).end is End.USER_ERROR


async def test_a_retried_dialogue_gets_an_environment_with_another_seed() -> None:
    seeds: list[Seed] = []

    def make(task: Task, seed: Seed, **options: Any) -> Counter:
        seeds.append(seed)
        if len(seeds) == 1:
            raise EnvError("once")
        return Counter()

    trajectory = await play(gym(make=make), "stop")
    assert trajectory.end is End.DONE
    assert len(set(seeds)) == 2


async def test_unknown_option_is_named_with_the_known_ones() -> None:
    counter = gym()
    with pytest.raises(UsageError, match=r"'counter' has no option 'lout'; it has: loud"):
        make_dialogues(counter, scripted_agent(counter, "1"), options={"lout": True})
    bare = gym(options={})
    with pytest.raises(UsageError, match="it has: none"):
        make_dialogues(bare, scripted_agent(bare, "1"), options={"loud": True})


async def test_unknown_script_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no scripted agent 'stopp'; it has: 1, boom, leave"):
        scripted_agent(gym(), "stopp")


async def test_phase_keeps_sessions_apart() -> None:
    sessions: list[str] = []
    counter = gym()
    inner = scripted_agent(counter, "stop")

    def agent(task: Task, session: str, seed: Seed) -> Any:
        sessions.append(session)
        return inner(task, session, seed)

    task = next(counter.tasks("train", Seed(0)))
    for phase in ("train", "eval/x"):
        make_dialogues(counter, agent, phase=phase)(task, Key(12, 3), Seed(0))
    assert sessions == ["train/000000012/0003", "eval/x/000000012/0003"]
