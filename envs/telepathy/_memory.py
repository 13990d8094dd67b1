"""What a user knows of a thing that is not in our tables: the words of its description.

The official files describe each thing in a sentence. Words of it, and its category, are a yes; the
sorts of things it is not are a no; all else is a maybe, because a sentence is no closed world.
"""

from __future__ import annotations

from functools import lru_cache

from .._hearing import stem
from ._base import MAYBE, NEGATIONS, NO, YES, Entity, domains, is_filler, tokens
from ._ears import Heard, hear

_SORTS = {
    "animal": "animal bird fish reptile marsupial mammal insect creature dog cat dinosaur",
    "food": "food fruit vegetable dish dessert beverage drink cuisine",
    "place": "place city country mountain landmark planet river island park forest waterfall "
    "museum monument sea ocean structure site wonder geographical geographic location building "
    "nation water",
    "profession": "person people figure man woman human actor singer scientist artist composer "
    "athlete author painter musician writer character",
    "object": "object device vehicle tool instrument toy machine utensil appliance invention "
    "gadget aircraft computer",
}
_SORT_OF = {stem(word): sort for sort, words in _SORTS.items() for word in words.split()}

_BROAD = frozenset(map(stem, ("animal", "food", "place", "person", "people", "human", "object")))
"""Words for a whole sort: of a scientist "Is it an author?" is not yes, "Is it a person?" is."""


class Memory:
    """A thing that is known by its title, its category and a sentence about it."""

    def __init__(self, title: str, category: str, text: str) -> None:
        named = set(tokens(title))
        self._named = named
        about = f"{category.replace('_', ' ')} {text}"
        self._known = {token for token in tokens(about) if token not in named}
        self._sorts = _sorts_in(category)

    def named_in(self, question: str) -> bool:
        """Whether all the words of the name are in the question."""
        return bool(self._named) and self._named <= set(tokens(question))

    def hear(self, question: str) -> tuple[Heard, int | None]:
        """What is heard in a question, and its verdict; None when it is no yes/no question."""
        # Of the spelling and the open questions nothing depends on the domain.
        heard = hear(domains()["object"], question)
        if heard.kind in ("name", "open"):
            return heard, None
        said = tokens(question[:400])
        asked = [
            token
            for token in said
            if token not in NEGATIONS
            and (token in self._known or token in _SORT_OF or not is_filler(token))
        ]
        if not asked:
            return Heard("lost"), None
        subject = Heard("asked", named=" ".join(said))
        sorts = {_SORT_OF[token] for token in asked if token in _SORT_OF}
        known = [token for token in asked if token in self._known]
        if len(known) == len(asked):
            return subject, _not(said, YES)
        if self._sorts and len(sorts) == 1 and set(asked) <= set(_SORT_OF):
            if not sorts & self._sorts:
                return subject, _not(said, NO)
            if set(asked) <= _BROAD:
                return subject, _not(said, YES)
        return subject, MAYBE


def _sorts_in(category: str) -> set[str]:
    """The sorts that a category of the official files names."""
    return {_SORT_OF[t] for t in tokens(category.replace("_", " ")) if t in _SORT_OF}


def _not(said: tuple[str, ...], verdict: int) -> int:
    return YES - verdict if any(token in NEGATIONS for token in said) else verdict


@lru_cache(maxsize=1024)
def known_entity(title: str, category: str) -> tuple[str, Entity] | None:
    """The thing of our tables that an official title means, with its domain's name. Its category
    has to say so too: a Python may be a language, and a Sphinx a creature."""
    sorts = _sorts_in(category)
    for domain in domains().values():
        for entity in domain.entities:
            if domain.name in sorts and title.casefold() in entity.names:
                return domain.name, entity
    return None
