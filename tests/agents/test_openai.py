"""Chat models through the openai SDK, against a real server that may misbehave."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from misbehaving import Misbehaving, Peer, Script, open_misbehaving
from msgspec import Meta, Struct

from duologue.agents import TextAgent, read_calls, write_call
from duologue.agents.models import Generation, Request, Sampling, ScriptedModel
from duologue.agents.models._cassette import CassetteModel, open_cassette
from duologue.agents.models._structured import ask_json, json_schema
from duologue.agents.models.http._parse import BadResponse, BadStatus, ConnectFailed, ConnectionLost
from duologue.agents.models.limits._limits import CapReached, LimitsConfig
from duologue.agents.models.openai._chat import read_answer, tell
from duologue.agents.models.openai._config import OpenAIConfig
from duologue.agents.models.openai._model import OpenAIModel, find_address, open_openai
from duologue.engine import (
    Action,
    Agent,
    End,
    JudgeError,
    Message,
    ModelError,
    RolloutConfig,
    Seed,
    Task,
    Trajectory,
    UsageError,
    UserError,
    open_rollouts,
    open_store,
)
from duologue.envs import find, make_dialogues

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-0123456789"
ASK = Request(session="s", seed=7, messages=[Message("user", "Hello?")])
QUICK = OpenAIConfig(limits=LimitsConfig(concurrency=64, attempts=3, backoff_s=0.001))
ONCE = OpenAIConfig(limits=LimitsConfig(attempts=1))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def spoken(text: str | None = "Hi.", finish: str = "stop", **said: Any) -> bytes:
    """A chat completion as servers send it, with all that we do not read."""
    message = {"role": "assistant", "content": text, "reasoning_content": None, **said}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**answer, "choices": [choice], "usage": usage}).encode()


def called(*actions: Action) -> bytes:
    """A completion that makes calls."""
    calls = [
        {
            "id": f"c{n}",
            "type": "function",
            "function": {
                "name": "interact_with_env",
                "arguments": json.dumps({"choice": action.choice, "content": action.content}),
            },
        }
        for n, action in enumerate(actions)
    ]
    return spoken(None, "tool_calls", tool_calls=calls)


def answering(*answers: bytes, status: str = "200 OK", headers: Sequence[str] = ()) -> Script:
    """These bodies in turn, the last one for ever."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            body = left.pop(0) if len(left) > 1 else left[0]
            await peer.answer(body, status, "Content-Type: application/json", *headers)

    return script


async def with_model(
    script: Script,
    use: Callable[[OpenAIModel, Misbehaving], Awaitable[Any]],
    monkeypatch: pytest.MonkeyPatch,
    settings: OpenAIConfig = QUICK,
    tools: bool = True,
) -> Any:
    """Use a model behind `script`; in the end no connection is open."""
    with anyio.fail_after(20):
        async with open_misbehaving(script) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
            async with open_openai("m", settings=settings, tools=tools) as model:
                result = await use(model, server)
            await server.quiet()
    return result


async def failure_of(
    script: Script, monkeypatch: pytest.MonkeyPatch, settings: OpenAIConfig = QUICK
) -> ModelError:
    async def use(model: OpenAIModel, server: Misbehaving) -> ModelError:
        with pytest.raises(ModelError) as raised:
            await model.generate(ASK)
        return raised.value

    error: ModelError = await with_model(script, use, monkeypatch, settings)
    return error


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


# ---------------------------------------------------------------- what is sent and read


async def test_a_request_says_all_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(model: OpenAIModel, server: Misbehaving) -> bytes:
        sampling = Sampling(temperature=0.25, max_tokens=9)
        request = Request(session="s", seed=7, messages=ASK.messages, sampling=sampling)
        assert await model.generate(request) == Generation(text="Hi.")
        return server.peers[0].requests[0]

    sent = await with_model(answering(spoken()), use, monkeypatch)
    assert sent.startswith(b"POST /v1/chat/completions ") and KEY.encode() in sent
    body = body_of(sent)
    assert body.pop("tools")[0]["function"]["name"] == "interact_with_env"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello?"}],
        "temperature": 0.25,
        "max_completion_tokens": 9,
        "seed": 7,
    }


