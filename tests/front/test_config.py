"""Settings: a typo fails by name, and what a run stores reads back as what it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.config import (
    Config,
    EnvConfig,
    LearnerConfig,
    ModelConfig,
    TinyModelConfig,
    load_config,
    merge,
    to_toml,
)
from duologue.engine import RolloutConfig, UsageError
from duologue.train import (
    ColdStartConfig,
    EvalConfig,
    LossConfig,
    Schedule,
    Shaping,
    TrainConfig,
)
from duologue.train._loss_config import PRESETS


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- what wins


def test_no_settings_at_all_are_the_defaults() -> None:
    assert load_config(None) == Config()


def test_file_then_named_then_overrides_and_the_last_word_counts(tmp_path: Path) -> None:
    path = toml(tmp_path, "seed = 1\n[train]\nsteps = 10\ngroups_per_step = 3\n[rollout]\nlive = 7")
    named = {"train.steps": 20, "seed": 2}
    config = load_config(path, named, ["seed=3", "train.schedule.peak = 1e-3"])
    assert config.seed == 3
    assert (config.train.steps, config.train.groups_per_step, config.rollout.live) == (20, 3, 7)
    assert config.train.schedule.peak == 1e-3


def test_paths_are_settings_too() -> None:
    assert load_config(None, {"env.tasks": Path("a/b.json")}).env.tasks == "a/b.json"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("env.name=other", "other"),
        ('env.name="other"', "other"),
        ("env.name = two words", "two words"),
        ("env.name=a=b", "a=b"),
        ("env.name=", ""),
    ],
)
def test_text_needs_no_quotes_in_an_override(text: str, value: str) -> None:
    assert load_config(None, None, [text]).env.name == value


def test_overrides_take_any_toml_value() -> None:
    config = load_config(
        None,
        None,
        ["env.options={instructions = false, names = ['a', 1]}", "deterministic=true"],
    )
    assert config.env.options == {"instructions": False, "names": ["a", 1]}
    assert config.deterministic


def test_merging_goes_table_by_table_and_leaves_its_arguments_alone() -> None:
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    over = {"a": {"c": {"x": 4}}, "e": {"f": 5}}
    assert merge(tree, over) == {"a": {"b": 1, "c": {"d": 2, "x": 4}}, "e": {"f": 5}}
    assert tree == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sed=1", "unknown key 'sed'; did you mean 'seed'?"),
        ("train.step=1", "unknown key 'train.step'; did you mean 'steps'?"),
        ("train.schedule.peek=1.0", "unknown key 'train.schedule.peek'; did you mean 'peak'?"),
        ("train.loss.clip=1", "unknown key 'train.loss.clip'; did you mean 'clip_low'?"),
        ("eval.qqq=1", "unknown key 'eval.qqq'; known here: tasks, samples, temperature, split"),
        ("trian.steps=1", "unknown key 'trian'; did you mean 'train'?"),
        ("seed=abc", "seed: Expected `int`, got `str`"),
        ("train.steps=1.5", "train.steps: Expected `int`, got `float`"),
        ("train.schedule.peak=high", "train.schedule.peak: Expected `float`, got `str`"),
        ("train=3", "train: Expected `object`, got `int`"),
        ("train.steps=-1", "train: steps=-1 .* must not be negative"),
        ("rollout.samples=0", "rollout: samples is 0; it must be at least 1"),
        ("eval.samples=0", "eval: .*samples=0 must be at least 1"),
        ("model.max_tokens=0", "model: max_tokens is 0; it must be at least 1"),
        ("model.context=0", "model: context is 0; it must be at least 1"),
        ("model.threads=0", "model: threads is 0; it must be at least 1"),
        ("model.temperature=-0.5", "model: temperature is -0.5; it must not be negative"),
        ("learner.threads=0", "learner: threads is 0; it must be at least 1"),
        ("tiny.layers=0", "tiny: layers is 0; it must be at least 1"),
        ("tiny.kv_heads=2", "tiny: heads=3 .*kv_heads=2"),
        ("env.max_turns=-1", "env: max_turns is -1; it must not be negative"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(override: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"^the command line: {words}"):
        load_config(None, None, [override])


def test_file_with_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = toml(tmp_path, "[rollout]\nlives = 3\n")
    with pytest.raises(UsageError, match=rf"^{path}: unknown key 'rollout.lives'.*'live'"):
        load_config(path)


def test_malformed_file_is_named_with_the_line(tmp_path: Path) -> None:
    path = toml(tmp_path, "seed = 1\n[train\nsteps = 2\n")
    with pytest.raises(UsageError, match=rf"^{path} is not valid TOML: .*line 2"):
        load_config(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the configuration .*nowhere.toml: No such"):
        load_config(tmp_path / "nowhere.toml")


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not valid TOML"):
        load_config(path)


@pytest.mark.parametrize("text", ["seed", "=1", ".seed=1", "train.=1", "train..steps=1"])
def test_override_that_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form key\.path=value"):
        load_config(None, None, [text])


def test_override_below_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot set 'seed.x': 'seed' is a value, not a table"):
        load_config(None, {"seed": 3}, ["seed.x=1"])


# ---------------------------------------------------------------- there and back

NAME = st.text(max_size=12)
COUNT = st.integers(1, 10**6)
REAL = st.floats(1e-9, 1e9)
VALUE: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | NAME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)
SCHEDULE = st.builds(
    Schedule,
    peak=REAL,
    warmup_steps=st.integers(0, 99),
    decay_steps=st.none() | COUNT,
    floor=st.floats(0, 1),
)
CONFIGS = st.builds(
    Config,
    seed=st.integers(-(2**63), 2**63 - 1),
    deterministic=st.booleans(),
    env=st.builds(
        EnvConfig, name=NAME, tasks=NAME, options=st.dictionaries(NAME, VALUE, max_size=3)
    ),
    model=st.builds(ModelConfig, spec=NAME, temperature=st.floats(0, 9), max_tokens=COUNT),
    tiny=st.builds(TinyModelConfig, hidden=COUNT),
    rollout=st.builds(RolloutConfig, samples=COUNT, deadline_s=REAL, retry_budget=st.floats(0, 1)),
    coldstart=st.builds(ColdStartConfig, script=NAME, keep=st.floats(0.01, 1), schedule=SCHEDULE),
    train=st.builds(
        TrainConfig,
        steps=COUNT,
        shaping=st.builds(Shaping),
        loss=st.sampled_from(list(PRESETS.values())) | st.just(LossConfig(dual_clip=3.0)),
        schedule=SCHEDULE,
    ),
    learner=st.builds(LearnerConfig, bf16=st.booleans()),
    eval=st.builds(EvalConfig, tasks=COUNT, temperature=st.floats(0, 9)),
)


@given(CONFIGS)
def test_stored_settings_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(to_toml(config).encode())
    assert load_config(path) == config


def test_settings_are_utf8_whatever_the_machine_prefers(tmp_path: Path) -> None:
    """Python warns where a file is opened in the machine's own encoding; here that is an error."""
    toml(tmp_path, '[env.options]\nname = "Zürich"\n')
    code = (
        "import pathlib, anyio, warnings\n"
        "from duologue.config import load_config\n"
        "from duologue.rundir import open_run\n"
        "warnings.simplefilter('error', EncodingWarning)\n"
        "async def main():\n"
        "    async with open_run(pathlib.Path('run'), 'x', config):\n"
        "        pass\n"
        "config = load_config(pathlib.Path('settings.toml'))\n"
        "anyio.run(main)\n"
        "assert load_config(pathlib.Path('run/config.toml')) == config\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
