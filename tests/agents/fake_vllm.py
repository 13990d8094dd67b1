"""A server with vLLM's routes and none of its model, on the standard library alone.

Run as vLLM would be, by `vllm/_boot.py`. What the first token of a request asks for is what it does:
see `HABITS`. Every control call is written down, and `/calls` tells.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event
from typing import Any

CRASH, HANG, FAIL, REFUSE = 2, 3, 4, 5
HABITS = {
    10: "two choices",
    11: "no choice",
    12: "too many tokens",
    13: "no tokens",
    14: "too few log-probabilities",
    15: "log-probabilities of other tokens",
    16: "a log-probability above 0",
    17: "a finish that does not fit",
    18: "no versions",
    19: "versions with a gap",
    20: "versions beyond the end",
    21: "a version nobody gave",
    22: "not JSON",
    23: "a list",
}

COUNTS = os.environ.get("FAKE_VLLM_COUNTS", "")

running = Event()
running.set()
calls: list[list[Any]] = []
label = "default"
pushed: list[str] = []


def generation(first: int, count: int) -> Any:
    """What a request gets: the number of the weights, `count` times, and what is wrong with it."""
    version = int(label[1:]) if label.startswith("v") else 0
    ids = [1000 + version] * count
    logprobs = [{"token_id": token, "logprob": -0.5, "rank": 1} for token in ids]
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": "length",
        "token_ids": ids,
        "weight_versions": [{"version": label, "start": 0, "end": count}],
        "logprobs": {"content": logprobs},
    }
    match HABITS.get(first):
        case "two choices":
            return {"choices": [choice, choice]}
        case "no choice":
            return {"choices": []}
        case "too many tokens":
            ids.append(7)
            logprobs.append({"token_id": 7, "logprob": -1.0, "rank": 1})
        case "no tokens":
            ids.clear()
            logprobs.clear()
        case "too few log-probabilities":
            logprobs.pop()
        case "log-probabilities of other tokens":
            logprobs[0] = {"token_id": 7, "logprob": -0.5, "rank": 1}
        case "a log-probability above 0":
            logprobs[0] = {"token_id": ids[0], "logprob": 0.5, "rank": 1}
        case "a finish that does not fit":
            choice["finish_reason"] = "abort"
        case "no versions":
            choice["weight_versions"] = None
        case "versions with a gap":
            choice["weight_versions"][0]["start"] = 1
        case "versions beyond the end":
            choice["weight_versions"][0]["end"] = count + 1
        case "a version nobody gave":
            choice["weight_versions"][0]["version"] = "v99"
        case "a list":
            return [choice]
        case _:
            pass
    return {"choices": [choice]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, content: Any, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        if content == {"success": True}:
            body = b'{"success":true}'
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/get_world_size":
            self.answer({"world_size": 1})
        elif self.path == "/calls":
            self.answer(calls)
        elif self.path == "/metrics" and COUNTS:
            # How many tokens it has written: nobody hears of more while its engine sleeps.
            text = f'vllm:generation_tokens_total{{engine="0"}} {Path(COUNTS).stat().st_size}.0'
            self.answer(text.encode())
        else:
            self.answer({})

    def do_POST(self) -> None:
        global label
        length = int(self.headers.get("content-length", "0"))
        content = json.loads(self.rfile.read(length) or b"{}")
        if self.path == "/inference/v1/generate":
            self.generate(content)
            return
        calls.append([self.path, content])
        if self.path.startswith("/pause"):
            running.clear()
        elif self.path == "/resume":
            running.set()
        elif self.path == "/update_weight_version":
            label = content["new_version"]
        elif self.path == "/finish_weight_update":
            label = content["weight_version"]
        elif self.path == "/update_weights" and not self.update(content["update_info"]):
            self.answer({"error": {"message": "no such tensor"}}, 500)
            return
        self.answer({"success": True})

    def update(self, info: dict[str, Any]) -> bool:
        path = info.get("path", "")
        if "crash" in path and not Path(path + ".crashed").exists():
            Path(path + ".crashed").touch()
            os._exit(9)
        # By NCCL, an update ends when the weights have come.
        deadline = time.monotonic() + 10
        signal = os.environ.get("FAKE_VLLM_WEIGHTS")
        while signal and not Path(signal).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return "bad" not in path

    def generate(self, content: dict[str, Any]) -> None:
        running.wait()
        first = content["token_ids"][0]
        if first == CRASH:
            os._exit(9)
        elif first == HANG:
            time.sleep(3600)
        elif first == FAIL:
            self.answer({"error": {"message": "EngineCore encountered an issue"}}, 500)
        elif first == REFUSE:
            self.answer({"error": {"message": "Token id 4000 is out of vocabulary"}}, 400)
        elif HABITS.get(first) == "not JSON":
            self.answer(b'{"choices": [')
        else:
            self.answer(generation(first, content["sampling_params"]["max_tokens"]))


def main() -> None:
    print("fake vLLM:", *sys.argv[1:], flush=True)
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    arguments, _ = parser.parse_known_args()
    if os.environ.get("FAKE_VLLM_STILLBORN"):
        print("ValueError: this model is too large for this machine", flush=True)
        raise SystemExit(3)
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
