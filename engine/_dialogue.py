"""A dialogue: an agent and an environment that exchange messages until one typed end.

The two parties are actors without tasks of their own: each has one client, this loop, which waits
for every reply. Whatever happens, the result is data: an `Outcome` with exactly one `End`. Only a bug of our own
and cancellation from outside propagate.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Protocol

import anyio
from msgspec import Struct

from ._actor import foreign
from ._board import Pulse, Slot
from ._errors import EnvError, JudgeError, ModelError, PartyError, UserError
from ._messages import Action, End, Key, Message, Task, Tokens, Turn
from ._park import being_cancelled
from ._seed import Seed
from ._snapshot import Wait


class Observation(Struct, frozen=True, kw_only=True, gc=False):
    """What the environment tells the agent: new messages, and what the last reply earned."""

    messages: tuple[Message, ...] = ()
    feedback: str = ""
    reward: float = 0.0
    parts: dict[str, float] = {}
    end: End | None = None


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """What the agent says: its text and the actions read from it.

    `end` is set when the dialogue cannot go on from the agent's side: `no_action`, `truncated`,
    or `context_full` (then nothing was generated and there is no turn).
    """

    text: str = ""
    actions: tuple[Action, ...] = ()
    end: End | None = None


class Agent(Protocol):
    """The agent's side of a dialogue. Exceptions other than `PartyError` are bugs."""

    async def receive(self, observation: Observation) -> Reply: ...

    def tokens(self) -> Tokens | None:
        """The token stream so far; None when the model reads text."""
        ...

    def close(self) -> None:
        """The dialogue is over. Never waits; called exactly once."""
        ...


class Environment(Protocol):
    """The environment's side. Any exception it raises is its own failure, never the run's."""

    async def receive(self, reply: Reply | None) -> Observation:
        """React to a reply; None opens the dialogue."""
        ...


class Dialogue(Struct, frozen=True, kw_only=True):
    """Two parties, ready to talk."""

    agent: Agent
    environment: Environment
    max_turns: int


MakeDialogue = Callable[[Task, Key, Seed], Dialogue]
"""Builds a fresh dialogue: (task, key, seed of this attempt). Never waits."""


class Outcome(Struct, kw_only=True):
    """What a dialogue came to."""

    end: End = End.CANCELLED
    detail: str = ""
    opening: tuple[Message, ...] = ()
    turns: list[Turn] = []
    tokens: Tokens | None = None


MOST_CHARS = 16 * 2**20
"""Characters that a dialogue may hold by default: no real one comes near, no party takes the
process down."""

DETAIL_CHARS = 4000
"""What is kept of an error's own words."""

_END_OF: dict[type[PartyError], End] = {
    ModelError: End.MODEL_ERROR,
    UserError: End.USER_ERROR,
    JudgeError: End.JUDGE_ERROR,
    EnvError: End.ENV_ERROR,
}


async def converse(
    dialogue: Dialogue, *, deadline_s: float, most_chars: int = MOST_CHARS, slot: Slot | None = None
) -> Outcome:
    """Run a dialogue to its end, at most `deadline_s` seconds. Cancellation closes the agent.

    most_chars: characters that its text may have, and tokens its stream. A party that passes it
                at one stroke has failed; passed bit by bit, it ends the dialogue as
                `context_full`.
    slot:       is told what the dialogue waits for.
    """
    outcome = Outcome()
    slot = slot or Slot(Pulse())
    slot.turns = outcome.turns
    try:
        with anyio.move_on_after(deadline_s) as scope:
            try:
                outcome.end = await _exchange(dialogue, outcome, most_chars, slot)
            except PartyError as error:
                outcome.end, outcome.detail = end_of(error), describe(error)
        if scope.cancelled_caught:
            outcome.end = End.TIMEOUT
            outcome.detail = f"not over after {deadline_s:g} s, in turn {len(outcome.turns) + 1}"
        _keep_tokens(outcome, dialogue.agent.tokens(), most_chars)
    finally:
        dialogue.agent.close()
    return outcome


