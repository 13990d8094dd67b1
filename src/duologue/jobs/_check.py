"""`duologue env check`: does an environment keep the rules?"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ..config import Config
from ..engine import Seed
from ..envs import Conformance, check_gym, find
from ..progress import Reporter
from ._tasks import read_tasks

TASKS = 20
"""How many of a file's tasks are checked."""


async def check(config: Config, *, reporter: Reporter) -> Conformance:
    """Run the conformance kit on `env.name`, with its options, on its own tasks or a file's."""
    gym = find(config.env.name)
    tasks = None
    if config.env.tasks:
        tasks = list(islice(read_tasks(gym, Path(config.env.tasks)), TASKS))
    reporter.say(f"checking {gym.name}: a few seconds")
    return await check_gym(gym, seed=Seed(config.seed), tasks=tasks, options=config.env.options)
