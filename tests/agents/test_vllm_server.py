"""How a vLLM server is kept, asked and given weights, against one that only has the routes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import fake_vllm
import pytest
import torch
from misbehaving import Peer, Script, open_misbehaving, until

from duologue.agents.models import Generation, Model, Request, Sampling, WeightSink
from duologue.agents.models.http._client import open_http
from duologue.agents.models.limits._limits import Limits, Verdict
from duologue.agents.models.vllm._config import VllmConfig
from duologue.agents.models.vllm._endpoint import OwnEndpoint
from duologue.agents.models.vllm._gpu import IpcRoute, NcclRoute
from duologue.agents.models.vllm._model import VllmModel, open_vllm
from duologue.agents.models.vllm._server import ServerDied, find_python
from duologue.agents.models.vllm._weights import Control, WeightsRefused, update_weights
from duologue.engine import ModelError, Span, UsageError, checkpoint

OK = 1


class Letters:
    """A tokenizer of sorts."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        return " ".join(map(str, ids))


def ask(*tokens: int, session: str = "s", max_tokens: int = 3) -> Request:
    return Request(session=session, tokens=tokens, sampling=Sampling(max_tokens=max_tokens))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    shape = {"num_attention_heads": 2, "hidden_size": 64, "num_hidden_layers": 2}
    (path / "config.json").write_text(json.dumps(shape))
    return path


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a vLLM that is none before any other."""
    package = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for place in (package, package.parent, package.parent.parent):
        (place / "__init__.py").touch()
    server = package / "api_server.py"
    server.write_text(f"import runpy\nrunpy.run_path({fake_vllm.__file__!r}, run_name='__main__')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("DUOLOGUE_VLLM_PYTHON", sys.executable)


def start(
    folder: Path,
    *,
    restarts: int = 3,
    hang_s: float = 60.0,
    args: tuple[str, ...] = (),
    say: Callable[[str], None] | None = None,
) -> Any:
    settings = VllmConfig(restarts=restarts, ready_s=20, hang_s=hang_s, args=args)
    log = folder.parent / "vllm.log"
    return open_vllm(
        str(folder), Letters(), settings=settings, context=64, live=8, log=log, say=say
    )


def own(model: VllmModel) -> OwnEndpoint:
    (endpoint,) = model.endpoints
    assert isinstance(endpoint, OwnEndpoint)
    return endpoint


async def calls(model: VllmModel) -> list[list[Any]]:
    body = await own(model)._control.get("/calls")
    found: list[list[Any]] = json.loads(body)
    return found


def alive(log: Path) -> list[int]:
    """The processes that name this log's folder in their arguments."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if str(log.parent).encode() in line and b"vllm/_boot" in line:
            found.append(int(place.name))
    return found


async def gone(log: Path) -> bool:
    for _ in range(250):
        if not alive(log):
            return True
        await anyio.sleep(0.02)
    return False


async def busy(model: VllmModel, wanted: int) -> None:
    """Wait until so many requests are in flight."""
    with anyio.fail_after(5):
        while True:
            if own(model).busy == wanted:
                return
            await checkpoint()


@pytest.mark.anyio
async def test_tokens_go_in_and_come_out_with_their_version(folder: Path) -> None:
    said: list[str] = []
    log = folder.parent / "vllm.log"
    async with open_vllm(str(folder), Letters(), version=4, log=log, say=said.append) as model:
        as_model: Model = model
        as_sink: WeightSink = model
        reply = await as_model.generate(ask(OK))
        assert as_sink is model
    assert reply == Generation(
        text="1004 1004 1004",
        ids=reply.ids,
        logps=reply.logps,
        finish="length",
        spans=(Span(0, 3, 4),),
    )
    assert list(reply.ids) == [1004] * 3 and list(reply.logps) == [-0.5] * 3
    assert "is starting" in said[0] and "is ready" in said[-1]
    assert "--logprobs-mode processed_logprobs" in log.read_text()
    assert await gone(log)


@pytest.mark.parametrize("first", fake_vllm.HABITS)
@pytest.mark.anyio
async def test_an_answer_that_does_not_fit_is_a_model_error(folder: Path, first: int) -> None:
    async with start(folder) as model:
        with pytest.raises(ModelError, match=r"vLLM at http://127\.0\.0\.1:\d+ answered with"):
            await model.generate(ask(first))
        assert await model.generate(ask(OK))


