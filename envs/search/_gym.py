"""The search gym: questions whose answer is several searches away, and pay for the answer.

UserRL's SearchGym (2509.19736) with its repairs: one answer counts, so that nobody tries what was
found until it fits; an answer is one short thing; a judge or a search engine that fails ends the
dialogue instead of paying 0; nothing tells the answer. `official` behaviour is the released code's,
bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._hearing import words
from ._engines import Engine, WorldEngine, listed
from ._index import index
from ._judge import fits, refused, same_answer
from ._official import OfficialSearch
from ._scripts import SCRIPTS
from ._tasks import Question, generate, question, read
from ._voices import ask_judge
from ._web import Kind, WebEngine

GUESSES = 1
"""Answers that count. With more, trying what was found is learnt."""

SEARCHES = 5
RESULTS = 5
_MOST_RESULTS = 20

_INSTRUCTIONS = """\
You are an agent that answers questions by searching.

# Environment
A question is asked whose answer takes several steps. A search engine finds short articles, each \
about one thing. Your goal is to answer the question.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `search`: look for articles. `content` is a query, like the name of what you want to know about.
- `answer`: give the answer in `content`: the name, number or year that was asked for, no more.
- `finish`: give up. `content` is ignored.

# Notes
- Find the first thing that the question speaks of, then search for what you learnt, step by step.
- An answer that names several things is not taken.
- The numbers of turns, searches and answers are limited.\
"""

_ADVICE = "Choose search, answer or finish."
_NOTHING = {"correct": 0.0}


class Search:
    """One dialogue: the agent searches and answers, the answer is judged."""

    def __init__(
        self,
        asked: Question,
        engine: Engine,
        *,
        guesses: int = GUESSES,
        searches: int = SEARCHES,
        results: int = RESULTS,
        instructions: bool = True,
        judged: bool = True,
        correct: float = 1.0,
        incorrect: float = 0.0,
        judge: Voice | None = None,
    ) -> None:
        self._asked = asked
        self._engine = engine
        self._guesses = guesses
        self._searches = searches
        self._results = results
        self._judged = judged
        self._correct = correct
        self._incorrect = incorrect
        self._judge = judge
        self._prompt = opening(asked, instructions=instructions, guesses=guesses)
        self._solved = False

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return Step(feedback="You gave up.", parts=_NOTHING, done=True)
            case "search":
                return Step(feedback=await self._search(action.content), parts=_NOTHING)
            case "answer":
                return await self._answer(action.content)
            case _:
                return Step(feedback=_ADVICE, parts=_NOTHING)

    async def _search(self, query: str) -> str:
        if not words(query):
            return "A query has words in it."
        if self._searches <= 0:
            return "No searches are left. Give your answer."
        found = await self._engine.search(query, self._results)
        # Counted after the fact: what failed was no search.
        self._searches -= 1
        return listed(found) or "Nothing was found."

    async def _answer(self, text: str) -> Step:
        if not any(map(str.isalnum, text)):
            return Step(feedback="The answer is empty.", parts=_NOTHING)
        said = refused(text)
        if said is not None:
            return Step(feedback=said, parts=_NOTHING)
        self._solved = await self._right(text)
        reward = self._correct if self._solved else self._incorrect
        parts = {"correct": reward}
        if self._solved:
            return Step(feedback="That is correct.", reward=reward, parts=parts, done=True)
        self._guesses -= 1
        left = self._guesses > 0
        said = "That is wrong." if left else "That is wrong, and it was the last answer."
        return Step(feedback=said, reward=reward, parts=parts, done=not left)

    async def _right(self, text: str) -> bool:
        if not self._judged or same_answer(text, self._asked.answer):
            return same_answer(text, self._asked.answer)
        if self._judge is None:
            return fits(self._asked, text)
        return await ask_judge(self._judge, self._asked, text)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback."""
        return {"question": self._asked.question, "answered_correctly": self._solved}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(asked: Question, *, instructions: bool, guesses: int = 0) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's.

    guesses: how many answers count, which is said where there is a limit: an official prompt
    promises as many as one likes.
    """
    messages = asked.prompt or (Message("system", _INSTRUCTIONS), Message("user", asked.question))
    shown = [message for message in messages if instructions or message.role != "system"]
    if guesses and shown:
        many = "Only your first answer counts" if guesses == 1 else f"{guesses} answers count"
        shown[-1] = Message(shown[-1].role, f"{shown[-1].content.rstrip()}\n({many}.)")
    return shown


def engine_of(asked: Question, seed: Seed, *, name: str, url: str = "") -> Engine:
    """The search engine of that name for a question. Raises `UsageError`."""
    kinds: dict[str, Kind] = {"serper": "serper", "json": "json"}
    if name in kinds:
        return WebEngine(kinds[name], url=url, seed=seed / "engine")
    if name != "world":
        raise UsageError(f"engine is {name!r}; it is 'world', 'serper' or 'json'")
    if url:
        raise UsageError("url is for the engines 'serper' and 'json'; 'world' has none")
    return WorldEngine(index(asked.world) if asked.world else None)


def check_limits(*, guesses: int, searches: int, results: int) -> None:
    """Raise `UsageError` for a limit that cannot be."""
    if guesses < 1:
        raise UsageError(f"guesses is {guesses}; it must be at least 1")
    if searches < 0:
        raise UsageError(f"searches is {searches}; it must not be negative")
    if not 1 <= results <= _MOST_RESULTS:
        raise UsageError(f"results is {results}; it is from 1 to {_MOST_RESULTS}")


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    guesses: int = GUESSES,
    searches: int = SEARCHES,
    results: int = RESULTS,
    engine: str = "world",
    url: str = "",
    instructions: bool = True,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue. Nothing in it is random, unless the web is asked.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    guesses:      answers that count; the last one ends the dialogue. `official` has no limit.
    searches:     how many a dialogue has.
    results:      how many articles a search shows at most, from 1 to 20.
    engine:       `world`, the embedded one, which knows our own worlds; `serper`, or `json` for any
                  endpoint of its shape (see `WebEngine`), for official questions.
    url:          where the web's engine is; Serper's own by default.
    instructions: False leaves the system message out, for models that learnt the tool before.
    judge:        who says whether an answer fits that is no plain match; rule-based when None.

    Raises `UsageError` when the task is not of this gym, an option has no such value, or an engine
    lacks its key.
    """
    check_limits(guesses=guesses, searches=searches, results=results)
    asked = question(task)
    asks = engine_of(asked, seed, name=engine, url=url)
    match behaviour:
        case "fixed":
            return Search(
                asked,
                asks,
                guesses=guesses,
                searches=searches,
                results=results,
                instructions=instructions,
                judge=judge,
            )
        case "official":
            return OfficialSearch(
                asked,
                asks,
                name=task.id,
                prompt=opening(asked, instructions=instructions),
                searches=searches,
                results=results,
                judge=judge,
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """The steps that lead to the answer, the first apart, which the question may hold. Not their
    values: an honest search finds those."""
    return {hop.ask for hop in question(task).hops[1:]}


gym: Gym = Gym(
    name="search",
    tasks=generate,
    read=read,
    make=make,
    scripts=SCRIPTS,
    max_turns=16,
    options={
        "behaviour": "fixed",
        "guesses": GUESSES,
        "searches": SEARCHES,
        "results": RESULTS,
        "engine": "world",
        "url": "",
        "instructions": True,
    },
    voices=("judge",),
    hidden=hidden,
    summary="Answer questions whose answer is several searches away.",
)
