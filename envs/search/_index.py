"""A search engine in memory: SQLite's full-text index (FTS5), ranked by BM25.

What is indexed and what is looked for are the stems of words, as the other gyms hear them. The
index is written once and only read after, some 0.15 ms each time: no thread, no wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache, lru_cache
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


class Index:
    """An index of articles. Read-only once made, so any thread may search it.

    What the samples of a group search for is much the same: the last thousand answers are kept.
    """

    def __init__(self, listed: Sequence[Article]) -> None:
        self._articles = tuple(listed)
        # SQLite takes one thread at a time by itself.
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE articles USING fts5(title, text, tokenize='ascii')")
        self._db.executemany(
            "INSERT INTO articles (rowid, title, text) VALUES (?, ?, ?)",
            (
                (number, _indexed(each.title), _indexed(each.text))
                for number, each in enumerate(listed)
            ),
        )
        self._db.execute("CREATE VIRTUAL TABLE spread USING fts5vocab(articles, row)")
        self._spread: dict[str, int] = dict(self._db.execute("SELECT term, doc FROM spread"))
        self._remembered = lru_cache(maxsize=1024)(self._search)

    def search(self, query: str, limit: int) -> list[Article]:
        """The best articles for any text at all, best first; none when no word of it is known."""
        return list(self._remembered(query[:QUERY_CHARS], limit))

    def _search(self, query: str, limit: int) -> tuple[Article, ...]:
        terms = self.terms(query)
        if not terms:
            return ()
        # Among equals the one met first, which is the same one each time.
        found: list[tuple[int]] = self._db.execute(
            "SELECT rowid FROM articles WHERE articles MATCH ? "
            f"ORDER BY bm25(articles, {_TITLE}.0, 1.0), rowid LIMIT ?",
            (" OR ".join(f'"{term}"' for term in terms), limit),
        ).fetchall()
        return tuple([self._articles[number] for (number,) in found])

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
