"""The travel gym: look up options, find out what the traveller wants, book what suits it best.

UserRL's TravelGym (2509.19736) with its repairs: one option an answer, one booking an aspect, the
trip over when each is booked, and asking that never pays like booking does. `official` behaviour is
the released code's, bug for bug (see `_official`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._persona import Manner, Persona
from .._persona import persona as persona_of
from ._generate import generate
from ._menu import Outage, menu
from ._official import OfficialTravel
from ._pay import Pay, pay_of
from ._requests import Lookup, Request
from ._scripts import SCRIPTS
from ._tasks import SHAPES, Trip, listed, read, trip
from ._user import Sense, Traveller, called
from ._voices import instruction, judge_search, judge_talk, offering, speak
from ._world import ASPECT_OF

_INSTRUCTIONS = """\
You are a travel agent that plans a trip together with a traveller.

# Environment
The traveller says which parts the trip has: flight, hotel, apartment, rental car, restaurant. A \
database holds options for each. Several may suit the traveller; the best is the cheapest of those. \
What the traveller likes you find out by asking. The answers are hints: understand what is meant.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `search`: ask the database for one part of the trip. Name the part, the places and all the dates.
- `action`: say what is in `content` to the traveller. Ask about one thing of one part at a time.
- `answer`: book an option for the traveller. `content` is one id, like `H12`.
- `finish`: end the conversation. `content` is ignored.

