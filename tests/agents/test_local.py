from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from anyio.lowlevel import checkpoint

from duologue.agents.models import Generation, Model, Request, Sampling, WeightSink
from duologue.agents.models.local._attention import PackedAttention
from duologue.agents.models.local._folder import init_model, load_model, save_weights
from duologue.agents.models.local._head import token_log_probs
from duologue.agents.models.local._model import LocalModel, open_local
from duologue.agents.models.local._qwen3 import Qwen3, initialise
from duologue.agents.models.local._sampler import Sampler
from duologue.engine import ModelError, Span, UsageError

torch.set_num_threads(1)

CORPUS = ["<|im_start|>user\nWhat about the budget?<|im_end|>\n"] * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    sizes = {"hidden": 16, "heads": 2, "head_dim": 8, "intermediate": 24, "context": 256}
    init_model(path, corpus=CORPUS, seed=0, vocab=300, **sizes)
    return path


def save_other(folder: Path, file: Path, seed: int) -> Qwen3:
    """Weights that fit the model of `folder` but differ; returns the model they make."""
    model = copy.deepcopy(load_model(folder))
    initialise(model, seed)
    save_weights(model, file)
    return model


def ask(
    session: str,
    tokens: Sequence[int],
    seed: int = 0,
    max_tokens: int = 8,
    stop: tuple[int, ...] = (),
) -> Request:
    sampling = Sampling(max_tokens=max_tokens, stop=stop)
    return Request(session=session, seed=seed, tokens=tokens, sampling=sampling)


def assert_exact(
    model: Qwen3, prompt: Sequence[int], reply: Generation, span: Span | None = None
) -> None:
    """The reply's log-probabilities (in `span`) are those of a full forward pass of `model`."""
    start, end = (span.start, span.end) if span else (0, len(reply.ids))
    stream = torch.tensor([*prompt, *reply.ids[:end]])
    attend = PackedAttention([len(stream)])
    with torch.no_grad():
        hidden = model.hidden(stream, attend.positions_N, attend)[len(prompt) - 1 + start : -1]
        logp = token_log_probs(model, hidden, stream[len(prompt) + start :])[0]
    np.testing.assert_allclose(reply.logps[start:end], logp.numpy(), atol=1e-5)


