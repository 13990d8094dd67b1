"""The words that cross boundaries: between actors, into the store, over a wire.

Every struct is frozen. Tags are permanent: a field may be added with a default, never renamed,
retyped or made required. Token streams are packed bytes (4 bytes a token), not lists of objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool"]


class Message(Struct, frozen=True, gc=False):
    """One line of a conversation as a chat model sees it."""

    role: Role
    content: str


class Task(Struct, frozen=True, kw_only=True, tag="task"):
    """One row to solve. `data` is the environment's own and stays opaque to everyone else."""

    env: str
    id: str
    split: str = "train"
    data: Any = None


class Action(Struct, frozen=True, gc=False):
    """What an agent does: `choice` is `action`, `answer`, `search` or `finish`."""

    choice: str
    content: str


class End(StrEnum):
    """Why a dialogue ended. Every dialogue ends exactly once, with one of these."""

    DONE = "done"
    USER_ENDED = "user_ended"
    MAX_TURNS = "max_turns"
    NO_ACTION = "no_action"
    CONTEXT_FULL = "context_full"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    MODEL_ERROR = "model_error"
    USER_ERROR = "user_error"
    JUDGE_ERROR = "judge_error"
    ENV_ERROR = "env_error"
    CANCELLED = "cancelled"

    # By its value, as it compares; an enum's own hash is a function in Python.
    __hash__ = str.__hash__

    @property
    def finished(self) -> bool:
        """The dialogue ran its course: its reward means something and is trained on."""
        return self in _FINISHED

    @property
    def cut_short(self) -> bool:
        """No room was left; trained on by option only (masked by default), counted apart."""
        return self in _CUT_SHORT

    @property
    def failed(self) -> bool:
        """A party failed: never trained on, never a reward, retried whole within a budget."""
        return self in _FAILED


_FINISHED = frozenset({End.DONE, End.USER_ENDED, End.MAX_TURNS, End.NO_ACTION})
_CUT_SHORT = frozenset({End.CONTEXT_FULL, End.TRUNCATED})
_FAILED = frozenset({End.MODEL_ERROR, End.USER_ERROR, End.JUDGE_ERROR, End.ENV_ERROR})


class Fate(StrEnum):
    """What became of a trajectory. The fates of a run sum to the trajectories it admitted."""

    READY = "ready"
    TRAINED = "trained"
    STALE = "stale"
    FILTERED = "filtered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Span(Struct, frozen=True, array_like=True, gc=False):
    """Tokens [start, end) were sampled from the weights named `version`."""

    start: int
    end: int
    version: int


class Tokens(Struct, frozen=True, kw_only=True, gc=False):
    """A dialogue's token stream: what was read and what was sampled, in order.

    ids:    int32[N], packed.
    mask:   uint8[N]; 1 where the agent's model sampled the token.
    logps:  float32[N], packed; the sampler's own log-probability where mask is 1, else 0.
    turns:  where each generation starts; generation k owns the masked tokens from turns[k] on.
    spans:  which policy version sampled what; only masked tokens are covered.
    """

    ids: bytes
    mask: bytes
    logps: bytes
    turns: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()

    def ids_array(self) -> memoryview[int]:
        return memoryview(self.ids).cast("i")

    def logps_array(self) -> memoryview[float]:
        return memoryview(self.logps).cast("f")

    def __len__(self) -> int:
        return len(self.mask)


def pack_tokens(
    ids: Sequence[int],
    mask: Sequence[int],
    logps: Sequence[float],
    turns: Sequence[int] = (),
    spans: Sequence[Span] = (),
) -> Tokens:
    """`Tokens` from plain sequences; the three streams must have one length."""
    if not len(ids) == len(mask) == len(logps):
        raise ValueError(f"streams differ in length: {len(ids)}, {len(mask)}, {len(logps)}")
    return Tokens(
        ids=array("i", ids).tobytes(),
        mask=bytes(mask),
        logps=array("f", logps).tobytes(),
        turns=tuple(turns),
        spans=tuple(spans),
    )


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """One generation by the agent and what came back.

    `reward` is the environment's, before any shaping; `parts` says what it is made of.
    """

    text: str
    actions: tuple[Action, ...] = ()
    feedback: str = ""
    reward: float = 0.0
    parts: dict[str, float] = {}


class Key(Struct, frozen=True, order=True, array_like=True, gc=False):
    """Which dialogue of a run: the group's ordinal and the sample within the group."""

    group: int
    sample: int


class Trajectory(Struct, frozen=True, kw_only=True, tag="trajectory"):
    """The finished record of a dialogue, whatever its end. It holds no clock readings, so runs
    compare byte for byte; timings are kept beside it."""

    key: Key
    task: str
    env: str
    split: str
    end: End
    detail: str = ""
    opening: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    tokens: Tokens | None = None
    discarded: tuple[End, ...] = ()
    """Ends of the earlier attempts at this dialogue that failed and were retried."""

    @property
    def reward(self) -> float:
        """The sum of the turns' rewards; means nothing when the dialogue failed."""
        return sum([turn.reward for turn in self.turns])

    @property
    def rewards(self) -> tuple[float, ...]:
        return tuple(turn.reward for turn in self.turns)

    @property
    def oldest_version(self) -> int | None:
        """The oldest policy version that sampled any of its tokens; None without a policy."""
        if self.tokens is None or not self.tokens.spans:
            return None
        return min(span.version for span in self.tokens.spans)


class Group(Struct, frozen=True, kw_only=True, tag="group"):
    """All samples of one task, in sample order, failures included."""

    ordinal: int
    task: Task
    trajectories: tuple[Trajectory, ...]
