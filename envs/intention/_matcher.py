"""Which subject a question is about, by the meaning of its words.

Each subject (a detail of the task) is known by its name, and less surely by how one would ask for
it and by its possible answers. A word weighs by how few of the task's subjects it points to, so a
word that the opening line or every subject contains says little. A question is about the subject
that explains most of it, if that is enough of the question; it names several subjects when what
the first leaves unexplained is enough for a second on its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

from msgspec import Struct

from ._words import Term, is_small_talk, terms, words


class Subject(Struct, frozen=True, gc=False):
    """Something a question can be about: what it is called, how one would ask for it, and what
    could be answered. `remote` subjects are outside this task: heard when nothing nearer is."""

    name: str
    inquiry: str = ""
    answers: tuple[str, ...] = ()
    remote: bool = False


class Heard(Struct, frozen=True, gc=False):
    """What the user made of a question: the subjects it names (indices), and whether it has to do
    with the task at all."""

    subjects: tuple[int, ...] = ()
    related: bool = False


_NAME, _INQUIRY, _ANSWER = 1.0, 0.7, 0.5
_FAMILY = 0.75  # a word's family is less sure than the word
_TOLD = 0.35  # a word of the opening line names the task, not one of its subjects
_REMOTE = 0.5
_UNKNOWN = 0.7  # how much a word that points nowhere dilutes a question

_ENOUGH = 0.3  # the share of a question that its subject must explain
_LEAST = 0.42  # and the evidence that must stand behind it
_SECOND = 0.4  # a second subject must be called by its name
_WHOLE = 0.5  # and by that much of it

NOTHING = Heard()


class Matcher:
    """The subjects of one task, compiled for listening. Immutable: dialogues may share it."""

    def __init__(self, subjects: Sequence[Subject], opening: str = "") -> None:
        self._opening = frozenset(t.stem for t in terms(words(opening)) if t.stem)
        self._near = [_REMOTE if subject.remote else 1.0 for subject in subjects]
        self._names = [self._weights(terms(words(subject.name))) for subject in subjects]
        strengths = [_strengths(subject) for subject in subjects]
        everywhere = Counter(feature for known in strengths for feature in known)
        nearby = Counter(
            feature
            for subject, known in zip(subjects, strengths, strict=True)
            for feature in known
            if not subject.remote
        )
        self._points: dict[str, list[tuple[int, float]]] = {}
        for i, known in enumerate(strengths):
            spread = everywhere if subjects[i].remote else nearby
            for feature, strength in known.items():
                rare = 1.0 / (1.0 + log(spread[feature]))
                self._points.setdefault(feature, []).append((i, strength * rare * self._near[i]))

    def hear(self, question: str) -> Heard:
        """What `question` is about. Any text is fine, and only its first part is heard."""
        spoken = words(question)
        if is_small_talk(spoken):
            return NOTHING
        said = self._weights(terms(spoken))
        evidence = [(term, self._evidence(term, weight)) for term, weight in said.items()]
        first, score = _best(found for _, found in evidence)
        if first < 0:
            return Heard(related=any(term.stem in self._opening for term in said))
        burden = sum(said[t] * (1.0 if found else _UNKNOWN) for t, found in evidence)
        enough = max(_LEAST, _ENOUGH * burden) * self._near[first]
        if score < enough and not self._called(first, said):
            return NOTHING  # the user may well want it, so "no preference" would be a lie
        rest = {term: found for term, found in evidence if first not in found}
        second, more = _best(
            found for term, found in rest.items() if term.stem not in self._opening
        )
        if second >= 0 and more >= _SECOND * self._near[second]:
            if self._share(second, rest) >= _WHOLE:
                return Heard(subjects=(first, second), related=True)
        return Heard(subjects=(first,), related=True)

    def _weights(self, said: list[Term]) -> dict[Term, float]:
        return {t: t.weight * (_TOLD if t.stem in self._opening else 1.0) for t in said}

    def _called(self, subject: int, said: Iterable[Term]) -> bool:
        """Whether the whole name was said: then even faint words ("type of yoga") are enough."""
        return len(self._names[subject]) > 1 and self._share(subject, said) > 0.99

    def _share(self, subject: int, said: Iterable[Term]) -> float:
        """How much of the subject's name was said."""
        stems = {term.stem for term in said if term.stem}
        families = {term.family for term in said if term.family}
        name = self._names[subject]
        heard = sum(w for t, w in name.items() if t.stem in stems or t.family in families)
        return heard / (sum(name.values()) or 1.0)

    def _evidence(self, term: Term, weight: float) -> dict[int, float]:
        """How strongly one word points to each subject."""
        found: dict[int, float] = {}
        if term.family:
            for i, strength in self._points.get("@" + term.family, ()):
                found[i] = strength * _FAMILY * weight
        if term.stem:
            for i, strength in self._points.get(term.stem, ()):
                found[i] = max(found.get(i, 0.0), strength * weight)
        return found


def _strengths(subject: Subject) -> dict[str, float]:
    """By which words and families a subject is known, and how surely."""
    known: dict[str, float] = {}
    texts = [(subject.name, _NAME), (subject.inquiry, _INQUIRY)]
    for text, strength in texts + [(answer, _ANSWER) for answer in subject.answers]:
        for term in terms(words(text)):
            for feature in (term.stem, "@" + term.family):
                if feature not in ("", "@"):
                    known[feature] = max(known.get(feature, 0.0), strength)
    return known


def _best(evidence: Iterable[dict[int, float]]) -> tuple[int, float]:
    """The subject with the most evidence, the earliest of equals; (-1, 0) without any."""
    total: dict[int, float] = {}
    for found in evidence:
        for i, strength in found.items():
            total[i] = total.get(i, 0.0) + strength
    if not total:
        return -1, 0.0
    first = max(total, key=lambda i: (total[i], -i))
    return first, total[first]
