"""A trio program: dialogues stream to a consumer that sets the pace, within a time limit.

    python examples/trio_program.py

The consumer is slower than the dialogues, so admission stops when as many finished groups wait for
it as there are places (`live`): nothing is dropped, and nothing piles up.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import trio

import duologue
from duologue.engine import Action, Message

TOPICS = ("price", "place", "date", "food")


def ask_in_order(messages: Sequence[Message]) -> Action:
    """An agent: asks for one thing after another, and does not listen."""
    turn = sum(message.role == "assistant" for message in messages)
    return Action("action", f"What about the {TOPICS[turn % len(TOPICS)]}?")


async def learn(group: Sequence[duologue.Trajectory]) -> float:
    """Stands for a learner: takes its time over the rewards of one task's dialogues."""
    await trio.sleep(0.01)
    return fmean(trajectory.reward for trajectory in group if trajectory.end.finished)


async def show(trajectories: duologue.Trajectories) -> None:
    """Says now and then what is going on."""
    while True:
        stats = trajectories.stats
        _, why = trajectories.snapshot().why
        print(f"{stats.ended} dialogues, {stats.live} live; waits for: {why}")
        await trio.sleep(0.1)


async def main(seconds: float = 1.0) -> list[float]:
    """The mean reward of each task that was learned from within the time."""
    means: list[float] = []
    async with duologue.open_rollouts("intention", ask_in_order, samples=8, live=64) as dialogues:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(show, dialogues)
                async for group in dialogues.groups:
                    means.append(await learn(group.trajectories))
    # Here every dialogue is over: those that were alive have been cancelled.
    return means


if __name__ == "__main__":
    means = trio.run(main)
    print(f"{len(means)} tasks, mean reward {fmean(means):.3f}")
