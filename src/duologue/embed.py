"""Rollouts inside somebody else's program: one block, one stream of trajectories.

    async with duologue.open_rollouts("intention", "scripted:expert", count=100) as trajectories:
        async for trajectory in trajectories:
            ...

Runs on the loop that runs already, asyncio or trio; starts nothing that outlives the block, touches
no signal handler and no global state. The lower level (actors, dialogues, groups, credits) is
`duologue.engine`, and how an environment meets an agent is `duologue.envs`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from copy import deepcopy
from itertools import count as naturals
from itertools import islice
from pathlib import Path
from typing import Any

import anyio

from .agents.models import Model
from .config import Config, load_config
from .engine import (
    Agent,
    Board,
    Group,
    Observer,
    Rollouts,
    RolloutStats,
    Seed,
    Snapshot,
    Task,
    Trajectory,
    UsageError,
    join_observers,
)
from .engine import open_rollouts as open_groups
from .envs import Gym, MakeAgent, Voice, make_dialogues
from .given import MakeEnv, Row, Speaker, name_of, to_agent, to_gym, to_tasks, to_voices
from .jobs._tasks import generate
from .rundir import open_run
from .seats import open_agent as open_named_agent
from .voices import open_voices

Settings = Mapping[str, Any] | str | Path
"""Settings by key path, as in `{"model.temperature": 0.7}`, or a TOML file of them."""


class Trajectories:
    """A stream of finished trajectories; `stats` counts along.

    Group by group (the samples of one task), in the order in which groups close. Sort by `key` for
    an order that is the same every time.

    Several tasks may take from it; each trajectory goes to one of them. A taker that is cancelled
    has taken nothing.
    """

    def __init__(self, rollouts: Rollouts, board: Board) -> None:
        self._rollouts = rollouts
        self._ready: deque[Trajectory] = deque()
        self._board = board

    @property
    def stats(self) -> RolloutStats:
        """The counts so far, read after the block too."""
        return self._rollouts.stats

    @property
    def groups(self) -> AsyncIterator[Group]:
        """The same stream as whole groups: all samples of one task, failures included."""
        return aiter(self._rollouts)

    def snapshot(self) -> Snapshot:
        """What the dialogues and admission are doing now; `snapshot().why` says what holds them
        up. To be called on the loop, inside the block."""
        return self._board.snapshot()

    def __aiter__(self) -> AsyncIterator[Trajectory]:
        return self

    async def __anext__(self) -> Trajectory:
        # A plain iterator: an async generator that is left early would wait to be collected.
        while not self._ready:
            try:
                group = await self._rollouts.receive()
            except anyio.EndOfStream:
                raise StopAsyncIteration from None
            self._ready.extend(group.trajectories)
        return self._ready.popleft()


class SharedAgent:
    """An agent that is open, for any number of `open_rollouts` at once. It seats agents."""

    def __init__(self, seat: MakeAgent) -> None:
        self._seat = seat
        self._names: set[str] = set()

    def __call__(self, task: Task, session: str, seed: Seed) -> Agent:
        return self._seat(task, session, seed)

    @contextmanager
    def _sharing(self) -> Generator[str]:
        # A model knows dialogues by their sessions' names, and two blocks count from 0 alike.
        name = next(
            name
            for number in naturals(1)
            if (name := "rollout" if number == 1 else f"rollout-{number}") not in self._names
        )
        self._names.add(name)
        try:
            yield name
        finally:
            self._names.remove(name)


@asynccontextmanager
async def open_agent(
    agent: str | Model | Speaker | MakeAgent,
    env: str | Gym | MakeEnv,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    board: Board | None = None,
) -> AsyncGenerator[SharedAgent]:
    """An agent that several `open_rollouts` share, at the same time or one after another.

    What it takes to answer (weights in memory, a vLLM server, connections) is there once, and gone
    after the block. Everything is as for `open_rollouts`; give it the same `board`, if any, so that
    the endpoints are shown there. Raises `UsageError`.
    """
    gym = to_gym(env)
    config = _config(settings, gym, agent, {"seed": seed})
    async with _open(agent, gym, config, board or Board()) as shared:
        yield shared


@asynccontextmanager
async def open_rollouts(
    env: str | Gym | MakeEnv,
    agent: str | Model | Speaker | MakeAgent,
    *,
    tasks: Iterable[Row] | str | Path | None = None,
    count: int | None = None,
    split: str = "train",
    samples: int | None = None,
    live: int | None = None,
    deadline_s: float | None = None,
    max_turns: int | None = None,
    options: Mapping[str, Any] | None = None,
    user: str | Voice | None = None,
    judge: str | Voice | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
    run: str | Path | None = None,
    observer: Observer | Sequence[Observer] | None = None,
    board: Board | None = None,
    watchdog_s: float | None = None,
) -> AsyncGenerator[Trajectories]:
    """Run dialogues for as long as the block lasts.

    env:      an environment's name; the `Gym` itself; or a class or function that makes the rules
              of one task, `make(task, seed)`, which then needs `tasks`.
    agent:    a name (`scripted:NAME`, `local:PATH`, `vllm:PATH|URL`, `openai:NAME`); a model
              that reads messages (`open`, `close`, `generate`); a function of the messages so far
              that returns text or an `Action`, async or not; what `open_agent` gave; or a function
              that seats an agent of one dialogue, `seat(task, session, seed)`.
    tasks:    rows: `Task`s, or mappings that become their `data`; a file in the environment's
              official layout; None generates tasks of `split` without end.
              `count` takes the first ones.
    samples:  dialogues a task (1). live: dialogues alive at once (1024). deadline_s: seconds an
              attempt may take (600). max_turns, options: the environment's own if not given.
    user, judge: where the environment's may be a model: `openai:NAME`, or an async function from
              messages to text. None is rule-based.
    seed:     0; equal seeds give equal dialogues, whatever else the loop does.
    settings: everything else that a run can be told, as on the command line:
              `{"model.temperature": 0.7, "rollout.attempts": 1}`. Arguments above win.
    run:      a new directory to keep every trajectory in, as the command line does; with one, a
              trajectory is durable before it is seen.
    observer: is told of every dialogue and its turns; several nest, the first outermost.
    board:    shows what this and other blocks of one program do, if they share it.
    watchdog_s: end the block by `Stalled` when nothing on the board has progressed for so many
              seconds; its error says who waits for what, and so does `stall.json` in `run`. A
              consumer that takes its time is waited for like anybody else, and dialogues under a
              longer deadline are. None, or 0, waits for ever, whatever `settings` say.

    Stopping to take stops admission; leaving the block cancels what is alive (with `run`, it is
    stored as cancelled). A failed party ends its dialogue, as data; a bug of the program's own
    raises out of the block as itself. Raises `UsageError` for what cannot be, before the first
    dialogue; `StoreError` when `run` cannot be written.
    """
    gym = to_gym(env)
    given = {
        "seed": seed,
        "health.watchdog_s": watchdog_s,
        "rollout.samples": samples,
        "rollout.live": live,
        "rollout.deadline_s": deadline_s,
        "env.max_turns": max_turns,
        "env.options": None if options is None else dict(options),
        "user.spec": user if isinstance(user, str) else None,
        "judge.spec": judge if isinstance(judge, str) else None,
    }
    config = _config(settings, gym, agent, given)
    own = to_voices(gym, user=user, judge=judge)
    if count is not None and count < 0:
        raise UsageError(f"count is {count}; it must not be negative")
    root = Seed(config.seed)
    wanted = generate(gym, split, root) if tasks is None else to_tasks(tasks, gym, split)
    board = board or Board()
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(_open(agent, gym, config, board))
        named = await stack.enter_async_context(open_voices(gym, config, board=board))

        def voices(task: Task, session: str, seed: Seed) -> Mapping[str, Voice]:
            return {**(named(task, session, seed) if named is not None else {}), **own}

        make = make_dialogues(
            gym,
            shared,
            phase=stack.enter_context(shared._sharing()),
            max_turns=config.env.max_turns or None,
            options=config.env.options,
            voices=voices if own or named is not None else None,
        )
        kept = None
        if run is not None:
            opened = open_run(Path(run), "rollout", config, board=board)
            kept = (await stack.enter_async_context(opened)).store
        if watchdog_s:
            from .jobs._health import open_job_watchdog

            folder = None if run is None else Path(run)
            await stack.enter_async_context(open_job_watchdog(board, config, folder))
        rollouts = await stack.enter_async_context(
            open_groups(
                islice(wanted, count),
                make,
                seed=root,
                config=config.rollout,
                store=kept,
                observer=_joined(observer),
                board=board,
            )
        )
        yield Trajectories(rollouts, board)


def _config(settings: Settings | None, gym: Gym, agent: object, given: Mapping[str, Any]) -> Config:
    """The settings, and on top of them what was given by name."""
    named = {key: value for key, value in given.items() if value is not None}
    spec = agent if isinstance(agent, str) else f"python:{name_of(agent)}"
    named |= {"env.name": gym.name, "model.spec": spec}
    if isinstance(settings, Mapping):
        return load_config(None, deepcopy(dict(settings)) | named, source="settings")
    path = None if settings is None else Path(settings)
    return load_config(path, named, source="open_rollouts")


@asynccontextmanager
async def _open(
    agent: str | Model | Speaker | MakeAgent, gym: Gym, config: Config, board: Board
) -> AsyncGenerator[SharedAgent]:
    if isinstance(agent, SharedAgent):
        yield agent
    elif isinstance(agent, str):
        async with open_named_agent(agent, gym, config, board=board) as seat:
            yield SharedAgent(seat)
    else:
        yield SharedAgent(to_agent(agent, config.model.sampling()))


def _joined(observer: Observer | Sequence[Observer] | None) -> Observer | None:
    if observer is None or isinstance(observer, Observer):
        return observer
    return join_observers(observer)