# Notes
- Each part of the trip is booked once, and not before it was looked up.
- Options of another day or place may be on the list. They do not suit.
- The number of turns is limited. The trip is over when every part is booked.\
"""

_ID = re.compile(r"([ACFHR])([0-9]{1,6})", re.IGNORECASE)
_HEARD_IDS = 200
"""How much of an answer is read for an id."""


class Travel:
    """One dialogue of the repaired game."""

    def __init__(
        self,
        planned: Trip,
        seed: Seed,
        *,
        pay: Pay,
        who: Persona,
        interval: int,
        outages: int,
        prompt: Sequence[Message],
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self._trip = planned
        self._pay = pay
        self._prompt = prompt
        self._manner = Manner(who, seed / "manner")
        self._traveller = Traveller(planned, (seed / "phrases").random(), self._manner)
        self._lookup = Lookup({aspect: part.arguments for aspect, part in planned.parts.items()})
        self._order = seed / "order"
        self._outage = Outage(outages)
        self._interval = interval
        self._idle = 0
        self._found: set[str] = set()
        self._asked = 0
        self._offered = 0
        self._past: list[tuple[str, str]] = []
        self._user, self._judge = user, judge
        self._counts = {aspect: 0 for aspect in planned.parts}
        for each in planned.preferences:
            self._counts[each.aspect] = self._counts.get(each.aspect, 0) + 1

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "search":
                return await self._search(action.content)
            case "action":
                return await self._talk(action.content)
            case "answer":
                return self._book(action.content)
            case "finish":
                return Step(feedback="Goodbye.", parts={"booking": 0.0}, done=True)
            case _:
                return Step(feedback=_CHOOSE, parts={"booking": 0.0})

    # ---- the database

    async def _search(self, text: str) -> Step:
        if self._outage.strikes():
            return _looked("The database does not answer right now. Please try again.")
        if self._judge is None:
            request = self._lookup.judge(text)
        else:
            request = await judge_search(self._judge, self._trip, text)
        if request.verdict != "aligned":
            return _looked(_refusal(request))
        aspect = request.aspect
        self._traveller.focus = aspect
        if aspect in self._found:
            return _looked(f"You have looked up the {called(aspect)} already, see above.")
        self._found.add(aspect)
        shown = menu(self._trip.parts[aspect], self._order / aspect)
        feedback = f"{len(shown)} options for the {called(aspect)}:\n" + "\n".join(shown)
        return Step(feedback=feedback, reward=self._pay.search, parts={"search": self._pay.search})

    # ---- the traveller

    async def _talk(self, text: str) -> Step:
        traveller = self._traveller
        sense = await self._sense(text)
        if sense.kind == "reveal" and sense.wanted is not None:
            self._idle = 0
            dodged = self._manner.dodge(sense.wanted.id)
            if dodged is not None:
                return self._said(text, dodged, productive=True)
            said = await self._say(text, instruction(sense)) or traveller.say(sense)
            del traveller.left[sense.wanted.id]
            self._asked += 1
            pay = self._pay.asking(self._counts[sense.wanted.aspect])
            return self._said(text, said, reward=pay, productive=True)
        self._idle += 1
        offered = traveller.pick() if self._idle == self._interval else None
        if self._idle >= self._interval:
            self._idle = 0
        if offered is None:
            said = await self._say(text, instruction(sense)) or traveller.say(sense)
            return self._said(text, said)
        # Nobody asked for it, so it is worth nothing: it only gets a lost dialogue going.
        said = await self._say(text, offering(offered)) or traveller.offer(offered)
        del traveller.left[offered.id]
        self._offered += 1
        return self._said(text, said)

    async def _sense(self, text: str) -> Sense:
        if self._judge is None:
            return self._traveller.sense(text)
        left = self._traveller.left.values()
        asked_for = [each for each in left if each.aspect not in self._traveller.booked]
        return await judge_talk(self._judge, self._trip, asked_for, self._past, text)

    async def _say(self, text: str, told: str) -> str:
        """What a user that is a voice says; empty when it is the rule-based one that speaks."""
        if self._user is None:
            return ""
        who = self._manner.persona.describe()
        return await speak(self._user, self._trip, self._past, text, f"{told} {who}".strip())

    def _said(self, text: str, said: str, *, reward: float = 0.0, productive: bool = False) -> Step:
        self._past.append((text, said))
        left = self._manner.leave(productive)
        return Step(
            feedback=said if left is None else f"{said} {left}",
            reward=reward,
            parts={"asking": reward},
            user_ended=left is not None,
        )

    # ---- the bookings

    def _book(self, text: str) -> Step:
        ids = _ID.findall(text[:_HEARD_IDS])
        if len(ids) > 1:
            return _refused("Book one option at a time.")
        exact = (
            _ID.fullmatch(text.strip(" \t\r\n.,:;!<>\"'`()[]")) if len(text) <= _HEARD_IDS else None
        )
        if exact is None:
            return _refused("A booking is one id and nothing else, like H12.")
        name = exact[0].upper()
        aspect = ASPECT_OF[name[0]]
        booked = self._traveller.booked
        if aspect not in self._trip.parts:
            return _refused(f"{name} is for a {called(aspect)}, which is no part of this trip.")
        if aspect in booked:
            return _refused(f"The {called(aspect)} is booked already.")
        if aspect not in self._found:
            return _refused(f"Look up the {called(aspect)} before you book it.")
        part = self._trip.parts[aspect]
        if all(option["id"] != name for option in listed(part)):
            return _refused(f"There is no option {name}.")
        booked.add(aspect)
        if name == part.best_id:
            said, reward = "Booked. It is the best there is for the traveller.", self._pay.best
        elif name in part.correct_ids:
            said, reward = "Booked. It suits, but a cheaper one would have too.", self._pay.correct
        else:
            said, reward = "Booked. It is not what the traveller wanted.", -self._pay.wrong
        done = len(booked) == len(self._trip.parts)
        said += " That was the last part of the trip." if done else ""
        return Step(feedback=said, reward=reward, parts={"booking": reward}, done=done)

    # ---- for the official API

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        total, left = len(self._trip.preferences), len(self._traveller.left)
        return {
            "total_preferences": total,
            "remaining_preferences": left,
            "elicitation_ratio": (total - left) / total if total else 0.0,
            "active_elicited_preferences": self._asked,
            "passive_elicited_preferences": self._offered,
        }

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


_CHOOSE = "Choose search, action, answer or finish."

_REFUSALS = {
    "several": "Look up one part of the trip at a time.",
    "unclear": "Say which part of the trip to look up.",
    "elsewhere": "The {aspect} is no part of this trip.",
    "incomplete": "The search for the {aspect} needs all places and dates, as the traveller said.",
}


def _refusal(request: Request) -> str:
    return _REFUSALS[request.verdict].format(aspect=called(request.aspect))


def _looked(feedback: str) -> Step:
    return Step(feedback=feedback, parts={"search": 0.0})


def _refused(feedback: str) -> Step:
    return Step(feedback=feedback, parts={"booking": 0.0})


def opening(planned: Trip, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = planned.prompt or (
        Message("system", _INSTRUCTIONS),
        Message("user", planned.opening),
    )
    return [message for message in messages if instructions or message.role != "system"]


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    instructions: bool = True,
    persona: str = "plain",
    pay: str = "default",
    interval: int = 3,
    outages: int = 5,
    user: Voice | None = None,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles wording, order of options and free choices.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    instructions: False leaves the system message out, for models that learnt the tool before.
    persona:      who the traveller is: a name of `PERSONAS`, or `any`. `official` has none.
    pay:          `shared`, `paper`, `training` or `evaluation`: see `PAYS`; `default` is `shared`
                  in `fixed` and `training` in `official`.
    interval:     lines in a row that ask for no open preference until the traveller offers one; 0
                  is never.
    outages:      one search in so many fails; 0 is none.
    user, judge:  who answers and who grades; rule-based when None.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    for name, value in (("interval", interval), ("outages", outages)):
        if value < 0:
            raise UsageError(f"{name} is {value}; it must not be negative")
    planned = trip(task)
    prompt = opening(planned, instructions=instructions)
    match behaviour:
        case "fixed":
            return Travel(
                planned,
                seed / "user",
                pay=pay_of(pay, behaviour),
                who=persona_of(persona, seed),
                interval=interval,
                outages=outages,
                prompt=prompt,
                user=user,
                judge=judge,
            )
        case "official":
            return OfficialTravel(
                planned,
                seed / "user",
                pay=pay_of(pay, behaviour),
                rng=(seed / "free").random(),
                interval=interval,
                outages=outages,
                prompt=prompt,
                user=user,
                judge=judge,
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """The preferences in plain words. Not the hints: the traveller gives them when asked. Nor the
    best ids: they are on the lists."""
    return {each.text for each in trip(task).preferences}


def gym_of(*shapes: str) -> Gym:
    """The gym with generated trips of some shapes only, `gym_of("22", "33")` say."""

    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        return generate(split, seed, shapes=shapes)

    return Gym(
        name="travel",
        tasks=tasks,
        read=read,
        make=make,
        scripts=SCRIPTS,
        max_turns=16,
        options={
            "behaviour": "fixed",
            "instructions": True,
            "persona": "plain",
            "pay": "default",
            "interval": 3,
            "outages": 5,
        },
        voices=("user", "judge"),
        hidden=hidden,
        summary="Find out what a traveller wants, from hints, and book what suits it best.",
    )


gym: Gym = gym_of(*SHAPES)

# One a shape, for `--env duologue.envs.travel:travel22` and the like.
travel22: Gym = gym_of("22")
travel33: Gym = gym_of("33")
travel44: Gym = gym_of("44")
travel233: Gym = gym_of("233")
travel333: Gym = gym_of("333")
travel334: Gym = gym_of("334")
travel444: Gym = gym_of("444")
travel2222: Gym = gym_of("2222")