class Gate:
    """Holds the sampler's thread before one of its steps until the test lets it go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before_step: int) -> None:
        self._step, self._left = Sampler.step, before_step
        self._reached, self._open = Event(), Event()
        gate = self

        def step(sampler: Sampler) -> Any:
            return gate.pass_through(sampler)

        monkeypatch.setattr(Sampler, "step", step)

    def pass_through(self, sampler: Sampler) -> Any:
        self._left -= 1
        if self._left == 0:
            self._reached.set()
            assert self._open.wait(20)
        return self._step(sampler)

    async def reached(self) -> None:
        while not self._reached.is_set():
            await checkpoint()

    def open(self) -> None:
        self._open.set()


async def talk(model: LocalModel, session: str, turns: int, pause: Random | None = None) -> bytes:
    """A dialogue of so many turns; everything that was sampled in it, as bytes."""
    random, record = Random(session), b""
    tokens = [random.randrange(100) for _ in range(random.randint(1, 20))]
    try:
        for turn in range(turns):
            for _ in range(pause.randrange(12) if pause else 0):
                await checkpoint()
            reply = await model.generate(ask(session, tokens, seed=turn, max_tokens=4 + turn))
            record += reply.ids.tobytes() + reply.logps.tobytes()
            tokens += [*reply.ids, *(random.randrange(100) for _ in range(random.randint(1, 9)))]
    finally:
        model.close(session)
    return record


@pytest.mark.anyio
async def test_many_dialogues_share_batches_and_every_token_is_exact(folder: Path) -> None:
    reference = load_model(folder)
    async with open_local(folder, slots=16) as model:

        async def dialogue(name: str) -> None:
            tokens = [len(name), 5]
            model.open(name)
            for turn in range(3):
                reply = await model.generate(ask(name, tokens, seed=turn))
                assert_exact(reference, tokens, reply)
                assert reply.spans == (Span(0, 8, 0),) and reply.finish == "length"
                tokens += [*reply.ids, 3]
            model.close(name)

        async with anyio.create_task_group() as tasks:
            for i in range(40):
                tasks.start_soon(dialogue, f"s{i}")
        assert model.stats.tokens == 40 * 3 * 8
        assert model.stats.rows_per_step > 8


@pytest.mark.anyio
async def test_the_stop_token_is_kept_but_not_spoken(folder: Path) -> None:
    async with open_local(folder, version=4) as model:
        free = await model.generate(ask("s", [1, 2], seed=5))
        stop = free.ids[3]
        model_verb: Model = model
        reply = await model_verb.generate(ask("s", [1, 2], seed=5, stop=(299, stop)))
    cut = free.ids.index(stop)
    assert reply.ids == free.ids[: cut + 1] and reply.finish == "stop"
    assert free.text.startswith(reply.text) and reply.text != free.text
    assert reply.spans == (Span(0, cut + 1, 4),)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [((), "'s' has no tokens"), ([1] * 256, "256 tokens.*256"), ([1, 5000], "token 5000")],
)
async def test_a_bad_request_fails_alone(
    folder: Path, tokens: Sequence[int], complaint: str
) -> None:
    async with open_local(folder) as model:
        with pytest.raises(ModelError, match=complaint):
            await model.generate(ask("s", tokens))
        assert len((await model.generate(ask("s", [1]))).ids) == 8


@pytest.mark.anyio
async def test_a_cancelled_reply_is_forgotten_and_its_neighbours_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, gate = load_model(folder), Gate(monkeypatch, before_step=5)
    async with open_local(folder) as model, anyio.create_task_group() as tasks:

        async def neighbour() -> None:
            assert_exact(reference, [4], await model.generate(ask("n", [4], max_tokens=250)))

        tasks.start_soon(neighbour)
        scope, gone = anyio.CancelScope(), anyio.Event()

        async def cancelled() -> None:
            with scope:
                await model.generate(ask("s", [1, 2], max_tokens=250))
                raise AssertionError("it was cancelled")
            gone.set()

        tasks.start_soon(cancelled)
        await gate.reached()
        scope.cancel()
        await gone.wait()
        gate.open()
        reply = await model.generate(ask("s", [1, 2, 3], seed=1))
        assert_exact(reference, [1, 2, 3], reply)


@pytest.mark.anyio
async def test_new_weights_arrive_between_two_tokens(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, before_step=20)
    models = {0: load_model(folder), 9: save_other(folder, tmp_path / "w", seed=9)}
    async with open_local(folder) as model, anyio.create_task_group() as tasks:

        async def dialogue(name: str, prompt: list[int]) -> None:
            reply = await model.generate(ask(name, prompt, max_tokens=40))
            # The step at the gate runs to its end; the weights come after it.
            assert reply.spans == (Span(0, 20, 0), Span(20, 40, 9))
            for span in reply.spans:
                assert_exact(models[span.version], prompt, reply, span)

        for i in range(5):
            tasks.start_soon(dialogue, f"s{i}", [i + 1] * 4)
        await gate.reached()
        async with anyio.create_task_group() as pushing:
            sink: WeightSink = model
            pushing.start_soon(sink.push, 9, str(tmp_path / "w"))
            await checkpoint()
            await checkpoint()
            gate.open()
        assert model.version == 9
        reply = await model.generate(ask("new", [1]))
        assert reply.spans == (Span(0, 8, 9),)


@pytest.mark.anyio
async def test_weights_that_do_not_fit_leave_the_old_ones(folder: Path, tmp_path: Path) -> None:
    async with open_local(folder) as model:
        before = await model.generate(ask("s", [1]))
        with pytest.raises(UsageError, match="nothing is missing"):
            await model.push(1, str(tmp_path / "nothing"))
        (tmp_path / "junk").write_bytes(b"junk")
        with pytest.raises(UsageError, match="not a whole safetensors"):
            await model.push(1, str(tmp_path / "junk"))
        assert model.version == 0
        assert (await model.generate(ask("t", [1]))).ids == before.ids


@pytest.mark.anyio
async def test_a_failing_step_fails_its_batch_and_the_service_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, failures = Sampler.step, iter([RuntimeError("out of memory")])

    def broken(self: Sampler) -> Any:
        if self.live == 3:
            for failure in failures:
                raise failure
        return step(self)

    monkeypatch.setattr(Sampler, "step", broken)
    caught: list[ModelError] = []
    async with open_local(folder) as model:

        async def dialogue(name: str) -> None:
            try:
                await model.generate(ask(name, [1, 2]))
            except ModelError as error:
                caught.append(error)

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(dialogue, name)
        assert len(caught) == 3
        assert all("out of memory" in str(error) for error in caught)
        assert all(isinstance(error.__cause__, RuntimeError) for error in caught)
        assert_exact(load_model(folder), [1, 2], await model.generate(ask("a", [1, 2])))


@pytest.mark.anyio
@pytest.mark.parametrize("lockstep", [False, True])
async def test_leaving_the_block_ends_what_is_waiting(folder: Path, lockstep: bool) -> None:
    errors: list[ModelError] = []

    async def dialogue(model: LocalModel) -> None:
        with pytest.raises(ModelError, match="was closed") as caught:
            await model.generate(ask("s", [1], max_tokens=250))
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks, open_local(folder, lockstep=lockstep) as model:
        model.open("s")
        model.open("t")
        tasks.start_soon(dialogue, model)
        for _ in range(3):
            await checkpoint()
    assert len(errors) == 1
    with pytest.raises(ModelError, match="was closed"):
        await model.generate(ask("s", [1]))
    with pytest.raises(ModelError, match="was closed"):
        await model.push(1, "anything")


@pytest.mark.anyio
async def test_an_exception_of_the_caller_leaves_the_block_as_it_is(folder: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_local(folder):
            raise KeyError("mine")
    with pytest.raises(UsageError, match="no model folder"):
        async with open_local(folder / "nowhere"):
            pass


@pytest.mark.anyio
async def test_closing_a_session_answers_its_request(folder: Path) -> None:
    async with open_local(folder) as model, anyio.create_task_group() as tasks:

        async def dialogue() -> None:
            with pytest.raises(ModelError, match="'s' was closed"):
                await model.generate(ask("s", [1], max_tokens=250))

        tasks.start_soon(dialogue)
        await checkpoint()
        await checkpoint()
        with pytest.raises(UsageError, match="one at a time"):
            await model.generate(ask("s", [1]))
        model.close("s")


def converse(folder: Path, backend: str, order: int, weights: str) -> dict[str, bytes]:
    """Twelve dialogues in lockstep, of different lengths, with weights pushed in the middle."""

    async def main() -> dict[str, bytes]:
        shuffle, records = Random(order), dict[str, bytes]()
        names = [f"s{i}" for i in range(12)]
        shuffle.shuffle(names)
        async with open_local(folder, lockstep=True, slots=5) as model:

            async def dialogue(name: str, turns: int, part: str) -> None:
                records[name + part] = await talk(model, name, turns, pause=shuffle)

            for part in ("first", "second"):
                for name in names:
                    model.open(name)
                async with anyio.create_task_group() as tasks:
                    for name in names:
                        tasks.start_soon(dialogue, name, 1 + int(name[1:]) % 4, part)
                await model.push(1, weights)
        return records

    return anyio.run(main, backend=backend)


def test_lockstep_repeats_itself_to_the_bit(folder: Path, tmp_path: Path) -> None:
    save_other(folder, tmp_path / "w", seed=3)
    first = converse(folder, "asyncio", 0, str(tmp_path / "w"))
    assert len(first) == 24 and len(set(first.values())) == 24
    for backend, order in (("asyncio", 1), ("trio", 2), ("trio", 3)):
        assert converse(folder, backend, order, str(tmp_path / "w")) == first


@pytest.mark.anyio
async def test_lockstep_waits_for_every_open_session(folder: Path) -> None:
    async with open_local(folder, lockstep=True) as model, anyio.create_task_group() as tasks:
        answered: list[str] = []

        async def dialogue(name: str) -> None:
            await model.generate(ask(name, [1]))
            answered.append(name)

        with pytest.raises(UsageError, match="not open"):
            await model.generate(ask("a", [1]))
        for name in "abc":
            model.open(name)
        tasks.start_soon(dialogue, "b")
        tasks.start_soon(dialogue, "a")
        for _ in range(50):
            await checkpoint()
        assert answered == [] and model.stats.steps == 0
        model.close("c")
        while len(answered) < 2:
            await checkpoint()
        assert model.stats.steps == 8


@pytest.mark.anyio
async def test_a_cancelled_request_in_lockstep_does_not_go_with_the_batch(folder: Path) -> None:
    async with open_local(folder, lockstep=True) as model:
        model.open("a")
        model.open("b")
        with anyio.move_on_after(0):
            await model.generate(ask("a", [1]))
        model.close("a")
        assert len((await model.generate(ask("b", [1]))).ids) == 8
        assert model.stats.rows_per_step == 1


def test_cancelling_at_any_moment_leaves_the_model_serving(folder: Path) -> None:
    reference = load_model(folder)

    async def scenario(passes: int) -> None:
        async with open_local(folder) as model:
            with anyio.CancelScope() as scope:

                async def axe() -> None:
                    for _ in range(passes):
                        await checkpoint()
                    scope.cancel()

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(axe)
                    for name in "ab":
                        tasks.start_soon(talk, model, name, 3)
            with anyio.fail_after(20):
                reply = await model.generate(ask("a", [2, 3]))
            assert_exact(reference, [2, 3], reply)

    run: Callable[..., Any] = anyio.run
    for passes in (0, 1, 2, 3, 5, 8, 10, 15, 30, 100):
        for backend in ("asyncio", "trio"):
            run(scenario, passes, backend=backend)