def test_calls_are_told_in_structure_and_each_is_answered() -> None:
    one, two = Action("action", "Budget?"), Action("answer", "</tool_call>")
    text = f"Let me ask.\n{write_call(one)}\n{write_call(two)}"
    told = tell(
        [
            Message("system", "Rules."),
            Message("assistant", text),
            Message("tool", "Low."),
            Message("assistant", "no call"),
            Message("tool", "What?"),
            Message("assistant", write_call(one)),
        ]
    )
    calls = told[1].pop("tool_calls")
    assert [json.loads(call["function"]["arguments"])["content"] for call in calls] == [
        "Budget?",
        "</tool_call>",
    ]
    ids = [call["id"] for call in calls]
    assert len(set(ids)) == 2
    assert told == [
        {"role": "system", "content": "Rules."},
        {"role": "assistant", "content": "Let me ask."},
        {"role": "tool", "tool_call_id": ids[0], "content": ""},
        {"role": "tool", "tool_call_id": ids[1], "content": "Low."},
        {"role": "assistant", "content": "no call"},
        {"role": "user", "content": "<tool_response>\nWhat?\n</tool_response>"},
        # Nothing answers the last, so it stays as it was said.
        {"role": "assistant", "content": write_call(one)},
    ]


@pytest.mark.parametrize(
    ("body", "actions"),
    [
        (called(Action("action", "Budget?")), (Action("action", "Budget?"),)),
        (
            called(Action("search", "a"), Action("answer", "b")),
            (Action("search", "a"), Action("answer", "b")),
        ),
        (spoken(write_call(Action("answer", "x"))), (Action("answer", "x"),)),
        (spoken("Nothing to do."), ()),
        (spoken(None, refusal="I will not."), ()),
        (
            spoken(tool_calls=[{"function": {"name": "other", "arguments": "{}"}}]),
            (),
        ),
        (
            spoken(tool_calls=[{"function": {"name": "interact_with_env", "arguments": "{"}}]),
            (),
        ),
    ],
)
def test_calls_come_back_as_text_however_they_are_made(
    body: bytes, actions: tuple[Action, ...]
) -> None:
    generation, counted = read_answer(body)
    assert read_calls(generation.text) == actions
    assert counted is not None and counted.prompt_tokens == 100


def test_a_call_that_is_in_the_text_too_happens_once() -> None:
    action = Action("action", "Budget?")
    body = json.loads(called(action))
    body["choices"][0]["message"]["content"] = f"Well.\n{write_call(action)}"
    generation, _ = read_answer(json.dumps(body).encode())
    assert generation.text == f"Well.\n{write_call(action)}"


def test_a_reply_that_was_cut_off_says_so() -> None:
    assert read_answer(spoken("Hel", "length"))[0].finish == "length"


# ---------------------------------------------------------------- dialogues


async def dialogues(model: Any, *, count: int = 6, store: Path | None = None) -> list[Trajectory]:
    """Rollouts with the model in the agent's seat."""
    gym = find("intention")

    def seat(task: Task, session: str, seed: Seed) -> Agent:
        return TextAgent(model, session=session, seed=seed, sampling=Sampling(max_tokens=48))

    make = make_dialogues(gym, seat, max_turns=3)
    tasks = [task for task, _ in zip(gym.tasks("train", Seed(3)), range(count), strict=False)]
    config = RolloutConfig(attempts=1)
    found: list[Trajectory] = []
    if store is None:
        async with open_rollouts(tasks, make, seed=Seed(0), config=config) as rollouts:
            async for group in rollouts:
                found += group.trajectories
        return found
    async with (
        open_store(store) as kept,
        open_rollouts(tasks, make, seed=Seed(0), config=config, store=kept) as rollouts,
    ):
        async for group in rollouts:
            found += group.trajectories
    return found


