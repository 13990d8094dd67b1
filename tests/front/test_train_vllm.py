"""Training against a vLLM server that somebody else runs. Run by `make test-vllm`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from duologue.agents.models.local._folder import load_tokenizer
from duologue.agents.models.vllm._model import open_vllm
from duologue.engine import Fate, open_reader

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

Duologue = Callable[..., Any]

TALK = (
    "env.options={instructions = false}", "model.context=256", "model.max_tokens=24",
    "env.max_turns=3", "rollout.samples=4", "rollout.live=32", "train.groups_per_step=4",
    "train.checkpoint_every=2",
)  # fmt: skip
SIZES = (
    "tiny.vocab=700", "tiny.hidden=64", "tiny.layers=1", "tiny.heads=2", "tiny.head_dim=32",
    "tiny.intermediate=64", "env.options={instructions = false}", "coldstart.dialogues=300",
    "coldstart.steps=80", "coldstart.schedule.peak=1e-2",
)  # fmt: skip


def overrides(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-s", setting)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, str]]:
    """A model that makes calls, and the address of its server."""
    home = tmp_path_factory.mktemp("models")
    for words in (
        ["model", "init", home / "init"],
        ["sft", "--model", f"local:{home / 'init'}", "--run", home / "run"],
    ):
        whole = [sys.executable, "-m", "duologue", *map(str, words), *overrides(*SIZES)]
        subprocess.run(whole, check=True)
    folder = home / "run" / "models" / "coldstart"
    server = open_vllm(
        str(folder), load_tokenizer(folder), context=256, live=32, log=home / "vllm.log"
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as model:
        yield folder, model.endpoints[0].url


def test_a_server_of_somebody_elses_is_trained_with(
    served: tuple[Path, str], duologue: Duologue, tmp_path: Path
) -> None:
    folder, url = served
    for name in ("first", "second"):
        # The second run finds the weights that the first one left there, and must not sample them.
        words = ["train", "--model", f"vllm:{url}", "--run", tmp_path / name, "--json"]
        done = duologue(*words, *overrides(*TALK, "train.steps=4"))
        assert done.code == 0, done.err
        assert done.json["version"] == done.json["steps"] == 4
        assert done.json["own"]["tokens"] > 0
        assert done.json["own"]["gap_max"] <= 1e-3
        with open_reader(tmp_path / name / "run.db") as reader:
            assert reader.fates("train")[Fate.TRAINED] > 0
    done = duologue("train", "--resume", "--run", tmp_path / "second", "--json")
    assert done.code in (0, 2), done.err  # it has finished; nothing may be broken by asking
    longer = ["train", "--model", f"vllm:{url}", "--run", tmp_path / "gone"]
    died = subprocess.run(
        [
            sys.executable, "-c",
            ("import os, sys\n"
            "from duologue.train import _loop\n"
            "told = _loop._Trainer._step\n"
            "async def step(self, number):\n"
            "    if number == 3: os._exit(9)\n"
            "    return await told(self, number)\n"
            "_loop._Trainer._step = step\n"
            "from duologue.cli import main\n"
            "main()"),
            *map(str, longer), *overrides(*TALK, "train.steps=5"),
        ],
        check=False,
    )  # fmt: skip
    assert died.returncode == 9
    done = duologue("train", "--resume", "--run", tmp_path / "gone", "--json")
    assert done.code == 0, done.err
    assert done.json["own"]["gap_max"] <= 1e-3
    assert (tmp_path / "gone" / "models" / "trained" / "config.json").is_file()
    assert folder.is_dir()
