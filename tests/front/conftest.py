"""The command line as a function, and a model small enough to train in a test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from duologue.cli import main
from duologue.jobs import _model


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Duologue = Callable[..., Done]

TINY = (
    "tiny.vocab=700", "tiny.hidden=32", "tiny.layers=1", "tiny.heads=2", "tiny.head_dim=16",
    "tiny.intermediate=64", "model.context=160", "model.max_tokens=24",
    "env.options={instructions = false}",
)  # fmt: skip
"""Settings under which the smallest model does something useful."""


def overrides(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-s", setting)]


@pytest.fixture
def duologue(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Duologue:
    """Run the command line in this process; the exit code says how it went."""

    def run(*words: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["duologue", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """`model init` reads as much text as a tiny tokenizer needs."""
    monkeypatch.setattr(_model, "CORPUS", 200)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder made by `model init` and a short `sft`."""
    home = tmp_path_factory.mktemp("models")
    words = sys.argv
    corpus = _model.CORPUS
    cold = overrides(
        *TINY, "coldstart.dialogues=300", "coldstart.steps=80", "coldstart.schedule.peak=1e-2"
    )
    try:
        _model.CORPUS = 200
        for command in (
            ["model", "init", home / "init", *overrides(*TINY)],
            ["sft", "--model", f"local:{home / 'init'}", "--run", home / "run", *cold],
        ):
            sys.argv = ["duologue", *map(str, command)]
            with pytest.raises(SystemExit) as left:
                main()
            assert left.value.code in (0, None)
    finally:
        sys.argv = words
        _model.CORPUS = corpus
    return home / "run" / "models" / "coldstart"


CHAT_CONTEXT = 8192

CHAT_FLAGS = (
    "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--served-model-name", "tiny",
    "--generation-config", "vllm",
    "--hf-overrides", f'{{"max_position_embeddings": {CHAT_CONTEXT}}}',
)  # fmt: skip

CHAT_SIZES = (
    "tiny.vocab=700", "tiny.hidden=64", "tiny.layers=1", "tiny.heads=2", "tiny.head_dim=32",
    "tiny.intermediate=64", "env.options={instructions = false}",
)  # fmt: skip
"""vLLM's CPU build has no heads of 16."""


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where `openai:tiny` is: a model that has learned to make calls, behind a real vLLM.

    For tests marked `vllm` only.
    """
    from duologue.agents.models.local._folder import load_tokenizer
    from duologue.agents.models.text._tokenizer import chat_template
    from duologue.agents.models.vllm._config import VllmConfig
    from duologue.agents.models.vllm._model import open_vllm

    home = tmp_path_factory.mktemp("chat")
    cold = ("coldstart.dialogues=300", "coldstart.steps=80", "coldstart.schedule.peak=1e-2")
    for words in (
        ["model", "init", home / "init"],
        ["sft", "--model", f"local:{home / 'init'}", "--run", home / "run", *overrides(*cold)],
    ):
        whole = [sys.executable, "-m", "duologue", *map(str, words), *overrides(*CHAT_SIZES)]
        subprocess.run(whole, check=True)
    folder = home / "run" / "models" / "coldstart"
    # Told of its tool in many words that it has never seen, so small a model only babbles.
    template = home / "silent.jinja"
    template.write_text("{%- set tools = none %}" + chat_template())
    server = open_vllm(
        str(folder),
        load_tokenizer(folder),
        settings=VllmConfig(args=(*CHAT_FLAGS, "--chat-template", str(template))),
        context=CHAT_CONTEXT,
        live=16,
        log=home / "vllm.log",
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as model:
        yield f"{model.endpoints[0].url}/v1"
