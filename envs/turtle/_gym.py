"""The turtle gym: a strange scene, questions for yes or no, and pay for the story behind it.

UserRL's TurtleGym (2509.19736) with its repairs: one answer counts, so that nobody guesses until it
fits; what it was worth says nothing about the rubric; a user or judge that fails ends the dialogue
instead of paying 0, and a judge's scores are bounded. `official` behaviour is the released code's,
bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._hearing import words
from .._persona import Persona, persona
from ._exploits import answer_spam, everything, guess, injection, rubric_fishing
from ._judge import grade, rubric_score, weights
from ._official import OfficialTurtle
from ._scripts import expert, imperfect, investigator, random_moves
from ._tasks import Story, generate, read, story
from ._user import Reply, User, Verdict
from ._voices import ask_judge, ask_user

GUESSES = 1
"""Answers that count. With more, the best of several guesses pays, and guessing is learnt."""

THRESHOLD = 1.0

_ROUNDING = 1e-9
"""For some rubrics a whole answer sums to a little less than 1."""

_INSTRUCTIONS = """\
You are an agent that actively interacts with a user to find out the story behind a strange scene.

# Environment
You are told the surface of a story. What lies behind it explains the scene, usually with a twist. \
The user knows it, and answers questions with yes, no or maybe. Your goal is to tell the whole story.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `action`: ask the user the yes-or-no question in `content`.
- `answer`: tell the story behind the scene in `content`, with everything that you found out.
- `finish`: end the conversation without an answer. `content` is ignored.

# Notes
- Ask until you know what happened, who it concerns and how it came about, then answer.
- An answer that names several possibilities for one point gets nothing for it.
- The number of turns is limited.\
"""

_ADVICE = "Ask me a question for yes or no, or tell me the story."
_NOTHING = {"story": 0.0}


class Turtle:
    """One dialogue: the agent asks, the user answers, the retold story is graded."""

    def __init__(
        self,
        told: Story,
        seed: Seed,
        who: Persona,
        *,
        guesses: int = GUESSES,
        threshold: float = THRESHOLD,
        scale: float = 1.0,
        instructions: bool = True,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._told = told
        self._persona = who
        self._ruled = User(told, seed, who)
        self._guesses = guesses
        self._threshold = threshold
        self._scale = scale
        self._prompt = opening(told, instructions=instructions, guesses=guesses)
        self._user = user
        self._judge = judge
        self._past: list[tuple[str, str]] = []
        self._score = 0.0
        self._best = 0.0

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return Step(feedback="Goodbye.", parts=_NOTHING, done=True)
            case "action":
                reply = await self._hear(action.content)
                return Step(feedback=reply.text, parts=_NOTHING, user_ended=reply.left)
            case "answer" if words(action.content):
                return await self._grade(action.content)
            case _:
                return Step(feedback=_ADVICE, parts=_NOTHING)

    async def _hear(self, question: str) -> Reply:
        if self._user is None:
            return self._ruled.hear(question)
        said = await ask_user(self._user, self._told, self._persona, self._past, question)
        self._past.append((question, said))
        meant: Verdict = "yes" if said == "Yes" else "no" if said == "No" else "maybe"
        return self._ruled.parting(f"{said}.", meant, productive=meant != "maybe")

    async def _grade(self, retold: str) -> Step:
        if self._judge is None:
            scores = grade(self._told, retold)
        else:
            scores = await ask_judge(self._judge, self._told, retold)
        self._score = min(1.0, rubric_score(weights(self._told), scores))
        solved = self._score >= self._threshold - _ROUNDING
        reward = max(0.0, self._score - self._best) * self._scale
        self._best = max(self._best, self._score)
        self._guesses -= 1
        # No word on which point was covered: a story could be put together from such answers.
        said = "That is the story." if solved else "That is not the whole story."
        if not solved and self._guesses <= 0:
            said = "That is not the whole story, and it was the last answer."
        done = solved or self._guesses <= 0
        return Step(feedback=said, reward=reward, parts={"story": reward}, done=done)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"current_score": self._score, "best_score": self._best}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(told: Story, *, instructions: bool, guesses: int = 0) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's.

    guesses: how many answers count, which is said where there is a limit: an official prompt
    promises as many as one likes.
    """
    task = f"{told.new_title}\n\n{told.new_surface}\n\nWhat is the story behind this?"
    messages = told.prompt or (Message("system", _INSTRUCTIONS), Message("user", task))
    shown = [message for message in messages if instructions or message.role != "system"]
    if guesses and shown:
        many = "Only your first answer counts" if guesses == 1 else f"{guesses} answers count"
        shown[-1] = Message(shown[-1].role, f"{shown[-1].content.rstrip()}\n({many}.)")
    return shown


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    guesses: int = GUESSES,
    persona: str = "plain",
    instructions: bool = True,
    user: Voice | None = None,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles the user's wording and its manner.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    guesses:      answers that count; the last one ends the dialogue. `official` has no limit.
    persona:      how the user speaks and when it leaves; `any` draws one. Not in `official`.
    instructions: False leaves the system message out, for models that learnt the tool before.
    user, judge:  who answers and who grades; rule-based when None.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    if guesses < 1:
        raise UsageError(f"guesses is {guesses}; it must be at least 1")
    told, who = story(task), _persona(persona, seed)
    match behaviour:
        case "fixed":
            return Turtle(
                told,
                seed / "user",
                who,
                guesses=guesses,
                instructions=instructions,
                user=user,
                judge=judge,
            )
        case "official":
            prompt = opening(told, instructions=instructions)
            return OfficialTurtle(told, prompt=prompt, user=user, judge=judge, clip=True)
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


_persona = persona
"""By another name, since an option of `make` has this one."""


def hidden(task: Task) -> Iterable[str]:
    """The story behind the scene and the rubric. Not what an agent says itself."""
    told = story(task)
    sentences = [part.strip() for part in told.new_bottom.split(".") if len(part.split()) > 3]
    return {told.new_bottom, *sentences, *(point.statement for point in told.evaluation)}


gym: Gym = Gym(
    name="turtle",
    tasks=generate,
    read=read,
    make=make,
    scripts={
        "expert": expert,
        "imperfect": imperfect,
        "investigator": investigator,
        "random": random_moves,
        "guess": guess,
        "answer-spam": answer_spam,
        "rubric-fishing": rubric_fishing,
        "everything": everything,
        "injection": injection,
    },
    max_turns=16,
    options={"behaviour": "fixed", "guesses": GUESSES, "persona": "plain", "instructions": True},
    voices=("user", "judge"),
    hidden=hidden,
    summary="Ask yes-or-no questions until you can tell the story behind a strange scene.",
)
