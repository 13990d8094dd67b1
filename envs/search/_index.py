"""A search engine in memory: an inverted index, ranked by BM25 (Robertson and Zaragoza, 2009).

What each word adds to an article's score is worked out beforehand, so a search adds up a few hundred
numbers: no thread, no wait, nothing shared that changes. SQLite's FTS5, given the same words, puts
the same article first and takes three times as long (see docs/environments.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from heapq import nlargest
from math import log
from unicodedata import combining, normalize

from .._hearing import stems, words
from ._articles import Article, articles

QUERY_CHARS = 300
"""How much of a query is read."""

_TERMS = 8
_POSTINGS = 400
"""How many articles the words looked for may have together, the rarest word apart: this bounds what
a search costs. Names are rare, so it is the words that tell least which are dropped."""

_SMALL = frozenset(
    words(
        "a an and at by did do for from in is it its of on or that the through to was were what "
        "when where which who whom whose with"
    )
)
_TITLE = 4
"""How many times a word in the title counts."""
_K1, _B = 1.2, 0.75


class Index:
    """An index of articles. Read-only once made, so any thread may search it."""

    def __init__(self, listed: Sequence[Article]) -> None:
        self._articles = tuple(listed)
        bags = [
            Counter(_TITLE * stems(folded(each.title)) + stems(folded(each.text)))
            for each in listed
        ]
        spread = Counter(word for bag in bags for word in bag)
        mean = sum(bag.total() for bag in bags) / max(1, len(bags))
        self._postings: dict[str, list[tuple[int, float]]] = {word: [] for word in spread}
        for number, bag in enumerate(bags):
            size = _K1 * (1 - _B + _B * bag.total() / mean)
            for word, often in bag.items():
                rare = log(1 + (len(bags) - spread[word] + 0.5) / (spread[word] + 0.5))
                self._postings[word].append((number, rare * often * (_K1 + 1) / (often + size)))

    def search(self, query: str, limit: int) -> list[Article]:
        """The best articles for any text at all, best first; none when no word of it is known."""
        scores: dict[int, float] = {}
        for word in self.terms(query):
            for number, score in self._postings[word]:
                scores[number] = scores.get(number, 0.0) + score
        # Among equals the one met first, which is the same one each time.
        best = nlargest(limit, scores, key=scores.__getitem__)
        return [self._articles[number] for number in best]

    def terms(self, query: str) -> list[str]:
        """The words that are looked for, rarest first."""
        heard = dict.fromkeys(stems(folded(query[:QUERY_CHARS])))
        known = [(len(self._postings[w]), w) for w in heard if w in self._postings]
        chosen: list[str] = []
        left = _POSTINGS
        for many, word in sorted(each for each in known if each[1] not in _SMALL)[:_TERMS]:
            left -= many
            if chosen and left < 0:
                break
            chosen.append(word)
        return chosen


def folded(text: str) -> str:
    """The text without accents."""
    if text.isascii():
        return text
    return "".join(each for each in normalize("NFKD", text) if not combining(each))


@cache
def index(split: str) -> Index:
    """The index of a split's world, made when it is first asked for."""
    return Index(articles(split))
