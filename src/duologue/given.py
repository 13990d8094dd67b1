"""What a program hands over (rows, functions, classes, objects), made into what the engine takes.

Everything here answers a mistake at once, with a `UsageError` that names what was given.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from .agents import TextAgent, write_call
from .agents.models import Generation, Model, Request, Sampling
from .engine import Action, Agent, Message, Seed, Task, UsageError, checkpoint
from .envs import Env, Gym, MakeAgent, Voice, find

Says = str | Action
"""What an agent says in a turn: text, in which tool calls are looked for, or the action itself."""

Speaker = Callable[[Sequence[Message]], Says | Awaitable[Says]]
"""An agent as a function: the conversation so far in, what it says out. It may be `async`."""

MakeEnv = Callable[[Task, Seed], Env]
"""An environment's rules for one task; a class whose objects are made so will do."""

Row = Task | Mapping[str, Any]


def to_gym(env: str | Gym | MakeEnv) -> Gym:
    """The environment of that name, the environment itself, or one that has only rules."""
    if isinstance(env, str):
        return find(env)
    if isinstance(env, Gym):
        return env
    if not callable(env):
        raise UsageError(
            f"the environment is {_kind(env)}; give its name, a Gym, or a class or function that "
            "makes the rules of one task: make(task, seed)"
        )
    name = getattr(env, "__name__", type(env).__name__).lower()
    return Gym(name=name, tasks=_no_tasks(name), make=env, scripts={})


def _no_tasks(name: str) -> Callable[[str, Seed], Iterator[Task]]:
    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        raise UsageError(f"environment {name!r} has no tasks of its own; give them as tasks=[...]")

    return tasks


def to_tasks(given: str | Path | Iterable[Row], gym: Gym, split: str) -> Iterable[Task]:
    """Tasks from a file in the gym's layout, or from rows, which are read one at a time.

    A row that is no `Task` yet is a mapping, and becomes its `data`; its `id` is the task's, or
    else its place among the rows.
    """
    if isinstance(given, str | Path):
        if gym.read is None:
            raise UsageError(f"environment {gym.name!r} reads no task files; give rows as tasks=")
        return gym.read(Path(given))
    if isinstance(cast("object", given), Mapping):
        raise UsageError("tasks is one mapping; give a list of rows: tasks=[row, ...]")
    try:
        rows = iter(given)
    except TypeError:
        raise UsageError(
            f"tasks is {_kind(given)}; give the rows in a list, or an iterator over them"
        ) from None
    return (_to_task(row, number, gym, split) for number, row in enumerate(rows))


def _to_task(row: Row, number: int, gym: Gym, split: str) -> Task:
    if isinstance(row, Task):
        return row
    if isinstance(cast("object", row), Mapping):
        return Task(env=gym.name, id=str(row.get("id", number)), split=split, data=dict(row))
    raise UsageError(f"task {number} is {_kind(row)}; a task is a Task or a mapping")


def to_agent(given: Model | Speaker | MakeAgent, sampling: Sampling) -> MakeAgent:
    """Seats for an agent that is a model, a function that speaks, or already seats."""
    if isinstance(given, type) and hasattr(given, "generate"):
        raise UsageError(
            f"the agent is {_kind(given)}; give an object of it: {name_of(given)}(...)"
        )
    if hasattr(given, "generate"):
        return _seats_of(_whole_model(given), sampling)
    if not callable(given):
        raise UsageError(
            f"the agent is {_kind(given)}; give its name (scripted:expert, openai:NAME, ...), a "
            "model (an object with open, close and generate), a function of the messages so far, "
            "or what seats an agent: seat(task, session, seed)"
        )
    match _arguments(given):
        case 1:
            return _seats_of(_Speaking(cast("Speaker", given)), sampling)
        case 3:
            return cast("MakeAgent", given)
        case number:
            raise UsageError(
                f"the agent {name_of(given)} takes {number} arguments; it takes 1 (the messages so "
                "far) to say what comes next, or 3 (task, session, seed) to seat an agent"
            )


def _seats_of(model: Model, sampling: Sampling) -> MakeAgent:
    def seat(task: Task, session: str, seed: Seed) -> Agent:
        return TextAgent(model, session=session, seed=seed, sampling=sampling)

    return seat


def _whole_model(given: object) -> Model:
    missing = [name for name in ("open", "close") if not callable(getattr(given, name, None))]
    if missing:
        raise UsageError(
            f"{_kind(given)} is no model: it has no {' and no '.join(missing)}; a model has "
            "open(session), close(session) and async generate(request)"
        )
    return cast("Model", given)


def to_voices(gym: Gym, **given: str | Voice | None) -> Mapping[str, Voice]:
    """The users and judges that are functions; the others are names, or the gym's own rules."""
    voices: dict[str, Voice] = {}
    for party, voice in given.items():
        if voice is None or isinstance(voice, str):
            continue
        if party not in gym.voices:
            has = " and ".join(gym.voices) or "neither user nor judge"
            raise UsageError(
                f"{party} was given, but in environment {gym.name!r} {has} can be a function or a "
                "model; leave it out"
            )
        if not callable(voice):
            raise UsageError(
                f"the {party} is {_kind(voice)}; give its name (openai:NAME), or an async function "
                "from messages to text"
            )
        voices[party] = voice
    return voices


class _Speaking:
    """A function as a model. What it raises is the model's failure, as for any other."""

    def __init__(self, speak: Speaker) -> None:
        self._speak = speak

    def open(self, session: str) -> None:
        pass

    def close(self, session: str) -> None:
        pass

    async def generate(self, request: Request) -> Generation:
        # A copy: the conversation goes on after the call, and what was kept of it must not.
        said = self._speak(tuple(request.messages))
        if inspect.isawaitable(said):
            said = await said
        else:
            await checkpoint()
        if isinstance(said, Action):
            said = write_call(said)
        if not isinstance(cast("object", said), str):
            raise TypeError(f"the agent {name_of(self._speak)} said {_kind(said)}, not text")
        return Generation(text=said)


def _arguments(function: Callable[..., object]) -> int:
    """How many positional arguments a call needs; for what has no signature, three."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 3
    needed = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.default is each.empty
    ]
    return len(needed)


def name_of(thing: object) -> str:
    """What a person would call it."""
    return str(getattr(thing, "__qualname__", type(thing).__name__))


def _kind(thing: object) -> str:
    if thing is None or isinstance(thing, type):
        return "None" if thing is None else f"the class {name_of(thing)}"
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
