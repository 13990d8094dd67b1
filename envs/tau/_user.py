"""The rule-based customer: states its wishes one after the other, says what it is asked, says yes
to what it wants and no to what it does not. It believes the agent: whether something was done is
seen in the database, and the customer does not look there."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from ...engine import Seed
from .._persona import Manner, Persona
from ._ears import Heard, listen, mentions
from ._free import FreeCustomer
from ._tasks import Case, Goal

FACTS_A_LINE = 4
"""What a customer says in one line, however much it is asked for."""


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """over: it has nothing left to wish for. left: its patience is over."""

    text: str
    over: bool = False
    left: bool = False


class Listener(Protocol):
    """A customer of either kind."""

    def hear(self, text: str) -> Reply: ...


FAREWELLS = (
    "No, that is all. Thank you, goodbye.",
    "That was all. Thanks for your help!",
    "Nothing else, thank you. Bye.",
)
_LOST = ("Sorry, I did not get that.", "Pardon?", "I do not follow you.")
_WAITING = ("All right.", "Yes, I am here.", "Take your time.", "Fine.")
_UNKNOWN = ("I do not have that at hand.", "That I cannot tell you, sorry.", "I do not know that.")
_YES = ("Yes, please.", "Yes, please do that.", "Yes, go ahead.")
_PITY = ("That is a pity.", "Oh. All right then.", "I see. Too bad.")
_GLAD = ("Thank you.", "Great, thanks.", "Good.")
_INSIST = "Are you sure? I think that should be possible."
_HANDOVER = "Then please put me through to somebody who can help me with it."


class Customer:
    """A customer of ours in one dialogue; what it says comes from the task, how from the seed."""

    def __init__(self, found: Case, seed: Seed, who: Persona) -> None:
        self._facts = found.facts
        self._goals = list(found.goals)
        self._rng = (seed / "phrases").random()
        self._manner = Manner(who, seed)
        self._fallen = False
        self._insisted = False
        self._said: set[str] = set()

    def hear(self, text: str) -> Reply:
        """Its answer to a line. Never raises, and takes in so much of a line and no more."""
        heard = listen(text)
        if heard is None:
            return self._end(self._rng.choice(_LOST), productive=False)
        if not self._goals:
            return Reply(text=self._rng.choice(FAREWELLS), over=True)
        goal = self._goals[0]
        known = self._known(goal, heard)
        fresh = not self._said.issuperset(known)
        if heard.done or (heard.number and self._wants_number(goal) and not heard.proposes):
            return self._close(self._rng.choice(_GLAD))
        if fresh and not heard.proposes:
            # "I cannot do that without your postcode" asks, and refuses nothing.
            return self._tell(goal, known)
        if heard.refuses:
            return self._refused(goal)
        if heard.proposes or heard.checks:
            return self._consider(goal, heard)
        if known:
            return self._tell(goal, known)
        if heard.topics:
            return self._end(self._rng.choice(_UNKNOWN), productive=False)
        if heard.closes or heard.offers:
            return self._end(self._wish(goal), productive=False)
        return self._end(self._rng.choice(_WAITING), productive=False)

    def _wants_number(self, goal: Goal) -> bool:
        return bool(goal.outputs) and not goal.calls and (self._fallen or not goal.why)

    # ---- telling

    def _known(self, goal: Goal, heard: Heard) -> list[str]:
        """The topics of what it knows among what it is asked for."""
        topics = [topic for topic in heard.topics if topic in goal.facts or topic in self._facts]
        if "details" in heard.topics:
            wish = [topic for topic in goal.facts if topic not in ("order", "payment", *topics)]
            topics += wish
        return topics[:FACTS_A_LINE]

    def _tell(self, goal: Goal, topics: list[str]) -> Reply:
        dodged = self._manner.dodge(topics[0])
        if dodged is not None:
            return self._end(dodged, productive=False)
        fresh = not self._said.issuperset(topics)
        self._said.update(topics)
        lines = [goal.facts.get(topic) or self._facts[topic] for topic in topics]
        return self._end(self._manner.say(" ".join(lines), fact=True), productive=fresh)

    def _wish(self, goal: Goal) -> str:
        return self._manner.say(self._rng.choice(goal.ask))

    # ---- yes and no

    def _consider(self, goal: Goal, heard: Heard) -> Reply:
        if goal.kind == "beyond":
            return self._end(self._manner.say(_HANDOVER), productive=True)
        # After a refusal the proposal is about something else.
        if not self._fallen and _differs(goal, heard.text):
            told = [goal.facts[t] for t in ("item", "option", "address") if t in goal.facts]
            return self._end(self._manner.say(" ".join(("No.", *told))), productive=False)
        return self._end(self._manner.say(self._rng.choice(_YES)), productive=True)

    def _refused(self, goal: Goal) -> Reply:
        if goal.kind == "beyond" and not self._insisted:
            self._insisted = True
            return self._end(self._manner.say(_HANDOVER), productive=False)
        if goal.why and goal.fallback and not self._fallen:
            self._fallen = True
            return self._end(self._manner.say(goal.fallback), productive=True)
        if not goal.why and not self._insisted:
            self._insisted = True
            return self._end(self._manner.say(_INSIST), productive=False)
        return self._close(self._rng.choice(_PITY))

    def _close(self, said: str) -> Reply:
        """The wish is off the list; the next one, or the end."""
        self._goals.pop(0)
        self._fallen = self._insisted = False
        self._said &= set(self._facts)
        if not self._goals:
            return Reply(text=f"{said} {self._rng.choice(FAREWELLS)}", over=True)
        return self._end(f"{said} {self._wish(self._goals[0])}", productive=True)

    def _end(self, text: str, *, productive: bool) -> Reply:
        parting = self._manner.leave(productive)
        return Reply(text=text) if parting is None else Reply(text=parting, left=True)


def _differs(goal: Goal, text: str) -> bool:
    """Whether a proposal names something else than what is wanted, and not that."""
    other = any(mentions(text, word) for word in goal.wrong)
    return other and not any(mentions(text, word) for word in goal.right)


def customer(found: Case, seed: Seed, who: Persona) -> Listener:
    """The rule-based customer of a task: by its goals, or by its instructions alone."""
    if found.goals:
        return Customer(found, seed, who)
    return FreeListener(found, seed, who)


class FreeListener:
    """A customer of an official task, of which nothing but a text of instructions is known."""

    def __init__(self, found: Case, seed: Seed, who: Persona) -> None:
        self._free = FreeCustomer(found.instruction)
        self._rng = (seed / "phrases").random()
        self._manner = Manner(who, seed)

    def hear(self, text: str) -> Reply:
        heard = listen(text)
        if heard is None:
            said, productive = self._rng.choice(_LOST), False
        elif (heard.done or heard.closes or heard.refuses) and not self._free.left:
            return Reply(text=self._rng.choice(FAREWELLS), over=True)
        elif heard.proposes and not heard.refuses:
            said, productive = self._rng.choice(_YES), True
        else:
            moves_on = heard.done or heard.closes or heard.refuses
            told = self._free.go_on() if moves_on else self._free.tell(text)
            said = self._manner.say(told, fact=True) if told else self._rng.choice(_WAITING)
            productive = bool(told)
        parting = self._manner.leave(productive)
        return Reply(text=said) if parting is None else Reply(text=parting, left=True)
