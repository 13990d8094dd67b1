"""A group of dialogues as the page's script reads it: one line of JSON.

Whatever can be worked out once is worked out here (a reply taken apart, an action tidied, tokens
spelled out), so that the script only lays out what it is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from ..engine import Fate, Task, Tokens, Trajectory, Turn
from ._speech import hear, pretty

Spell = Callable[[Sequence[int]], list[str]]
"""The text of each token of a sequence; joined, they are the sequence's text."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A trajectory, and what is known beside its record.

    life:       which life of the run it belongs to.
    superseded: a later life ran the same dialogue again, and its row is the one that counts.
    staleness:  learner version minus the oldest that sampled it; None where it was not drawn.
    advantages: one a turn, as the learner was given them; None where it was not trained on.
    replayable: whether `duologue replay` may be able to run it again.
    """

    trajectory: Trajectory
    fate: Fate | None = None
    seconds: float | None = None
    life: int = 0
    superseded: bool = False
    staleness: int | None = None
    advantages: Sequence[float] | None = None
    replayable: bool = True


class _Action(Struct, frozen=True, omit_defaults=True):
    choice: str
    content: str
    pretty: str | None = None


class _Turn(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`prose` and `thought` are `text` without its markup; absent when the text has none."""

    text: str
    prose: str | None = None
    thought: str = ""
    actions: tuple[_Action, ...] = ()
    feedback: str = ""
    reward: float | None
    parts: dict[str, float | None] = {}
    advantage: float | None = None
    tokens: list[int] = []
    """Indices into the vocabulary, sampled tokens only."""
    logps: list[int] = []
    """-100 times the log-probability of each, rounded: what a colour can show."""
    versions: list[tuple[int, int]] = []
    """(version, tokens): which weights sampled how many, in order."""


class _Dialogue(Struct, frozen=True, omit_defaults=True, kw_only=True):
    opening: tuple[tuple[str, str], ...] = ()
    turns: list[_Turn] = []
    detail: str = ""
    discarded: list[str] = []
    length: int = 0
    """Tokens, those that were only read included."""


class _Group(Struct, frozen=True, omit_defaults=True, kw_only=True):
    data: str = ""
    samples: list[_Dialogue]


class Vocabulary:
    """Every piece of text that some token stands for, each once.

    numbered: how many tokens are shown by their number, for want of a text.
    """

    def __init__(self, spell: Spell | None = None) -> None:
        self.pieces: list[str] = []
        self.numbered: int = 0
        self._spell = spell
        self._index: dict[str, int] = {}

    def indices(self, ids: Sequence[int], text: str) -> list[int]:
        """The pieces of a turn that reads `text`. Without a tokenizer, or with one that would read
        the turn otherwise (so it is not the one that wrote it), a piece is the token's number."""
        pieces = None if self._spell is None else self._spell(ids)
        if pieces is None or len(pieces) != len(ids) or text.strip() not in "".join(pieces):
            self.numbered += len(ids)
            pieces = [f"\N{MATHEMATICAL LEFT ANGLE BRACKET}{i}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
                      for i in ids]  # fmt: skip
        return [self._place(piece) for piece in pieces]

    def _place(self, piece: str) -> int:
        index = self._index.setdefault(piece, len(self.pieces))
        if index == len(self.pieces):
            self.pieces.append(piece)
        return index


def encode_group(task: Task | None, samples: Sequence[Sample], vocabulary: Vocabulary) -> bytes:
    """The group on one line of JSON."""
    group = _Group(
        data="" if task is None or task.data is None else _content(task.data),
        samples=[_dialogue(sample, vocabulary) for sample in samples],
    )
    return encode(group)


def encode(value: object) -> bytes:
    """Compact JSON of anything, lone surrogates included: JSON can spell them, UTF-8 cannot."""
    try:
        return msgspec.json.encode(value, enc_hook=repr)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=repr)
        return json.dumps(plain, separators=(",", ":")).encode()


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON cannot say."""
    return None if value is None or not math.isfinite(value) else value


def _content(data: Any) -> str:
    """A task's data as a reader meets it. Whatever an environment put there: it is opaque to us."""
    return json.dumps(json.loads(encode(data)), indent=2, ensure_ascii=False)


def _dialogue(sample: Sample, vocabulary: Vocabulary) -> _Dialogue:
    trajectory = sample.trajectory
    turns = trajectory.turns
    worth = sample.advantages or ()
    advantages = [*worth, *[None] * (len(turns) - len(worth))]
    streams = _streams(trajectory.tokens, turns, vocabulary)
    return _Dialogue(
        opening=tuple((message.role, message.content) for message in trajectory.opening),
        turns=[_turn(*each) for each in zip(turns, advantages, streams, strict=False)],
        detail=trajectory.detail,
        discarded=[end.value for end in trajectory.discarded],
        length=0 if trajectory.tokens is None else len(trajectory.tokens),
    )


_Stream = tuple[list[int], list[int], list[tuple[int, int]]]


def _turn(turn: Turn, advantage: float | None, stream: _Stream) -> _Turn:
    speech = hear(turn.text, has_actions=bool(turn.actions))
    tokens, logps, versions = stream
    return _Turn(
        text=turn.text,
        prose=speech.prose if speech.tidied else None,
        thought=speech.thought,
        actions=tuple(_Action(a.choice, a.content, pretty(a.content)) for a in turn.actions),
        feedback=turn.feedback,
        reward=finite(turn.reward),
        parts={name: finite(value) for name, value in turn.parts.items()},
        advantage=finite(advantage),
        tokens=tokens,
        logps=logps,
        versions=versions,
    )


def _streams(tokens: Tokens | None, turns: Sequence[Turn], vocabulary: Vocabulary) -> list[_Stream]:
    """What each turn sampled: pieces, log-probabilities, versions. Empty where the record does not
    say which tokens are whose."""
    if tokens is None or len(tokens.turns) != len(turns):
        return [([], [], []) for _ in turns]
    ids, logps, mask = tokens.ids_array(), tokens.logps_array(), tokens.mask
    of_token: list[int | None] = [None] * len(mask)
    for span in tokens.spans:
        of_token[span.start : span.end] = [span.version] * (span.end - span.start)
    streams: list[_Stream] = []
    bounds = zip(tokens.turns, [*tokens.turns, len(mask)][1:], strict=True)
    for (start, end), turn in zip(bounds, turns, strict=True):
        places = [place for place in range(start, end) if mask[place]]
        known = [version for place in places if (version := of_token[place]) is not None]
        streams.append(
            (
                vocabulary.indices([ids[place] for place in places], turn.text),
                [_hundredths(logps[place]) for place in places],
                [(version, len(list(run))) for version, run in groupby(known)],
            )
        )
    return streams


def _hundredths(logp: float) -> int:
    """-100 times a log-probability; what is no number is drawn as the least likely."""
    return round(-100 * logp) if math.isfinite(logp) else 9999