@pytest.mark.anyio
async def test_a_refused_request_is_its_own_error_and_the_server_goes_on(folder: Path) -> None:
    async with start(folder, restarts=0) as model:
        with pytest.raises(ModelError, match="out of vocabulary"):
            await model.generate(ask(fake_vllm.REFUSE))
        with pytest.raises(ModelError, match="has no tokens"):
            await model.generate(ask())
        with pytest.raises(ModelError, match="leaves no room in a context of 64"):
            await model.generate(ask(*[OK] * 64))
        reply = await model.generate(ask(*[OK] * 62, max_tokens=9))
        assert len(reply.ids) == 2


@pytest.mark.anyio
async def test_a_crash_fails_what_is_in_flight_and_the_rest_waits_for_the_next_server(
    folder: Path,
) -> None:
    weights = folder.parent / "w.safetensors"
    weights.touch()
    failed: list[str] = []
    async with start(folder) as model:
        await model.push(5, str(weights))

        async def one(session: str) -> None:
            try:
                await model.generate(ask(fake_vllm.HANG, session=session))
            except ModelError as error:
                failed.append(str(error))

        async with anyio.create_task_group() as tasks:
            for index in range(3):
                tasks.start_soon(one, f"s{index}")
            await busy(model, 3)
            with pytest.raises(ModelError):
                await model.generate(ask(fake_vllm.CRASH))
        assert len(failed) == 3
        # The newest weights are there before anybody is served.
        assert list((await model.generate(ask(OK))).ids) == [1005] * 3
        paths = [path for path, _ in await calls(model)]
        assert paths.index("/finish_weight_update") < len(paths) - 1


@pytest.mark.anyio
async def test_a_server_that_fails_but_lives_is_not_started_again(folder: Path) -> None:
    async with start(folder, restarts=0) as model:
        with pytest.raises(ModelError, match="EngineCore encountered"):
            await model.generate(ask(fake_vllm.FAIL))
        assert await model.generate(ask(OK))


@pytest.mark.anyio
async def test_more_crashes_than_allowed_end_the_block_with_the_logs_last_lines(
    folder: Path,
) -> None:
    with pytest.raises(ServerDied, match=r"ended 2 times, and vllm\.restarts is 1(.|\n)*fake vLLM"):
        async with start(folder, restarts=1) as model:
            for _ in range(2):
                with pytest.raises(ModelError):
                    await model.generate(ask(fake_vllm.CRASH))
            await model.generate(ask(OK))
    assert await gone(folder.parent / "vllm.log")


async def fails(model: VllmModel, request: Request) -> None:
    with pytest.raises(ModelError):
        await model.generate(request)


@pytest.mark.anyio
async def test_a_server_that_is_stopped_is_replaced_like_one_that_crashed(folder: Path) -> None:
    said: list[str] = []
    async with start(folder, restarts=1, hang_s=0.8, say=said.append) as model:
        (first,) = alive(folder.parent / "vllm.log")
        async with anyio.create_task_group() as tasks:
            for index in range(2):
                tasks.start_soon(fails, model, ask(fake_vllm.HANG, session=f"s{index}"))
            await busy(model, 2)
            os.kill(first, signal.SIGSTOP)
        with anyio.fail_after(20):
            assert await model.generate(ask(OK))
        assert first not in alive(folder.parent / "vllm.log")
    assert any("no sign of life for 0.8 s" in line for line in said)


@pytest.mark.anyio
async def test_an_engine_that_hangs_behind_a_front_that_answers_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = folder.parent / "counts"
    counts.touch()
    monkeypatch.setenv("FAKE_VLLM_COUNTS", str(counts))
    said: list[str] = []
    async with start(folder, restarts=1, hang_s=0.8, say=said.append) as model:
        (first,) = alive(folder.parent / "vllm.log")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fails, model, ask(fake_vllm.HANG))
            await busy(model, 1)
            # A long generation is no hang: tokens come, though no answer.
            for _ in range(10):
                await anyio.sleep(0.2)
                with counts.open("ab") as file:
                    file.write(b"x")
            assert alive(folder.parent / "vllm.log") == [first]
        with anyio.fail_after(20):
            assert await model.generate(ask(OK))
    assert sum("no sign of life" in line for line in said) == 1