async def _exchange(dialogue: Dialogue, outcome: Outcome, most_chars: int, slot: Slot) -> End:
    agent, environment, turns = dialogue.agent, dialogue.environment, outcome.turns
    pulse = slot.pulse
    reply: Reply | None = None
    chars = 0
    while True:
        slot.waits = Wait.ENVIRONMENT
        slot.since_s = pulse.now_s
        try:
            observation = await environment.receive(reply)
        except BaseException as error:
            _blame_environment(error)
            raise
        chars += _chars(observation, most_chars)
        if reply is None:
            outcome.opening = observation.messages
        else:
            pulse.turns += 1
            turns.append(
                Turn(
                    text=reply.text,
                    actions=reply.actions,
                    feedback=observation.feedback,
                    reward=observation.reward,
                    parts=observation.parts,
                )
            )
        if observation.end is not None:
            return observation.end
        if reply is not None and len(turns) >= dialogue.max_turns:
            return End.MAX_TURNS
        if chars > most_chars:
            return _no_room(outcome, chars, most_chars)
        slot.waits = Wait.MODEL
        slot.since_s = pulse.now_s
        try:
            reply = await agent.receive(observation)
        except anyio.get_cancelled_exc_class() as error:
            if being_cancelled():
                raise
            raise foreign("agent", error) from error
        if len(reply.text) > most_chars:
            raise ModelError(_too_long("the agent's reply", len(reply.text), most_chars))
        chars += len(reply.text)
        if reply.end is not None:
            if reply.end is not End.CONTEXT_FULL:
                pulse.turns += 1
                turns.append(Turn(text=reply.text, actions=reply.actions))
            return reply.end


def _blame_environment(error: BaseException) -> None:
    """Raise `EnvError`, once, here, for what an environment's code let out; not for what is a
    party's error already, nor for a cancellation of ours."""
    if isinstance(error, PartyError):
        return
    if isinstance(error, Exception):
        raise EnvError(describe(error)) from error
    if isinstance(error, anyio.get_cancelled_exc_class()) and not being_cancelled():
        raise EnvError(describe(foreign("environment", error))) from error


def _chars(observation: Observation, most: int) -> int:
    """The characters of an observation that a dialogue can go on with. Raises `EnvError` for one
    that it cannot, before the agent sees it: rendering and tokenising 100 MB holds the loop for half
    a minute. And further on it would be a reward of nan in a batch: the environment's failure, found
    in somebody else's room."""
    if not isfinite(observation.reward):
        raise EnvError(f"the environment gave the reward {observation.reward}")
    chars = len(observation.feedback)
    for message in observation.messages:
        # Feedback is mostly the very text of a message, and then held once.
        if message.content is not observation.feedback:
            chars += len(message.content)
    if chars > most:
        raise EnvError(_too_long("the environment's answer", chars, most))
    return chars


def _no_room(outcome: Outcome, chars: int, most: int) -> End:
    outcome.detail = _too_long("the dialogue", chars, most)
    return End.CONTEXT_FULL


def _keep_tokens(outcome: Outcome, tokens: Tokens | None, most: int) -> None:
    if tokens is not None and len(tokens) > most:
        outcome.end = End.MODEL_ERROR
        outcome.detail = f"the agent kept {len(tokens):,} tokens; {_MOST_IS} {most:,}"
        return
    outcome.tokens = tokens


def _too_long(what: str, chars: int, most: int) -> str:
    return f"{what} has {chars:,} characters; {_MOST_IS} {most:,}"


_MOST_IS = "rollout.dialogue_chars is"


def end_of(error: PartyError) -> End:
    """The end that names the party an error belongs to."""
    for kind in type(error).__mro__:
        if kind in _END_OF:
            return _END_OF[kind]
    return End.ENV_ERROR


def describe(error: BaseException) -> str:
    """An error in one line: its type, its words, and where foreign code raised it."""
    name = type(error).__name__
    words = f"{name}: {text}" if (text := str(error)) else name
    # An error can hold all of what it complains about.
    if len(words) > DETAIL_CHARS:
        words = f"{words[:DETAIL_CHARS]}... (cut off)"
    if isinstance(error, PartyError):
        return words
    # By hand, because the traceback module reads source files: a storm of failures formatted
    # that way holds up the loop.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return words
    return f"{words} (in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno})"
