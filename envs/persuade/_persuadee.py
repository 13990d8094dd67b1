"""The rule-based persuadee: strongly agrees, listens, and moves as far as it is given reasons.

Each consideration that counts for it is worth some levels of stance. What an argument says of one
moves it by that much: new words of it only, so that repeating pays nothing and going into detail
pays less and less. Two considerations in one breath count half for the second, three are too many.
Pressing counts half, rudeness sets it back, and an arguer who gives in is believed.
"""

from __future__ import annotations

import re

from msgspec import Struct

from ...engine import Seed
from .._hearing import HEARD_CHARS
from .._persona import Manner
from ._arguments import Arguments, arguments
from ._stance import LAST
from ._tasks import Opinion


class Reply(Struct, frozen=True, gc=False):
    """What the persuadee says.

    productive: the line brought something new: a reason, or an answer to a question.
    moved:      numbers of the considerations that the line spoke for.
    left:       these were its parting words.
    """

    text: str
    productive: bool = False
    moved: tuple[int, ...] = ()
    left: bool = False


_SPLIT_ATTENTION = 0.5
_PRESSED = 0.5
_HURT = 0.5
_MOST_HURT = 2.0
_MOST_POINTS = 2
_SHOUT = 20
"""How many characters in capitals are no abbreviation any more."""


class _Manners:
    """A way of speaking, found in lower-case text. Searched for only where one of its cue words
    is: the search costs more than everything else that is done with a line."""

    def __init__(self, pattern: str, cues: str) -> None:
        self._pattern = re.compile(rf"\b{pattern}\b")
        self._cues = cues.split()

    def found(self, text: str) -> bool:
        for cue in self._cues:
            if cue in text:
                return self._pattern.search(text) is not None
        return False


# About the hearer, or about what they hold: that somebody else feels stupid is no insult.
_RUDE = _Manners(
    r"(you|you're|your|yours|how|such an?|what an?|only an?|that is|that's|this is)"
    r"(\W{1,3}\w{1,12}){0,2}?\W{1,3}"
    r"(idiots?|idiotic|stupid|stupidity|morons?|moronic|dumb|fools?|foolish|imbeciles?|losers?|"
    r"pathetic|brainless|clueless|hypocrites?|liars?)",
    "idiot stupid moron dumb fool imbecile loser pathetic brainless clueless hypocrite liar",
)
_SORRY = _Manners(r"(sorry|apologi[sz]e|apologies|apology)", "sorry apolog")
_PRESSING = _Manners(
    r"(you must|you have to|you had better|everyone knows|everybody knows|obviously|"
    r"there is no doubt|no sane person|admit it|just agree|just accept)",
    "must have had knows obviously doubt sane admit just",
)
_GIVING_IN = _Manners(
    r"(you (are|were) right|i (take|took) (that|it) back|i agree with you|i was wrong|"
    r"i withdraw|forget what i said|i stand corrected|you(['\u2019]ve| have) convinced me)",
    "right back agree wrong withdraw forget corrected convinced",
)
_AFTER_ALL = _Manners(
    r"(but|however|yet|still|though|although|nevertheless)", "but however yet still though never"
)
# A question about the hearer: what matters to it, why it thinks so, what would move it.
_ASKING = _Manners(
    r"(what|why|which|how|tell me|is there)\b[^?]{0,80}"
    r"\b(you|your|matters?|important|worr(y|ies)|concerns?|convince|mind)",
    "what why which how tell is",
)

_STANCES = (
    ("I agree with it as strongly as ever.", "I am still all for it.", "My mind is made up."),
    ("I still agree, if less firmly.", "I am for it, on the whole.", "I agree with it, mostly."),
    ("I agree in part only, now.", "I am half convinced of it now.", "Some of it I still hold."),
    ("I no longer know what to think.", "I could go either way now.", "I am undecided by now."),
    ("I rather doubt it by now.", "I lean against it a little.", "In part I disagree with it now."),
    ("I disagree with it now.", "By now I am against it.", "I no longer hold that."),
    ("I was wrong about it.", "I strongly disagree with it now.", "You have changed my mind."),
)
_MOVED = ("That is a good point.", "I had not seen it like that.", "That weighs with me.")
_STIRRED = ("There is something in that.", "I can see that a little.", "Perhaps. Go on.")
_REPEATED = ("You said so before.", "I have heard that from you.", "We have been there already.")
_BESIDE = (
    "That does not touch what matters to me.",
    "I do not see what that has to do with it.",
    "That leaves me cold.",
)
_DENIED = ("That rather speaks for my side.", "But then I have no reason to change my mind.")
_MANY = ("That is a lot at once. One point at a time, please.", "Which of these is your point?")
_OFFENDED = ("There is no need to be rude.", "If you talk like that, I only hold on tighter.")
_FORGIVEN = ("All right, no harm done.", "Apology accepted.")
_GAVE_IN = ("So you see it my way after all.", "I thought so.", "Glad that we agree again.")
_SILENCE = ("Yes?", "I am listening.")
_ASKED = ("Well: ", "To be honest: ", "Since you ask: ", "")
_NO_MORE = ("I have told you what matters to me.", "You know by now what matters to me.")


