"""What ships: every package, under one name, with the public names that were agreed on."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import duologue
from duologue.envs import Gym

ROOT = Path(__file__).parents[1]
ROOMS = ("engine", "agents", "envs", "train")

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree beside the tests"
)


def test_every_package_is_listed() -> None:
    """An unlisted one still works in editable mode and vanishes from the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["tool"]["setuptools"]["packages"]
    found: set[str] = set()
    for room in ROOMS:
        for file in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("duologue", *file.parent.relative_to(ROOT).parts)))
    source = ROOT / "src"
    for file in (source / "duologue").rglob("__init__.py"):
        parts = file.parent.relative_to(source).parts
        if len(parts) == 1 or parts[1] not in ROOMS:
            found.add(".".join(parts))
    assert sorted(listed) == sorted(found)
    assert len(listed) == len(set(listed))


def test_every_folder_with_modules_is_a_package() -> None:
    for room in (*ROOMS, "src/duologue"):
        for file in (ROOT / room).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), file


@pytest.mark.parametrize("room", ROOMS)
def test_links_lead_to_the_rooms(room: str) -> None:
    link = ROOT / "src" / "duologue" / room
    if not link.is_symlink():
        pytest.skip(f"{link} is no link here")
    assert link.resolve() == ROOT / room


def test_entry_points_lead_to_environments_of_their_names() -> None:
    ours = [
        p for p in entry_points(group="duologue.environments") if p.value.startswith("duologue")
    ]
    assert {point.name for point in ours} >= {"intention"}
    for point in ours:
        gym = point.load()
        assert isinstance(gym, Gym) and gym.name == point.name
    (script,) = [p for p in entry_points(group="console_scripts") if p.name == "duologue"]
    assert callable(script.load())


def test_front_doors_names_are_these_and_lead_somewhere() -> None:
    assert dir(duologue) == FRONT.split()
    assert all(getattr(duologue, name) is not None for name in dir(duologue))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = duologue.nothing  # pyright: ignore


@pytest.mark.parametrize("package", ["agents", "agents.models", "engine.faults", "envs", "train"])
def test_public_names_are_these(package: str) -> None:
    """Those of the engine are frozen in its own tests. A name that goes is a change for users."""
    module = importlib.import_module(f"duologue.{package}")
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, type(importlib))
    }
    assert public == set(PUBLIC[package].split())


FRONT = """
Board DuologueError End Env Fate Gym Observer Seed SharedAgent Step Task Trajectories Trajectory
Turn UsageError Watch group_advantages open_agent open_reader open_rollouts relaxed_collector
trajectory_score turn_credits
"""

PUBLIC = {
    "agents": """
        ChatML CHOICES read_calls SCHEMA TextAgent TokenAgent TOOL Transcript whole_text
        write_call
    """,
    "agents.models": """
        ask_json CassetteModel Generation Model open_cassette Request Sampling ScriptedModel
        WeightSink
    """,
    "engine.faults": """
        Attempt attempt_at check_invariants ENGINE_KINDS Fault FaultLedger FaultPlan FaultReport
        Faults FaultTally faulty_groups faulty_handler FaultyBuffer FaultyDialogues FaultyLink
        GOES_ON Hit Injected Injection InvariantBroken Kind LinkStats make_store_faulty
        MessageRefused open_faulty_link Resources Site Surprise tear Where
    """,
    "envs": """
        ask_voice Check check_gym Conformance Env EnvSeat find Gym make_dialogues MakeAgent
        MakeScript MakeVoices Manner mixtures ModelVoice names OfficialConfig OfficialEnv Persona persona
        PERSONAS register_gymnasium say_voice Script scripted_agent Step token_agent Voice
    """,
    "train": """
        ColdStartConfig EvalConfig evaluate Evaluation group_advantages LearnerDied learning_rate
        LossConfig Measure Measured open_learner open_training Progress RemoteLearner Schedule
        Scored shape Shaping TrainConfig trajectory_score turn_credits
    """,
}
