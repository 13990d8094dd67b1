"""The rule-based user: thinks of something, answers yes, no or maybe, and gives nothing away."""

from __future__ import annotations

from msgspec import Struct

from ...engine import Seed
from .._persona import Manner, Persona
from ._base import MAYBE, NO, YES, Domain, Entity
from ._ears import Heard, hear
from ._memory import Memory

WORDS = {NO: "No", MAYBE: "Maybe", YES: "Yes"}
"""What the three verdicts are called; every answer begins with its word or holds it once."""

_SAID = {
    YES: ("Yes.", "Yes, indeed.", "Yes, that is so.", "Yes, you could say that.", "Right: yes."),
    NO: ("No.", "No, not at all.", "No, that is not so.", "Hm, no.", "No, I would not say that."),
    MAYBE: ("Maybe. It depends.", "Maybe: partly.", "Maybe. In some cases.", "Well, maybe."),
}
_AGAIN = ("You asked that before: {}.", "As I said: {}.", "Still {}.")
_UNCLEAR = {
    "elsewhere": (
        "That does not quite apply to what I have in mind.",
        "Hard to say for something like this.",
    ),
    "guess": (
        "That sounds like a guess: give it as your answer.",
        "To guess, use `answer`. Here I only say what it is like.",
    ),
    "name": (
        "I say nothing about how it is spelled.",
        "That would be telling. Ask what it is like.",
    ),
    "open": (
        "I only take questions that can be answered with one word.",
        "Ask so that I can agree.",
    ),
    "many": ("That is too much at once.", "One thing after the other, please."),
    "lost": (
        "I did not understand that. Ask what it is, does or looks like.",
        "Could you put that more simply?",
    ),
}


class Reply(Struct, frozen=True, gc=False):
    """What the user says; `productive` when it answers something that was not asked before."""

    text: str
    productive: bool = False


class User:
    """The user of one dialogue, thinking of `entity`, or of what a text describes (`memory`)."""

    def __init__(
        self,
        known: tuple[Domain, Entity] | Memory,
        seed: Seed,
        persona: Persona,
    ) -> None:
        self._known = known
        self._rng = (seed / "phrases").random()
        self.manner: Manner = Manner(persona, seed)
        self._asked: set[str] = set()

    def hear(self, question: str) -> Reply:
        """The reply to any text at all."""
        heard, verdict = self.judge(question)
        if verdict is None:
            return Reply(self.manner.say(self._rng.choice(_UNCLEAR[heard.kind])))
        return self.answer(heard.subject, verdict)

    def answer(self, subject: str, verdict: int) -> Reply:
        """The verdict on a subject, as this user puts it."""
        if (dodge := self.manner.dodge(subject)) is not None:
            return Reply(dodge)
        if subject in self._asked:
            told = self._rng.choice(_AGAIN).format(WORDS[verdict].lower())
            return Reply(self.manner.say(told))
        self._asked.add(subject)
        return Reply(self.manner.say(self._rng.choice(_SAID[verdict]), fact=True), True)

    def named_in(self, question: str) -> bool:
        """Whether the question holds the name of a thing that is in no table. Such a name gets a
        maybe from whoever answers: those in the tables are heard as names, right or wrong."""
        return isinstance(self._known, Memory) and self._known.named_in(question)

    def judge(self, question: str) -> tuple[Heard, int | None]:
        """What is heard in a question, and its verdict; None when it gets none."""
        known = self._known
        if isinstance(known, Memory):
            return known.hear(question)
        domain, entity = known
        heard = hear(domain, question)
        if heard.kind != "asked":
            return heard, None
        return heard, heard.verdict(entity.facts, entity.size)


def verdict_in(text: str) -> int | None:
    """The verdict that a user's line holds, for scripts: the first of its yes, no or maybe."""
    for word in text.lower().replace(".", " ").replace(",", " ").replace(":", " ").split():
        if word in _BY_WORD:
            return _BY_WORD[word]
    return None


_BY_WORD = {word.lower(): verdict for verdict, word in WORDS.items()}
