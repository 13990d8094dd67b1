"""Whatever is wrong with what it was given, or with the machine: one message that names the thing,
exit code 2 (asked for what cannot be) or 1 (it failed), no traceback, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue import rundir
from duologue.cli import main
from duologue.config import Config
from duologue.engine import DuologueError, StoreError, UsageError, open_reader
from duologue.rundir import hold, network_mount, open_run

TRAINING = (
    "train.groups_per_step=2", "train.checkpoint_every=2", "rollout.samples=2", "rollout.live=8",
    "model.context=160", "model.max_tokens=24", "env.max_turns=3",
    "env.options={instructions = false}",
)  # fmt: skip


class Done:
    """A command that ran in a process of its own."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def says(self, code: int, *parts: str) -> str:
        """Check that it ended with one message that has all of `parts`; the message."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("duologue: ")]
        assert (self.code, len(lines)) == (code, 1), self.err
        for part in parts:
            assert part in lines[0], self.err
        return lines[0]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "duologue", *map(str, words)]


def cli(*words: object, cwd: Path, limit: Callable[[], None] | None = None, **env: str) -> Done:
    done = subprocess.run(
        command(*words),
        cwd=cwd,
        env={**os.environ, **env},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def settings(*texts: str) -> list[str]:
    return [word for text in texts for word in ("-s", text)]


# ---- asked for what cannot be

WISH = {
    "id": "a",
    "category": "c",
    "task": "I want a thing",
    "missing_details": [
        {"description": "d", "importance": "3", "inquiry": "i?", "options": ["x", "y"]}
    ],
}
FILES: dict[str, str | bytes] = {
    "broken.toml": "seed = 1\n[train\nsteps = 2\n",
    "unknown.toml": "[train]\nstepz = 5\n",
    "type.toml": '[train]\nsteps = "many"\n',
    "deep.toml": "x = " + "[" * 5000,
    "long.toml": "seed = " + "1" * 5000,
    "latin.toml": b'[env]\nname = "caf\xe9"\n',
    "text.json": "no json",
    "rows.json": json.dumps([WISH, {**WISH, "id": "b", "missing_details": []}]),
    "field.json": json.dumps([WISH, {k: v for k, v in WISH.items() if k != "task"}]),
    "twice.json": json.dumps([WISH, WISH]),
    "none.json": "[]",
}
ROLLOUT = ("rollout", "--count", 1)

REFUSED: list[tuple[list[object], tuple[str, ...]]] = [
    ([*ROLLOUT, "--env", "intentoin"], ("'intentoin'", "did you mean 'intention'")),
    ([*ROLLOUT, "-c", "broken.toml"], ("broken.toml", "line 2")),
    ([*ROLLOUT, "-c", "unknown.toml"], ("unknown.toml", "'train.stepz'", "'steps'")),
    ([*ROLLOUT, "-c", "type.toml"], ("type.toml", "train.steps", "`int`", "`str`")),
    ([*ROLLOUT, "-c", "deep.toml"], ("deep.toml", "not valid TOML")),
    ([*ROLLOUT, "-c", "long.toml"], ("long.toml", "not valid TOML")),
    ([*ROLLOUT, "-c", "latin.toml"], ("latin.toml", "not valid TOML")),
    ([*ROLLOUT, "-c", "absent.toml"], ("absent.toml", "No such file")),
    ([*ROLLOUT, "-c", "."], ("cannot read the configuration .", "directory")),
    ([*ROLLOUT, "-s", "rollout.samples=none"], ("rollout.samples", "`int`")),
    ([*ROLLOUT, "-s", "rollout.samples=0"], ("samples is 0", "at least 1")),
    ([*ROLLOUT, "-s", "rollout"], ("'rollout'", "key.path=value")),
    ([*ROLLOUT, "-s", "env.options.nothing=1"], ("'nothing'", "it has:")),
    ([*ROLLOUT, "--model", "local:nowhere"], ("no model folder at nowhere", "config.json")),
    ([*ROLLOUT, "--model", "local:."], ("tokenizer.json is missing",)),
    ([*ROLLOUT, "--model", "scripted:exprt"], ("'exprt'", "expert")),
    ([*ROLLOUT, "--model", "cloud:thing"], ("'cloud:thing'", "local:PATH")),
    ([*ROLLOUT, "--model", "expert"], ("'expert'", "scripted:NAME")),
    (["train", "--model", "local:nowhere"], ("no model folder at nowhere",)),
    (["train", "--model", "scripted:expert"], ("cannot be trained", "local:PATH")),
    (["train", "--resume", "--run", "nowhere"], ("nowhere holds no run", "duologue runs")),
    (["sft", "--model", "local:nowhere"], ("no model folder at nowhere",)),
    (["eval", "--model", "local:nowhere"], ("no model folder at nowhere",)),
    (["eval", "--model", "cloud:x"], ("'cloud:x'", "local:PATH")),
    (["eval", "-s", "env.options.nothing=1"], ("'nothing'", "it has:")),
    ([*ROLLOUT, "--tasks", "absent.json"], ("cannot read absent.json",)),
    ([*ROLLOUT, "--tasks", "text.json"], ("text.json is no JSON list of tasks",)),
    ([*ROLLOUT, "--tasks", "rows.json"], ("rows.json, row 1", "missing_details")),
    ([*ROLLOUT, "--tasks", "field.json"], ("field.json, row 1", "`task`")),
    ([*ROLLOUT, "--tasks", "twice.json"], ("twice.json, row 1", "'a'", "row 0")),
    ([*ROLLOUT, "--tasks", "none.json"], ("none.json holds no tasks",)),
    ([*ROLLOUT, "--loop", "curio"], ("'curio'", "'trio'")),
    (["runs", "nowhere"], ("no directory nowhere",)),
    (["prune", "nowhere"], ("nowhere holds no run",)),
    (["report", "nowhere"], ("no run directory nowhere",)),
]


@pytest.mark.parametrize(("words", "parts"), REFUSED, ids=lambda x: " ".join(map(str, x))[:60])
def test_what_cannot_be_is_refused_by_name_before_anything_is_made(
    words: list[object],
    parts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in FILES.items():
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    in_process(monkeypatch, capsys, *words).says(2, *parts)
    assert sorted(tmp_path.iterdir()) == before


def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> Done:
    """The same command line without the price of a process; a traceback would come out here."""
    monkeypatch.setattr(sys, "argv", ["duologue", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out, err)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("torch", ["rollout", "--count", 1, "--model", "local:x"]),
        ("tokenizers", ["train", "--model", "local:x"]),
        ("safetensors", ["model", "init", "x"]),
        ("pyarrow", ["export", "run", "x.parquet"]),
    ],
)
def test_a_missing_extra_is_named_with_how_to_get_it(
    tmp_path: Path, package: str, words: list[object]
) -> None:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / f"{package}.py").write_text(
        f"raise ModuleNotFoundError('No module named {package!r}', name={package!r})\n".replace(
            "'No", '"No'
        ).replace("',", '",', 1)
    )
    if package == "pyarrow":
        assert cli("rollout", "--count", 1, "--run", "run", cwd=tmp_path).code == 0
    done = cli(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path / "absent"))
    extra = "data" if package == "pyarrow" else "train"
    done.says(2, repr(package), f"pip install 'duologue[{extra}]'")


# ---- what lies on the disk is damaged


@pytest.fixture(scope="module")
def trained(started: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has trained for four steps, with checkpoints after the second and the fourth."""
    home = tmp_path_factory.mktemp("trained")
    done = cli(
        "train", "--model", f"local:{started}", "--steps", 4, "--run", "run",
        *settings(*TRAINING), cwd=home,
    )  # fmt: skip
    assert done.code == 0, done.err
    return home / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [garbage, empty, cut, flip])
