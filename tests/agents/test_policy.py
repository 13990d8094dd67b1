"""The agent's seat: what the model is asked, and what becomes of its answer."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from duologue.agents import ChatML, TextAgent, TokenAgent, write_call
from duologue.agents.models import Generation, Request, Sampling, ScriptedModel
from duologue.agents.models.text._tokenizer import train_tokenizer
from duologue.engine import (
    Action,
    Dialogue,
    End,
    Message,
    ModelError,
    Observation,
    Reply,
    Seed,
    Span,
    checkpoint,
    converse,
)

pytestmark = pytest.mark.anyio

CALL = write_call(Action("action", "What about the budget?"))
CHAT = ChatML(train_tokenizer([f"<|im_start|>assistant\n{CALL}<|im_end|>\n"] * 3, 400))
HELLO = Observation(messages=(Message("user", "I need a hotel."),))
TOLD = Observation(messages=(Message("tool", "The budget is low."),), feedback="The budget is low.")


class FakeModel:
    """Says what it is told to, and remembers what it was asked; `says` may raise."""

    def __init__(
        self, says: Callable[[Request], str], finish: Literal["stop", "length"] = "stop"
    ) -> None:
        self._says = says
        self._finish: Literal["stop", "length"] = finish
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.asked: list[tuple[Request, list[int], list[Message]]] = []

    def open(self, session: str) -> None:
        self.opened.append(session)

    def close(self, session: str) -> None:
        self.closed.append(session)

    async def generate(self, request: Request) -> Generation:
        # Copies: the agent goes on writing in what it passed.
        self.asked.append((request, list(request.tokens), list(request.messages)))
        await checkpoint()
        text = self._says(request)
        ids = CHAT.wrote(text)
        if self._finish == "length":
            ids = ids[:-1]
        return Generation(
            text=text,
            ids=array("i", ids),
            logps=array("f", [-0.5] * len(ids)),
            finish=self._finish,
            spans=(Span(0, len(ids), 7),),
        )


def token_agent(model: FakeModel, context: int = 1000, max_tokens: int = 64) -> TokenAgent:
    return TokenAgent(
        model,
        CHAT,
        session="s",
        seed=Seed(3),
        sampling=Sampling(temperature=0.5, max_tokens=max_tokens),
        context=context,
    )


def text_agent(model: FakeModel) -> TextAgent:
    return TextAgent(model, session="s", seed=Seed(3), sampling=Sampling())


AGENTS: Sequence[Callable[[FakeModel], TextAgent | TokenAgent]] = [text_agent, token_agent]
both = pytest.mark.parametrize("seat", AGENTS, ids=["text", "token"])


@both
async def test_reply_carries_the_actions_read_from_it(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    reply = await seat(FakeModel(lambda request: CALL)).receive(HELLO)
    assert reply == Reply(text=CALL, actions=(Action("action", "What about the budget?"),))


@both
async def test_reply_without_a_call_is_no_action(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    reply = await seat(FakeModel(lambda request: "Hm.")).receive(HELLO)
    assert reply == Reply(text="Hm.", end=End.NO_ACTION)


@both
async def test_reply_that_was_cut_off_is_not_acted_on_even_with_a_whole_call_in_it(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    reply = await seat(FakeModel(lambda request: CALL, "length")).receive(HELLO)
    assert reply == Reply(text=CALL, end=End.TRUNCATED)


@both
async def test_each_turn_has_a_seed_of_its_own_and_only_of_its_path(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    model = FakeModel(lambda request: CALL)
    agent = seat(model)
    for observation in (HELLO, TOLD, TOLD):
        await agent.receive(observation)
    seeds = [request.seed for request, _, _ in model.asked]
    assert seeds == [(Seed(3) / "turn" / turn).integer() for turn in range(3)]
    assert len(set(seeds)) == 3


@both
async def test_session_is_opened_at_once_and_closed_once(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    model = FakeModel(lambda request: "Hm.")
    agent = seat(model)
    assert (model.opened, model.closed) == (["s"], [])

    class Quiet:
        async def receive(self, reply: Reply | None) -> Observation:
            await checkpoint()
            return HELLO

    outcome = await converse(
        Dialogue(agent=agent, environment=Quiet(), max_turns=3), deadline_s=100.0
    )
    assert outcome.end is End.NO_ACTION
    assert (model.opened, model.closed) == (["s"], ["s"])
    assert {request.session for request, _, _ in model.asked} == {"s"}


@both
async def test_whatever_a_model_raises_is_the_models_failure(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    def fails(request: Request) -> str:
        raise KeyError("weights")

    with pytest.raises(ModelError, match="KeyError: 'weights'") as caught:
        await seat(FakeModel(fails)).receive(HELLO)
    assert isinstance(caught.value.__cause__, KeyError)


@both
async def test_model_error_is_not_wrapped_again(
    seat: Callable[[FakeModel], TextAgent | TokenAgent],
) -> None:
    error = ModelError("the endpoint is gone")

    def fails(request: Request) -> str:
        raise error

    with pytest.raises(ModelError) as caught:
        await seat(FakeModel(fails)).receive(HELLO)
    assert caught.value is error


async def test_text_agent_shows_its_model_the_whole_conversation() -> None:
    model = FakeModel(lambda request: CALL)
    agent = text_agent(model)
    await agent.receive(HELLO)
    await agent.receive(TOLD)
    said = Message("assistant", CALL)
    assert [messages for _, _, messages in model.asked] == [
        [*HELLO.messages],
        [*HELLO.messages, said, *TOLD.messages],
    ]
    assert agent.tokens() is None


async def test_token_agent_keeps_every_token_where_it_was() -> None:
    model = FakeModel(lambda request: CALL)
    agent = token_agent(model)
    await agent.receive(HELLO)
    await agent.receive(TOLD)
    opening, wrote = CHAT.open(HELLO.messages), CHAT.wrote(CALL)
    shown = CHAT.observe(TOLD.messages, last=CHAT.stop)
    assert [tokens for _, tokens, _ in model.asked] == [opening, opening + wrote + shown]
    tokens = agent.tokens()
    assert tokens is not None
    assert list(tokens.ids_array()) == opening + wrote + shown + wrote
    assert list(tokens.mask) == (
        [0] * len(opening) + [1] * len(wrote) + [0] * len(shown) + [1] * len(wrote)
    )
    second = len(opening + wrote + shown)
    assert tokens.turns == (len(opening), second)
    assert tokens.spans == (
        Span(len(opening), len(opening + wrote), 7),
        Span(second, second + len(wrote), 7),
    )


async def test_token_agent_stops_at_the_end_of_a_turn_as_it_was_told_to_sample() -> None:
    model = FakeModel(lambda request: CALL)
    await token_agent(model, max_tokens=9).receive(HELLO)
    ((request, _, _),) = model.asked
    assert request.sampling == Sampling(temperature=0.5, max_tokens=9, stop=(CHAT.stop,))


async def test_last_turn_gets_only_the_room_that_is_left() -> None:
    model = FakeModel(lambda request: CALL)
    opening = len(CHAT.open(HELLO.messages))
    await token_agent(model, context=opening + 5).receive(HELLO)
    ((request, _, _),) = model.asked
    assert request.sampling.max_tokens == 5


@pytest.mark.parametrize("room", [0, -3])
async def test_no_room_left_ends_the_dialogue_without_asking_the_model(room: int) -> None:
    model = FakeModel(lambda request: CALL)
    opening = len(CHAT.open(HELLO.messages))
    agent = token_agent(model, context=opening + room)
    assert await agent.receive(HELLO) == Reply(end=End.CONTEXT_FULL)
    assert model.asked == []
    tokens = agent.tokens()
    assert tokens is not None and not any(tokens.mask)


async def test_scripted_model_answers_from_the_conversation_alone() -> None:
    def script(messages: Sequence[Message]) -> str:
        return f"{len(messages)} lines"

    model = ScriptedModel(script)
    model.open("s")
    generation = await model.generate(Request(session="s", messages=HELLO.messages))
    model.close("s")
    assert generation == Generation(text="1 lines")