@pytest.mark.anyio
async def test_a_server_that_hangs_more_often_than_allowed_ends_the_block(folder: Path) -> None:
    with pytest.raises(ServerDied, match=r"ended 1 times, and vllm\.restarts is 0"):
        async with start(folder, restarts=0, hang_s=0.5) as model:
            os.kill(alive(folder.parent / "vllm.log")[0], signal.SIGSTOP)
            await fails(model, ask(OK))
            await model.generate(ask(OK))
    assert await gone(folder.parent / "vllm.log")


@pytest.mark.anyio
async def test_a_server_nobody_waits_for_may_be_as_quiet_as_it_likes(folder: Path) -> None:
    said: list[str] = []
    async with start(folder, restarts=0, hang_s=0.2, say=said.append) as model:
        assert await model.generate(ask(OK))
        await anyio.sleep(0.6)
        assert await model.generate(ask(OK))
    assert not any("sign of life" in line for line in said)


@pytest.mark.anyio
async def test_a_server_that_does_not_start_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_STILLBORN", "1")
    with pytest.raises(ServerDied, match=r"exit code 3 (.|\n)*too large for this machine"):
        async with start(folder):
            pytest.fail("it cannot have started")


@pytest.mark.anyio
async def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a model folder"):
        async with start(tmp_path):
            pytest.fail("it cannot have started")


@pytest.mark.anyio
async def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        find_python("/nowhere/python")


def test_the_server_dies_with_a_program_that_is_killed(folder: Path) -> None:
    program = f"""
import anyio, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_vllm_server import start, Path
async def main():
    async with start(Path({str(folder)!r})):
        print("up", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
    log = folder.parent / "vllm.log"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        assert alive(log)
        process.kill()
    assert anyio.run(gone, log)


@pytest.mark.anyio
async def test_cancelling_closes_the_connection(folder: Path) -> None:
    async with start(folder) as model:
        with anyio.move_on_after(0.1):
            await model.generate(ask(fake_vllm.HANG))
        assert own(model)._http.stats.open == 0 and own(model).busy == 0
        assert await model.generate(ask(OK))


# --- weights ---


@pytest.mark.anyio
async def test_an_update_goes_through_its_phases_in_order(folder: Path) -> None:
    weights = folder.parent / "w.safetensors"
    weights.touch()
    async with start(folder) as model:
        await model.push(7, str(weights))
        await model.push(8, str(weights))
        assert model.version == 8
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 8),)
        made = await calls(model)
    phases: list[list[Any]] = [
        ["/pause?mode=keep", {}],
        ["/start_weight_update", {}],
        ["/update_weights", {"update_info": {"path": str(weights)}}],
        ["/finish_weight_update", {"weight_version": "v7"}],
        ["/reset_prefix_cache?reset_running_requests=true", {}],
        ["/resume", {}],
    ]
    begin: list[list[Any]] = [["/update_weight_version", {"new_version": "v0"}]]
    begin.append(["/init_weight_transfer_engine", {"init_info": {}}])
    assert made[:8] == begin + phases
    assert [path for path, _ in made[8:]] == [path for path, _ in phases]


@pytest.mark.anyio
async def test_a_refused_update_is_a_typed_error_and_leaves_a_server_with_good_weights(
    folder: Path,
) -> None:
    good, bad = folder.parent / "good.safetensors", folder.parent / "bad.safetensors"
    good.touch()
    bad.touch()
    async with start(folder) as model:
        await model.push(1, str(good))
        with pytest.raises(WeightsRefused, match=r"did not take v2 .*no such tensor"):
            await model.push(2, str(bad))
        # A server of ours with weights nobody knows is replaced by one with the last good ones.
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 1),)
        with pytest.raises(UsageError, match="no weights at"):
            await model.push(3, str(folder / "none"))
        await model.push(3, str(good))
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 3),)


@pytest.mark.anyio
async def test_a_crash_in_an_update_is_retried_on_the_next_server(folder: Path) -> None:
    weights = folder.parent / "crash.safetensors"
    weights.touch()
    async with start(folder) as model:
        await model.push(1, str(weights))
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 1),)


@pytest.mark.anyio
async def test_somebody_elses_server_goes_on_after_a_failed_update_but_not_for_us(
    folder: Path,
) -> None:
    good, bad = folder.parent / "good.safetensors", folder.parent / "bad.safetensors"
    good.touch()
    bad.touch()
    async with start(folder) as server, open_vllm(own(server).url, Letters(), version=3) as model:
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 3),)
        with pytest.raises(WeightsRefused):
            await model.push(4, str(bad))
        assert (await calls(server))[-1] == ["/resume", {}]
        with pytest.raises(ModelError, match="push weights again"):
            await model.generate(ask(OK))
        await model.push(4, str(good))
        assert (await model.generate(ask(OK))).spans == (Span(0, 3, 4),)


@pytest.mark.anyio
async def test_dialogues_spread_over_servers_and_stay(folder: Path) -> None:
    async with start(folder) as first, start(folder) as second:
        urls = f"{own(first).url},{own(second).url}"
        async with open_vllm(urls, Letters()) as model:
            for index in range(6):
                model.open(f"s{index}")
                await model.generate(ask(OK, session=f"s{index}"))
            assert [endpoint.sessions for endpoint in model.endpoints] == [3, 3]
            homes = {name: one.home for name, one in model._sessions.items()}
            for index in range(6):
                await model.generate(ask(OK, session=f"s{index}"))
            assert homes == {name: one.home for name, one in model._sessions.items()}
            for index in range(6):
                model.close(f"s{index}")
            assert [endpoint.sessions for endpoint in model.endpoints] == [0, 0]


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(limits: Limits, tries: int, judged: Verdict) -> float:
        return 0.0

    monkeypatch.setattr(Limits, "_wait", at_once)


VLLM = ("/health", "/update_weight_version", "/metrics")
ANSWER = fake_vllm.generation(OK, 3)


def like_vllm(generate: Callable[[Peer], Awaitable[None]]) -> Script:
    """A server of vLLM's routes; `generate` answers, or does not answer, what asks for tokens."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if any(f" {route} " in request.decode() for route in VLLM):
                await peer.answer(b"{}")
            else:
                await generate(peer)

    return script


