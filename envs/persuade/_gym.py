"""The persuade gym: a user who strongly agrees with a claim, and pay for moving that stance.

UserRL's PersuadeGym (2509.19736) with its repairs: only a stance that no argument of the dialogue
reached before is paid, so that going back and forth earns nothing; a judge's stance is read in any
case and spacing; and a judge that fails is an error, never a reward of 0. `official` behaviour is
the released code's, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._persona import Manner, Persona
from .._persona import persona as persona_of
from ._official import OfficialPersuade, shown
from ._persuadee import Persuadee
from ._scripts import SCRIPTS
from ._stance import LAST, STANCES
from ._tasks import Opinion, generate, generate_general, opinion, read
from ._voices import Spoken

_INSTRUCTIONS = """\
You are an agent that actively interacts with a user to change their mind.

# Environment
The user strongly agrees with a claim and says why. Your goal is to bring them, with reasons, to \
strongly disagree with it.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `answer`: put the argument in `content` to the user.
- `action`: say or ask what is in `content`. Here it is heard like an argument.
- `finish`: end the conversation. `content` is ignored.

# Notes
- Make one point at a time, in whole sentences. Making it again changes nothing.
- What moves one user leaves another cold: ask what matters to them, and listen.
- Nobody likes to be pressed or insulted. The number of turns is limited.\
"""


class Persuade:
    """One dialogue: the agent argues, the user's stance moves, what is new of it is paid."""

    def __init__(
        self,
        held: Opinion,
        seed: Seed,
        *,
        persona: Persona,
        instructions: bool,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._prompt = opening(held, instructions=instructions)
        self._persuadee = Persuadee(held, seed, Manner(persona, seed))
        self._best = 0
        self._spoken: Spoken | None = None
        if user is not None or judge is not None:
            self._spoken = Spoken(held, self._persuadee, persona, user=user, judge=judge)

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return Step(feedback="Goodbye.", parts={"persuasion": 0.0}, done=True)
            case "action" | "answer":
                return await self._argue(action.content)
            case _:
                return Step(feedback="Please give me an argument.", parts={"persuasion": 0.0})

    async def _argue(self, text: str) -> Step:
        spoken = self._spoken
        reply = self._persuadee.hear(text) if spoken is None else await spoken.hear(text)
        level = self._level
        reward = max(0, level - self._best) / LAST
        self._best = max(self._best, level)
        return Step(
            feedback=reply.text,
            reward=reward,
            parts={"persuasion": reward},
            done=level == LAST,
            user_ended=reply.left,
        )

    @property
    def _level(self) -> int:
        return (self._spoken or self._persuadee).level

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return shown(STANCES[self._level], STANCES[self._best])

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(held: Opinion, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    stated = f"I strongly agree with this: {held.claim} {held.argument}".rstrip()
    messages = held.prompt or (Message("system", _INSTRUCTIONS), Message("user", stated))
    return [message for message in messages if instructions or message.role != "system"]


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    instructions: bool = True,
    persona: str = "plain",
    user: Voice | None = None,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles the user's wording and its persona.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    instructions: False leaves the system message out, for models that learnt the tool before.
    persona:      how the user speaks and when it leaves; `any` draws one. `official` has one user.
    user, judge:  who answers and who grades; rule-based when None. In `official` behaviour one
                  voice does both: `judge`, or `user` where there is no judge.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    held = opinion(task)
    who = persona_of(persona, seed)
    match behaviour:
        case "fixed":
            return Persuade(
                held,
                seed / "user",
                persona=who,
                instructions=instructions,
                user=user,
                judge=judge,
            )
        case "official":
            return OfficialPersuade(
                held,
                seed / "user",
                prompt=opening(held, instructions=instructions),
                voice=judge or user,
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """How the points would be put that move the user. Not what it says of them when asked."""
    return {consideration.point for consideration in opinion(task).considerations}


gym: Gym = Gym(
    name="persuade",
    tasks=generate,
    read=read,
    make=make,
    scripts=SCRIPTS,
    options={"behaviour": "fixed", "instructions": True, "persona": "plain"},
    voices=("user", "judge"),
    hidden=hidden,
    summary="Change the mind of a user who strongly agrees with a claim, with reasons.",
)

# For `--env duologue.envs.persuade:persuade_general`: users moved by what moves most people.
persuade_general: Gym = replace(gym, tasks=generate_general)
