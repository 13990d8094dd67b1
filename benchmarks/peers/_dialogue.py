"""The dialogue that every contestant plays. Standard library only."""

from __future__ import annotations

from random import Random

TURNS = 8
ANSWER_TOKENS = 64

SYSTEM = "You plan a visit with somebody who is short of words."

_TEXT = (
    "The museum opens at nine and the guided tour begins an hour later; children under twelve pay "
    "nothing, and the large hall is closed on Mondays because the floor is being renewed."
)

SENTENCES = [" ".join(Random(number).sample(_TEXT.split(), 20)) for number in range(1024)]


def sentence(place: int) -> str:
    """What the scripted user says: twenty words, the same for the same place."""
    return SENTENCES[place % len(SENTENCES)]
