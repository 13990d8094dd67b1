"""The checks of `duologue doctor` that a vLLM server answers; all of them only read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio import EndOfStream, create_task_group
from anyio.abc import ByteStream
from msgspec import Struct
from tokenizers import Tokenizer

from ...engine import ModelError, one_error
from ._doctor import (
    TEXTS,
    Check,
    Defect,
    Diagnosis,
    Finding,
    Unknown,
    encode,
    examine_folder,
    examine_log_probs,
    look,
)
from .http._client import Http, open_http
from .http._parse import BadStatus, HttpError
from .local._folder import load_tokenizer

_GENERATE = "/inference/v1/generate"
_CHAT = "/v1/chat/completions"


class _Card(Struct, frozen=True):
    id: str
    root: str = ""
    max_model_len: int | None = None


class _Cards(Struct, frozen=True):
    data: list[_Card]


class _Logprob(Struct, frozen=True):
    token_id: int
    logprob: float


class _Logprobs(Struct, frozen=True):
    content: list[_Logprob]


class _Choice(Struct, frozen=True):
    token_ids: list[int]
    logprobs: _Logprobs | None = None


class _Generated(Struct, frozen=True):
    choices: list[_Choice]


class _Ids(Struct, frozen=True):
    tokens: list[int]


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class _ToolCall(Struct, frozen=True):
    function: _Function


class _Said(Struct, frozen=True):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Spoken(Struct, frozen=True):
    message: _Said
    token_ids: list[int] | None = None


class _Chatted(Struct, frozen=True):
    choices: list[_Spoken]


class _Info(Struct, frozen=True):
    vllm_config: dict[str, Any]


async def examine_vllm(
    url: str,
    folder: Path | None,
    *,
    name: str,
    turns: int,
    idle_s: float,
    context: int,
    missing: str = "",
) -> Diagnosis:
    """Examine the server at `url`, which serves the model in `folder`.

    name:    what the report calls it.
    folder:  without one, what needs its tokenizer or its weights is skipped; `missing` says why.
    idle_s:  how long a connection is left idle to see whether the server closes it.
    context: the longest conversation that is wanted of it, in tokens.
    """
    tokenizer = None if folder is None else load_tokenizer(folder)
    async with open_http(url, connections=4) as http:
        server = _Server(http, missing)
        findings = [await look("answers", server.answers, "start it, or correct the URL")]
        if findings[0].status == "passed":
            idle: list[Finding] = []

            async def wait_idle() -> None:
                idle.append(await look("idle connection", partial(_idle, url, idle_s)))

            with one_error():
                async with create_task_group() as tasks:
                    tasks.start_soon(wait_idle)
                    checks: dict[str, Check] = {
                        "token route": server.token_route,
                        "weight updates": server.weight_updates,
                        "prefix cache": server.prefix_cache,
                        "context": partial(server.room, context),
                        "same tokenizer": partial(server.same_tokenizer, folder, tokenizer),
                        "tool calls": partial(server.tool_calls, tokenizer),
                    }
                    for what, check in checks.items():
                        findings.append(await look(what, check))
            findings[1:1] = idle
        if folder is not None and tokenizer is not None:
            findings += await examine_folder(folder, tokenizer, turns)
            if findings[0].status == "passed":
                dtype = await server.dtype(folder)
                findings += await examine_log_probs(folder, tokenizer, server.sample, dtype)
        else:
            findings.append(Finding(check="template", status="skipped", seen=missing))
            findings.append(Finding(check="log-probabilities", status="skipped", seen=missing))
    return Diagnosis(model=name, findings=tuple(findings))


async def _idle(url: str, idle_s: float) -> str:
    """Leave a connection alone and see how long the server keeps it."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    stream: ByteStream
    try:
        if secure:
            stream = await anyio.connect_tcp(
                parts.hostname or "", port, tls=True, tls_standard_compatible=False
            )
        else:
            stream = await anyio.connect_tcp(parts.hostname or "", port)
    except OSError as error:
        raise ModelError(f"cannot connect ({error})") from error
    async with stream:
        path = f"{parts.path.rstrip('/')}/v1/models"
        await stream.send(f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
        heard = anyio.current_time()
        try:
            while True:
                with anyio.move_on_after(idle_s) as scope:
                    await stream.receive()
                    heard = anyio.current_time()
                if scope.cancelled_caught:
                    return f"still open after {idle_s:g} s"
        except (EndOfStream, anyio.BrokenResourceError):
            kept = anyio.current_time() - heard
    raise Defect(
        f"the server closes a connection that is idle for {kept:.1f} s",
        "start it with VLLM_HTTP_TIMEOUT_KEEP_ALIVE=3600; pooled connections break at that "
        "moment, under a request that was about to use them",
    )


class _Server:
    """A vLLM server that is asked, and never told."""

    def __init__(self, http: Http, missing: str) -> None:
        self._http, self._missing = http, missing
        self._card = _Card("")

    async def _get(self, path: str) -> bytes:
        return self._http.check(await self._http.request("GET", path)).body

    async def _post(self, path: str, content: dict[str, Any]) -> bytes:
        body = msgspec.json.encode(content)
        return self._http.check(await self._http.request("POST", path, body)).body

    async def answers(self) -> str:
        cards = msgspec.json.decode(await self._get("/v1/models"), type=_Cards).data
        if not cards:
            raise Defect("it serves no model", "start it with --model")
        self._card = cards[0]
        began = anyio.current_time()
        content = {"model": self._card.id, "prompt": [0], "max_tokens": 1}
        try:
            await self.sample([0], 1.0, 1)
        except BadStatus as error:
            if error.status != 404:
                raise
            await self._post("/v1/completions", content)
        took = anyio.current_time() - began
        return f"{self._card.id}, one token in {took * 1000:.0f} ms"

    async def sample(
        self, prompt: list[int], temperature: float, count: int
    ) -> tuple[Sequence[int], Sequence[float]]:
        """Tokens and log-probabilities, as the token route gives them. Raises `ModelError`."""
        sampling = {
            "temperature": temperature,
            "max_tokens": count,
            "seed": len(prompt),
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "ignore_eos": True,
            "logprobs": 0,
        }
        answer = await self._post(_GENERATE, {"token_ids": prompt, "sampling_params": sampling})
        choices = msgspec.json.decode(answer, type=_Generated).choices
        if not choices:
            raise ModelError("an answer without a choice")
        content = choices[0].logprobs.content if choices[0].logprobs else []
        return choices[0].token_ids, [one.logprob for one in content]

    async def token_route(self) -> str:
        try:
            await self.sample([0], 1.0, 1)
        except BadStatus as error:
            if error.status != 404:
                raise
            raise Defect(
                f"there is no {_GENERATE}",
                "start vLLM with --enable-scale-out; without it, text is what comes back",
            ) from error
        return f"{_GENERATE}: tokens in, tokens out"

    async def weight_updates(self) -> str:
        try:
            await self._get("/is_paused")
        except BadStatus as error:
            if error.status != 404:
                raise
            raise Defect(
                "the routes that pause and change weights are closed",
                "to train, start it with VLLM_SERVER_DEV_MODE=1, listening on loopback only",
            ) from error
        config = await self._config()
        if config and config.get("weight_transfer_config", self) is None:
            raise Defect(
                "no way for new weights is set up",
                'to train, start it with --weight-transfer-config \'{"backend": "file"}\' and '
                "--worker-extension-cls, as vllm:PATH does",
            )
        return "the routes are open"

    async def prefix_cache(self) -> str:
        text = (await self._get_or_unknown("/metrics")).decode("utf-8", "replace")
        if 'enable_prefix_caching="False"' in text:
            raise Defect(
                "it is off",
                "start it with --enable-prefix-caching; without it every turn computes the whole "
                "dialogue again",
            )
        if 'enable_prefix_caching="True"' in text:
            return "it is on"
        raise Unknown("/metrics does not say")

    async def room(self, context: int) -> str:
        most = self._card.max_model_len
        if most is None:
            raise Unknown("it does not say how long a conversation may be")
        if most < context:
            raise Defect(
                f"it takes {most} tokens, and model.context is {context}",
                f"start it with --max-model-len {context}, or set model.context={most}",
            )
        return f"{most} tokens; model.context is {context}"

    async def same_tokenizer(self, folder: Path | None, tokenizer: Tokenizer | None) -> str:
        """The server makes the same ids of a text as the folder's tokenizer."""
        if folder is None or tokenizer is None:
            raise Unknown(self._missing)
        texts = [*TEXTS, "<|im_start|>user\nhello<|im_end|>\n"]
        wrong: list[str] = []
        for text in texts:
            content = {"model": self._card.id, "prompt": text, "add_special_tokens": False}
            try:
                answer = await self._post("/tokenize", content)
            except BadStatus as error:
                if error.status == 404:
                    raise Unknown("it has no /tokenize to ask") from error
                raise
            theirs = msgspec.json.decode(answer, type=_Ids).tokens
            ours = encode(tokenizer, text)
            if theirs != ours:
                wrong.append(f"{text[:24]!r} is {theirs[:4]} there and {ours[:4]} here")
        if wrong:
            raise Defect(
                f"the wrong tokenizer: the server's and that of {folder} differ on {len(wrong)} of "
                f"{len(texts)} texts; {wrong[0]}",
                "set vllm.tokenizer to the folder of the served model, or serve the model of this "
                "one",
            )
        return f"{len(texts)} texts have the same ids there and here"

    async def tool_calls(self, tokenizer: Tokenizer | None) -> str:
        """What a model says around and in its tool calls arrives by the chat route."""
        if tokenizer is None:
            raise Unknown(self._missing)
        content = {
            "model": self._card.id,
            "messages": [{"role": "user", "content": "Ask about the budget."}],
            "tools": [_ASK],
            "tool_choice": "auto",
            # A text may be spelled in as many tokens as it has bytes.
            "max_tokens": len(_WORDS) + 1,
            "temperature": 0.0,
            "skip_special_tokens": False,
            "return_token_ids": True,
            # The model can only say this, whichever it is.
            "structured_outputs": {"choice": [_WORDS]},
        }
        try:
            answer = await self._post(_CHAT, content)
        except BadStatus as error:
            if error.status >= 500:
                raise
            if "tool" in str(error):
                raise Unknown("it has no tool parser, so none can eat text") from error
            raise Unknown(f"the chat route refuses: {error}") from error
        choices = msgspec.json.decode(answer, type=_Chatted).choices
        if not choices or choices[0].token_ids is None:
            raise Unknown("the chat route does not say which tokens were sampled")
        spoken = tokenizer.decode(choices[0].token_ids, skip_special_tokens=True)
        if _WORDS not in spoken:
            raise Unknown("the model could not be made to write a tool call")
        if lost := _lost(choices[0].message):
            raise Defect(
                f"the tool parser eats text: {', '.join(map(repr, lost))} was sampled and is "
                "nowhere in the answer",
                "use the token route (vllm: here does), or start it without --tool-call-parser "
                "and read the calls from the text",
            )
        return "what was said before, in and after a call arrives"

    async def dtype(self, folder: Path) -> str:
        """What the server computes in; what the folder's weights are in where it does not say."""
        config = await self._config()
        named = str(config.get("model_config", {}).get("dtype", "")).removeprefix("torch.")
        if named:
            return named
        try:
            file = json.loads((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            return "bfloat16"
        return str(file.get("dtype") or file.get("torch_dtype") or "bfloat16")

    async def _config(self) -> dict[str, Any]:
        """The server's own settings, where it tells."""
        try:
            answer = await self._get("/server_info?config_format=json")
            return msgspec.json.decode(answer, type=_Info).vllm_config
        except (HttpError, msgspec.DecodeError):
            return {}

    async def _get_or_unknown(self, path: str) -> bytes:
        try:
            return await self._get(path)
        except BadStatus as error:
            raise Unknown(f"it has no {path} to ask") from error


_ASK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "ask",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    },
}
_CALL = '<tool_call>\n{{"name": "ask", "arguments": {{"what": "{}"}}}}\n</tool_call>'
_BEFORE, _BETWEEN, _AFTER = "I would ask first.", "And one more thing.", "That is all."
_ASKED = ("What may it cost?", "How many days?")
_WORDS = "\n".join((_BEFORE, _CALL.format(_ASKED[0]), _BETWEEN, _CALL.format(_ASKED[1]), _AFTER))
"""What a tool parser is given to read. Some keep only what comes before the first call."""


def _lost(said: _Said) -> list[str]:
    """What does not arrive, neither in a text nor in a call."""
    text = " ".join(filter(None, (said.content, said.reasoning, said.reasoning_content)))
    calls = [call.function for call in said.tool_calls or []]
    lost = [each for each in (_BEFORE, _BETWEEN, _AFTER) if each not in text]
    for asked in _ASKED:
        if asked not in text and not any(
            call.name == "ask" and asked in call.arguments for call in calls
        ):
            lost.append(asked)
    return lost
