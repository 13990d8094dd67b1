# ruff: noqa: F704, PLE1142
# mypy: disable-error-code="top-level-await"
# %% [markdown]
# # Rewards in a notebook
#
# Open this file as a notebook (VS Code, or `jupytext --to ipynb`). A notebook runs an event loop
# already, so cells await at the top level: no `asyncio.run`, and nothing to install for it.

# %%
from collections import Counter
from importlib import import_module
from typing import Any

import duologue

AGENTS = ("scripted:expert", "scripted:fixed-order", "scripted:weather")


async def rewards(agent: str, count: int = 200) -> list[float]:
    """The rewards of that agent's dialogues, the same ones every time."""
    async with duologue.open_rollouts("intention", agent, count=count, seed=1) as trajectories:
        return [trajectory.reward async for trajectory in trajectories]


# %%
results = {agent: await rewards(agent) for agent in AGENTS}  # pyright: ignore

# %% [markdown]
# Interrupting a cell cancels its dialogues, and the next cell starts from nothing left over.


# %%
def histogram(values: list[float], width: int = 40) -> str:
    """Bars of text, one a bin of half a point."""
    bins = Counter(int(2 * value) / 2 for value in values)
    most = max(bins.values())
    lines = [f"{at:4.1f} {'#' * round(width * bins[at] / most)} {bins[at]}" for at in sorted(bins)]
    return "\n".join(lines)


for agent, values in results.items():
    print(f"{agent}: {sum(values) / len(values):.3f}\n{histogram(values)}\n")

# %% [markdown]
# With matplotlib, the same as a figure.

# %%
try:
    pyplot: Any = import_module("matplotlib.pyplot")
except ImportError:
    print("matplotlib is not installed; the text above says the same")
else:
    pyplot.hist(list(results.values()), bins=12, label=list(results))
    pyplot.xlabel("reward")
    pyplot.ylabel("dialogues")
    pyplot.legend()

# %% [markdown]
# One dialogue, line by line.


# %%
async def first(agent: str) -> duologue.Trajectory:
    """The first dialogue; leaving the block ends the others."""
    async with duologue.open_rollouts("intention", agent, seed=1) as trajectories:
        return await anext(trajectories)


one = await first("scripted:expert")  # pyright: ignore
for message in one.opening:
    if message.role == "user":
        print(f"user:  {message.content}")
for turn in one.turns:
    print(f"agent: {turn.actions[0].content}\nuser:  {turn.feedback}  ({turn.reward:+.1f})")
