"""Random damage: to settings, task files, the run store, checkpoints and what a listing reads.

Whatever the bytes, the answer is a value that is right or an error of ours: never another
exception, and never a wrong value without a word. Every case has its own seed, so a failure names
the case to run again.
"""

from __future__ import annotations

import json
import shutil
import string
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec
import pytest

from duologue.config import Config, load_config, resolve, to_toml
from duologue.engine import (
    DuologueError,
    End,
    Fate,
    Key,
    Seed,
    Span,
    StoreError,
    Task,
    Trajectory,
    Turn,
    UsageError,
    open_reader,
    open_store,
    pack_tokens,
)
from duologue.engine._prune import drop_records
from duologue.envs import find
from duologue.jobs._runs import describe_run
from duologue.rundir import open_run
from duologue.train._checkpoint import CheckpointError, State, checkpoint_path, commit, newest

CASES = {"settings": 2000, "overrides": 1000, "tasks": 1500, "store": 1000, "checkpoint": 1000}
"""How many cases of each: 6,500 in all."""

CHUNK = 250


def chunks(what: str) -> pytest.MarkDecorator:
    """One test a few hundred cases: many enough to name the place, few enough to be quick."""
    return pytest.mark.parametrize("first", range(0, CASES[what], CHUNK))


def cases(what: str, first: int) -> Iterator[tuple[int, Random]]:
    for number in range(first, min(first + CHUNK, CASES[what])):
        yield number, Random(f"{what} {number}")


def damage(data: bytes, noise: Random) -> bytes:
    """One to four wounds: flipped bits, bytes cut off, replaced, moved, doubled; or all noise."""
    out = bytearray(data)
    for _ in range(noise.choice((1, 1, 1, 2, 4))):
        at = noise.randrange(len(out)) if out else 0
        match noise.randrange(9):
            case 0 | 1 | 2 if out:
                out[at] ^= 1 << noise.randrange(8)
            case 3:
                del out[at:]
            case 4:
                del out[at : at + noise.randrange(1, 64)]
            case 5:
                out[at:at] = noise.randbytes(noise.randrange(1, 64))
            case 6:
                size = noise.randrange(1, 64)
                out[at : at + size] = noise.randbytes(size)
            case 7:
                out[at:at] = out[at : at + noise.randrange(1, 200)]
            case _:
                if noise.random() < 0.05:
                    out = bytearray(noise.randbytes(noise.randrange(300)))
    return bytes(out)


# ---- settings


@chunks("settings")
def test_damaged_settings_are_right_or_refused(tmp_path: Path, first: int) -> None:
    good = to_toml(Config()).encode()
    path = tmp_path / "settings.toml"
    counts = Counter[str]()
    for number, noise in cases("settings", first):
        data = damage(good, noise)
        path.write_bytes(data)
        try:
            config = load_config(path)
        except UsageError as error:
            assert "settings.toml" in str(error), number
            counts["refused"] += 1
            continue
        # What was accepted is what the file says: it survives being written and read.
        assert resolve(msgspec.toml.decode(to_toml(config).encode()), "again") == config, number
        counts["accepted"] += 1
    assert counts["refused"] > CHUNK // 4


LEAVES = [
    "seed", "deterministic", "env", "env.name", "env.options", "env.options.x", "model.threads",
    "model.temperature", "train.steps", "train.loss.name", "train.shaping", "rollout.samples",
    "rollout.live", "tiny.heads", "nothing", "train.nothing", "train.steps.deeper", "", ".", "a..b",
]  # fmt: skip
VALUES = [
    "1", "-1", "0", "1e400", "nan", "-inf", "true", '"text"', "text", "[]", "[1, [2]]", "{}",
    "{a = 1}", "1979-05-27", "07:32:00", "", "=", "9" * 30, "9" * 5000, "[" * 3000, "'", '"""',
    "\u0000", "\U0001f600", "a.b", "0x", "1_000",
]  # fmt: skip


