"""Users and judges that are models: a voice over a `Model`, and answers with a shape from a voice.

A voice that fails, or whose answer cannot be used, raises its party's error: nobody knows what the
turn was worth, so it is never worth 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from ..agents.models import Model, Request, Sampling
from ..agents.models._structured import json_in, json_schema
from ..engine import JudgeError, Message, ModelError, PartyError, Seed, Task, UserError
from ._env import Voice

T = TypeVar("T", bound=Struct)

Failure = type[UserError] | type[JudgeError]

MakeVoices = Callable[[Task, str, Seed], Mapping[str, Voice]]
"""The voices of one dialogue, by the gym's keyword (`user`, `judge`): (task, session, seed)."""

PARTIES: Mapping[str, Failure] = {"user": UserError, "judge": JudgeError}


class ModelVoice:
    """A voice that is a model. A failed call raises `error`.

    session: names this dialogue's calls for the model's caches.
    """

    def __init__(
        self,
        model: Model,
        *,
        session: str,
        seed: Seed,
        error: Failure,
        sampling: Sampling | None = None,
    ) -> None:
        self._model = model
        self._session = session
        self._seed = seed
        self._error = error
        self._sampling = sampling or Sampling(temperature=0.0, max_tokens=512)
        self._calls = 0

    async def __call__(self, messages: Sequence[Message]) -> str:
        return await self.ask(messages, None)

    async def ask(self, messages: Sequence[Message], kind: type[Struct] | None) -> str:
        """Its answer; as JSON of `kind` from a server that can hold a model to a schema."""
        self._calls += 1
        request = Request(
            session=self._session,
            seed=self._seed.at("call", self._calls).integer(),
            messages=tuple(messages),
            sampling=self._sampling,
            schema=None if kind is None else json_schema(kind),
        )
        try:
            reply = await self._model.generate(request)
        except ModelError as failure:
            raise self._error(str(failure)) from failure
        if reply.finish == "length":
            raise self._error(
                f"session {self._session!r}: the answer was cut off at "
                f"{self._sampling.max_tokens} tokens; allow more"
            )
        return reply.text


async def ask_voice(voice: Voice, messages: Sequence[Message], kind: type[T], error: Failure) -> T:
    """The voice's answer to `messages` as a `kind`, whose `Meta` bounds are checked.

        class Grade(Struct):
            score: Annotated[float, Meta(ge=0.0, le=1.0)]

        grade = await ask_voice(judge, messages, Grade, JudgeError)

    An answer that does not fit is sent back once, with what is wrong. Raises `error` when the
    second does not fit either, or the voice fails.
    """
    asked = list(messages)
    wrong = ""
    for _ in range(2):
        text = await _speak(voice, asked, kind, error)
        try:
            return msgspec.json.decode(json_in(text), type=kind)
        except (ValueError, RecursionError) as failure:  # msgspec's errors are of the first class
            wrong = str(failure)
        asked += [
            Message("assistant", text),
            Message("user", f"That cannot be used: {wrong}. Answer with the JSON object alone."),
        ]
    raise error(f"two answers that are no {kind.__name__}; the last: {wrong}")


async def say_voice(voice: Voice, messages: Sequence[Message], error: Failure) -> str:
    """The voice's answer as plain text. Raises `error` when it fails or says nothing."""
    text = (await _speak(voice, messages, None, error)).rpartition("</think>")[2].strip()
    if not text:
        raise error("an empty answer")
    return text


async def _speak(
    voice: Voice, messages: Sequence[Message], kind: type[Struct] | None, error: Failure
) -> str:
    try:
        if isinstance(voice, ModelVoice):
            return await voice.ask(messages, kind)
        return await voice(messages)
    except PartyError:
        raise
    except Exception as failure:
        raise error(f"{type(failure).__name__}: {failure}") from failure