@pytest.mark.parametrize("words", ["train --resume --run run", "report run", "export run x.jsonl"])
def test_a_corrupt_store_is_named_and_left_alone(
    run: Path,
    damage: Callable[[Path], None],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(run / "run.db")
    before = (run / "run.db").read_bytes()
    (run / "report.html").unlink(missing_ok=True)
    monkeypatch.chdir(run.parent)
    in_process(monkeypatch, capsys, *words.split()).says(1, "run.db")
    assert (run / "run.db").read_bytes() == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("damage", [garbage, empty, cut, flip])
@pytest.mark.parametrize("name", ["state.json", "consumed.bin", "model.safetensors"])
def test_a_corrupt_checkpoint_is_named_with_what_to_go_back_to(
    run: Path,
    damage: Callable[[Path], None],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(run / "checkpoints" / "step-0000004" / name)
    done = in_process(monkeypatch, capsys, "train", "--resume", "--run", run)
    done.says(1, "step-0000004", name, "go back to step-0000002")


# ---- the machine does not have it, or not now


def test_a_directory_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with hold(tmp_path):
            done = await anyio.to_thread.run_sync(
                lambda: cli("rollout", "--count", 1, "--run", tmp_path, cwd=tmp_path)
            )
        done.says(2, str(tmp_path), "in use by another process")

    anyio.run(work)
    assert cli("rollout", "--count", 1, "--run", tmp_path, cwd=tmp_path).code == 0


MOUNTED = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw,hard 0 0
//server/share /mnt/my\\040share cifs rw 0 0
/dev/sdb1 /home/me/local xfs rw 0 0
user@host:/ /mnt/ssh fuse.sshfs rw 0 0
share /mnt/9p 9p rw,trans=virtio 0 0
/dev/sdc1 /mnt/usb fuseblk rw 0 0
overlay /var/run fuse.fuse-overlayfs rw 0 0
server:/old /srv nfs rw 0 0
/dev/sdd1 /srv ext4 rw 0 0
short line
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/runs/a", None),
        ("/home/me/runs/a", ("nfs4", "/home")),
        ("/home/me/local/runs", None),
        ("/homes/a", None),
        ("/mnt/my share/run", ("cifs", "/mnt/my share")),
        ("/mnt/ssh/x", ("fuse.sshfs", "/mnt/ssh")),
        ("/mnt/9p", ("9p", "/mnt/9p")),
        ("/mnt/usb/run", None),
        ("/var/run/x", None),
        ("/srv/run", None),
    ],
)
def test_network_file_systems_are_told_by_the_mount_table(
    tmp_path: Path, path: str, found: tuple[str, str] | None
) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTED)
    assert network_mount(Path(path), table) == found
    assert network_mount(Path(path), tmp_path / "no table") is None