@chunks("overrides")
def test_any_override_is_a_setting_or_refused(first: int) -> None:
    accepted = 0
    for number, noise in cases("overrides", first):
        texts = [
            f"{noise.choice(LEAVES)}{noise.choice(('=', '=', '=', ' = ', ''))}{value(noise)}"
            for _ in range(noise.choice((1, 1, 2, 3)))
        ]
        with suppress(UsageError):
            config = load_config(None, {}, texts)
            assert isinstance(config, Config), (number, texts)
            accepted += 1
    assert 0 < accepted < CHUNK


def value(noise: Random) -> str:
    if noise.random() < 0.8:
        return noise.choice(VALUES)
    return "".join(noise.choices(string.printable, k=noise.randrange(20)))


# ---- task files


@cache
def official(env: str) -> bytes:
    """Tasks as a file in the official layout has them."""
    gym = find(env)
    tasks = zip(range(5), gym.tasks("train", Seed(1)), strict=False)
    return json.dumps([{"id": task.id, **task.data} for _, task in tasks]).encode()


@pytest.mark.parametrize("env", ["intention", "function"])
@pytest.mark.parametrize("first", range(0, CASES["tasks"] // 2, CHUNK))
def test_damaged_task_files_are_read_or_refused_by_row(
    tmp_path: Path, env: str, first: int
) -> None:
    gym = find(env)
    assert gym.read is not None
    path = tmp_path / "tasks.json"
    path.write_bytes(official(env))
    assert len(list(gym.read(path))) == 5
    counts = Counter[str]()
    for number, noise in cases("tasks", first):
        path.write_bytes(hurt_tasks(env, noise))
        try:
            tasks = list(gym.read(path))
        except UsageError as error:
            assert "tasks.json" in str(error), number
            counts["refused"] += 1
            continue
        # What was accepted can be set up, and has an id to be called by.
        for task in tasks:
            assert isinstance(task, Task) and task.id and task.env == env
            with suppress(UsageError):
                gym.make(task, Seed(number)).prompt()
        counts["accepted"] += 1
    assert counts["refused"] > CHUNK // 4


ODD: list[Any] = [None, True, 0, -1, 2.5, 1e308, "", "x", [], [[]], {}, {"a": None}, ["x"] * 50]


def places(node: Any) -> list[Any]:
    """What a dict or a list can be indexed by; nothing for anything else."""
    if isinstance(node, dict):
        return [*node]  # pyright: ignore[reportUnknownVariableType]
    return [*range(len(node))] if type(node).__name__ == "list" else []


def hurt_tasks(env: str, noise: Random) -> bytes:
    """Damaged bytes, or whole JSON with something odd in a place where it does not belong."""
    if noise.random() < 0.5:
        return damage(official(env), noise)
    rows: Any = json.loads(official(env))
    node: Any = rows
    key: Any = noise.randrange(len(rows))
    while (inside := places(node[key])) and noise.random() < 0.8:
        node, key = node[key], noise.choice(inside)
    match noise.randrange(3):
        case 0:
            node[key] = noise.choice(ODD)
        case 1:
            del node[key]
        case _:
            node[key] = [node[key]] * noise.randrange(3)
    return json.dumps(rows).encode()


# ---- the run store


def trajectory(group: int, sample: int) -> Trajectory:
    n = 20 + 7 * group
    return Trajectory(
        key=Key(group, sample),
        task=f"task {group}",
        env="env",
        split="train",
        end=End.DONE,
        turns=(Turn(text="words " * group, reward=0.5 * sample, parts={"a": 0.5}),),
        tokens=pack_tokens(range(n), [1] * n, [-0.5] * n, [0], [Span(0, n, group % 3)]),
    )


async def fill(path: Path) -> None:
    async with open_store(path, name="run", config="[train]\nsteps = 3\n", facts={"a": "b"}) as it:
        for version in range(3):
            await it.add_version(version, version - 1 if version else None, version)
        for group in range(6):
            await it.open_group("train", group, Task(env="env", id=f"t{group}", data={"n": group}))
            for sample in range(2):
                await it.append("train", trajectory(group, sample), seconds=0.25)
        await it.append("eval/a", trajectory(9, 0), seconds=1)
        await it.settle("train", [0, 1], 1, {Fate.TRAINED: [Key(0, 0), Key(1, 0)]})
        for step in range(3):
            await it.add_metrics("train", step, {"reward": 0.1 * step})


async def add(path: Path) -> None:
    async with open_store(path, create=False) as it:
        await it.append("train", trajectory(20, 0), seconds=1)
        await it.settle("train", [2], 1, {Fate.TRAINED: [Key(2, 0)]})


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "run": lambda reader: reader.run(),
    "lives": lambda reader: reader.lives(),
    "trajectories": lambda reader: list(reader.trajectories()),
    "entries": lambda reader: list(reader.entries()),
    "stored": lambda reader: reader.stored("train", Key(2, 1)),
    "records": lambda reader: reader.records("train"),
    "tasks": lambda reader: reader.tasks("train"),
    "task": lambda reader: reader.task("train", 3),
    "open": lambda reader: list(reader.open_groups("train", 1)),
    "metrics": lambda reader: reader.metrics("train"),
    "curve": lambda reader: reader.curve("train"),
    "versions": lambda reader: reader.versions(),
}
LISTS = ("trajectories", "entries", "records", "tasks", "metrics", "curve", "versions")
COUNTS: dict[str, Callable[[Any], Any]] = {
    "phases": lambda reader: reader.phases(),
    "count": lambda reader: reader.count(),
    "fates": lambda reader: reader.fates(),
    "ends": lambda reader: reader.ends(),
    "next": lambda reader: reader.next_group("train"),
    "last": lambda reader: reader.last_step("train"),
    "pruned": lambda reader: reader.pruned(),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "run.db"
    anyio.run(fill, path)
    return path


@chunks("store")
def test_a_damaged_store_gives_what_was_written_or_an_error(
    store: Path, tmp_path: Path, first: int
) -> None:
    names = ("run.db", "run.db.records-0")
    good = {name: (store.parent / name).read_bytes() for name in names}
    with open_reader(store) as reader:
        truth = {name: answer(reader) for name, answer in (ANSWERS | COUNTS).items()}
    path = tmp_path / "run.db"
    counts = Counter[str]()
    for number, noise in cases("store", first):
        for other in tmp_path.iterdir():
            other.unlink()
        hurt = noise.choice([names[0], *names])
        for name, data in good.items():
            (tmp_path / name).write_bytes(wound(data, noise) if name == hurt else data)
        counts[judge(path, truth, number)] += 1
        if number % 5:
            continue
        # Nor does writing to it end in anything but an error of ours.
        with suppress(StoreError):
            anyio.run(add, path)
        with suppress(StoreError):
            drop_records(path, {"train": 2, "eval/a": None})
    assert counts["refused"] > CHUNK // 4


def wound(good: bytes, noise: Random) -> bytes:
    """A broken disk: flipped bits, a lost sector, a swapped page, an end that is missing."""
    out = bytearray(good)
    at = noise.randrange(len(out))
    match noise.randrange(8):
        case 0 | 1 | 2 | 3:
            out[at] ^= 1 << noise.randrange(8)
        case 4:
            out[at : at + 512] = bytes(len(out[at : at + 512]))
        case 5 if len(out) >= 4096:
            one, two = (4096 * noise.randrange(len(out) // 4096) for _ in range(2))
            out[one : one + 4096], out[two : two + 4096] = (
                out[two : two + 4096],
                out[one : one + 4096],
            )
        case 6:
            del out[at:]
        case _:
            return damage(good, noise)
    return bytes(out)


def judge(path: Path, truth: dict[str, Any], number: int) -> str:
    """`same` when all is as it was, `refused` when the damage was noticed; anything else fails."""
    try:
        with open_reader(path) as reader:
            reader.check()
            sound = True
    except StoreError as error:
        assert "run.db" in str(error), number
        sound = False
    noticed = not sound
    for name, answer in (ANSWERS | COUNTS).items():
        try:
            with open_reader(path) as reader:
                found = answer(reader)
        except StoreError as error:
            assert "run.db" in str(error), (number, name)
            noticed = True
            continue
        assert not sound or found == truth[name], (number, name)
        assert right(name, found, truth[name]), (number, name)
    return "refused" if noticed else "same"


def right(name: str, found: Any, truth: Any) -> bool:
    """Whatever is handed out is what was written, whether or not anybody checked before. Some may
    be lost with the page that held it, and counts be wrong: that is what `check` is for."""
    if name in COUNTS or found is None:
        return True
    if name == "open":  # groups with the trajectories that are left of them
        stored = {msgspec.msgpack.encode(one) for group in truth for one in group.stored}
        every = [one for group in found for one in group.stored]
        return all(msgspec.msgpack.encode(one) in stored for one in every)
    return all(row in truth for row in found) if name in LISTS else bool(found == truth)


# ---- checkpoints, and what a listing reads


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    draft = folder / ".draft"
    draft.mkdir()
    (draft / "config.json").write_text('{"hidden_size": 8}')
    (draft / "model.safetensors").write_bytes(Random(0).randbytes(2000))
    (draft / "optimizer.safetensors").write_bytes(Random(1).randbytes(2000))
    commit(draft, checkpoint_path(folder, 7), State(step=7, version=5), bytes(800))
    return folder


@chunks("checkpoint")
def test_a_damaged_checkpoint_is_never_read_back_as_another(
    checkpoint: Path, tmp_path: Path, first: int
) -> None:
    truth = newest(checkpoint)
    assert truth is not None
    good = {path.name: path.read_bytes() for path in truth.path.iterdir()}
    folder = checkpoint_path(tmp_path, 7)
    folder.mkdir()
    counts = Counter[str]()
    for number, noise in cases("checkpoint", first):
        for name, data in good.items():
            (folder / name).write_bytes(data)
        name = noise.choice(["state.json"] * 4 + sorted(good))
        data = damage(good[name], noise)
        if noise.random() < 0.05:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(data)
        try:
            found = newest(tmp_path)
        except CheckpointError as error:
            assert str(folder) in str(error), number
            counts["refused"] += 1
            continue
        assert found is not None, number
        assert (found.state, found.consumed) == (truth.state, truth.consumed), number
        for other, content in good.items():
            if other != "state.json":
                assert (folder / other).read_bytes() == content, number
        counts["same"] += 1
    assert counts["refused"] > CHUNK // 2


def test_a_listing_survives_whatever_a_run_directory_holds(
    checkpoint: Path, tmp_path: Path
) -> None:
    async def make() -> None:
        async with open_run(tmp_path / "run", "train", Config()) as run:
            await run.store.append("train", trajectory(0, 0), seconds=1)

    anyio.run(make)
    run = tmp_path / "run"
    shutil.copytree(checkpoint, run / "checkpoints")
    names = ["run.db", "outcome.json", "config.toml", "checkpoints/step-0000007/state.json"]
    good = {name: (run / name).read_bytes() for name in names}
    states = Counter[str]()
    for number in range(200):
        noise = Random(f"listing {number}")
        for name, data in good.items():
            hurt = noise.random() < 0.4
            (run / name).write_bytes(damage(data, noise) if hurt else data)
        for extra in run.glob("run.db-*"):
            extra.unlink()
        states[describe_run(run).state] += 1
    assert set(states) == {"broken", "finished", "resumable"}


def test_every_error_is_one_of_ours() -> None:
    assert issubclass(UsageError, DuologueError) and issubclass(StoreError, DuologueError)
    assert issubclass(CheckpointError, DuologueError)
    assert sum(CASES.values()) >= 5000
