"""The rule-based user: hears one question at a time, answers it, and says no more than asked."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from ...engine import Seed
from .._persona import Manner
from ._matcher import Matcher, Subject
from ._tasks import Detail, Wish
from ._world import world


class Reply(Struct, frozen=True, gc=False):
    """What the user says, and the details that it settles for the first time."""

    text: str
    covered: tuple[Detail, ...] = ()


class _Phrases(Struct, frozen=True):
    answer: tuple[str, ...]
    told: tuple[str, ...]
    indifferent: tuple[str, ...]


# In the small world every topic has a noun; an official detail is free text, and repeating it
# would tell the agent how the task words what it hides.
_NAMED = _Phrases(
    answer=("The {t} is {v}.", "For the {t}, {v}.", "{v}, please.", "I want {v}."),
    told=("I told you.", "I told you about the {t}.", "You know that already."),
    indifferent=("No preference.", "I have no preference on the {t}.", "Any {t} is fine."),
)
_UNNAMED = _Phrases(
    answer=("{v}.", "{v}, please.", "I would say: {v}.", "Let us go with: {v}."),
    told=("I told you.", "I told you about that.", "You know that already."),
    indifferent=("No preference.", "I have no preference on that.", "Anything is fine."),
)
_MANY = ("One thing at a time, please.", "Too many questions at once.")
_LOST = ("What do you mean?",)


class User:
    """The user of one dialogue. What is said depends on the wish, the seed and the questions.

    A question that names several topics is answered on none of them: otherwise asking for
    everything at once is the best an agent can do, and it learns nothing else.

    manner: how the user speaks and what it dodges; None is plain.
    """

    def __init__(self, wanted: Wish, seed: Seed, manner: Manner | None = None) -> None:
        self._seed = seed
        self._manner = manner
        self._rng = (seed / "phrases").random()
        self._told: set[int] = set()
        if wanted.domain:
            here = world(wanted.domain)
            place = {topic: i for i, topic in enumerate(here.topics)}
            self._matcher, self._topics, self._phrases = here.matcher, here.topics, _NAMED
            self._missing = {place[d.description]: d for d in wanted.missing_details}
            self._told.update(place[topic] for topic, _ in wanted.shown)
        else:
            self._matcher = _matcher(wanted.task, wanted.missing_details)
            self._topics, self._phrases = (), _UNNAMED
            self._missing = dict(enumerate(wanted.missing_details))

    @property
    def satisfied(self) -> bool:
        """Whether nothing is left to ask for."""
        return not self._missing

    @property
    def left(self) -> int:
        """How many details are still to be asked for."""
        return len(self._missing)

    def hear(self, question: str, *, several: bool = False) -> Reply:
        """The user's reply to any text at all; with `several`, to each topic that it names."""
        heard = self._matcher.hear(question)
        if len(heard.subjects) > 1 and not several:
            return Reply(self._put(self._rng.choice(_MANY)))
        if not heard.subjects:
            return Reply(self._say(self._phrases.indifferent[:1] if heard.related else _LOST))
        replies = [self._reply(subject) for subject in heard.subjects]
        if len(replies) == 1:
            return replies[0]
        covered = tuple(detail for reply in replies for detail in reply.covered)
        return Reply(" ".join(reply.text for reply in replies), covered)

    def _reply(self, subject: int) -> Reply:
        dodged = None if self._manner is None else self._manner.dodge(str(subject))
        if dodged is not None:
            return Reply(dodged)
        detail = self._missing.pop(subject, None)
        if detail is not None:
            self._told.add(subject)
            value = detail.value or self._choose(subject, detail)
            return Reply(self._say(self._phrases.answer, subject, value, fact=True), (detail,))
        if subject in self._told:
            return Reply(self._say(self._phrases.told, subject))
        self._told.add(subject)
        return Reply(self._say(self._phrases.indifferent, subject))

    def _choose(self, subject: int, detail: Detail) -> str:
        """What this dialogue's user wants: settled by the seed, whenever it is asked for."""
        pick = (self._seed / "value" / subject).integer()
        return detail.options[pick % len(detail.options)].strip()

    def _say(
        self, phrases: tuple[str, ...], subject: int = 0, value: str = "", *, fact: bool = False
    ) -> str:
        topic = self._topics[subject] if self._topics else ""
        return self._put(self._rng.choice(phrases).format(t=topic, v=value), fact=fact)

    def _put(self, text: str, *, fact: bool = False) -> str:
        return text if self._manner is None else self._manner.say(text, fact=fact)


@lru_cache(maxsize=4096)
def _matcher(opening: str, details: tuple[Detail, ...]) -> Matcher:
    # The samples of a group, and the epochs of a run, meet the same task again and again.
    return Matcher([Subject(d.description, d.inquiry, d.options) for d in details], opening)
