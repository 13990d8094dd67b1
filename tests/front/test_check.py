"""`duologue env check`: the kit from the command line, on our gyms and on somebody's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OWN = """
from duologue.engine import Action, Message, Task
from duologue.envs import Gym, Step

ROUNDS = [0]


class Parrot:
    def prompt(self):
        return [Message("user", "Say something.")]

    async def step(self, action):
        ROUNDS[0] += 1
        return Step(feedback=f"{action.content} {ROUNDS[0]}", reward=0.5, done=True)


def tasks(split, seed):
    number = 0
    while True:
        number += 1
        yield Task(env="parrot", id=f"{split}-{number}", split=split, data={"n": f"{split}{number}"})


def say(task, rng):
    return lambda messages: Action("action", "hello")


gym = Gym(name="parrot", tasks=tasks, make=lambda task, seed: Parrot(), scripts={"expert": say})
"""


def check(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duologue", "env", "check", name, "--json"],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", ["intention", "function"])
def test_our_gyms_keep_the_rules(tmp_path: Path, name: str) -> None:
    done = check(tmp_path, name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {one["status"] for one in json.loads(done.stdout)["checks"]} == {"passed"}


def test_state_shared_between_dialogues_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "parrot.py").write_text(OWN)
    done = check(tmp_path, "parrot:gym")
    assert done.returncode == 1, done.stdout + done.stderr
    failed = {one["name"] for one in json.loads(done.stdout)["checks"] if one["status"] == "failed"}
    assert "determinism" in failed
    assert "Traceback" not in done.stderr


def test_the_installed_command_finds_a_gym_in_the_folder_one_stands_in(tmp_path: Path) -> None:
    (tmp_path / "parrot.py").write_text(OWN)
    command = Path(sys.executable).with_name("duologue")
    done = subprocess.run(
        [command, "env", "show", "parrot:gym"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "parrot" in done.stdout
