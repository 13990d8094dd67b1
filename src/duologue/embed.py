"""Rollouts inside somebody else's program: one block, one stream of trajectories.

    async with duologue.open_rollouts("intention", "scripted:expert", count=100) as trajectories:
        async for trajectory in trajectories:
            ...

Runs on the loop that runs already, asyncio or trio; starts nothing that outlives the block, touches
no signal handler and no global state. The lower level (actors, dialogues, groups, credits) is
`duologue.engine`, and how an environment meets an agent is `duologue.envs`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from .config import Config, EnvConfig, ModelConfig
from .engine import (
    RolloutConfig,
    Rollouts,
    RolloutStats,
    Seed,
    Task,
    Trajectory,
    open_store,
)
from .engine import open_rollouts as open_groups
from .envs import Gym, MakeAgent, find, make_dialogues
from .seats import open_agent


class Trajectories:
    """A stream of finished trajectories, group by group; `stats` counts along."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts

    @property
    def stats(self) -> RolloutStats:
        return self._rollouts.stats

    async def __aiter__(self) -> AsyncIterator[Trajectory]:
        async for group in self._rollouts:
            for trajectory in group.trajectories:
                yield trajectory


@asynccontextmanager
async def open_rollouts(
    env: str | Gym,
    agent: str | MakeAgent,
    *,
    tasks: Iterable[Task] | None = None,
    count: int | None = None,
    split: str = "train",
    samples: int = 1,
    live: int = 1024,
    deadline_s: float = 600.0,
    max_turns: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
) -> AsyncGenerator[Trajectories]:
    """Run dialogues for as long as the block lasts.

    env:   an environment's name or the environment; agent: `scripted:NAME`, `local:PATH`, or
           what `duologue.envs.scripted_agent` and its like return.
    tasks: what to try; None generates tasks of `split` without end. `count` takes the first ones.
    store: a file to keep every trajectory in; with one, a trajectory is durable before it is seen.

    Stopping to take stops admission; leaving the block cancels what is alive. Raises `UsageError`
    for names that are not there, `StoreError` when the store cannot be written.
    """
    gym = find(env) if isinstance(env, str) else env
    root = Seed(seed)
    wanted = gym.tasks(split, root.at("tasks", split)) if tasks is None else tasks
    async with AsyncExitStack() as stack:
        if isinstance(agent, str):
            settings = Config(
                seed=seed, env=EnvConfig(name=gym.name), model=ModelConfig(spec=agent)
            )
            agent = await stack.enter_async_context(open_agent(agent, gym, settings))
        kept = None if store is None else await stack.enter_async_context(open_store(Path(store)))
        rollouts = await stack.enter_async_context(
            open_groups(
                islice(wanted, count),
                make_dialogues(gym, agent, max_turns=max_turns, options=options),
                seed=root,
                config=RolloutConfig(samples=samples, live=live, deadline_s=deadline_s),
                store=kept,
            )
        )
        yield Trajectories(rollouts)
