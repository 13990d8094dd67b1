"""A customer that has a text of instructions and nothing else: says its sentences in the first
person, first the one that fits what it is asked. Enough for tests; a model plays such a part better.
"""

from __future__ import annotations

import re

from .._hearing import stems

_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_NAMING = re.compile(r"^(?:your name is|you are|your user id is)\b", re.IGNORECASE)
_SPOKEN = (
    (r"\byou are\b", "I am"),
    (r"\byou're\b", "I am"),
    (r"\byou were\b", "I was"),
    (r"\byourself\b", "myself"),
    (r"\byours\b", "mine"),
    (r"\byour\b", "my"),
    (r"\b(for|to|with|of|from|by|about|tells?|gives?) you\b", r"\1 me"),
    (r"\byou\b", "I"),
)
_COMMON = frozenset(stems("the a an of to is are i you your my do can could what which please and"))


class FreeCustomer:
    """The sentences of the instructions, each said once unasked, again when asked for."""

    def __init__(self, instruction: str) -> None:
        sentences = [each.strip() for each in _SENTENCE.split(instruction) if each.strip()]
        self._lines = [_first_person(each) for each in sentences]
        self._stems = [frozenset(stems(each)) - _COMMON for each in self._lines]
        # Who it is, it says when asked: an end does not wait for that.
        self.left: list[int] = [i for i, s in enumerate(sentences) if not _NAMING.match(s)]

    def tell(self, question: str) -> str:
        """What it says to a question: the sentence that shares most with it, else the next."""
        if not self._lines:
            return ""
        asked = frozenset(stems(question)) - _COMMON
        shared = [len(asked & each) for each in self._stems]
        best = max(range(len(shared)), key=lambda i: (shared[i], i in self.left, -i))
        if not shared[best]:
            return self.go_on()
        if best in self.left:
            self.left.remove(best)
        return self._lines[best]

    def go_on(self) -> str:
        """The next sentence that it has not said; "" when there is none."""
        return self._lines[self.left.pop(0)] if self.left else ""


def _first_person(sentence: str) -> str:
    for pattern, instead in _SPOKEN:
        sentence = re.sub(pattern, instead, sentence, flags=re.IGNORECASE)
    return sentence[:1].upper() + sentence[1:]
