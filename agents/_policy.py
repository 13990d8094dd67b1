"""The agent's seat in a dialogue: observation in, model asked, reply out."""

from __future__ import annotations

from dataclasses import replace

from ..engine import End, Message, ModelError, Observation, Reply, Seed, Tokens
from ._chat import ChatML
from ._tools import read_calls, whole_text
from ._transcript import Transcript
from .models import Generation, Model, Request, Sampling


class TextAgent:
    """An agent whose model reads messages: a script, or a chat model that we do not own."""

    __slots__ = ("_messages", "_model", "_sampling", "_seed", "_session", "_turn")

    def __init__(self, model: Model, *, session: str, seed: Seed, sampling: Sampling) -> None:
        self._model = model
        self._session = session
        self._seed = seed / "turn"
        self._sampling = sampling
        self._messages: list[Message] = []
        self._turn = 0
        model.open(session)

    async def receive(self, observation: Observation) -> Reply:
        self._messages.extend(observation.messages)
        request = Request(
            session=self._session,
            seed=self._seed.integer_at(self._turn),
            messages=self._messages,
            sampling=self._sampling,
        )
        self._turn += 1
        try:
            generation = await self._model.generate(request)
        except ModelError:
            raise
        except Exception as error:
            raise _failure(error) from error
        self._messages.append(Message("assistant", generation.text))
        return _reply(generation)

    def tokens(self) -> Tokens | None:
        return None

    def close(self) -> None:
        self._model.close(self._session)


class TokenAgent:
    """An agent whose model takes tokens: it keeps the transcript that is trained on.

    context: tokens a dialogue may have in all. A turn gets what room is left; with none left the
             dialogue ends as `context_full`.
    """

    def __init__(
        self,
        model: Model,
        chat: ChatML,
        *,
        session: str,
        seed: Seed,
        sampling: Sampling,
        context: int,
    ) -> None:
        self._model = model
        self._chat = chat
        self._session = session
        self._seed = seed / "turn"
        self._sampling = replace(sampling, stop=(chat.stop, *sampling.stop))
        self._context = context
        self._transcript = Transcript()
        self._turn = 0
        model.open(session)

    async def receive(self, observation: Observation) -> Reply:
        transcript = self._transcript
        if self._turn == 0:
            transcript.read(self._chat.open(observation.messages))
        else:
            last = transcript.ids[-1]
            transcript.read(self._chat.observe(observation.messages, last=last))
        room = self._context - len(transcript)
        if room <= 0:
            return Reply(end=End.CONTEXT_FULL)
        sampling = self._sampling
        if room < sampling.max_tokens:
            sampling = replace(sampling, max_tokens=room)
        request = Request(
            session=self._session,
            seed=self._seed.integer_at(self._turn),
            tokens=transcript.ids,
            sampling=sampling,
        )
        self._turn += 1
        try:
            generation = await self._model.generate(request)
        except ModelError:
            raise
        except Exception as error:
            raise _failure(error) from error
        transcript.wrote(generation)
        return _reply(generation)

    def tokens(self) -> Tokens | None:
        return self._transcript.tokens()

    def close(self) -> None:
        self._model.close(self._session)


def _failure(error: Exception) -> ModelError:
    """Whatever a model raises is the model's failure: wrapped once, here."""
    return ModelError(f"{type(error).__name__}: {error}")


def _reply(generation: Generation) -> Reply:
    text = whole_text(generation.text)
    if generation.finish == "length":
        # A call that happens to be whole before the cut is not acted on: what the model meant to
        # say has not been said.
        return Reply(text=text, end=End.TRUNCATED)
    actions = read_calls(text)
    return Reply(text=text, actions=actions, end=None if actions else End.NO_ACTION)
