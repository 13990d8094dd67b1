"""The real vLLM (its CPU build) with a tiny tied model. Run by `make test-vllm`."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
import torch
from anyio.from_thread import start_blocking_portal
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from tokenizers import Tokenizer

from duologue.agents.models import Generation, Request, Sampling
from duologue.agents.models.http._client import open_http
from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import (
    init_model,
    load_model,
    load_tokenizer,
    save_weights,
)
from duologue.agents.models.local._head import token_log_probs
from duologue.agents.models.local._qwen3 import Qwen3, initialise
from duologue.agents.models.vllm import _wire
from duologue.agents.models.vllm._config import VllmConfig
from duologue.agents.models.vllm._gpu import IpcRoute, NcclRoute
from duologue.agents.models.vllm._model import VllmModel, open_vllm, served_folder
from duologue.agents.models.vllm._server import ServerDied, find_python
from duologue.agents.models.vllm._weights import Control, WeightsRefused
from duologue.engine import ModelError, Span, UsageError

pytestmark = [pytest.mark.vllm, pytest.mark.anyio, pytest.mark.timeout(300)]

CONTEXT = 512
LIVE = 64
CORPUS = ["<|im_start|>user\nWhat about the budget?<|im_end|>\n"] * 2
TOLERANCE = 1e-3


@dataclass
class Lodger:
    """A model folder, and the server that has been started with it."""

    folder: Path
    url: str
    tokenizer: Tokenizer
    model: Qwen3

    def weights(self, seed: int) -> Qwen3:
        """Other weights for the same model."""
        other = copy.deepcopy(self.model)
        initialise(other, seed)
        return other


def make_folder(path: Path) -> Path:
    sizes = {"hidden": 64, "heads": 2, "head_dim": 32, "intermediate": 96, "context": CONTEXT}
    init_model(path, corpus=CORPUS, seed=0, vocab=300, **sizes)
    return path


@pytest.fixture(scope="module")
def lodger(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lodger]:
    """One server for the module, kept by a loop of its own; the tests come to it by URL."""
    folder = make_folder(tmp_path_factory.mktemp("models") / "tiny")
    tokenizer = load_tokenizer(folder)
    served = open_vllm(
        str(folder), tokenizer, context=CONTEXT, live=LIVE, log=folder.parent / "vllm.log"
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served) as model:
        yield Lodger(folder, model.endpoints[0].url, tokenizer, load_model(folder))


@asynccontextmanager
async def client(lodger: Lodger) -> AsyncGenerator[VllmModel]:
    """The module's server with the folder's own weights, as version 0."""
    async with open_vllm(lodger.url, lodger.tokenizer, context=CONTEXT, live=LIVE) as model:
        await model.push(0, str(lodger.folder / "model.safetensors"))
        yield model


def ask(
    prompt: list[int],
    *,
    session: str = "s",
    seed: int = 0,
    max_tokens: int = 24,
    temperature: float = 1.0,
    stop: tuple[int, ...] = (),
) -> Request:
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, stop=stop)
    return Request(session=session, seed=seed, tokens=prompt, sampling=sampling)


def prompt_of(random: Random, most: int = 60) -> list[int]:
    return [random.randrange(3, 280) for _ in range(random.randint(1, most))]


def off(model: Qwen3, prompt: list[int], reply: Generation, span: Span, heat: float = 1.0) -> float:
    """How far the log-probabilities in `span` are from a packed forward pass of `model`."""
    stream = torch.tensor([*prompt, *reply.ids[: span.end]])
    attend = PackedAttention([len(stream)])
    with torch.no_grad():
        hidden = model.hidden(stream, attend.positions_N, attend)[len(prompt) - 1 + span.start : -1]
        logp = token_log_probs(model, hidden, stream[len(prompt) + span.start :], heat)[0]
    ours = torch.tensor(reply.logps[span.start : span.end])
    return float((ours - logp).abs().max())


async def until_running(url: str, wanted: int) -> None:
    """Wait until the server works on so many requests, by its own count."""
    count = r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$"
    async with open_http(url) as http:
        with anyio.fail_after(20):
            while True:
                text = http.check(await http.request("GET", "/metrics")).body.decode()
                found = re.findall(count, text, re.MULTILINE)
                assert len(found) == 2
                if sum(map(float, found)) == wanted:
                    return
                await anyio.sleep(0.01)


async def test_log_probabilities_are_those_of_our_own_forward_pass(lodger: Lodger) -> None:
    async with client(lodger) as model:
        worst = 0.0

        async def one(index: int) -> None:
            nonlocal worst
            random = Random(index)
            prompt = prompt_of(random, 200)
            heat = random.choice([0.0, 0.7, 1.0])
            reply = await model.generate(
                ask(prompt, session=f"s{index}", seed=index, temperature=heat, stop=(2,))
            )
            assert reply.spans == (Span(0, len(reply.ids), 0),)
            assert (reply.finish == "stop") == (reply.ids[-1] == 2)
            worst = max(worst, off(lodger.model, prompt, reply, reply.spans[0], heat or 1.0))

        async with anyio.create_task_group() as tasks:
            for index in range(48):
                tasks.start_soon(one, index)
    assert worst < TOLERANCE


async def test_what_the_server_writes_is_what_the_quick_reader_knows(
    lodger: Lodger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "duologue.agents.models.vllm._answer", reason="installed where there was no compiler"
    )
    slowly: list[bytes] = []

    def read_any(body: bytes, most: int) -> Any:
        slowly.append(body)
        raise ValueError("not for the slow reader")

    monkeypatch.setattr(_wire, "_read_any", read_any)
    async with client(lodger) as model:
        for seed in range(8):
            reply = await model.generate(ask(list(range(3, 20)), seed=seed, stop=(2,)))
            assert len(reply.logps) == len(reply.ids)
    assert not slowly


async def test_the_same_seed_gives_the_same_tokens_alone_and_in_company(lodger: Lodger) -> None:
    prompt = list(range(3, 40))
    async with client(lodger) as model:
        alone = await model.generate(ask(prompt, seed=5))
        replies: dict[int, Generation] = {}

        async def one(seed: int) -> None:
            replies[seed] = await model.generate(ask(prompt, session=f"s{seed}", seed=seed))

        async with anyio.create_task_group() as tasks:
            for seed in range(16):
                tasks.start_soon(one, seed)
    assert replies[5].ids == alone.ids
    assert len({reply.ids.tobytes() for reply in replies.values()}) == 16


async def test_a_stop_token_ends_a_reply_and_is_in_it(lodger: Lodger) -> None:
    prompt = list(range(3, 20))
    async with client(lodger) as model:
        long = await model.generate(ask(prompt, seed=1))
        stop = long.ids[7]
        reply = await model.generate(ask(prompt, seed=1, stop=(stop,)))
    end = long.ids.index(stop) + 1
    assert reply.finish == "stop" and reply.ids == long.ids[:end]
    assert reply.text == lodger.tokenizer.decode(list(reply.ids[:-1]), skip_special_tokens=False)


async def test_a_dialogue_that_is_cancelled_leaves_nothing_running(lodger: Lodger) -> None:
    async with client(lodger) as model:
        async with anyio.create_task_group() as tasks:
            for index in range(20):
                request = ask([5, 6], session=f"s{index}", seed=index, max_tokens=500)
                tasks.start_soon(model.generate, request)
            await until_running(lodger.url, 20)
            tasks.cancel_scope.cancel()
        await until_running(lodger.url, 0)
        assert await model.generate(ask([5]))


async def test_fifty_updates_under_load_and_every_token_has_its_version(
    lodger: Lodger, tmp_path: Path
) -> None:
    versions = {0: lodger.model} | {n: lodger.weights(n) for n in range(1, 51)}
    worst, mixed, tokens, done = 0.0, 0, 0, False

    async with client(lodger) as model:

        async def talk(index: int) -> None:
            """Dialogues without end; a failed request fails the test."""
            nonlocal worst, mixed, tokens
            random, turn, prompt = Random(index), 0, [3 + index]
            while not done:
                turn += 1
                request = ask(prompt, session=f"s{index}", seed=turn, max_tokens=40)
                reply = await model.generate(request)
                for span in reply.spans:
                    worst = max(worst, off(versions[span.version], prompt, reply, span))
                mixed += len(reply.spans) > 1
                tokens += len(reply.ids)
                prompt = [*prompt, *reply.ids, *prompt_of(random, 20)]
                if len(prompt) > CONTEXT - 60:
                    prompt = prompt_of(random)

        async with anyio.create_task_group() as tasks:
            for index in range(12):
                tasks.start_soon(talk, index)
            for version in range(1, 51):
                file = tmp_path / f"v{version}.safetensors"
                await anyio.to_thread.run_sync(save_weights, versions[version], file)
                await model.push(version, str(file))
                await anyio.sleep(0.05)
            done = True
    assert worst < TOLERANCE
    assert mixed > 10 and tokens > 1000, (mixed, tokens)


async def test_a_file_that_does_not_fit_leaves_the_old_weights(
    lodger: Lodger, tmp_path: Path
) -> None:
    weights = load_file(lodger.folder / "model.safetensors")
    cases: dict[str, dict[str, Any]] = {
        "lacks tensor": {k: v for k, v in weights.items() if k != "model.norm.weight"},
        "unknown tensor": {**weights, "model.other.weight": torch.ones(1)},
        "has shape": {**weights, "model.norm.weight": torch.ones(3)},
    }
    prompt = [3, 4, 5]
    async with client(lodger) as model, open_vllm(lodger.url, lodger.tokenizer) as other:
        for words, content in cases.items():
            save_file(content, tmp_path / "bad.safetensors")
            with pytest.raises(WeightsRefused, match=words):
                await model.push(1, str(tmp_path / "bad.safetensors"))
        # Seen by somebody who does not know of the failed update.
        reply = await other.generate(ask(prompt))
        assert off(lodger.model, prompt, reply, reply.spans[0]) < TOLERANCE
        with pytest.raises(UsageError, match="no weights at"):
            await model.push(1, str(tmp_path / "none"))


async def test_a_running_server_says_where_its_tokenizer_is(lodger: Lodger) -> None:
    folder = await served_folder(lodger.url, VllmConfig())
    assert (folder / "tokenizer.json").read_bytes() == (
        lodger.folder / "tokenizer.json"
    ).read_bytes()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_is_killed_comes_back_with_the_newest_weights(
    tmp_path: Path, lodger: Lodger
) -> None:
    prompt = [3, 4, 5]
    newest = lodger.weights(9)
    save_weights(newest, tmp_path / "v1.safetensors")
    settings = VllmConfig(restarts=1)
    log = tmp_path / "vllm.log"
    with pytest.raises(ServerDied, match="ended 2 times"):
        async with open_vllm(
            str(lodger.folder),
            lodger.tokenizer,
            settings=settings,
            context=CONTEXT,
            live=LIVE,
            log=log,
        ) as model:
            await model.push(1, str(tmp_path / "v1.safetensors"))
            leader, engine = processes(tmp_path)
            failed: list[ModelError] = []

            async def long(session: str) -> None:
                try:
                    await model.generate(ask(prompt, session=session, max_tokens=500))
                except ModelError as error:
                    failed.append(error)

            async with anyio.create_task_group() as tasks:
                for index in range(4):
                    tasks.start_soon(long, f"s{index}")
                await until_running(model.endpoints[0].url, 4)
                os.kill(leader, signal.SIGKILL)
            assert len(failed) == 4
            reply = await model.generate(ask(prompt))
            assert reply.spans == (Span(0, len(reply.ids), 1),)
            assert off(newest, prompt, reply, reply.spans[0]) < TOLERANCE
            assert engine not in processes(tmp_path)
            # The engine alone is killed: the front ends with it. That is once too often.
            _, engine = processes(tmp_path)
            os.kill(engine, signal.SIGKILL)
            await anyio.sleep(60)
    assert not processes(tmp_path)


def processes(lodging: Path) -> list[int]:
    """The server whose model is lodged in the folder, and its engine."""
    parents: dict[int, int] = {}
    leaders: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
            status = (place / "status").read_text()
        except OSError:
            continue
        found = re.search(r"PPid:\t(\d+)", status)
        assert found
        if b"EngineCore" in line:
            parents[int(place.name)] = int(found[1])
        if str(lodging).encode() in line and b"vllm/_boot" in line:
            leaders.append(int(place.name))
    return [*leaders, *(engine for engine, parent in parents.items() if parent in leaders)]


ROUND_TRIP = """
import base64, json, pickle, sys
from vllm.distributed.weight_transfer.ipc_engine import (
    IPCWeightTransferInitInfo, IPCWeightTransferUpdateInfo)
