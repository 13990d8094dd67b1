"""A search engine in memory: an inverted index, ranked by BM25 to the last bit as SQLite's is (FTS5).

What is indexed and what is looked for are the stems of words, as the other gyms hear them. What a
word is worth to an article depends on nothing else of a query, so it is worked out when the index is
made, and a search only adds up: no thread, no wait.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from heapq import nsmallest
from math import log
from unicodedata import combining, normalize

from .._hearing import stems, words
from ._articles import Article, articles

QUERY_CHARS = 300
"""How much of a query is read."""

_TERMS = 8
_ROWS = 200
"""How many words are looked for, and how many articles they may have together, the rarest word
apart: this bounds what a search costs. Names are rare, so the words that tell least are dropped."""

_SMALL = frozenset(
    words(
        "a an and at by did do for from in is it its of on or that the through to was were what "
        "when where which who whom whose with"
    )
)
_TITLE = 4
"""How many times a word in the title counts."""

_K1, _B = 1.2, 0.75
_LEAST_IDF = 1e-6
"""BM25's constants. A word that most articles have counts hardly, instead of against them."""

_TOKEN = re.compile(r"[a-z0-9\u0080-\U0010ffff]+")
"""A stem may have marks in it ("c++"), which are not indexed."""


class Index:
    """An index of articles. Read-only once made, so any thread may search it.

    What the samples of a group search for is much the same: the last thousand answers are kept.
    """

    def __init__(self, listed: Sequence[Article]) -> None:
        self._articles = tuple(listed)
        titles = [_TOKEN.findall(_indexed(each.title)) for each in listed]
        texts = [_TOKEN.findall(_indexed(each.text)) for each in listed]
        lengths = [len(title) + len(text) for title, text in zip(titles, texts, strict=True)]
        told: dict[str, dict[int, float]] = {}
        for number, (title, text) in enumerate(zip(titles, texts, strict=True)):
            for column, counts in ((title, _TITLE), (text, 1)):
                for word, times in Counter(column).items():
                    articles = told.setdefault(word, {})
                    articles[number] = articles.get(number, 0.0) + counts * times
        self._spread = {word: len(articles) for word, articles in told.items()}
        # Negative, so that the least is the best, and by the number among equals.
        self._worth: dict[str, dict[int, float]] = {}
        mean = sum(lengths) / max(1, len(lengths))
        for word, articles in told.items():
            many = len(articles)
            idf = log((len(lengths) - many + 0.5) / (many + 0.5))
            if idf <= 0.0:
                idf = _LEAST_IDF
            self._worth[word] = {
                n: -idf * (often * (_K1 + 1.0) / (often + _K1 * (1 - _B + _B * lengths[n] / mean)))
                for n, often in articles.items()
            }
        self._remembered = lru_cache(maxsize=1024)(self._search)

    def search(self, query: str, limit: int) -> list[Article]:
        """The best articles for any text at all, best first; none when no word of it is known."""
        return list(self._remembered(query[:QUERY_CHARS], limit))

    def _search(self, query: str, limit: int) -> tuple[Article, ...]:
        first, *others = self.terms(query) or [""]
        scores = self._worth.get(first, {}).copy()
        known = scores.get
        for term in others:
            for number, more in self._worth[term].items():
                scores[number] = known(number, 0.0) + more
        # Among equals the one met first, which is the same one each time.
        best = nsmallest(limit, zip(scores.values(), scores, strict=True))
        return tuple([self._articles[number] for _, number in best])

    def terms(self, query: str) -> list[str]:
        """The words that are looked for, rarest first."""
        heard = dict.fromkeys(stems(folded(query[:QUERY_CHARS])))
        known = [(self._spread[w], w) for w in heard if w in self._spread and w not in _SMALL]
        chosen: list[str] = []
        left = _ROWS
        for many, word in sorted(known)[:_TERMS]:
            left -= many
            if chosen and left < 0:
                break
            chosen.append(word)
        return chosen


def _indexed(text: str) -> str:
    return " ".join(stems(folded(text)))


def folded(text: str) -> str:
    """The text without accents."""
    if text.isascii():
        return text
    return "".join(each for each in normalize("NFKD", text) if not combining(each))


@cache
def index(split: str) -> Index:
    """The index of a split's world, made when it is first asked for."""
    return Index(articles(split))