async def answers(peer: Peer) -> None:
    body = json.dumps(ANSWER).replace('"default"', '"v0"').encode()
    await peer.answer(body)


@pytest.mark.anyio
async def test_a_refused_call_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    refusals = ["429 Too Many Requests", "503 Service Unavailable", "500 Internal Server Error"]

    async def refuses(peer: Peer) -> None:
        if refusals:
            await peer.answer(b"{}", refusals.pop())
        else:
            await answers(peer)

    async with (
        open_misbehaving(like_vllm(refuses)) as server,
        open_vllm(server.url, Letters()) as model,
    ):
        assert list((await model.generate(ask(OK))).ids) == [1000] * 3
        stats = model.endpoints[0].limits.stats
    assert not refusals and stats.retries == 3 and stats.in_flight == 0


@pytest.mark.anyio
async def test_of_several_servers_another_one_answers_for_the_one_that_went(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_waiting(monkeypatch)
    gone = False

    async def goes(peer: Peer) -> None:
        if gone:
            await peer.stream.aclose()
        else:
            await answers(peer)

    async with (
        open_misbehaving(like_vllm(goes)) as first,
        open_misbehaving(like_vllm(answers)) as second,
        open_vllm(f"{first.url},{second.url}", Letters()) as model,
    ):
        for name in ("a", "b", "c", "d"):
            model.open(name)
            await model.generate(ask(OK, session=name))
        assert [endpoint.sessions for endpoint in model.endpoints] == [2, 2]
        gone = True
        for name in ("a", "b", "c", "d"):
            assert await model.generate(ask(OK, session=name))
        assert [endpoint.sessions for endpoint in model.endpoints] == [0, 4]
        assert [endpoint.failing for endpoint in model.endpoints] == [True, False]
        # With none left that works, the error says so.
        gone = False
        monkeypatch.setattr(model.endpoints[0], "_avoid_until", 0.0)
        model.open("e")
        await model.generate(ask(OK, session="e"))
        assert model.endpoints[0].sessions == 1
    assert not model.endpoints[0].busy and not model.endpoints[1].busy


@pytest.mark.anyio
async def test_requests_beyond_what_the_server_gets_at_once_wait_in_order() -> None:
    order: list[int] = []
    most = at_once = 0

    async def slowly(peer: Peer) -> None:
        nonlocal most, at_once
        at_once += 1
        most = max(most, at_once)
        first = json.loads(peer.requests[-1].partition(b"\r\n\r\n")[2])["token_ids"][1]
        await anyio.sleep(0.005)
        order.append(first)
        at_once -= 1
        await answers(peer)

    asked: list[int] = []
    async with (
        open_misbehaving(like_vllm(slowly)) as server,
        open_vllm(server.url, Letters(), live=2) as model,
    ):

        async def one(number: int) -> None:
            asked.append(number)
            await model.generate(ask(OK, number, session=f"s{number}"))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
                await until(lambda: len(asked) > number)  # noqa: B023 (called at once)
        assert model.endpoints[0]._http.stats.open <= 2
    assert most <= 2
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match=r"vLLM at http://127\.0\.0\.1:9: cannot connect"):
        async with open_vllm("http://127.0.0.1:9", Letters()):
            pytest.fail("nobody listens there")


