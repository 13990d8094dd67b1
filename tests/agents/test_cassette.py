"""Recorded model calls: the same again without the model, and what files may be like."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as asking

from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models._cassette import (
    CassetteBroken,
    CassetteModel,
    open_cassette,
    request_key,
)
from duologue.engine import Key, Message, ModelError, Span, UsageError, checkpoint

pytestmark = pytest.mark.anyio

Answer = Generation | Exception
REQUEST = Request(session="a", seed=1, messages=[Message("user", "Hello?")], tokens=[1, 2, 3])
TOKENS = Generation(
    text="Hi.",
    ids=array("i", [5, 6]),
    logps=array("f", [-0.1, -2.7]),
    finish="length",
    spans=(Span(0, 1, 3), Span(1, 2, 4)),
)


class Busy(ModelError):
    pass


class Fake:
    """Answers, or raises, whatever the request's session is mapped to."""

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.answers = answers or {}
        self.said: list[str] = []

    def open(self, session: str) -> None:
        self.said.append(f"open {session}")

    def close(self, session: str) -> None:
        self.said.append(f"close {session}")

    async def push(self, version: int, path: str) -> None:
        await checkpoint()
        self.said.append(f"push {version} {path}")

    async def generate(self, request: Request) -> Generation:
        await checkpoint()
        answer = self.answers.get(request.session, Generation(text=f"to {request.seed}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def of(session: str, seed: int = 1) -> Request:
    return asking(REQUEST, session=session, seed=seed)


async def record(path: Path, model: Fake, *requests: Request) -> None:
    async with open_cassette(path, "record") as tape:
        taped = CassetteModel(model, tape)
        for request in requests:
            try:
                await taped.generate(request)
            except ModelError:
                pass


async def replay(path: Path, *requests: Request) -> list[Generation | str]:
    found: list[Generation | str] = []
    async with open_cassette(path, "replay") as tape:
        taped = CassetteModel(None, tape)
        for request in requests:
            try:
                found.append(await taped.generate(request))
            except ModelError as error:
                found.append(f"{type(error).__name__}: {error}")
        assert len(tape) == 0
    return found


# ---------------------------------------------------------------- the same again


async def test_what_was_answered_is_answered_again(tmp_path: Path) -> None:
    half = Generation(text="half a \ud83d character")
    answers: dict[str, Answer] = {
        "tokens": TOKENS,
        "half": half,
        "error": ModelError("no answer"),
        "busy": Busy("come back \ud83d"),
        "bug": ZeroDivisionError("oh"),
    }
    requests = [of(session) for session in answers]
    await record(tmp_path / "tape", Fake(answers), *requests)
    found = await replay(tmp_path / "tape", *reversed(requests))
    assert found[::-1] == [
        TOKENS,
        half,
        "ModelError: no answer",
        "Busy: come back \ud83d",
        "ModelError: ZeroDivisionError: oh",
    ]


async def test_what_is_recorded_is_what_was_asked_not_what_became_of_it(tmp_path: Path) -> None:
    """Agents go on writing in the list that they passed."""
    messages = [Message("user", "Hello?")]

    class Appends(Fake):
        async def generate(self, request: Request) -> Generation:
            messages.append(Message("assistant", "meanwhile"))
            return await super().generate(request)

    await record(tmp_path / "tape", Appends(), asking(REQUEST, messages=messages))
    assert await replay(tmp_path / "tape", REQUEST) == [Generation(text="to 1")]


async def test_the_same_request_twice_has_its_answers_in_order(tmp_path: Path) -> None:
    class Counts(Fake):
        async def generate(self, request: Request) -> Generation:
            self.said.append("")
            return Generation(text=str(len(self.said)))

    await record(tmp_path / "tape", Counts(), REQUEST, REQUEST, REQUEST)
    found = await replay(tmp_path / "tape", REQUEST, REQUEST, REQUEST, REQUEST)
    assert [one.text for one in found[:3] if isinstance(one, Generation)] == ["1", "2", "3"]
    assert "holds no answer" in str(found[3])


async def test_an_unknown_request_names_its_session_and_turn(tmp_path: Path) -> None:
    await record(tmp_path / "tape", Fake(), of("a"), of("a", 2))
    async with open_cassette(tmp_path / "tape", "replay") as tape:
        taped = CassetteModel(None, tape)
        taped.open("a")
        await taped.generate(of("a"))
        with pytest.raises(ModelError, match="session 'a' in turn 2; other calls of this session"):
            await taped.generate(of("a", 3))
        taped.close("a")
        taped.open("a")
        with pytest.raises(ModelError, match="session 'a' in turn 1"):
            await taped.generate(of("a"))
        with pytest.raises(ModelError, match="session 'b' in turn 1; nothing of this session"):
            await taped.generate(of("b"))
        assert len(tape) == 1


async def test_a_recorded_model_is_opened_and_closed_and_fed_as_ever(tmp_path: Path) -> None:
    model = Fake()
    async with open_cassette(tmp_path / "tape", "record") as tape:
        taped = CassetteModel(model, tape, version=0)
        taped.open("a")
        await taped.generate(REQUEST)
        await taped.push(1, "file")
        await taped.generate(REQUEST)
        taped.close("a")
    assert model.said == ["open a", "push 1 file", "close a"]
    async with open_cassette(tmp_path / "tape", "replay") as tape:
        taped = CassetteModel(None, tape, version=1)
        await taped.generate(REQUEST)
        with pytest.raises(ModelError):
            await taped.generate(REQUEST)
        await taped.push(0, "file")
        await taped.generate(REQUEST)


async def test_models_with_sessions_of_their_own_share_a_cassette(tmp_path: Path) -> None:
    async with open_cassette(tmp_path / "tape", "record") as tape:
        for name in "ab":
            await CassetteModel(Fake({name: Generation(text=name)}), tape).generate(of(name))
    assert await replay(tmp_path / "tape", of("b"), of("a")) == [
        Generation(text="b"),
        Generation(text="a"),
    ]


async def test_a_call_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    class Hangs(Fake):
        async def generate(self, request: Request) -> Generation:
            await anyio.sleep_forever()
            raise AssertionError

    async with open_cassette(tmp_path / "tape", "record") as tape:
        with anyio.move_on_after(0.01):
            await CassetteModel(Hangs(), tape).generate(REQUEST)
        assert len(tape) == 0


def test_everything_that_is_asked_decides_the_answer() -> None:
    sampling = Sampling(temperature=1.0, max_tokens=5, stop=(7,))
    first = Request(
        session="s", seed=1, messages=[Message("user", "x")], tokens=[1, 2], sampling=sampling
    )
    others = [
        asking(first, session="t"),
        asking(first, seed=2),
        asking(first, messages=[Message("tool", "x")]),
        asking(first, messages=[Message("user", "y")]),
        asking(first, messages=[Message("user", "x"), Message("user", "")]),
        asking(first, messages=[]),
        asking(first, tokens=[1]),
        asking(first, tokens=[2, 1]),
        asking(first, sampling=replace(sampling, temperature=0.5)),
        asking(first, sampling=replace(sampling, max_tokens=6)),
        asking(first, sampling=replace(sampling, stop=())),
        asking(first, schema={"type": "object"}),
    ]
    keys = {request_key(one, 0) for one in [first, *others]} | {
        request_key(first, 1),
        request_key(first, None),
    }
    assert len(keys) == len(others) + 3
    same = asking(first, tokens=array("i", [1, 2]), messages=(Message("user", "x"),))
    assert request_key(same, 0) == request_key(first, 0)
    one, two = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert request_key(asking(first, schema=one), 0) == request_key(asking(first, schema=two), 0)


# ---------------------------------------------------------------- files


async def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    await record(tmp_path / "tape", Fake(), REQUEST)
    with pytest.raises(UsageError, match="there already"):
        await record(tmp_path / "tape", Fake(), REQUEST)
    with pytest.raises(UsageError, match="cannot record"):
        await record(tmp_path / "none" / "tape", Fake(), REQUEST)


async def test_what_fails_before_its_first_call_leaves_no_file(tmp_path: Path) -> None:
    for requests in ([], [REQUEST]):
        with pytest.raises(ZeroDivisionError):
            async with open_cassette(tmp_path / "tape", "record") as tape:
                for request in requests:
                    await CassetteModel(Fake(), tape).generate(request)
                raise ZeroDivisionError
        assert bool(list_of(tmp_path)) == bool(requests)


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 and so on", b"duologue cassette 9\n"])
async def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tape").write_bytes(content)
    for path, words in ((tmp_path / "tape", "no cassette"), (tmp_path / "none", "cannot replay")):
        with pytest.raises(UsageError, match=words):
            await replay(path)
    with pytest.raises(UsageError, match="needs a model"):
        async with open_cassette(tmp_path / "new", "record") as tape:
            CassetteModel(None, tape)


def replayed(path: Path, *seeds: int) -> tuple[list[int], list[str]]:
    """Which of the seeds have answers, and what was said about the file."""
    said: list[str] = []
    there: list[int] = []

    async def main() -> None:
        async with open_cassette(path, "replay", say=said.append) as tape:
            for seed in seeds:
                try:
                    reply = await CassetteModel(None, tape).generate(of("a", seed))
                except ModelError:
                    continue
                assert reply == Generation(text=f"to {seed}")
                there.append(seed)

    anyio.run(main)
    return there, said


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A cassette of three answers, and a place to spoil it."""
    path = tmp_path_factory.mktemp("tapes") / "tape"
    anyio.run(record, path, Fake(), of("a", 1), of("a", 2), of("a", 3))
    return path.read_bytes(), path.with_name("spoilt")


def test_a_torn_tail_is_ignored_aloud(three: tuple[bytes, Path]) -> None:
    whole, path = three
    record_size = (len(whole) - len(b"duologue cassette 1\n")) // 3
    for cut in range(1, record_size):
        path.write_bytes(whole[:-cut])
        there, said = replayed(path, 1, 2, 3)
        assert there == [1, 2]
        assert len(said) == 1 and f"{record_size - cut} bytes" in said[0]
    for tail in (b"\0" * 100, b"\0", whole[-9:]):
        path.write_bytes(whole + tail)
        there, said = replayed(path, 1, 2, 3)
        assert there == [1, 2, 3] and len(said) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 10_000), st.integers(1, 255))
def test_a_flipped_bit_never_becomes_another_answer(
    three: tuple[bytes, Path], at: int, bits: int
) -> None:
    whole, path = three
    spoilt = bytearray(whole)
    spoilt[20 + at % (len(whole) - 20)] ^= bits
    path.write_bytes(spoilt)
    try:
        there, said = replayed(path, 1, 2, 3)
    except UsageError as error:
        assert "is damaged at byte" in str(error)
    else:
        assert len(there) < 3 and len(said) == 1


async def test_a_full_disk_ends_the_recording_and_not_the_dialogues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[str] = []
    with pytest.raises(CassetteBroken, match="the first 1 calls and no more: No space left"):
        async with open_cassette(tmp_path / "tape", "record") as tape:
            taped = CassetteModel(Fake(), tape)
            replies.append((await taped.generate(of("a", 1))).text)
            monkeypatch.setattr("os.write", full)
            replies.append((await taped.generate(of("a", 2))).text)
            monkeypatch.undo()
            replies.append((await taped.generate(of("a", 3))).text)
    assert replies == ["to 1", "to 2", "to 3"]
    assert await replay(tmp_path / "tape", of("a", 1)) == [Generation(text="to 1")]


def full(*_: Any) -> int:
    raise OSError(28, "No space left on device")


async def test_who_was_tried_again_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    async with open_cassette(path, "record") as tape:
        assert tape.may_retry("rollout", Key(0, 0), 1, True)
        assert not tape.may_retry("rollout", Key(0, 1), 1, False)
        assert not tape.may_retry("rollout", Key(0, 0), 2, False)
        assert len(tape) == 0
    async with open_cassette(path, "replay") as tape:
        assert len(tape) == 0
        for budgeted in (False, True):
            assert tape.may_retry("rollout", Key(0, 0), 1, budgeted)
            assert not tape.may_retry("rollout", Key(0, 1), 1, budgeted)
            assert not tape.may_retry("rollout", Key(0, 0), 2, budgeted)
            assert tape.may_retry("eval/a", Key(0, 1), 1, budgeted)