from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferUpdateInfo
for kind, info in json.load(sys.stdin):
    made = locals()[kind](**info)
    print("ok", kind)
    if kind == "IPCWeightTransferUpdateInfo":
        assert made.ipc_handles == [{"GPU-1": ["handle", 2]}, {"GPU-1": ["handle", 1]}], made
    if kind == "NCCLWeightTransferInitInfo":
        assert made.nccl_unique_id_bytes == b"i" * 128
"""


class Recorder(Control):
    """Takes down what a route says, and agrees."""

    def __init__(self) -> None:
        self.url = "nowhere"
        self.said: dict[str, Any] = {}

    async def post(self, path: str, content: object = None) -> bytes:
        self.said[path] = content
        return b""

    async def get(self, path: str) -> bytes:
        return b'{"world_size": 1}'


class NoGroup:
    def unique_id(self) -> bytes:
        return b"i" * 128

    def join(self, unique_id: bytes, size: int) -> None:
        pass

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        pass


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_vllm_accepts_what_the_routes_between_gpus_say() -> None:
    def load(path: str) -> dict[str, torch.Tensor]:
        return {"a": torch.ones(2, 3), "b": torch.ones(4).bfloat16()}

    def share(weight: torch.Tensor) -> tuple[str, Any]:
        return "GPU-1", ["handle", weight.dim()]

    said: list[tuple[str, Any]] = []
    for name, route in (("NCCL", NcclRoute(load, NoGroup)), ("IPC", IpcRoute(load, share))):
        control = Recorder()
        await route.begin(control)
        await route.send(control, "")
        begin, update = (
            control.said["/init_weight_transfer_engine"],
            control.said["/update_weights"],
        )
        said.append((f"{name}WeightTransferInitInfo", begin["init_info"]))
        said.append((f"{name}WeightTransferUpdateInfo", update["update_info"]))
    done = await anyio.run_process(
        [find_python(""), "-c", ROUND_TRIP],
        input=json.dumps(said).encode(),
        env={**os.environ, "VLLM_ALLOW_INSECURE_SERIALIZATION": "1"},
    )
    assert done.stdout.count(b"ok ") == 4
