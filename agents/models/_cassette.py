"""Model calls on tape: recorded once, played again without the model.

A call is found by a hash of all that was asked, the version of the weights included, so a run that
asks the same again is told the same again, bit for bit: on another loop, on another machine, with
nothing to pay and nothing to serve. Failures are answers too.

Which failed dialogues were tried again is on tape as well, because a run's retry budget goes to
those that fail first, and who does is a matter of timing.

On disk: a line that says what the file is, then records, each one its length, its checksum and its
content in MessagePack. A record is written in one piece. What a crash leaves of the last one is
ignored; damage in the middle is not.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec
from anyio import to_thread
from msgspec import Struct

from ...engine import DuologueError, Key, ModelError, Span, UsageError, checkpoint
from ._model import Generation, Model, Request, WeightSink

Mode = Literal["record", "replay"]

_MAGIC = b"duologue cassette 1\n"
_HEAD = struct.Struct("<II")  # length and CRC-32 of what follows


class _Answer(Struct, frozen=True, kw_only=True, tag="generation"):
    # Text as bytes: a reply may hold half a character, which MessagePack's text cannot.
    text: bytes
    finish: Literal["stop", "length"]
    ids: bytes = b""
    logps: bytes = b""
    spans: tuple[Span, ...] = ()


class _Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    kind: str
    words: bytes


class _Denial(Struct, frozen=True, kw_only=True, tag="denial"):
    """A dialogue was not tried again although it had attempts left."""


class _Record(Struct, frozen=True, kw_only=True):
    key: bytes
    session: str
    answer: _Answer | _Failure | _Denial


_encode = msgspec.msgpack.Encoder().encode
_encode_ordered = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(_Record).decode


class CassetteBroken(DuologueError):
    """The recording could not be written to its end."""


def request_key(request: Request, version: int | None) -> bytes:
    """A name for all that decides the answer."""
    sampling = request.sampling
    asked = (
        request.session,
        request.seed,
        [(message.role, _bytes(message.content)) for message in request.messages],
        array("q", request.tokens).tobytes(),
        float(sampling.temperature),
        sampling.max_tokens,
        sampling.stop,
        request.schema,
        version,
    )
    return blake2b(_encode_ordered(asked), digest_size=16).digest()


@asynccontextmanager
async def open_cassette(
    path: Path, mode: Mode, *, say: Callable[[str], None] | None = None
) -> AsyncGenerator[Cassette]:
    """The cassette at `path`, for as long as the block lasts.

    say: told what is odd about it.

    Raises `UsageError` for a recording that is there already, or a replay of what is no cassette;
    on leaving the block, `CassetteBroken` when the recording is not whole.
    """
    cassette = await to_thread.run_sync(Cassette, path, mode, say or _say_nothing)
    try:
        yield cassette
    except BaseException:
        cassette.withdraw()
        raise
    finally:
        cassette.close()
    if cassette.problem:
        raise CassetteBroken(cassette.problem)


class Cassette:
    """A file of answers; made by `open_cassette`. Several models may share it."""

    def __init__(self, path: Path, mode: Mode, say: Callable[[str], None]) -> None:
        self.path: Path = path
        self.mode: Mode = mode
        self.problem: str = ""
        self._places: dict[bytes, tuple[int, ...]] = {}
        self._sessions: set[str] = set()
        self._denials: set[bytes] = set()
        self._recorded = 0
        flags = os.O_RDONLY if mode == "replay" else os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            self._file = os.open(path, flags | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise UsageError(f"{path} is there already; record to another file") from None
        except OSError as error:
            raise UsageError(f"cannot {mode} {path}: {error.strerror}") from error
        try:
            if mode == "record":
                self._append(_MAGIC)
            else:
                self._index(say)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Answers recorded so far; in a replay, those not yet played."""
        return self._recorded + sum(map(len, self._places.values()))

    def keep(self, key: bytes, session: str, answer: Generation | ModelError) -> None:
        """Append an answer. A disk that takes no more ends the recording, not the dialogue."""
        if self.problem or self._file < 0:
            return
        if self._write(_Record(key=key, session=session, answer=_stored(answer))):
            self._recorded += 1

    def may_retry(self, phase: str, key: Key, tries: int, budgeted: bool) -> bool:
        """What the budget says, kept; in a replay, what it said then. For `open_rollouts`."""
        name = f"{phase} {key.group} {key.sample} {tries}".encode()
        if self.mode == "replay":
            return name not in self._denials
        if not budgeted and not self.problem and self._file >= 0:
            self._write(_Record(key=name, session="", answer=_Denial()))
        return budgeted

    def _write(self, record: _Record) -> bool:
        content = _encode(record)
        try:
            self._append(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        except OSError as error:
            self.problem = (
                f"{self.path} holds the first {self._recorded} calls and no more: {error.strerror}"
            )
        return not self.problem

    def play(self, key: bytes, session: str, turn: int) -> Generation:
        """The answer to a request; each recorded answer is given once, in the order they came.

        Raises `ModelError`: the recorded one, or that there is none.
        """
        places = self._places.pop(key, None)
        if places is None:
            why = (
                "other calls of this session are there: was it recorded with the same settings and "
                "code?"
                if session in self._sessions
                else "nothing of this session is: was it recorded with the same seed and tasks?"
            )
            raise ModelError(
                f"{self.path} holds no answer for session {session!r} in turn {turn}; {why}"
            )
        place, later = places[0], places[1:]
        if later:
            self._places[key] = later
        length, _ = _HEAD.unpack(os.pread(self._file, _HEAD.size, place))
        answer = _decode(os.pread(self._file, length, place + _HEAD.size)).answer
        assert not isinstance(answer, _Denial)
        if isinstance(answer, _Failure):
            raise _failure(answer.kind)(_text(answer.words))
        return _generation(answer)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def withdraw(self) -> None:
        """Leave no file where nothing was recorded: it would be in the way of the next try."""
        if self.mode == "record" and not self._recorded:
            self.path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]

    def _index(self, say: Callable[[str], None]) -> None:
        """Find every whole record."""
        with open(self._file, "rb", closefd=False) as file:
            size = os.fstat(self._file).st_size
            if file.read(len(_MAGIC)) != _MAGIC:
                raise UsageError(f"{self.path} is no cassette of this version; record it again")
            place = len(_MAGIC)
            while place < size:
                head = file.read(_HEAD.size)
                length, check = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
                after = place + _HEAD.size + length
                content = file.read(length) if after <= size else b""
                if not content or zlib.crc32(content) != check:
                    if length and after < size:
                        raise UsageError(
                            f"{self.path} is damaged at byte {place}, with more behind it; "
                            "use a copy, or record it again"
                        )
                    say(f"{self.path} ends in {size - place} bytes of no whole record; ignored")
                    return
                record = _decode(content)
                if isinstance(record.answer, _Denial):
                    self._denials.add(record.key)
                else:
                    self._places[record.key] = (*self._places.get(record.key, ()), place)
                    self._sessions.add(record.session)
                place = after


