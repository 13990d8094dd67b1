"""`kill -9`, aimed: whatever dies at whatever moment, a resumed run loses nothing and repeats
nothing.

`aimed.py` is the product with its functions wrapped from outside: it kills at a chosen call, and
notes what was promised. Afterwards the store, the checkpoint and the notes must tell one story.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from duologue.engine import Fate, Key, Lineage, Reader, open_reader
from duologue.train._checkpoint import Checkpoint, newest

AIMED = Path(__file__).with_name("aimed.py")
STEPS, GROUPS, SAMPLES, EVERY = 7, 2, 4, 2
SETTINGS = (
    f"train.steps={STEPS}",
    f"train.groups_per_step={GROUPS}",
    f"train.checkpoint_every={EVERY}",
    f"rollout.samples={SAMPLES}",
    "rollout.live=16",
    "train.schedule.peak=1e-3",
    "train.train_cut_short=true",
    "model.context=160",
    "model.max_tokens=24",
    "env.max_turns=4",
    "env.options.instructions=false",
)
NOTICE_S = 5.0
"""How long a learner may outlive its engine."""


class Aim(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Before or after the n-th call of what `at` names, kill."""

    at: str
    when: str
    call: int
    kill: str
    stall: float = 0.0

    def __str__(self) -> str:
        return f"{self.kill} {self.when} {self.at} {self.call}"


def aims(kill: str, *points: tuple[str, str, int]) -> list[Aim]:
    return [Aim(at=at, when=when, call=call, kill=kill) for at, when, call in points]


class Ended(Struct, frozen=True):
    code: int
    out: str
    errors: str

    @property
    def complaints(self) -> list[str]:
        """What it said went wrong; progress is none."""
        return [line for line in self.errors.splitlines() if line.startswith("duologue:")]


class Run:
    """One run directory, the processes that worked in it, and what they promised."""

    def __init__(self, folder: Path, model: Path, *options: str) -> None:
        self.folder = folder
        self.options = ["--model", f"local:{model}", *options]
        self.notes_file = folder.with_name(f"{folder.name}.notes")

    def start(self, aim: Aim | None = None) -> Ended:
        settings = [word for setting in SETTINGS for word in ("-s", setting)]
        return self._call(aim, "train", "--run", str(self.folder), *self.options, *settings)

    def resume(self, aim: Aim | None = None) -> Ended:
        return self._call(aim, "train", "--resume", "--run", str(self.folder))

    def notes(self, kind: str) -> list[dict[str, Any]]:
        if not self.notes_file.exists():
            return []
        lines = self.notes_file.read_text().splitlines()
        return [found for line in lines if (found := json.loads(line))["kind"] == kind]

    def checkpoint(self) -> Checkpoint:
        found = newest(self.folder / "checkpoints")
        assert found is not None
        return found

    def _call(self, aim: Aim | None, *words: str) -> Ended:
        plan = (
            "{}" if aim is None else json.dumps({f: getattr(aim, f) for f in aim.__struct_fields__})
        )
        env = os.environ | {"AIM": plan, "NOTES": str(self.notes_file), "OMP_NUM_THREADS": "1"}
        process = subprocess.run(
            [sys.executable, str(AIMED), *words, "--json"],
            check=False,
            env=env,
            capture_output=True,
            text=True,
            timeout=90,
        )
        return Ended(process.returncode, process.stdout, process.stderr)


def finish(run: Run) -> None:
    """Resume, and be at the end."""
    ended = run.resume()
    assert ended.code == 0, ended.errors
    assert json.loads(ended.out)["steps"] == STEPS


def kill(run: Run, aim: Aim, *, resume: bool = False) -> None:
    """Start or resume the run under fire; it was hit, and left nobody behind."""
    fired = len(run.notes("fired"))
    ended = run.resume(aim) if resume else run.start(aim)
    assert len(run.notes("fired")) == fired + 1, f"never came to {aim}: {ended.errors}"
    if aim.kill == "learner":
        assert ended.code == 1, ended.errors
        [complaint] = ended.complaints
        assert "Traceback" not in ended.errors
        assert str(run.folder / "learner.log") in complaint
        assert f"duologue train --resume --run {run.folder}" in complaint
    else:
        assert ended.code == -9, ended.errors
    expect_gone([note["learner"] for note in run.notes("learner")])


