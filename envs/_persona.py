"""Who a simulated user is: how it speaks, what it knows, how long it stays.

A persona changes the manner, never the truth: whatever words a fact is wrapped in, the fact stays
as it was, so that what a dialogue was worth can still be told by rules. A rule-based user speaks
through a `Manner`; a user that is a model is told `Persona.describe()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Literal

from msgspec import Struct

from ..engine import Seed, UsageError


class Persona(Struct, frozen=True, kw_only=True):
    """A kind of user.

    style:       how a line is wrapped.
    patience:    turns in a row that get nowhere before it leaves; 0 stays for ever.
    cooperation: the share of questions that it answers at the first asking, from 0 to 1. What it
                 dodges it says when it is asked again.
    knowledge:   the share of what it is asked that it is sure of; the rest it says with a doubt.
    language:    `fluent`, or `simple`: short words, no subclauses, some mistakes.
    """

    name: str
    style: Literal["plain", "terse", "chatty", "formal"] = "plain"
    patience: int = 0
    cooperation: float = 1.0
    knowledge: float = 1.0
    language: Literal["fluent", "simple"] = "fluent"

    def __post_init__(self) -> None:
        if self.patience < 0:
            raise ValueError(f"patience is {self.patience}; it must not be negative")
        for name in ("cooperation", "knowledge"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share, from 0 to 1")

    def describe(self) -> str:
        """The persona in words, for a user that is a model."""
        lines = [_STYLES[self.style], _LANGUAGES[self.language]]
        if self.patience:
            lines.append(f"You lose patience after {self.patience} turns that lead nowhere.")
        if self.cooperation < 1.0:
            lines.append("You sometimes evade a question the first time it is asked.")
        if self.knowledge < 1.0:
            lines.append("You are not sure of everything you say, and show it.")
        return " ".join(line for line in lines if line)


PERSONAS: Mapping[str, Persona] = {
    persona.name: persona
    for persona in (
        Persona(name="plain"),
        Persona(name="terse", style="terse"),
        Persona(name="chatty", style="chatty"),
        Persona(name="formal", style="formal"),
        Persona(name="hurried", style="terse", patience=2),
        Persona(name="evasive", cooperation=0.5),
        Persona(name="unsure", knowledge=0.5),
        Persona(name="learner", language="simple"),
        Persona(name="difficult", style="terse", patience=3, cooperation=0.6, knowledge=0.7),
    )
}
"""The personas that gyms know by name. `any` draws one of them for each dialogue."""

_STYLES = {
    "plain": "",
    "terse": "You say as little as you can.",
    "chatty": "You like to talk, and add a friendly word.",
    "formal": "You are formal and polite.",
}
_LANGUAGES = {"fluent": "", "simple": "You are learning the language: short, simple sentences."}


def persona(name: str, seed: Seed) -> Persona:
    """The persona of that name; for `any`, one that the seed draws. Raises `UsageError`."""
    if name == "any":
        return (seed / "persona").random().choice(list(PERSONAS.values()))
    try:
        return PERSONAS[name]
    except KeyError:
        raise UsageError(
            f"there is no persona {name!r}; there are: any, {', '.join(PERSONAS)}"
        ) from None


_BEFORE = {
    "chatty": ("Good that you ask! ", "Oh, well, ", "Let me think. ", "Ha, right. "),
    "formal": ("Certainly. ", "With pleasure. ", "If I may: "),
}
_AFTER = {
    "chatty": (" Anyway.", " Does that help?", " It has been quite a day!", " You know how it is."),
    "formal": (" Thank you.", " I appreciate your help."),
}
_DODGES = (
    "Why do you ask?",
    "Hm, must I say?",
    "Let us see about that later.",
    "Is that important?",
)
_DOUBTS = ("I think: ", "If I remember well: ", "I am not sure, but: ", "Probably: ")
_LEAVES = (
    "This leads nowhere. Goodbye.",
    "I have no more time for this. Bye.",
    "Never mind. I will manage without.",
)
_TERSER = (("Please ", ""), (", please", ""), ("I would say: ", ""))
_SIMPLER = (("I would ", "I "), ("I have ", "I got "), (" about the ", " for "), ("Please ", ""))

# Only where what is left still says it: of "I have not touched chicken in years" and "I want to
# step straight outside" every word is needed.
_SPARED = re.compile(
    r"(?:^|(?<=: ))I want (?!to\b|some(?:one|body|thing)\b|no(?:t|body|thing)\b)"
    r"|\bI have (?=no preference\b)"
)


class Manner:
    """A persona in one dialogue. All its choices come from the seed."""

    def __init__(self, persona: Persona, seed: Seed) -> None:
        self.persona: Persona = persona
        self._seed = seed
        self._drawing: Random | None = None
        self._dodged: set[str] = set()
        self._idle = 0

    @property
    def _rng(self) -> Random:
        # Made when it is first drawn from: the plain user, whom most dialogues have, never does.
        if self._drawing is None:
            self._drawing = (self._seed / "manner").random()
        return self._drawing

    def say(self, text: str, *, fact: bool = False) -> str:
        """`text` as this user puts it. Of a fact's own words none is lost.

        fact: it answers what was asked, so it can be doubted.
        """
        if not text:
            return text
        persona = self.persona
        if fact and persona.knowledge < 1.0 and self._rng.random() >= persona.knowledge:
            text = self._rng.choice(_DOUBTS) + text
        if persona.style == "terse":
            text = _SPARED.sub("", _replaced(text, _TERSER))
        if persona.language == "simple":
            text = _replaced(text, _SIMPLER)
        before, after = _BEFORE.get(persona.style, ()), _AFTER.get(persona.style, ())
        if before and self._rng.random() < 0.5:
            text = self._rng.choice(before) + text
        if after and self._rng.random() < 0.5:
            text = text + self._rng.choice(after)
        return text

    def dodge(self, subject: str) -> str | None:
        """What it says instead of answering on `subject`; None when it answers. A subject is
        dodged once."""
        if self.persona.cooperation >= 1.0 or subject in self._dodged:
            return None
        if self._rng.random() < self.persona.cooperation:
            return None
        self._dodged.add(subject)
        return self._rng.choice(_DODGES)

    def leave(self, productive: bool) -> str | None:
        """Count a turn; its parting words when it was one too many that led nowhere."""
        self._idle = 0 if productive else self._idle + 1
        if not self.persona.patience or self._idle < self.persona.patience:
            return None
        return self._rng.choice(_LEAVES)


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for long, short in pairs:
        text = text.replace(long, short)
    return text
