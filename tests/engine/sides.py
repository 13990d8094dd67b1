"""Dialogues whose two sides wait where they are told to, for tests of what is waited for."""

from __future__ import annotations

from typing import Any

import anyio

from duologue.engine import (
    Action,
    Dialogue,
    Key,
    Message,
    Observation,
    Reply,
    RolloutConfig,
    Seed,
    Task,
    Tokens,
)


class Sides:
    """How long the agent and the environment take for each turn, in seconds."""

    def __init__(self, *, agent_s: float = 0.0, env_s: float = 0.0, turns: int = 4) -> None:
        self.agent_s, self.env_s, self.turns = agent_s, env_s, turns

    def make(self, task: Task, key: Key, seed: Seed) -> Dialogue:
        return Dialogue(
            agent=WaitingAgent(self), environment=WaitingEnv(self), max_turns=self.turns
        )


class WaitingAgent:
    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    async def receive(self, observation: Observation) -> Reply:
        await anyio.sleep(self.sides.agent_s)
        return Reply(text="x", actions=(Action("action", "x"),))

    def tokens(self) -> Tokens | None:
        return None

    def close(self) -> None:
        pass


class WaitingEnv:
    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    async def receive(self, reply: Reply | None) -> Observation:
        await anyio.sleep(self.sides.env_s if reply is not None else 0)
        return Observation(messages=(Message("user", "y"),))


def tasks(number: int) -> list[Task]:
    return [Task(env="e", id=f"t{index}") for index in range(number)]


def config(**settings: Any) -> RolloutConfig:
    """Few places and no deadline, unless told otherwise."""
    chosen: dict[str, Any] = {"live": 4, "deadline_s": float("inf"), **settings}
    return RolloutConfig(**chosen)