def expect_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + NOTICE_S
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"learners {left} outlive their engine"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be buried by whoever adopted it does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


# ---------------------------------------------------------------- what must be true of a run


def audit(run: Run, *, max_staleness: int = 0) -> None:
    """Nothing lost, nothing twice, and never a number used again."""
    with open_reader(run.folder / "run.db") as reader:
        expect_durable(run, reader)
        versions = {version: (parent, step) for version, parent, step in reader.versions()}
        tokens = {
            (s.trajectory.key, s.life): s.trajectory.tokens for s in reader.trajectories("train")
        }
        trained = expect_fates(run, reader)
    learned = expect_versions(run, versions)
    lineage = Lineage((version, parent) for version, (parent, _) in versions.items())
    keys: Counter[Key] = Counter()
    line = surviving(run, versions)
    # One version a step, but for steps that had nothing to learn from.
    assert [versions[version][1] - 1 for version in line] == [s for s in trained if trained[s]]
    for version in line:
        parent, step = versions[version]
        note = learned[version]
        assert (note["parent"], note["step"]) == (parent, step - 1)
        lives = trained[step - 1]
        for group, sample, digest in note["samples"]:
            key = Key(group, sample)
            keys[key] += 1
            # What was learned from is what the store holds, in the life whose fate says so.
            stored = tokens[key, lives[key]]
            assert stored is not None
            assert blake2b(stored.ids + stored.logps).hexdigest() == digest
            assert parent is not None
            for span in stored.spans:
                assert lineage.distance(parent, span.version) <= max_staleness
    assert max(keys.values()) == 1


def expect_durable(run: Run, reader: Reader) -> None:
    stored = Counter(
        (s.phase, s.trajectory.key.group, s.trajectory.key.sample, s.life)
        for s in reader.trajectories()
    )
    promised = {(n["phase"], *n["key"], n["life"]) for n in run.notes("durable")}
    assert promised <= stored.keys()
    assert max(stored.values()) == 1


def expect_fates(run: Run, reader: Reader) -> dict[int, dict[Key, int]]:
    """Every trajectory has its fate, and the books of every step are closed and whole.

    Returns step -> key -> life of what was trained on.
    """
    fates: dict[tuple[int, int], list[tuple[int, Fate]]] = {}
    for one in reader.trajectories("train"):
        assert one.fate is not None
        key = one.trajectory.key
        fates.setdefault((key.group, key.sample), []).append((one.life, one.fate))
    for lives in fates.values():
        # Only the last life of a dialogue is open, or was trained on.
        assert all(fate in (Fate.STALE, Fate.CANCELLED) for _, fate in sorted(lives)[:-1])
    with closing(sqlite3.connect(run.folder / "run.db")) as store:
        rows = store.execute(
            "SELECT step, ordinal, sample, life FROM fates WHERE phase = 'train' AND fate = 'trained'"
        ).fetchall()
        settled = store.execute(
            "SELECT ordinal, settled FROM groups WHERE phase = 'train' AND settled IS NOT NULL"
        ).fetchall()
    trained: dict[int, dict[Key, int]] = {step: {} for step in range(STEPS)}
    for step, ordinal, sample, life in rows:
        assert Key(ordinal, sample) not in trained[step]
        trained[step][Key(ordinal, sample)] = life
    every = [key for keys in trained.values() for key in keys]
    assert len(every) == len(set(every))
    assert set(every) == run.checkpoint().consumed
    batches: Counter[int] = Counter()
    for ordinal, step in settled:
        last = [max(fates[ordinal, sample])[1] for sample in range(SAMPLES)]
        assert not {Fate.READY, Fate.CANCELLED} & set(last), "a settled group has an open member"
        batches[step] += Fate.STALE not in last
    assert dict(batches) == {step: GROUPS for step in range(STEPS)}
    return trained