# --- between GPUs, with stand-ins for what needs one ---


def some_weights(path: str) -> dict[str, torch.Tensor]:
    return {
        "model.embed_tokens.weight": torch.ones(4, 2),
        "model.norm.weight": torch.ones(2).half(),
    }


class FakeGroup:
    """Meets whoever is there; a broadcast lets the server's update end."""

    def __init__(self, signal: Path, error: RuntimeError | None = None) -> None:
        self.signal, self.error = signal, error
        self.joined: tuple[bytes, int] | None = None
        self.sent: list[tuple[int, ...]] = []

    def unique_id(self) -> bytes:
        return b"i" * 128

    def join(self, unique_id: bytes, size: int) -> None:
        self.joined = (unique_id, size)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.extend(tuple(tensor.shape) for tensor in tensors)
        self.signal.touch()


@pytest.fixture
def arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_VLLM_WEIGHTS", str(tmp_path / "arrived"))
    return tmp_path / "arrived"


DESCRIBED = {
    "names": ["model.embed_tokens.weight", "model.norm.weight"],
    "dtype_names": ["float32", "float16"],
    "shapes": [[4, 2], [2]],
}


async def push_by(route: NcclRoute | IpcRoute, model: VllmModel, path: Path) -> None:
    await anyio.Path(path).touch()
    async with open_http(own(model).url) as http:
        control = Control(own(model).url, http)
        await update_weights(control, route, "v1", str(path), fresh=True)


@pytest.mark.anyio
async def test_nccl_broadcasts_while_the_server_receives(folder: Path, arrival: Path) -> None:
    group = FakeGroup(arrival)
    async with start(folder) as model:
        await push_by(NcclRoute(some_weights, lambda: group), model, folder.parent / "w")
        made = dict(map(tuple, await calls(model)))
    assert group.joined == (b"i" * 128, 2) and group.sent == [(4, 2), (2,)]
    info = made["/init_weight_transfer_engine"]["init_info"]
    assert info["world_size"] == 2 and info["rank_offset"] == 1 and not info["packed"]
    assert made["/update_weights"]["update_info"] == DESCRIBED


@pytest.mark.anyio
async def test_a_broadcast_that_fails_does_not_leave_anybody_waiting(
    folder: Path, arrival: Path
) -> None:
    group = FakeGroup(arrival, RuntimeError("unhandled cuda error"))
    async with start(folder) as model:
        began = time.monotonic()
        with pytest.raises(WeightsRefused, match="NCCL: unhandled cuda error"):
            await push_by(NcclRoute(some_weights, lambda: group), model, folder.parent / "w")
        assert time.monotonic() - began < 5
        # The update is written down by another thread of the server, maybe a moment later.
        assert ["/resume", {}] in (await calls(model))[-2:]


@pytest.mark.anyio
async def test_ipc_keeps_the_memory_until_the_update_has_ended(folder: Path) -> None:
    shared: list[torch.Tensor] = []

    def share(weight: torch.Tensor) -> tuple[str, Any]:
        shared.append(weight)
        return "GPU-1", ("handle", len(shared))

    route = IpcRoute(some_weights, share)
    async with start(folder) as model:
        await push_by(route, model, folder.parent / "w")
        made = dict(map(tuple, await calls(model)))
    info = made["/update_weights"]["update_info"]
    assert info.pop("ipc_handles_pickled") and info == DESCRIBED
    assert len(shared) == 2 and route._held == {}
    assert route.environment == {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}
