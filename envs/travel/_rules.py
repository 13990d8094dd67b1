"""The repaired rules: one option an answer, one booking a part, and hints for whoever asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...engine import Action, Message, Seed
from .._env import Step, Voice
from .._persona import Manner, Persona
from ._menu import Outage, menu
from ._pay import Pay
from ._requests import Lookup, Request
from ._tasks import Trip, listed
from ._user import Sense, Traveller, called
from ._voices import instruction, judge_search, judge_talk, offering, speak
from ._world import ASPECT_OF

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
        results: int,
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
        self._results = results
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
        shown = menu(self._trip.parts[aspect], self._order / aspect, self._results)
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
