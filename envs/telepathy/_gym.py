"""The telepathy gym: find out by yes-or-no questions what the user is thinking of, and name it.

UserRL's TelepathyGym (2509.19736). `fixed`, the default, repairs what the released code lets slip:
wrong guesses run out, a guess is one name, the judge cannot be talked to, and nothing hidden is
shown. `official` is the released code's behaviour, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._persona import Persona
from .._persona import persona as persona_called
from ._base import MAYBE
from ._judge import is_named, read_guess
from ._memory import Memory
from ._official import OfficialTelepathy
from ._scripts import (
    expert,
    guess_spam,
    imperfect,
    injection,
    many_names,
    names_asked,
    random_moves,
    three_guesses,
)
from ._tasks import Target, generate, known, read, target
from ._user import User
from ._voices import ask_judge, ask_user

GUESSES = 3
"""How many wrong guesses a dialogue has, unless told otherwise."""

_INSTRUCTIONS = """\
You are an agent that finds out what a user is thinking of.

# Environment
The user thinks of one thing and tells you of what sort it is. You may ask about it whatever can be \
answered with yes, no or maybe. Your goal is to name it.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `action`: `content` is a yes-or-no question about what it is, does or looks like.
- `answer`: `content` is your guess, one name.
- `finish`: give up. `content` is ignored.

# Notes
- A good question rules out half of what is left.
- The user does not spell, gives no hints, and takes a name only as your answer.
- The number of turns and of wrong guesses is limited.\
"""


class Telepathy:
    """One dialogue of the repaired game: naming the thing earns 1, and ends it."""

    def __init__(
        self,
        thing: Target,
        user: User,
        called: Sequence[str],
        *,
        prompt: Sequence[Message],
        guesses: int = GUESSES,
        guess_cost: float = 0.0,
        voices: tuple[Voice | None, Voice | None] = (None, None),
    ) -> None:
        self._thing = thing
        self._user = user
        self._called = called
        self._prompt = prompt
        self._guesses = guesses
        self._guess_cost = guess_cost
        self._user_voice, self._judge_voice = voices
        self._score = 0.0

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "action":
                return await self._question(action.content)
            case "answer":
                return await self._guess(action.content)
            case "finish":
                return Step(feedback="You gave up.", parts={"correct": 0.0}, done=True)
            case _:
                return self._nothing("Ask with `action`, and guess with `answer`.")

    async def _question(self, question: str) -> Step:
        if self._user_voice is None:
            reply = self._user.hear(question)
        else:
            heard, _ = self._user.judge(question)
            if heard.kind in ("guess", "name", "open", "many"):
                reply = self._user.hear(question)
            else:
                persona = self._user.manner.persona
                verdict = MAYBE
                if not self._user.named_in(question):
                    verdict = await ask_user(self._user_voice, self._thing, persona, question)
                reply = self._user.answer(" ".join(question.casefold().split()), verdict)
        left = self._user.manner.leave(reply.productive)
        if left is not None:
            return Step(feedback=left, parts={"correct": 0.0}, user_ended=True)
        return Step(feedback=reply.text, parts={"correct": 0.0})

    async def _guess(self, text: str) -> Step:
        guess = read_guess(text)
        if guess.refused:
            return self._nothing(guess.refused)
        right = is_named(guess.name, self._called)
        if self._judge_voice is not None:
            named = await ask_judge(self._judge_voice, self._thing, text)
            right = right or is_named(named, self._called)
        if right:
            self._score = 1.0
            return Step(feedback="That is it!", reward=1.0, parts={"correct": 1.0}, done=True)
        self._guesses -= 1
        parts = {"correct": 0.0} | ({"wrong_guess": -self._guess_cost} if self._guess_cost else {})
        if not self._guesses:
            said = "That is wrong, and it was the last guess."
            return Step(feedback=said, reward=-self._guess_cost, parts=parts, done=True)
        left = self._user.manner.leave(False)
        said = f"That is wrong. {left}" if left else "That is wrong."
        return Step(
            feedback=said, reward=-self._guess_cost, parts=parts, user_ended=left is not None
        )

    def _nothing(self, said: str) -> Step:
        left = self._user.manner.leave(False)
        return Step(feedback=left or said, parts={"correct": 0.0}, user_ended=left is not None)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"current_score": self._score, "best_score": self._score}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden. An official
        task's id is its title, so that its record's number stands for it."""
        return {"task_id": self._thing.id} if self._thing.id else {}


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    guesses: int = GUESSES,
    guess_cost: float = 0.0,
    persona: str = "plain",
    instructions: bool = True,
    user: Voice | None = None,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles the user's wording and its persona.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    guesses:      wrong guesses until the dialogue ends; `official` has no limit.
    guess_cost:   what a wrong guess takes off, from 0 to 1; `official` takes nothing.
    persona:      how the user speaks and when it leaves; `any` draws one. `official` has none.
    instructions: False leaves the system message out, for models that learnt the tool before.
    user, judge:  who answers and who judges; rule-based when None.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    if guesses < 1:
        raise UsageError(f"guesses is {guesses}; it must be at least 1")
    if not 0.0 <= guess_cost <= 1.0:
        raise UsageError(f"guess_cost is {guess_cost}; it goes from 0 to 1")
    thing = target(task)
    speaks = persona_called(persona, seed)
    here = user_of(task.id, thing, seed, speaks)
    prompt = opening(thing, instructions=instructions)
    match behaviour:
        case "fixed":
            return Telepathy(
                thing,
                here,
                called(thing),
                prompt=prompt,
                guesses=guesses,
                guess_cost=guess_cost,
                voices=(user, judge),
            )
        case "official":
            return OfficialTelepathy(
                thing, here, called(thing), prompt=prompt, user=user, judge=judge
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def user_of(name: str, thing: Target, seed: Seed, speaks: Persona) -> User:
    """The rule-based user that thinks of the thing."""
    found = known(name, thing) or Memory(thing.title, thing.category, thing.about)
    return User(found, seed / "user", speaks)


def called(thing: Target) -> tuple[str, ...]:
    """Everything the thing goes by."""
    found = known("", thing)
    return (thing.title, *(found[1].names if found else ()))


def opening(thing: Target, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = thing.prompt or (
        Message("system", _INSTRUCTIONS),
        Message("user", thing.description),
    )
    return [message for message in messages if instructions or message.role != "system"]


def hidden(task: Task) -> Iterable[str]:
    """What the thing goes by, but for names that the opening itself says."""
    thing = target(task)
    shown = " ".join(message.content for message in opening(thing, instructions=True)).casefold()
    return {name for name in called(thing) if name.casefold() not in shown}


gym: Gym = Gym(
    name="telepathy",
    tasks=generate,
    read=read,
    make=make,
    scripts={
        "expert": expert,
        "imperfect": imperfect,
        "random": random_moves,
        "three-guesses": three_guesses,
        "guess-spam": guess_spam,
        "many-names": many_names,
        "names-asked": names_asked,
        "injection": injection,
    },
    max_turns=16,
    options={
        "behaviour": "fixed",
        "guesses": GUESSES,
        "guess_cost": 0.0,
        "persona": "plain",
        "instructions": True,
    },
    voices=("user", "judge"),
    hidden=hidden,
    summary="Find out by yes-or-no questions what the user is thinking of, and name it.",
)
