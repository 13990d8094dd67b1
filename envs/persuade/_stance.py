"""Stances, from strongly agreeing to strongly disagreeing, and what moving along them earns."""

from __future__ import annotations

from enum import Enum

STANCES = (
    "Strongly Agree",
    "Agree",
    "Partly Agree",
    "Neutral",
    "Partly Disagree",
    "Disagree",
    "Strongly Disagree",
)
"""By level, from 0, where every dialogue begins, to 6, where it is won."""

LAST = len(STANCES) - 1

_LEVELS = {stance: level for level, stance in enumerate(STANCES)}


class Stance(Enum):
    """A stance as a judge may write it: case, blanks and a full stop do not matter."""

    STRONGLY_AGREE = STANCES[0]
    AGREE = STANCES[1]
    PARTLY_AGREE = STANCES[2]
    NEUTRAL = STANCES[3]
    PARTLY_DISAGREE = STANCES[4]
    DISAGREE = STANCES[5]
    STRONGLY_DISAGREE = STANCES[6]

    @classmethod
    def _missing_(cls, value: object) -> Stance | None:
        plain = " ".join(str(value).replace("_", " ").strip(" .!\t\n").split()).title()
        return cls._value2member_map_.get(plain)  # type: ignore[return-value]

    @property
    def level(self) -> int:
        """From 0 (strongly agrees) to 6."""
        return _LEVELS[self.value]


def levels_moved(previous: str, current: str) -> int:
    """Levels towards disagreeing; 0 where either is no stance, to the letter."""
    if previous not in _LEVELS or current not in _LEVELS:
        return 0
    return _LEVELS[current] - _LEVELS[previous]


def persuasion_reward(previous: str, current: str) -> float:
    """What the released code pays for one move, in [0, 1]: a sixth a level, to six places."""
    levels = levels_moved(previous, current)
    if levels <= 0:
        return 0.0
    return 1.0 if levels >= LAST else round(levels / LAST, 6)


def score(stance: str) -> float:
    """How far a stance is from the first, in [0, 1], to four places; 0 for what is no stance."""
    return round(_LEVELS.get(stance, 0) / LAST, 4)
