"""The intention gym: a vague wish, hidden details, and pay for the questions that find them.

UserRL's IntentionGym (2509.19736) with its repairs: the user never knows more than it may say, a
detail counts once, and a scatter-shot question gets no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...engine import Action, Message, Seed, Task
from .._env import Env, Gym, Step
from ._expert import expert, fixed_order, imperfect, random_topic, silent, weather
from ._tasks import Wish, generate, read, wish
from ._user import User

_PAY = {"3": 1.0, "2": 0.7, "1": 0.4}
_EXTRA = 0.2
"""What each further detail of the same question costs."""

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


def coverage_reward(importances: Iterable[str]) -> float:
    """What one question earns by the importances of the details it newly covers, in [0, 1]."""
    covered = list(importances)
    if not covered:
        return 0.0
    return max(0.0, max(_PAY[i] for i in covered) - _EXTRA * (len(covered) - 1))


class Intention:
    """One dialogue: the agent asks, the user answers, newly covered details earn reward."""

    def __init__(self, wanted: Wish, seed: Seed, *, instructions: bool) -> None:
        self._opening = wanted.task
        self._instructions = instructions
        self._user = User(wanted, seed)

    def prompt(self) -> Sequence[Message]:
        opening = Message("user", self._opening)
        return [Message("system", _INSTRUCTIONS), opening] if self._instructions else [opening]

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return Step(feedback="Goodbye.", parts={"coverage": 0.0}, done=True)
            case "action" | "answer":
                reply = self._user.hear(action.content)
                reward = coverage_reward(detail.importance for detail in reply.covered)
                return Step(
                    feedback=reply.text,
                    reward=reward,
                    parts={"coverage": reward},
                    done=self._user.satisfied,
                )
            case _:
                return Step(feedback="Please ask me a question.", parts={"coverage": 0.0})


def make(task: Task, seed: Seed, *, instructions: bool = True) -> Env:
    """The environment of one dialogue; `seed` settles the user's wording and free choices.

    `instructions=False` leaves the system message out, for models that learnt the tool before.
    Raises `UsageError` when the task is not of this gym.
    """
    return Intention(wish(task), seed / "user", instructions=instructions)


gym = Gym(
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
    options={"instructions": True},
    summary="Find out what a vague wish leaves unsaid, one question at a time.",
)