def expect_versions(
    run: Run, versions: dict[int, tuple[int | None, int]]
) -> dict[int, dict[str, Any]]:
    """No number was ever given to two sets of weights, announced or not."""
    made = Counter(note["version"] for note in run.notes("weights"))
    assert max(made.values()) == 1, f"versions that were made twice: {made}"
    assert set(versions) <= {0, *made}
    return {note["version"]: note for note in run.notes("learned")}


def surviving(run: Run, versions: dict[int, tuple[int | None, int]]) -> list[int]:
    """The versions from the first update to the final one."""
    line: list[int] = []
    version = run.checkpoint().state.version
    while (parent := versions[version][0]) is not None:
        line.append(version)
        version = parent
    return line[::-1]


def curve(run: Run) -> list[dict[str, Any]]:
    """The learning curve without clock readings."""
    with open_reader(run.folder / "run.db") as reader:
        return [
            {name: value for name, value in line.items() if not name.startswith("seconds")}
            for line in reader.curve("train")
        ]


def expect_same(run: Run, reference: Run) -> None:
    """Bit for bit the learning curve, the weights and the optimiser of a run left alone."""
    for ours, theirs in zip(curve(run), curve(reference), strict=True):
        assert ours == theirs
    for name in ("model.safetensors", "optimizer.safetensors", "consumed.bin"):
        mine, other = (r.checkpoint().path / name for r in (run, reference))
        assert mine.read_bytes() == other.read_bytes(), name
    mine, other = (r.folder / "models" / "trained" / "model.safetensors" for r in (run, reference))
    assert mine.read_bytes() == other.read_bytes()


# ---------------------------------------------------------------- under fire


