"""Which way the arrows point, and what the engine may bring in."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duologue import engine

MAY_IMPORT = {
    "engine": {"engine"},
    "agents": {"agents", "engine"},
    "envs": {"envs", "agents", "engine"},
    "train": {"train", "envs", "agents", "engine"},
}
FRONT_DOOR = "the front door"


def test_the_engine_brings_in_no_model_library_and_no_second_loop() -> None:
    code = "import sys, duologue.engine\nprint(*sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert "duologue" in loaded
    assert not loaded & {"torch", "vllm", "numpy", "transformers", "openai", "pyarrow", "trio"}


def rooms_imported(source: str, package: str) -> Iterator[str]:
    """The rooms that a module of `package` imports, lazily and for type checking included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package)
            targets = [f"{base}.{name.name}" for name in node.names]
        else:
            continue
        for target in targets:
            top, _, rest = target.partition(".")
            room = rest.partition(".")[0]
            if top == "duologue":
                yield room if room in MAY_IMPORT else FRONT_DOOR


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    spec = importlib.util.find_spec(f"duologue.{room}")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    wrong: list[str] = []
    for file in sorted(folder.rglob("*.py")):
        package = ".".join(("duologue", room, *file.relative_to(folder).parts[:-1]))
        for target in rooms_imported(file.read_text(), package):
            if target not in MAY_IMPORT[room]:
                wrong.append(f"{room}/{file.relative_to(folder)} imports {target}")
    assert not wrong


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from ..train import x", {"train"}),
        ("from .. import train", {"train"}),
        ("from ... import report", {FRONT_DOOR}),
        ("from ...envs._env import x", {"envs"}),
        ("import duologue.envs.tau", {"envs"}),
        ("import duologue", {FRONT_DOOR}),
        ("from duologue import run", {FRONT_DOOR}),
        ("def f():\n    from duologue.train import x", {"train"}),
        ("import os, msgspec\nfrom ._x import y", {"agents"}),
    ],
)
def test_the_arrow_test_sees_every_way_to_import(source: str, rooms: set[str]) -> None:
    package = "duologue.agents" if source.startswith(("from .. ", "from ..t", "import os")) else ""
    assert set(rooms_imported(source, package or "duologue.agents.models")) == rooms


def test_the_public_names_are_these() -> None:
    public = {
        name
        for name, value in vars(engine).items()
        if not name.startswith("_") and not isinstance(value, type(engine))
    }
    assert public == set(PUBLIC.split())


PUBLIC = """
Action Actor ActorStats Agent Board Buffer BufferClosed BufferStats CAPACITY_BYTES Carried checkpoint converse
Credits Dialogue DuologueError End Entry EnvError Environment Fate first_fate Group Hop join_observers
JudgeError Key Lateness Lineage Lot Mailbox MailboxClosed MailboxStats MakeDialogue MayRetry
Message ModelError Observation Observer one_error Offender OneShot open_actor open_lateness open_reader
open_rollouts open_store open_watchdog OpenGroup Outcome pack_tokens PartyError Phase Reader
relaxed_collector Reply Role RolloutConfig Rollouts RolloutStats Seed Service ServiceRole
Slot Snapshot Span Stall Stalled Store Stored StoreError StoreStats Taken Task Tokens Trajectory
Turn UsageError UserError Wait Waiting Watch
"""