class Persuadee:
    """The persuadee of one dialogue. What it says depends on the opinion, the seed and the lines
    it hears, and so does its `level` of stance, from 0 to 6."""

    def __init__(self, held: Opinion, seed: Seed, manner: Manner) -> None:
        self._held = held.considerations
        self._arguments: Arguments = arguments(held.claim, held.argument, held.considerations)
        self._rng = (seed / "phrases").random()
        self._manner = manner
        self._credit = [0.0] * len(self._held)
        self._spent: list[set[str]] = [set() for _ in self._held]
        self._hinted: set[int] = set()
        self._made: list[int] = []
        self._hurt = 0.0
        self.level: int = 0

    def hear(self, text: str) -> Reply:
        """The reply to an argument. Never raises, whatever the text is."""
        reply = self._hear(text[:HEARD_CHARS])
        parting = self._manner.leave(reply.productive) if self.level < LAST else None
        if parting is None:
            return reply
        return Reply(parting, reply.productive, reply.moved, left=True)

    def express(self, level: int, moved: bool) -> str:
        """How it would say that it is at `level` now."""
        text = self._rng.choice(_STANCES[level])
        return self._manner.say(f"{self._rng.choice(_MOVED)} {text}" if moved else text)

    def _hear(self, text: str) -> Reply:
        if not any(map(str.isalnum, text)):
            return self._say(_SILENCE)
        plain = text.lower()
        if _RUDE.found(plain):
            self._hurt = min(_MOST_HURT, self._hurt + _HURT)
            self._settle()
            return self._say(_OFFENDED)
        forgiven = self._hurt > 0.0 and _SORRY.found(plain)
        if forgiven:
            self._hurt = 0.0
        if self._made and _GIVING_IN.found(plain) and not _AFTER_ALL.found(plain):
            return self._give_back()
        return self._weigh(text, forgiven)

    def _weigh(self, text: str, forgiven: bool) -> Reply:
        heard = self._arguments.hear(text)
        if len(heard.points) > _MOST_POINTS:
            return self._say(_MANY)
        new = {i: keys - self._spent[i] for i, keys in heard.points.items()}
        gains = {
            i: min(1.0 - self._credit[i], self._arguments.weight(keys)) for i, keys in new.items()
        }
        moved = sorted(
            (i for i, gain in gains.items() if gain > 0),
            key=lambda i: (-gains[i] * self._held[i].levels, i),
        )
        factor = _PRESSED if _pressing(text) else 1.0
        for i in moved:
            # The words are spent, whatever came of them.
            self._credit[i] += factor * gains[i]
            self._spent[i] |= new[i]
            if i in self._made:
                self._made.remove(i)
            self._made.append(i)
            factor *= _SPLIT_ATTENTION
        before = self.level
        self._settle()
        if moved:
            phrases = _MOVED if self.level > before else _STIRRED
            stance = self._rng.choice(_STANCES[self.level])
            return self._say(phrases, stance, productive=True, moved=tuple(moved))
        if heard.points:
            return self._say(_REPEATED)
        if forgiven:
            return self._say(_FORGIVEN)
        if heard.denied:
            return self._say(_DENIED)
        if _ASKING.found(text.lower()):
            return self._answer()
        return self._say(_BESIDE, self._rng.choice(_STANCES[self.level]))

    def _answer(self) -> Reply:
        """Says what matters to it: of what was neither made nor hinted at, what matters most."""
        open_ones = [
            i for i, credit in enumerate(self._credit) if credit < 1.0 and i not in self._hinted
        ]
        if not open_ones:
            return self._say(_NO_MORE)
        i = max(open_ones, key=lambda i: (self._held[i].levels, -i))
        dodged = self._manner.dodge(str(i))
        if dodged is not None:
            return Reply(dodged)
        self._hinted.add(i)
        text = self._rng.choice(_ASKED) + self._held[i].hint
        return Reply(self._manner.say(text, fact=True), productive=True)

    def _give_back(self) -> Reply:
        """An arguer who gives in takes the last point back; it can be made again."""
        i = self._made.pop()
        self._credit[i] = 0.0
        self._spent[i].clear()
        self._settle()
        return self._say(_GAVE_IN, self._rng.choice(_STANCES[self.level]))

    def _settle(self) -> None:
        moved = sum(
            consideration.levels * credit
            for consideration, credit in zip(self._held, self._credit, strict=True)
        )
        self.level = max(0, min(LAST, int(moved - self._hurt + 1e-9)))

    def _say(
        self,
        phrases: tuple[str, ...],
        then: str = "",
        *,
        productive: bool = False,
        moved: tuple[int, ...] = (),
    ) -> Reply:
        text = f"{self._rng.choice(phrases)} {then}".strip()
        return Reply(self._manner.say(text), productive, moved)


def _pressing(text: str) -> bool:
    shouted = len(text) > _SHOUT and text.isupper()
    return shouted or _PRESSING.found(text.lower())