@pytest.mark.parametrize("structured", [True, False])
async def test_dialogues_go_on_through_calls_of_either_kind(
    structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = Action("action", "What is your budget?")
    body = called(action) if structured else spoken(write_call(action))

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        found = await dialogues(model)
        assert {one.end for one in found} == {End.MAX_TURNS}
        assert all(turn.actions == (action,) for one in found for turn in one.turns)
        assert model.usage.calls == 18 and model.usage.completion_tokens == 180
        last = max(
            (body_of(r) for p in server.peers for r in p.requests), key=lambda b: len(str(b))
        )
        roles = [message["role"] for message in last["messages"]]
        assert roles[-4:] == ["assistant", "tool", "assistant", "tool"]

    await with_model(answering(body), use, monkeypatch)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("400 Bad Request", "answered 400: .*bad thing"),
        ("401 Unauthorized", "OPENAI_API_KEY"),
        ("403 Forbidden", "OPENAI_API_KEY"),
        ("404 Not Found", "check the model's name, 'm'"),
        ("302 Found", "leads elsewhere"),
        ("422 Unprocessable", "answered 422"),
    ],
)
async def test_a_refusal_is_told_once_with_what_to_try(
    status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = 0

    async def script(peer: Peer) -> None:
        nonlocal requests
        while True:
            await peer.request()
            requests += 1
            await peer.answer(b'{"error": {"message": "bad thing"}}', status, "Location: /other")

    error = await failure_of(script, monkeypatch)
    assert isinstance(error, BadStatus)
    assert re.search(words, str(error)) and "m at http://127.0.0.1:" in str(error)
    assert requests == 1
    assert error.__cause__ is None and error.__context__ is None


async def test_a_server_without_keys_that_wants_one_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    error = await failure_of(answering(b"{}", status="401 Unauthorized"), monkeypatch)
    assert "set OPENAI_API_KEY" in str(error)


async def test_a_missing_tool_parser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    script = answering(b'{"message": "\\"auto\\" tool choice requires"}', status="400 Bad Request")
    assert "--enable-auto-tool-choice" in str(await failure_of(script, monkeypatch))


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Oops", "503 Busy"])
async def test_what_may_pass_is_tried_again(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def script(peer: Peer) -> None:
        nonlocal tries
        while True:
            await peer.request()
            tries += 1
            if tries < 3:
                await peer.answer(b"{}", status)
            else:
                await peer.answer(spoken())

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        assert (await model.generate(ASK)).text == "Hi."
        assert model.usage.calls == 1 and model.limits.retries == 2

    await with_model(script, use, monkeypatch)
    error = await failure_of(answering(b"{}", status=status), monkeypatch)
    assert isinstance(error, BadStatus) and status[:3] in str(error)


async def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            times.append(anyio.current_time())
            if len(times) == 1:
                await peer.answer(b"{}", "429 Too Many Requests", "Retry-After: 1")
            else:
                await peer.answer(spoken())

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        await model.generate(ASK)

    await with_model(script, use, monkeypatch)
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"choices": [',
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 3}}]}',
        b'{"choices": [{}]}',
        b'{"choices": null}',
        spoken(finish="content_filter"),
        json.dumps({"choices": json.loads(spoken())["choices"] * 2}).encode(),
        b"<html>not what you think</html>",
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_none_is_a_typed_failure(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await failure_of(answering(body), monkeypatch), BadResponse)


async def test_a_connection_that_ends_is_tried_again_and_then_a_typed_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        if peer.number % 2:
            peer.reset()

    assert isinstance(await failure_of(cut, monkeypatch), ConnectionLost)

    async def silent(peer: Peer) -> None:
        await peer.request()

    assert isinstance(await failure_of(silent, monkeypatch), ConnectionLost)


async def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_misbehaving(answering(b"")) as server:
        url = server.url
    monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
    async with open_openai("m", settings=ONCE) as model:
        with pytest.raises(ConnectFailed, match=f"{url}/v1.*OPENAI_BASE_URL"):
            await model.generate(ASK)