class CassetteModel:
    """A `Model` and `WeightSink` that records what another answers, or answers from a recording.

    model:   the other one; not needed in a replay.
    version: of its weights, where it has any. `push` changes it.
    """

    def __init__(
        self, model: Model | None, cassette: Cassette, *, version: int | None = None
    ) -> None:
        if model is None and cassette.mode == "record":
            raise UsageError(f"recording to {cassette.path} needs a model to record")
        self._model = model
        self._cassette = cassette
        self._version = version
        self._turns: dict[str, int] = {}

    def open(self, session: str) -> None:
        self._turns[session] = 0
        if self._model is not None:
            self._model.open(session)

    def close(self, session: str) -> None:
        self._turns.pop(session, None)
        if self._model is not None:
            self._model.close(session)

    async def generate(self, request: Request) -> Generation:
        """What the model answers, or answered; or its `ModelError`.

        A call that is cancelled while it is recorded has no answer, so nothing is kept of it.
        """
        session, cassette = request.session, self._cassette
        turn = self._turns.get(session, 0) + 1
        if session in self._turns:
            self._turns[session] = turn
        # Now, because the caller goes on writing in what it passed.
        key = request_key(request, self._version)
        if cassette.mode == "replay":
            await checkpoint()
            return cassette.play(key, session, turn)
        assert self._model is not None
        try:
            generation = await self._model.generate(request)
        except ModelError as error:
            cassette.keep(key, session, error)
            raise
        except Exception as error:
            failure = ModelError(f"{type(error).__name__}: {error}")
            cassette.keep(key, session, failure)
            raise failure from error
        cassette.keep(key, session, generation)
        return generation

    async def push(self, version: int, path: str) -> None:
        """Hand the weights on, where there is somebody to take them."""
        if self._model is None:
            await checkpoint()
        else:
            sink: WeightSink = self._model  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            await sink.push(version, path)
        self._version = version


def _stored(answer: Generation | ModelError) -> _Answer | _Failure:
    if isinstance(answer, ModelError):
        return _Failure(kind=type(answer).__name__, words=_bytes(str(answer)))
    return _Answer(
        text=_bytes(answer.text),
        finish=answer.finish,
        ids=array("i", answer.ids).tobytes(),
        logps=array("f", answer.logps).tobytes(),
        spans=answer.spans,
    )


def _generation(answer: _Answer) -> Generation:
    return Generation(
        text=_text(answer.text),
        finish=answer.finish,
        ids=array("i", answer.ids),
        logps=array("f", answer.logps),
        spans=answer.spans,
    )


@cache
def _failure(kind: str) -> type[ModelError]:
    """A `ModelError` by the name of the recorded one: trajectories tell what kind it was."""
    return ModelError if kind == "ModelError" else type(kind, (ModelError,), {})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _say_nothing(text: str) -> None:
    pass
