"""Putting an environment and an agent into a dialogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..agents import ChatML, TextAgent, TokenAgent, whole_text, write_call
from ..agents.models import Model, Sampling, ScriptedModel
from ..engine import (
    Agent,
    Dialogue,
    End,
    EnvError,
    Key,
    MakeDialogue,
    Message,
    Observation,
    PartyError,
    Reply,
    Seed,
    Task,
    UsageError,
)
from ._env import Env, Gym, Voice
from ._voices import MakeVoices

MakeAgent = Callable[[Task, str, Seed], Agent]
"""Seats an agent: (task, session name, seed of this attempt)."""


class EnvSeat:
    """An environment's seat: a reply's actions are taken in order, and all their rewards count."""

    __slots__ = ("_env", "_parts")

    def __init__(self, env: Env) -> None:
        self._env = env
        self._parts: dict[str, float] = {}

    async def receive(self, reply: Reply | None) -> Observation:
        if reply is None:
            return Observation(messages=tuple(self._env.prompt()))
        feedback: list[str] = []
        reward = 0.0
        parts: dict[str, float] = {}
        end: End | None = None
        for action in reply.actions:
            step = await self._env.step(action)
            feedback.append(step.feedback)
            reward += step.reward
            parts = _sums(parts, step.parts) if parts else dict(step.parts)
            if step.done or step.user_ended:
                end = End.USER_ENDED if step.user_ended else End.DONE
                break
        # Most turns earn what the one before did, and a live dialogue keeps them all: one dict
        # serves both.
        if parts != self._parts:
            self._parts = _sums({}, parts)
        text = whole_text("\n".join(feedback))
        return Observation(
            messages=(Message("tool", text),),
            feedback=text,
            reward=reward,
            parts=self._parts,
            end=end,
        )


def _sums(parts: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    sums = dict(parts)
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + value
    return sums


def make_dialogues(
    gym: Gym,
    agent: MakeAgent,
    *,
    phase: str = "rollout",
    max_turns: int | None = None,
    options: Mapping[str, Any] | None = None,
    voices: MakeVoices | None = None,
) -> MakeDialogue:
    """How to set up a dialogue of `gym` with that agent.

    phase:   names the dialogues' sessions apart from those of another phase on the same model.
    options: the gym's own; an unknown one is a `UsageError` that names the known ones.
    voices:  the user and the judge of each dialogue, where they are not rule-based.
    """
    chosen = {**gym.options, **(options or {})}
    unknown = sorted(set(chosen) - set(gym.options))
    if unknown:
        raise UsageError(
            f"environment {gym.name!r} has no option {unknown[0]!r}; "
            f"it has: {', '.join(sorted(gym.options)) or 'none'}"
        )

    def make(task: Task, key: Key, seed: Seed) -> Dialogue:
        session = f"{phase}/{key.group:09d}/{key.sample:04d}"
        try:
            spoken: Mapping[str, Voice] = {} if voices is None else voices(task, session, seed)
            env = gym.make(task, seed / "env", **chosen, **spoken)
        except (PartyError, UsageError):
            # A setting that cannot be is wrong for every task alike: it is the caller's to mend.
            raise
        except Exception as error:
            raise EnvError(f"task {task.id!r} cannot be set up: {error}") from error
        return Dialogue(
            agent=agent(task, session, seed / "agent"),
            environment=EnvSeat(env),
            max_turns=gym.limit(task) if max_turns is None else max_turns,
        )

    return make


def scripted_agent(
    gym: Gym, name: str, *, through: Callable[[Model], Model] | None = None
) -> MakeAgent:
    """The gym's scripted agent of that name, speaking through tool calls like any other.

    through: wraps the model that each script is.
    """
    try:
        make_script = gym.scripts[name]
    except KeyError:
        raise UsageError(
            f"environment {gym.name!r} has no scripted agent {name!r}; "
            f"it has: {', '.join(sorted(gym.scripts))}"
        ) from None

    def seat(task: Task, session: str, seed: Seed) -> Agent:
        script = make_script(task, (seed / "script").random())

        def speak(messages: Sequence[Message]) -> str:
            return write_call(script(messages))

        model: Model = ScriptedModel(speak)
        if through is not None:
            model = through(model)
        return TextAgent(model, session=session, seed=seed, sampling=Sampling())

    return seat


def token_agent(model: Model, chat: ChatML, *, sampling: Sampling, context: int) -> MakeAgent:
    """An agent that samples from a model of ours, tokens in and tokens out."""

    def seat(task: Task, session: str, seed: Seed) -> Agent:
        return TokenAgent(
            model, chat, session=session, seed=seed, sampling=sampling, context=context
        )

    return seat
