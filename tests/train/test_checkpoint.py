"""A saved policy, and a checkpoint, are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.models.local._folder import load_model, load_tokenizer
from duologue.agents.models.local._qwen3 import Qwen3, initialise
from duologue.engine import Key
from duologue.train import _checkpoint, _save
from duologue.train._checkpoint import (
    CONSUMED,
    OPTIMIZER,
    STATE,
    CheckpointError,
    State,
    checkpoint_path,
    newest,
    pack_keys,
    prune,
    read,
    unpack_keys,
)
from duologue.train._save import load_optimizer, read_companions, save_checkpoint, save_folder
from duologue.train._step import make_optimizer


def other(folder: Path, seed: int) -> Qwen3:
    model = load_model(folder)
    initialise(model, seed)
    return model


def flat(model: Qwen3) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def step(optimizer: torch.optim.AdamW) -> None:
    cast(Any, optimizer).step()  # untyped in torch


class DiskFull(OSError):
    pass


def failing(function: Any, at: int) -> Any:
    """`function`, except that its `at`-th call fails."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise DiskFull
        return function(*args, **kwargs)

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- policies


def test_saved_folder_loads_and_holds_the_very_weights(tiny: Path, tmp_path: Path) -> None:
    model = other(tiny, seed=1)
    target = tmp_path / "deep" / "trained"
    save_folder(model, target, read_companions(tiny))
    assert torch.equal(flat(load_model(target)), flat(model))
    assert load_tokenizer(target).to_str() == load_tokenizer(tiny).to_str()
    assert names(target) == names(tiny)
    assert names(target.parent) == ["trained"]


def test_existing_folder_is_replaced(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "trained"
    save_folder(other(tiny, seed=1), target, read_companions(tiny))
    (target / "note.txt").write_text("old")
    save_folder(other(tiny, seed=2), target, read_companions(tiny))
    assert torch.equal(flat(load_model(target)), flat(other(tiny, seed=2)))
    assert not (target / "note.txt").exists()
    assert names(tmp_path) == ["trained"]


def test_policy_may_be_saved_over_the_folder_it_came_from(tiny: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    save_folder(other(tiny, seed=1), home, read_companions(tiny))
    save_folder(other(tiny, seed=2), home, read_companions(home))
    assert torch.equal(flat(load_model(home)), flat(other(tiny, seed=2)))


@pytest.mark.parametrize(
    ("module", "name", "at"),
    [(Path, "write_bytes", 2), (_save, "save_weights", 1)],
)
def test_save_that_fails_leaves_the_old_policy_and_no_litter(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, at: int
) -> None:
    target = tmp_path / "trained"
    save_folder(other(tiny, seed=1), target, read_companions(tiny))
    with monkeypatch.context() as patch:
        patch.setattr(module, name, failing(getattr(module, name), at))
        with pytest.raises(DiskFull):
            save_folder(other(tiny, seed=2), target, read_companions(tiny))
    assert torch.equal(flat(load_model(target)), flat(other(tiny, seed=1)))
    assert names(tmp_path) == ["trained"]


def test_draft_that_a_crash_left_under_the_same_process_id_is_no_obstacle(
    tiny: Path, tmp_path: Path
) -> None:
    # In a container, the process that resumes often has the id of the one that crashed.
    (tmp_path / f".trained.{os.getpid()}.tmp").mkdir()
    (tmp_path / f".trained.{os.getpid()}.tmp" / "litter").touch()
    save_folder(other(tiny, seed=1), tmp_path / "trained", read_companions(tiny))
    assert names(tmp_path) == ["trained"]
    assert names(tmp_path / "trained") == names(tiny)


# ---------------------------------------------------------------- checkpoints


def trained(tiny: Path, seed: int = 1, steps: int = 2) -> tuple[Qwen3, torch.optim.AdamW]:
    """A model and an optimiser with moments in it."""
    model = other(tiny, seed)
    optimizer = make_optimizer(model)
    for _ in range(steps):
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, 0.25 * seed)
        step(optimizer)
    return model, optimizer


def save(tiny: Path, folder: Path, step: int, consumed: set[Key] | None = None) -> Path:
    model, optimizer = trained(tiny)
    save_checkpoint(
        model,
        optimizer,
        checkpoint_path(folder, step),
        read_companions(tiny),
        state=State(step=step, version=step + 3),
        consumed=pack_keys(consumed or {Key(1, 2)}),
    )
    return checkpoint_path(folder, step)


@given(st.sets(st.builds(Key, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))))
def test_keys_come_out_as_they_went_in(keys: set[Key]) -> None:
    assert unpack_keys(pack_keys(keys)) == keys