def test_a_run_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "share"
    home.mkdir()
    (tmp_path / "mounts").write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {home} nfs4 rw 0 0\n")
    monkeypatch.setattr(rundir, "MOUNTS", tmp_path / "mounts")
    words = ("rollout", "--count", 1, "--run", home / "deep" / "run")
    message = in_process(monkeypatch, capsys, *words).says(2, f"nfs4, mounted at {home}")
    assert str(home / "deep" / "run") in message and "local disk with --run" in message
    assert list(home.iterdir()) == []


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


def test_too_few_file_descriptors_are_noticed_before_the_run_begins(tmp_path: Path) -> None:
    done = cli("rollout", "--count", 1, "--run", "run", cwd=tmp_path, limit=few_files)
    done.says(2, "only 40 files", "needs 64", "ulimit -n")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def mounted(path: Path, options: str) -> Generator[Path]:
    """A file system of its own at `path`, where that is allowed."""
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "duologue-test", str(path)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=1m") as path:
        yield path


def durable(run: Path) -> int:
    """How many trajectories can be read, each of them whole."""
    with open_reader(run / "run.db") as reader:
        reader.check()
        return len(list(reader.trajectories()))


def test_a_full_disk_ends_a_rollout_and_what_was_durable_stays_readable(disk: Path) -> None:
    # Few at a time: a thousand would share one transaction, and none of it would fit.
    done = cli("rollout", "--count", 5000, "--live", 16, "--run", disk / "run", cwd=disk)
    done.says(1, "run.db", "full")
    assert durable(disk / "run") > 20
    remount(disk, "size=4m")
    assert durable(disk / "run") > 20


def test_a_disk_too_full_to_begin_says_so(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(1 << 20))
    done = cli("rollout", "--count", 1, "--run", disk / "run", cwd=disk)
    assert done.code in (1, 2)
    done.says(done.code, str(disk / "run"))


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_limit_on_file_sizes_ends_a_rollout_like_a_full_disk(tmp_path: Path) -> None:
    words = ("rollout", "--count", 5000, "--run", "run", "-s", "rollout.live=4")
    done = cli(*words, cwd=tmp_path, limit=small_files)
    done.says(1, "run.db")
    assert durable(tmp_path / "run") > 10


@pytest.mark.slow
def test_training_on_a_disk_that_fills_goes_on_once_there_is_space(
    tmp_path: Path, started: Path
) -> None:
    with mounted(tmp_path / "disk", "size=1600k") as disk:
        words = ("train", "--model", f"local:{started}", "--steps", 24, "--run", disk / "run")
        done = cli(*words, *settings(*TRAINING), cwd=disk)
        done.says(1, f"duologue train --resume --run {disk / 'run'}")
        before = durable(disk / "run")
        remount(disk, "size=32m")
        done = cli("train", "--resume", "--run", disk / "run", "--json", cwd=disk)
        assert done.code == 0, done.err
        assert json.loads(done.out)["steps"] == 24
        assert durable(disk / "run") > before


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    done = cli("rollout", "--count", 3, "--run", "run", cwd=tmp_path)
    assert done.code == 0
    with mounted(tmp_path / "disk", "size=4m") as disk:
        shutil.copytree(tmp_path / "run", disk / "run")
        remount(disk, "ro")
        new = cli("rollout", "--count", 1, "--run", disk / "new", cwd=tmp_path)
        new.says(2, str(disk / "new"), "Read-only")
        cli("report", disk / "run", cwd=tmp_path).says(1, str(disk / "run"), "Read-only")
        # Reading needs no writing.
        out = tmp_path / "x.jsonl"
        assert cli("export", disk / "run", out, cwd=tmp_path).code == 0
        assert len(out.read_text().splitlines()) == 3
        listed = cli("runs", disk, "--json", cwd=tmp_path)
        assert json.loads(listed.out)[0]["state"] == "finished"


