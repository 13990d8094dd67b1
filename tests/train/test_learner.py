"""The learner's process: its steps, its versions, and every way it can end."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from duologue.agents.models.local._folder import load_model
from duologue.engine import Key, pack_tokens
from duologue.train import LearnerDied, open_learner
from duologue.train._checkpoint import newest, pack_keys
from duologue.train._learner import Learner, serve
from duologue.train._loss_config import LossConfig
from duologue.train._wire import (
    Answer,
    Broken,
    Order,
    PolicyBatch,
    Ready,
    Save,
    SaveCheckpoint,
    Setup,
    SupervisedBatch,
    Trained,
    WireSample,
    body_length,
    decode_answer,
    frame,
)


def setup(model: Path, weights: Path, **changes: Any) -> Setup:
    weights.mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "model": str(model), "weights_dir": str(weights), "device": "cpu", "threads": 1,
        "bf16": False, "deterministic": True, "version": 5, "next_version": 9,
        "budget_tokens": 64, "max_grad_norm": 1.0, "temperature": 1.0, "loss": LossConfig(),
    }  # fmt: skip
    return Setup(**{**settings, **changes})


def samples(*advantages: float) -> tuple[WireSample, ...]:
    return tuple(
        WireSample(
            key=Key(0, number),
            tokens=pack_tokens(
                [number, 3, 4, 5, 6], [0, 0, 1, 1, 1], [0, 0, -5.5, -5.5, -5.5], turns=[2]
            ),
            advantages=(advantage,),
        )
        for number, advantage in enumerate(advantages)
    )


def policy(step: int, *advantages: float) -> PolicyBatch:
    return PolicyBatch(step=step, learning_rate=1e-2, samples=samples(*advantages))


def flat(folder: Path) -> torch.Tensor:
    model = load_model(folder)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[anyio.abc.Process]:
    """The processes that are opened, in order."""
    opened: list[anyio.abc.Process] = []
    open_process = anyio.open_process

    async def opens(*args: Any, **kwargs: Any) -> anyio.abc.Process:
        opened.append(await open_process(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(anyio, "open_process", opens)
    return opened


@pytest.mark.anyio
async def test_steps_are_taken_and_versions_count_only_those_that_changed_something(
    tiny: Path, tmp_path: Path, processes: list[anyio.abc.Process]
) -> None:
    weights = tmp_path / "weights"
    async with open_learner(setup(tiny, weights), log=tmp_path / "log") as learner:
        assert learner.ready == Ready(parameters=flat(tiny).numel(), device="cpu")
        first = await learner.improve(policy(0, 1.0, -1.0))
        assert (first.step, first.version) == (0, 9)
        assert first.weights == str(weights / "v9.safetensors")
        assert first.stats["skipped"] is None and first.stats["sequences"] == 2

        empty = await learner.improve(policy(1))
        broken = await learner.improve(policy(2, math.nan))
        for skipped, why in ((empty, "empty"), (broken, "loss")):
            assert (skipped.version, skipped.weights) == (9, None)
            assert skipped.stats["skipped"] == why

        await learner.save(tmp_path / "first")
        second = await learner.improve(policy(3, -1.0, 1.0, 0.5))
        third = await learner.improve(policy(4, 1.0))
        assert (second.version, third.version) == (10, 11)

        order = SupervisedBatch(step=7, learning_rate=1e-2, samples=samples(1.0, 1.0))
        imitated = await learner.imitate(order)
        assert (imitated.step, imitated.version, imitated.weights) == (7, 11, None)
        again = await learner.imitate(order)
        assert again.stats["loss"] < imitated.stats["loss"]

    # The sampler may still read the file before the newest; older ones are gone.
    assert sorted(os.listdir(weights)) == ["v10.safetensors", "v11.safetensors"]
    assert third.weights is not None
    # What the sampler is fed is what was trained: loaded over the first model's shape, they fit.
    fed = load_file(third.weights)
    assert sum(weight.numel() for weight in fed.values()) == flat(tiny).numel()
    assert processes[0].returncode == 0
    assert (tmp_path / "log").read_bytes() == b""
    assert not torch.equal(flat(tmp_path / "first"), flat(tiny))


def obey(learner: Learner, order: Order) -> Trained:
    answer = learner.obey(order)
    assert isinstance(answer, Trained)
    return answer


def same_weights(one: str | Path | None, other: str | Path | None) -> bool:
    assert one is not None and other is not None
    left, right = load_file(one), load_file(other)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def test_policy_checkpoint_and_pushed_weights_are_the_same_and_training_goes_on_from_them(
    tiny: Path, tmp_path: Path
) -> None:
    learner = Learner(setup(tiny, tmp_path / "w", deterministic=False))
    done = obey(learner, policy(0, 1.0, -1.0))
    learner.obey(Save(path=str(tmp_path / "saved")))
    path = tmp_path / "checkpoints" / "step-0000001"
    consumed = pack_keys([Key(0, 0), Key(0, 1)])
    learner.obey(SaveCheckpoint(path=str(path), step=1, consumed=consumed))
    ahead = obey(learner, policy(1, 0.5, -1.0))

    assert same_weights(done.weights, tmp_path / "saved" / "model.safetensors")
    assert same_weights(done.weights, path / "model.safetensors")
    found = newest(tmp_path / "checkpoints")
    assert found is not None and found.state.version == 9
    assert found.consumed == {Key(0, 0), Key(0, 1)}

    # From the checkpoint the next step comes out as it did, under a number of its own.
    later = setup(
        path, tmp_path / "w2", deterministic=False,
        version=9, next_version=20, checkpoint=str(path),
    )  # fmt: skip
    resumed = obey(Learner(later), policy(1, 0.5, -1.0))
    assert resumed.version == 20
    assert same_weights(ahead.weights, resumed.weights)


@pytest.mark.anyio
async def test_learner_that_is_killed_is_noticed_within_the_call_and_the_log_is_named(
    tiny: Path, tmp_path: Path, processes: list[anyio.abc.Process]
) -> None:
    log = tmp_path / "learner.log"

    async def improve() -> None:
        with anyio.fail_after(5), pytest.raises(LearnerDied, match=str(log)):
            await learner.improve(policy(0, 1.0))

    async with open_learner(setup(tiny, tmp_path / "w"), log=log) as learner:
        # Stopped, so that the kill surely comes between order and answer.
        processes[0].send_signal(signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(improve)
            await anyio.lowlevel.checkpoint()
            processes[0].kill()
        # And so does every later call.
        await improve()
        with anyio.fail_after(5), pytest.raises(LearnerDied, match=str(log)):
            await learner.save(tmp_path / "saved")
    assert processes[0].returncode == -signal.SIGKILL
    assert not (tmp_path / "saved").exists()


@pytest.mark.anyio
async def test_model_that_cannot_be_loaded_is_named(
    tmp_path: Path, processes: list[anyio.abc.Process]
) -> None:
    missing = tmp_path / "no-such-model"
    log = tmp_path / "learner.log"
    with pytest.raises(LearnerDied, match=f"{missing}.*{log}"):
        async with open_learner(setup(missing, tmp_path / "w"), log=log):
            raise AssertionError("a learner without a model must not open")
    assert processes[0].returncode == 1
    assert "Traceback" in log.read_text()


# ---------------------------------------------------------------- the other side gone


def receive(ours: socket.socket) -> Answer:
    answer: Answer = decode_answer(_exactly(ours, body_length(_exactly(ours, 4))))
    return answer


def _exactly(ours: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = ours.recv(count - len(data))
        assert part, "the learner hung up"
        data += part
    return data


def test_learner_process_leaves_when_the_engine_is_gone_in_the_middle_of_an_order(
    tiny: Path, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "duologue.train", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
    try:
        with ours:
            ours.sendall(frame(setup(tiny, tmp_path / "w")))
            assert isinstance(receive(ours), Ready)
            ours.sendall(frame(policy(0, 1.0))[:-3])
        output, _ = process.communicate(timeout=5)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, output) == (0, b"")


def test_answer_that_nobody_waits_for_ends_it_without_an_error_in_the_log(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(frame(setup(tiny, tmp_path / "w", deterministic=False)))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            serve(theirs)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (frame(Save(path="somewhere")), "first order must be Setup, not Save"),
        (frame(Broken(error="no order")), "ValidationError"),
    ],
    ids=["no setup", "no order"],
)
def test_what_is_no_order_is_answered_with_what_was_wrong(
    sent: bytes, error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        with pytest.raises(SystemExit):
            serve(theirs)
        answer = receive(ours)
    assert isinstance(answer, Broken) and error in answer.error
    assert "Traceback" in capfd.readouterr().err


def test_corrupt_stream_is_answered_and_not_obeyed(tiny: Path, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(setup(tiny, tmp_path / "w", deterministic=False)) + b"\xff" * 4)
        with pytest.raises(SystemExit):
            serve(theirs)
        assert isinstance(receive(ours), Ready)
        answer = receive(ours)
    assert isinstance(answer, Broken) and "corrupt" in answer.error