def test_checkpoint_holds_where_the_run_stood_and_loads_like_a_model(
    tiny: Path, tmp_path: Path
) -> None:
    consumed = {Key(3, 1), Key(0, 7)}
    path = save(tiny, tmp_path, 40, consumed)
    found = newest(tmp_path)
    assert found is not None and found.path == path
    assert (found.state.step, found.state.version) == (40, 43)
    assert set(found.consumed) == consumed
    assert torch.equal(flat(load_model(path)), flat(trained(tiny)[0]))
    assert names(tmp_path) == [path.name]


def test_optimiser_goes_on_exactly_where_it_was(tiny: Path, tmp_path: Path) -> None:
    path = save(tiny, tmp_path, 2)
    kept, kept_optimizer = trained(tiny)
    back = load_model(path)
    back_optimizer = make_optimizer(back)
    load_optimizer(back, back_optimizer, path)
    for model, optimizer in ((kept, kept_optimizer), (back, back_optimizer)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        for number, weight in enumerate(model.parameters()):
            weight.grad = torch.full_like(weight, 0.1 * number)
        step(optimizer)
    assert torch.equal(flat(kept), flat(back))


def test_optimiser_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = save(tiny, tmp_path, 2)
    model = load_model(tiny)
    next(model.parameters()).data = torch.zeros(3, 3)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_optimizer(model, make_optimizer(model), path)


def test_latest_checkpoint_is_the_one_with_the_most_steps(tiny: Path, tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere") is None
    assert newest(tmp_path) is None
    for step in (100, 0, 20):
        save(tiny, tmp_path, step)
    found = newest(tmp_path)
    assert found is not None and found.state.step == 100


@pytest.mark.parametrize("name", ["model.safetensors", OPTIMIZER, CONSUMED, "tokenizer.json"])
@pytest.mark.parametrize("damage", ["lost", "cut", "flipped"])
def test_damage_is_found_and_named_with_the_way_back(
    tiny: Path, tmp_path: Path, name: str, damage: str
) -> None:
    save(tiny, tmp_path, 10)
    file = save(tiny, tmp_path, 20) / name
    data = file.read_bytes()
    match damage:
        case "lost":
            file.unlink()
        case "cut":
            file.write_bytes(data[:-1])
        case _:
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=f"{name} is missing or damaged; remove it to go"):
        newest(tmp_path)
    shutil.rmtree(file.parent)
    found = newest(tmp_path)
    assert found is not None and found.state.step == 10


@pytest.mark.parametrize("state", [None, b"", b"{", b'{"step": 1}'])
def test_unreadable_state_is_an_error_and_not_an_older_run(
    tiny: Path, tmp_path: Path, state: bytes | None
) -> None:
    file = save(tiny, tmp_path, 10) / STATE
    file.unlink()
    if state is not None:
        file.write_bytes(state)
    with pytest.raises(CheckpointError, match=f"{STATE} cannot be read.*no earlier one is there"):
        newest(tmp_path)


def test_checkpoint_of_a_later_release_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = save(tiny, tmp_path, 10)
    text = (path / STATE).read_text()
    (path / STATE).write_text(text.replace('"format":2', '"format":3'))
    with pytest.raises(CheckpointError, match="has format 3, this release reads 2"):
        read(path)


@pytest.mark.parametrize(
    ("module", "name", "at"),
    [
        (_save, "save_weights", 1),
        (_save, "save_file", 1),
        (_checkpoint, "_digest", 2),
        (_checkpoint, "sync", 3),
        (os, "rename", 1),
    ],
)
def test_checkpoint_that_fails_half_way_was_never_there(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, at: int
) -> None:
    save(tiny, tmp_path, 10)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, failing(getattr(module, name), at))
        with pytest.raises(DiskFull):
            save(tiny, tmp_path, 20)
    assert names(tmp_path) == ["step-0000010"]
    found = newest(tmp_path)
    assert found is not None and found.state.step == 10


def test_draft_that_a_crash_left_is_passed_over_and_pruned(tiny: Path, tmp_path: Path) -> None:
    path = save(tiny, tmp_path, 10)
    shutil.copytree(path, tmp_path / ".step-0000020.123.tmp")
    found = newest(tmp_path)
    assert found is not None and found.state.step == 10
    prune(tmp_path, 1)
    assert names(tmp_path) == ["step-0000010"]


@given(keep=st.integers(1, 4), steps=st.sets(st.integers(0, 10**6), max_size=5))
def test_pruning_keeps_the_newest(
    tmp_path_factory: pytest.TempPathFactory, keep: int, steps: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("prune")
    for step in steps:
        checkpoint_path(folder, step).mkdir()
    prune(folder, keep)
    kept = sorted(steps)[-keep:]
    assert names(folder) == [checkpoint_path(folder, step).name for step in kept]