async def test_the_callers_deadline_closes_the_connection_and_the_model_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            if b"hang" in await peer.request():
                await peer.gone()
            await peer.answer(spoken())

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        hang = Request(session="h", messages=[Message("user", "hang")])
        for _ in range(3):
            with anyio.move_on_after(0.05) as scope:
                await model.generate(hang)
            assert scope.cancelled_caught
            await server.quiet()
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(model.generate, hang)
            while server.open < 20:  # noqa: ASYNC110
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
        await server.quiet()
        assert (await model.generate(ASK)).text == "Hi."
        assert model.limits.in_flight == 0 and model.usage.calls == 1

    await with_model(script, use, monkeypatch)


async def test_many_requests_at_once_are_all_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(model.generate, ASK)
        assert model.usage.calls == 60

    await with_model(answering(spoken()), use, monkeypatch)


async def test_tokens_instead_of_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        with pytest.raises(ModelError, match="reads messages, not tokens"):
            await model.generate(Request(session="s", tokens=[1, 2]))

    await with_model(answering(spoken()), use, monkeypatch)


# ---------------------------------------------------------------- money


async def test_calls_are_paid_for_and_stop_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    # 100 tokens in and 10 out cost 0.0003 by these prices.
    settings = OpenAIConfig(price_in=1.0, price_out=20.0, cap_usd=0.004)

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        made = 0
        with pytest.raises(CapReached, match="raise the cap"):
            while True:
                await model.generate(ASK)
                made += 1
        assert 5 <= made <= 13
        assert model.usage.calls == made
        assert model.usage.cost == pytest.approx(0.0003 * made)
        assert sum(len(peer.requests) for peer in server.peers) == made

    await with_model(answering(spoken()), use, monkeypatch, settings)


def test_a_cap_needs_prices() -> None:
    with pytest.raises(ValueError, match="price_in"):
        OpenAIConfig(cap_usd=1.0)
    with pytest.raises(ValueError, match="negative"):
        OpenAIConfig(price_in=-1.0)


# ---------------------------------------------------------------- keys


def holding(folder: Path, text: str) -> list[str]:
    """The files in which the text is."""
    return [file.name for file in folder.iterdir() if text.encode() in file.read_bytes()]