@pytest.fixture(scope="module")
def reference(started: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nobody disturbs."""
    run = Run(tmp_path_factory.mktemp("reference") / "run", started, "--deterministic")
    ended = run.start()
    assert ended.code == 0, ended.errors
    audit(run)
    assert [line["step"] for line in curve(run)] == list(range(STEPS))
    assert any(line["groups_live"] for line in curve(run))
    return run


# Version 0 and the first checkpoint come before the first step: their calls count one more.
ENGINE = aims(
    "engine",
    ("checkpoint", "before", 1),  # before there is any
    ("settle", "after", 1),  # back to the very beginning
    ("improve", "after", 4),  # the step is taken, nobody knows its number
    ("add_version", "after", 5),  # named, not yet pushed
    ("push", "after", 6),  # pushed, its trajectories without fates
    ("settle", "before", 4),
    ("settle", "after", 6),  # fates, no checkpoint
    ("checkpoint", "after", 3),  # committed, nobody knows
    ("add_metrics", "before", 4),
    ("save", "before", 1),  # all done but the model
)
LEARNER = aims(
    "learner",
    ("setup", "after", 1),
    ("policy_step", "before", 1),
    ("policy_step", "after", 4),
    ("write_weights", "before", 3),
    ("write_weights", "after", 5),
    ("commit", "before", 2),
    ("rename", "before", 3),
    ("rename", "after", 3),
    ("rename", "before", 5),
    ("rename", "after", 5),
)
BOTH = aims(
    "both",
    ("rename", "before", 1),
    ("rename", "after", 1),
    ("policy_step", "after", 6),
    ("write_weights", "after", 4),
    ("add_version", "before", 3),
    ("add_version", "after", 7),
    ("push", "before", 2),
    ("settle", "after", 7),
    ("rename", "after", 4),
    ("append", "after", 37),
)
FEW = [ENGINE[1], ENGINE[8], LEARNER[2], LEARNER[6], BOTH[0], BOTH[3]]
KILLS = int(os.environ.get("DUOLOGUE_KILLS", "10"))
"""Of each kind, the few included: the soak's."""


def rest(aims: Sequence[Aim]) -> list[Aim]:
    """Those of a kind that are not among the few, as many as there are to be, far apart."""
    others = [aim for aim in aims if aim not in FEW]
    count = max(0, min(KILLS - (len(aims) - len(others)), len(others)))
    return [others[number * len(others) // count] for number in range(count)]


def shoot(aim: Aim, reference: Run, started: Path, folder: Path) -> None:
    run = Run(folder / "run", started, "--deterministic")
    kill(run, aim)
    finish(run)
    audit(run)
    expect_same(run, reference)


@pytest.mark.parametrize("aim", FEW, ids=str)
def test_run_killed_once_ends_like_one_left_alone(
    aim: Aim, reference: Run, started: Path, tmp_path: Path
) -> None:
    shoot(aim, reference, started, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("aim", [*rest(ENGINE), *rest(LEARNER), *rest(BOTH)], ids=str)
def test_run_killed_at_any_moment_ends_like_one_left_alone(
    aim: Aim, reference: Run, started: Path, tmp_path: Path
) -> None:
    shoot(aim, reference, started, tmp_path)


@pytest.mark.timeout(300)
def test_run_killed_again_and_again_also_while_it_resumes_ends_like_one_left_alone(
    reference: Run, started: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", started, "--deterministic")
    kill(run, Aim(at="write_weights", when="after", call=4, kill="both"))
    for aim in (
        Aim(at="rewind", when="before", call=1, kill="engine"),
        Aim(at="rewind", when="after", call=1, kill="engine"),
        Aim(at="setup", when="after", call=1, kill="learner"),
        Aim(at="settle", when="after", call=1, kill="engine"),
        Aim(at="rename", when="after", call=1, kill="learner"),
    ):
        kill(run, aim, resume=True)
    finish(run)
    audit(run)
    expect_same(run, reference)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "shots",
    [
        [
            Aim(at="settle", when="after", call=4, kill="engine"),
            Aim(at="push", when="after", call=2, kill="both"),
            Aim(at="write_weights", when="after", call=3, kill="learner"),
        ],
        pytest.param(
            [
                # None of the first three lets the run come past step 4, so the last one is met.
                Aim(at="append", when="after", call=31, kill="both"),
                Aim(at="improve", when="after", call=1, kill="learner"),
                Aim(at="append", when="before", call=5, kill="engine"),
                Aim(at="rename", when="after", call=2, kill="engine"),
            ],
            marks=pytest.mark.soak,
        ),
        pytest.param(
            [
                Aim(at="rename", when="before", call=3, kill="learner"),
                Aim(at="add_version", when="after", call=2, kill="engine"),
                Aim(at="settle", when="before", call=2, kill="both"),
                Aim(at="prune", when="after", call=1, kill="engine"),
            ],
            marks=pytest.mark.soak,
        ),
    ],
    ids=lambda shots: ", ".join(map(str, shots)),
)
def test_overlapping_run_loses_and_repeats_nothing_either(
    shots: list[Aim], started: Path, tmp_path: Path
) -> None:
    """Sampling and learning at once: no bits to compare, but the same books to keep."""
    run = Run(tmp_path / "run", started, "-s", "train.max_staleness=1")
    for number, aim in enumerate(shots):
        kill(run, aim, resume=number > 0)
    finish(run)
    audit(run, max_staleness=1)
    assert [line["step"] for line in curve(run)] == list(range(STEPS))


# ---------------------------------------------------------------- one dies, the other notices


def test_learner_in_a_long_step_leaves_soon_after_its_engine(started: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", started, "--deterministic")
    kill(run, Aim(at="policy_step", when="before", call=1, kill="engine", stall=60))


def test_checkpoint_of_a_learner_that_outlives_its_engine_is_seen_by_the_next_life(
    reference: Run, started: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", started, "--deterministic")
    assert run.start(Aim(at="rename", when="before", call=3, kill="engine", stall=0.7)).code == -9
    ended = run.resume()
    assert ended.code == 0
    assert "going on after step 4" in ended.errors
    audit(run)
    expect_same(run, reference)
