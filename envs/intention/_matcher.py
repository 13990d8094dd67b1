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

from .._hearing import words
from ._words import Term, is_small_talk, mentions_weather, terms


class Subject(Struct, frozen=True, gc=False):
    """Something a question can be about: what it is called, how one would ask for it, and what
    could be answered. A `remote` subject is outside this task: known by its very name only."""

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
_UNKNOWN = 0.7  # how much a word that points nowhere dilutes a question

_ENOUGH = 0.3  # the share of a question that its subject must explain
_LEAST = 0.42  # and the evidence that must stand behind it
_SECOND = 0.5  # the evidence for a second subject, from what the first leaves unexplained,
_WHOLE = 0.5  # and how much of its name must be said

NOTHING = Heard()

Evidence = dict[int, float]
"""How strongly something points to each subject."""


class Matcher:
    """The subjects of one task, compiled for listening. Immutable: dialogues may share it."""

    def __init__(self, subjects: Sequence[Subject], opening: str = "") -> None:
        self._opening = frozenset(t.stem for t in terms(words(opening)) if t.stem)
        self._names = [self._weights(terms(words(subject.name))) for subject in subjects]
        known = [_known_by(subject) for subject in subjects]
        spread = Counter(feature for features in known for feature in features)
        self._weather = {i for i, subject in enumerate(subjects) if _mentions_weather(subject)}
        self._points: dict[str, list[tuple[int, float]]] = {}
        for i, features in enumerate(known):
            for feature, strength in features.items():
                rare = 1.0 / (1.0 + log(spread[feature]))
                self._points.setdefault(feature, []).append((i, strength * rare))

    def hear(self, question: str) -> Heard:
        """What `question` is about. Any text is fine, and only its first part is heard."""
        spoken = words(question)
        if is_small_talk(spoken):
            return NOTHING
        said = self._weights(terms(spoken))
        evidence = {term: self._evidence(term, weight) for term, weight in said.items()}
        total = _sum(evidence.values())
        if mentions_weather(spoken):
            # The weather is a subject of its own: with "in your area" it is not the area.
            total = {i: strength for i, strength in total.items() if i in self._weather}
        if not total:
            return Heard(related=any(term.stem in self._opening for term in said))
        first = max(total, key=lambda i: (total[i], -i))
        burden = sum(w if evidence[term] else w * _UNKNOWN for term, w in said.items())
        if total[first] < max(_LEAST, _ENOUGH * burden) and not self._called(first, said):
            return NOTHING  # the user may well want it, so "no preference" would be a lie
        return Heard(subjects=(first, *self._second(first, evidence)), related=True)

    def _second(self, first: int, evidence: dict[Term, Evidence]) -> list[int]:
        """Another subject that the question names apart from the first, if there is one."""
        rest = {
            term: found
            for term, found in evidence.items()
            if found and found.get(first, 0.0) < 0.6 * max(found.values())
        }
        apart = _sum(found for term, found in rest.items() if term.stem not in self._opening)
        named = [i for i, strength in apart.items() if i != first and strength >= _SECOND]
        return [i for i in named if self._share(i, rest) >= _WHOLE][:1]

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

    def _evidence(self, term: Term, weight: float) -> Evidence:
        found: Evidence = {}
        if term.family:
            for i, strength in self._points.get("@" + term.family, ()):
                found[i] = strength * _FAMILY * weight
        if term.stem:
            for i, strength in self._points.get(term.stem, ()):
                found[i] = max(found.get(i, 0.0), strength * weight)
        return found


def _known_by(subject: Subject) -> dict[str, float]:
    """By which words and families a subject is known, and how surely."""
    if subject.remote:
        return {term.stem: _NAME for term in terms(words(subject.name))}
    known: dict[str, float] = {}
    texts = [(subject.name, _NAME), (subject.inquiry, _INQUIRY)]
    for text, strength in texts + [(answer, _ANSWER) for answer in subject.answers]:
        for term in terms(words(text)):
            for feature in (term.stem, "@" + term.family):
                if feature not in ("", "@"):
                    known[feature] = max(known.get(feature, 0.0), strength)
    return known


def _mentions_weather(subject: Subject) -> bool:
    texts = (subject.name, subject.inquiry, *subject.answers)
    return any(mentions_weather(words(text)) for text in texts)


def _sum(evidence: Iterable[Evidence]) -> Evidence:
    total: Evidence = {}
    for found in evidence:
        for i, strength in found.items():
            total[i] = total.get(i, 0.0) + strength
    return total