async def test_a_key_is_nowhere_but_in_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The server sends the key back in whatever it says. (In its headers too, somebody who has the
    transport log everything could read it.)"""
    caplog.set_level(logging.DEBUG)
    statuses = ["200 OK", "400 Bad", "401 No", "404 No", "429 Busy", "500 Oops", "302 Go"]
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        while True:
            request = await peer.request()
            asked += 1
            assert KEY.encode() in request
            status = statuses[asked % len(statuses)]
            body = spoken(f"You sent {KEY}") if asked % 2 else f"key {KEY} wrong".encode()
            await peer.answer(body, status, "Location: /other")

    seen: list[str] = []

    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        seen.extend([repr(model), repr(model._address), repr(model.usage), repr(model.limits)])
        async with open_cassette(tmp_path / "tape", "record") as tape:
            taped = CassetteModel(model, tape)
            for _ in range(len(statuses) * 2):
                try:
                    seen.append(repr(await taped.generate(ASK)))
                except ModelError as error:
                    seen.extend(traceback.format_exception(error))
                    seen.append(repr(error.__dict__))
                    assert error.__context__ is None or KEY not in str(error.__context__)
            await dialogues(taped, count=14, store=tmp_path / "run.db")

    await with_model(script, use, monkeypatch, ONCE)
    assert asked > 20
    assert any("***" in text for text in seen)
    assert not [text for text in seen if KEY in text]
    assert KEY not in caplog.text
    assert not holding(tmp_path, KEY)


@pytest.mark.parametrize(
    ("url", "api_key", "words"),
    [
        ("", "", "OPENAI_API_KEY"),
        ("http://me:hidden@host/v1", "k", "more than scheme"),
        ("http://host/v1?token=hidden", "k", "more than scheme"),
        ("hidden-host:8000", "k", "no URL of a server"),
        ("http://host:hidden", "k", "cannot be read"),
        ("http://host", "hidden\nkey", "character that no key has"),
        ("http://host", "hidden-ключ", "character that no key has"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_repeating_it(
    url: str, api_key: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", api_key)
    with pytest.raises(UsageError, match=words) as raised:
        find_address()
    assert "hidden" not in "".join(traceback.format_exception(raised.value)[-1:])
    assert raised.value.__cause__ is None


# ---------------------------------------------------------------- answers with a shape


class Note(Struct, frozen=True):
    why: str


class Grade(Struct, frozen=True):
    score: Annotated[float, Meta(ge=0.0, le=1.0)]
    notes: list[Note] = []


def says(*replies: str | Generation) -> tuple[Any, list[Request]]:
    """A model that says these in turn, and what it was asked."""
    left = list(replies)
    asked: list[Request] = []

    class Says(ScriptedModel):
        async def generate(self, request: Request) -> Generation:
            await super().generate(request)
            asked.append(request)
            reply = left.pop(0)
            return reply if isinstance(reply, Generation) else Generation(text=reply)

    return Says(lambda messages: ""), asked


def test_a_schema_is_one_that_servers_hold_a_model_to() -> None:
    schema = json_schema(Grade)
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert schema["required"] == ["score", "notes"]
    assert schema["properties"]["score"] == {"type": "number", "minimum": 0.0, "maximum": 1.0}
    assert schema["$defs"]["Note"]["additionalProperties"] is False
    assert "default" not in json.dumps(schema)
    for odd in (int, list[int], object):
        with pytest.raises(UsageError):
            json_schema(odd)


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 0.5, "notes": [{"why": "ok"}]}',
        '```json\n{"score": 0.5, "notes": [{"why": "ok"}]}\n```',
        '<think>{"score": 9}</think>\n{"score": 0.5, "notes": [{"why": "ok"}]}',
    ],
)
async def test_an_answer_that_fits_is_the_value(text: str) -> None:
    model, asked = says(text)
    grade = await ask_json(model, ASK.messages, Grade, session="j", seed=3)
    assert grade == Grade(0.5, [Note("ok")])
    assert asked[0].session == "j" and asked[0].schema == json_schema(Grade)


@pytest.mark.parametrize(
    "bad",
    [
        '{"score": 1.5, "notes": []}',
        '{"score": NaN, "notes": []}',
        "I would say 0.5.",
        Generation(text='{"score": 0.5', finish="length"),
    ],
)
async def test_an_answer_that_does_not_fit_is_sent_back_once(bad: str | Generation) -> None:
    model, asked = says(bad, '{"score": 1.0, "notes": []}')
    assert await ask_json(model, ASK.messages, Grade, session="j") == Grade(1.0)
    said = asked[1].messages[-2:]
    assert said[0].role == "assistant" and "cannot be used" in said[1].content
    for error in (JudgeError, UserError):
        model, asked = says(bad, bad)
        with pytest.raises(error, match="'j': two answers that are no Grade"):
            await ask_json(model, ASK.messages, Grade, session="j", error=error)
        assert len(asked) == 2


async def test_a_judge_behind_a_server_is_held_to_the_schema(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        grade = await ask_json(model, ASK.messages, Grade, session="j")
        assert grade == Grade(0.25)
        body = body_of(server.peers[0].requests[0])
        assert body["response_format"]["json_schema"]["schema"] == json_schema(Grade)
        assert "tools" not in body

    script = answering(spoken('{"score": 0.25, "notes": []}'))
    await with_model(script, use, monkeypatch, tools=False)


async def test_a_judge_that_cannot_be_asked_is_the_judges_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(model: OpenAIModel, server: Misbehaving) -> None:
        with pytest.raises(JudgeError, match="answered 404"):
            await ask_json(model, ASK.messages, Grade, session="j")

    await with_model(answering(b"{}", status="404 No"), use, monkeypatch)
