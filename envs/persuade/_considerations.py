"""What can change someone's mind, and the general ones for claims that come without any.

The official statements do. Which of the general considerations move the holder of a claim, the text of the claim decides, so that every sample of a
task argues with the same person.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import Annotated

from msgspec import Meta, Struct

from ._stance import LAST


class Consideration(Struct, frozen=True):
    """Something that speaks against a claim.

    point:  how it would be put.
    hint:   how someone says that it matters to them, without making the point.
    levels: how many levels of stance the whole point moves its hearer.
    words:  more words that it may be put in.
    """

    point: Annotated[str, Meta(min_length=1)]
    hint: Annotated[str, Meta(min_length=1)]
    levels: Annotated[int, Meta(ge=1, le=LAST)]
    words: str = ""


_LEVELS = (2, 2, 1, 1)

THEMES = (
    (
        "In the end somebody has to pay for it.",
        "It would cost the public a lot of money, and ordinary taxpayers would foot the bill.",
        "expensive budget economy economic financial price afford tax invest resources",
    ),
    (
        "I do ask myself whether people come to harm.",
        "People would be hurt or fall ill, because it puts their health and safety at risk.",
        "danger injury death harm patient disease accident medical vulnerable",
    ),
    (
        "It should be fair to everybody.",
        "It treats people unequally: the poor and minorities carry the burden, which is unjust.",
        "fairness discrimination inequality disadvantage rich privilege equal justice",
    ),
    (
        "I value it when people may decide for themselves.",
        "Adults have a right to choose for themselves, and it takes that freedom from them.",
        "liberty autonomy individual rights personal control restrict coercion",
    ),
    (
        "Is there any evidence, I wonder?",
        "Studies and data do not support it; scientists who examined the evidence found no benefit.",
        "research proof experiment expert statistics scientific trial findings",
    ),
    (
        "What will it do to nature?",
        "It damages the environment, since more pollution and emissions destroy nature.",
        "climate ecosystem wildlife planet carbon waste species biodiversity",
    ),
    (
        "I think about jobs.",
        "Workers would lose their jobs, and companies would move production abroad.",
        "employment unemployment business industry wages labor economy innovation growth",
    ),
    (
        "Would it work in practice, at all?",
        "It cannot be enforced in practice: the bureaucracy would be slow and loopholes easy to find.",
        "implement impractical feasible complicated administration evade unrealistic difficult",
    ),
    (
        "Good intentions can go wrong.",
        "It backfires: unintended consequences would make the original problem worse.",
        "side effect counterproductive outcome abuse misuse unforeseen opposite",
    ),
    (
        "I think of those who come after us.",
        "Our children and future generations would live with the damage in the long term.",
        "youth later decades tomorrow grandchildren legacy lasting sustainable",
    ),
    (
        "Who would watch over them?",
        "It invades privacy: governments and firms would collect personal data about citizens.",
        "surveillance tracking security confidential information hackers spying leak",
    ),
    (
        "There may be a better way.",
        "There are better alternatives, such as information and voluntary help, that solve it gently.",
        "instead option compromise solution moderate different education incentive",
    ),
)


@lru_cache(maxsize=1024)
def general(claim: str) -> tuple[Consideration, ...]:
    """The general considerations that count for whoever holds `claim`."""
    # Of the task and not of the dialogue, so no `Seed`: every sample argues with the same person.
    digest = blake2b(claim.encode("utf-8", "replace"), digest_size=8).digest()
    drawn = Random(digest).sample(THEMES, len(_LEVELS))
    return tuple(
        Consideration(point, hint, levels, more)
        for (hint, point, more), levels in zip(drawn, _LEVELS, strict=True)
    )
