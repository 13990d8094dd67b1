"""The intention gym: a vague wish, hidden details, and pay for the questions that find them.

UserRL's IntentionGym (2509.19736) with its repairs: the user never knows more than it may say, a
detail counts once, and a scatter-shot question gets no answer. `official` behaviour is the released
code's, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._persona import Manner, Persona
from .._persona import persona as persona_of
from ._expert import expert, fixed_order, imperfect, random_topic, silent, weather
from ._official import OfficialIntention, counts
from ._pay import coverage_reward as coverage_reward
from ._tasks import Wish, generate, read, wish
from ._user import User
from ._voices import Spoken

_INSTRUCTIONS = """\
You are an agent that actively interacts with a user to find out what they really want.

# Environment
The user has a task in mind and describes it only vaguely. Several details that matter for it are \
missing. Your goal is to uncover them by asking, the most important ones first. You need not solve \
the task.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `action`: ask the user the question in `content`.
- `answer`: say what is in `content` to the user. Here it is heard like a question.
- `finish`: end the conversation. `content` is ignored.

# Notes
- Ask about one detail at a time: the user answers no question that names several.
- Do not ask again for what the user has told you.
- The number of turns is limited, and the more a detail matters the more it earns.\
"""


class Intention:
    """One dialogue: the agent asks, the user answers, newly covered details earn reward."""

    def __init__(
        self,
        wanted: Wish,
        seed: Seed,
        *,
        instructions: bool,
        who: Persona | None = None,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._prompt = opening(wanted, instructions=instructions)
        self._manner = None if who is None else Manner(who, seed)
        # A user that is a model has its manner in its own words.
        self._user = User(wanted, seed, self._manner if user is None else None)
        self._total = len(wanted.missing_details)
        self._spoken: Spoken | None = None
        if user is not None or judge is not None:
            self._spoken = Spoken(wanted, self._user, user=user, judge=judge, persona=who)

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return Step(feedback="Goodbye.", parts={"coverage": 0.0}, done=True)
            case "action" | "answer":
                spoken = self._spoken
                if spoken is None:
                    reply = self._user.hear(action.content)
                else:
                    reply = await spoken.hear(action.content)
                reward = coverage_reward(detail.importance for detail in reply.covered)
                done = (spoken or self._user).satisfied
                goodbye = None
                if self._manner is not None and not done:
                    goodbye = self._manner.leave(bool(reply.covered))
                return Step(
                    feedback=reply.text if goodbye is None else f"{reply.text} {goodbye}",
                    reward=reward,
                    parts={"coverage": reward},
                    done=done,
                    user_ended=goodbye is not None,
                )
            case _:
                return Step(feedback="Please ask me a question.", parts={"coverage": 0.0})

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        left = (self._spoken or self._user).left
        return counts(self._total, self._total - left, left)

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(wanted: Wish, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = wanted.prompt or (Message("system", _INSTRUCTIONS), Message("user", wanted.task))
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
    """The environment of one dialogue; `seed` settles the user's wording and free choices.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    instructions: False leaves the system message out, for models that learnt the tool before.
    persona:      how the user speaks, what it dodges, when it leaves: a name of `PERSONAS`, or
                  `any`. `official` has none.
    user, judge:  who answers and who grades; rule-based when None.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    wanted = wish(task)
    who = None if persona == "plain" else persona_of(persona, seed)
    match behaviour:
        case "fixed":
            return Intention(
                wanted,
                seed / "user",
                instructions=instructions,
                who=who,
                user=user,
                judge=judge,
            )
        case "official":
            return OfficialIntention(
                wanted,
                User(wanted, seed / "user"),
                (seed / "canned").random(),
                name=task.id,
                prompt=opening(wanted, instructions=instructions),
                user=user,
                judge=judge,
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """How the task words what it hides. Not the values: the user says them when asked, and names
    the topics of the small world."""
    wanted = wish(task)
    inquiries = {detail.inquiry for detail in wanted.missing_details}
    if wanted.domain:
        return inquiries
    return inquiries | {detail.description for detail in wanted.missing_details}


def best(task: Task) -> float:
    """The most that a dialogue can earn: a question for each detail. The paper reports the sum."""
    return sum(coverage_reward([detail.importance]) for detail in wish(task).missing_details)


gym: Gym = Gym(
    name="intention",
    tasks=generate,
    read=read,
    make=make,
    scripts={
        "expert": expert,
        "imperfect": imperfect,
        "random-topic": random_topic,
        "fixed-order": fixed_order,
        "weather": weather,
        "silent": silent,
    },
    # At 5 turns asking at random comes within a fifth of the expert; at 4 it does not.
    max_turns=4,
    options={"behaviour": "fixed", "instructions": True, "persona": "plain"},
    voices=("user", "judge"),
    hidden=hidden,
    best=best,
    summary="Find out what a vague wish leaves unsaid, one question at a time.",
)
