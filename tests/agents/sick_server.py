"""A server with vLLM's routes and a tiny model of ours behind them, well or with a planted defect."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from tokenizers import Tokenizer

from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import load_model, load_tokenizer
from duologue.agents.models.local._qwen3 import Qwen3

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Illness:
    """What is wrong with a server; nothing by default.

    keep_alive_s: when it closes an idle connection.
    raw:          log-probabilities are those of temperature 1.
    parser:       what reads tool calls: one that keeps all text, one that "eats" what follows the
                  first call, one that loses "calls" after the first, or "none".
    closed:       routes that are not there.
    weights:      how much is added to every weight.
    """

    keep_alive_s: float = 60.0
    raw: bool = False
    parser: str = "keeps"
    closed: tuple[str, ...] = ()
    prefix_cache: bool = True
    transfer: bool = True
    context: int = 1024
    weights: float = 0.0
    garbled: tuple[str, ...] = ()
    mute: bool = False


class Ward:
    """The state of a running server."""

    def __init__(self, folder: Path, illness: Illness) -> None:
        self.folder, self.illness = folder, illness
        self.model: Qwen3 = load_model(folder)
        self.tokenizer: Tokenizer = load_tokenizer(folder)
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.add_(illness.weights)
        self.told: list[str] = []  # what it was told to do

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def get(self, path: str) -> Any:
        illness = self.illness
        match path:
            case "/v1/models":
                card = {"id": "tiny", "root": str(self.folder), "max_model_len": illness.context}
                return {"data": [card]}
            case "/is_paused":
                return {"is_paused": False}
            case "/metrics":
                return (
                    f'vllm:cache_config_info{{enable_prefix_caching="{illness.prefix_cache}"}} 1.0'
                )
            case "/server_info?config_format=json":
                transfer = {"backend": "file"} if illness.transfer else None
                config = {
                    "model_config": {"dtype": "torch.float32"},
                    "weight_transfer_config": transfer,
                }
                return {"vllm_config": config}
            case _:
                return None

    def post(self, path: str, content: dict[str, Any]) -> Any:
        match path:
            case "/tokenize":
                return {"tokens": self.ids(content["prompt"])}
            case "/inference/v1/generate":
                return {
                    "choices": [self.generate(content["token_ids"], content["sampling_params"])]
                }
            case "/v1/completions":
                return {"choices": [{"text": "?"}]}
            case "/v1/chat/completions" if self.illness.parser != "none":
                return {"choices": [self.chat(content["structured_outputs"]["choice"][0])]}
            case _:
                self.told.append(path)
                return None

    def generate(self, prompt: list[int], sampling: dict[str, Any]) -> dict[str, Any]:
        stream = list(prompt)
        heat = sampling["temperature"]
        generator = torch.Generator().manual_seed(sampling["seed"])
        content: list[dict[str, Any]] = []
        for _ in range(sampling["max_tokens"]):
            attend = PackedAttention([len(stream)])
            with torch.no_grad():
                hidden = self.model.hidden(torch.tensor(stream), attend.positions_N, attend)
                logits = self.model.head(hidden[-1:])[0]
            drawn = (logits / heat).softmax(-1)
            token = int(torch.multinomial(drawn, 1, generator=generator))
            shown = logits if self.illness.raw else logits / heat
            content.append({"token_id": token, "logprob": float(shown.log_softmax(-1)[token])})
            stream.append(token)
        ids = [] if self.illness.mute else stream[len(prompt) :]
        return {"token_ids": ids, "logprobs": {"content": content}}

    def chat(self, text: str) -> dict[str, Any]:
        parser = self.illness.parser
        blocks = _CALL.findall(text)
        kept = text[: text.index("<tool_call>")] if parser == "eats" else _CALL.sub("", text)
        calls = [json.loads(block) for block in (blocks[:1] if parser == "calls" else blocks)]
        functions = [
            {"function": {"name": call["name"], "arguments": json.dumps(call["arguments"])}}
            for call in calls
        ]
        message = {"content": kept, "tool_calls": functions}
        return {"message": message, "token_ids": self.ids(text)}


@contextmanager
def serving(folder: Path, illness: Illness) -> Generator[tuple[str, Ward]]:
    """The server's URL and its state, for as long as the block lasts."""
    ward = Ward(folder, illness)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = illness.keep_alive_s

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.answer(ward.get(self.path))

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.answer(ward.post(self.path, json.loads(self.rfile.read(length))))

        def answer(self, content: Any) -> None:
            status = 200
            if content is None or self.path.partition("?")[0] in illness.closed:
                status, content = 404, {"detail": "no such route, and no tool parser"}
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            if self.path in illness.garbled:
                body = b'{"data": ['
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", ward
        finally:
            server.shutdown()
            thread.join()