# ---- stopped from outside


@contextmanager
def begun(cwd: Path, *words: object) -> Generator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(*words),
        cwd=cwd,
        stdout=pipe,
        stderr=pipe,
        text=True,
        # Tests that a shell runs in the background inherit deafness to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(1800):
        assert process.poll() is None, process.communicate()
        try:
            if ready():
                return
        except DuologueError:
            pass  # the store is not there yet
        time.sleep(0.05)
    raise AssertionError("it never got there")


def stored(run: Path) -> int:
    if not (run / "run.db").exists():
        return 0
    with open_reader(run / "run.db") as reader:
        return reader.count()


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_an_interrupted_run_is_exit_code_130_and_keeps_what_was_durable(
    tmp_path: Path, loop: str
) -> None:
    run = tmp_path / "run"
    words = ("rollout", "--count", 50_000, "--run", run, "--loop", loop, "-s", "rollout.live=8")
    with begun(tmp_path, *words) as process:
        wait_for(lambda: stored(run) > 50, process)
        seen = stored(run)
        process.send_signal(signal.SIGINT)
        ended(process).says(130, "interrupted", "duologue runs")
    assert durable(run) >= seen
    [state] = json.loads(cli("runs", run, "--json", cwd=tmp_path).out)
    assert (state["state"], state["detail"]) == ("stopped", "interrupted")


def children(pid: int) -> list[int]:
    names = Path(f"/proc/{pid}/task/{pid}/children")
    if not names.exists():
        pytest.skip("this system does not say which processes a process has")
    return [int(name) for name in names.read_text().split()]


@pytest.mark.slow
def test_a_killed_learner_is_a_failure_that_names_its_log_and_how_to_go_on(
    tmp_path: Path, started: Path
) -> None:
    run = tmp_path / "run"
    words = ("train", "--model", f"local:{started}", "--steps", 100_000, "--run", run)
    with begun(tmp_path, *words, *settings(*TRAINING)) as process:
        wait_for(lambda: stored(run) > 20, process)
        [learner] = children(process.pid)
        os.kill(learner, signal.SIGKILL)
        done = ended(process)
    done.says(1, "learner", str(run / "learner.log"), f"duologue train --resume --run {run}")
    [state] = json.loads(cli("runs", run, "--json", cwd=tmp_path).out)
    assert state["state"] == "resumable"


# ---- the last line of defence


@pytest.mark.parametrize(
    ("error", "code", "parts"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x/y"), 1, ("x/y: No space", "prune")),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, ("x: Permission denied;",)),
        (OSError(errno.EMFILE, "Too many open files"), 1, ("Too many open files; ", "ulimit -n")),
        (ExceptionGroup("", [StoreError("a"), OSError(errno.EIO, "broken")]), 1, ("a",)),
        (ExceptionGroup("", [UsageError("a"), UsageError("b")]), 2, ("a",)),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: Exception,
    code: int,
    parts: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raise_from_runs(monkeypatch, error)
    in_process(monkeypatch, capsys, "runs", ".").says(code, *parts)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOTCONN, "a socket of ours"),
        KeyError("a bug"),
        ExceptionGroup("", [StoreError("a"), KeyError("a bug")]),
    ],
)
def test_a_bug_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_runs(monkeypatch, error)
    monkeypatch.setattr(sys, "argv", ["duologue", "runs", "."])
    with pytest.raises(type(error)) as caught:
        main()
    assert caught.value is error


def raise_from_runs(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(folder: Any) -> Any:
        raise error

    monkeypatch.setattr("duologue.jobs._runs.find_runs", fail)


def test_an_error_that_ends_a_run_knows_how_to_go_on_and_the_run_how_it_ended(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with open_run(tmp_path, "train", Config()):
            raise StoreError("it broke")

    with pytest.raises(StoreError, match="it broke") as caught:
        anyio.run(work)
    assert f"duologue train --resume --run {tmp_path}" in caught.value.__notes__[0]
    outcome = rundir.read_outcome(tmp_path)
    assert outcome is not None and (outcome.outcome, outcome.detail) == ("failed", "it broke")
