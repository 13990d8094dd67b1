"""Run recorded cases of UserRL's released code against ours.

    python tests/reference/run.py DIR

DIR holds one JSON file a computation, `{"_meta": ..., "cases": [...]}`. A line for each file and a
total; exit code 1 when a case fails. A file about something that does not exist here yet is
skipped, and the line says why. Data files are looked for in DIR/../data/userrl.

The checks lie in `cases_*.py` beside this file: each has a table `CHECKS`, by the file's name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from compare import Case, Differs, Skip
from data_files import data_case, data_cases

from duologue.envs import names
from duologue.envs._rows import OFFICIAL


def gather() -> dict[str, Callable[[Case], None]]:
    """All the checks there are."""
    checks: dict[str, Callable[[Case], None]] = {}
    for module in sorted(Path(__file__).parent.glob("cases_*.py")):
        checks |= import_module(module.stem).CHECKS
    return checks


CHECKS = gather()


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list[str])

    def line(self, name: str) -> str:
        return f"{name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run_file(path: Path, data: Path) -> Tally:
    """Every case of a file. A case that raises what it should not has failed."""
    tally = Tally()
    try:
        whole = json.loads(path.read_bytes())
        cases = cases_of(path, whole)
        tasks = tasks_beside(path, data)
    except (ValueError, KeyError, AttributeError, OSError) as error:
        tally.failed = 1
        tally.notes.append(f"cannot be read: {type(error).__name__}: {error}")
        return tally
    check = CHECKS.get(path.stem)
    if path.stem == "data_manifest":
        check = partial(data_case, data=data)
    if check is None:
        tally.skipped = max(1, len(cases))
        tally.notes.append(f"skipped: {why_not(path.stem)}")
        return tally
    reasons: dict[str, int] = {}
    for i, case in enumerate(cases):
        try:
            check(with_task(case, tasks))
            tally.passed += 1
        except Skip as reason:
            tally.skipped += 1
            reasons[str(reason)] = reasons.get(str(reason), 0) + 1
        except Exception as error:  # noqa: BLE001, whatever it is, the case has failed
            tally.failed += 1
            words = str(error) if isinstance(error, Differs) else f"{type(error).__name__}: {error}"
            label = case.get("name", case.get("file", ""))
            tally.notes.append(f"case {i} {label}: {words}")
    tally.notes += [f"{count} skipped: {reason}" for reason, count in reasons.items()]
    return tally


def cases_of(path: Path, whole: Case) -> list[Case]:
    """The cases of a file. A file of tasks, `*_data`, is an object of them by id."""
    if path.stem == "data_manifest":
        return data_cases(whole)
    if path.stem.endswith("_data") and "cases" not in whole:
        return [{"id": name, "data": data} for name, data in whole.items()]
    cases: list[Case] = whole.get("cases", [])
    return cases


def tasks_beside(path: Path, data: Path) -> dict[str, Any]:
    """The tasks that a gym's episodes name by id: invented ones beside them, or the records of the
    gym's own `<gym>_train.json` and `<gym>_test.json`."""
    gym = path.stem.partition("_")[0]
    beside = path.with_name(f"{gym}_synthetic_data.json")
    tasks: dict[str, Any] = json.loads(beside.read_bytes()) if beside.is_file() else {}
    for split in ("train", "test"):
        own = data / "gyms" / f"{gym}_{split}.json"
        records: list[dict[str, Any]] = json.loads(own.read_bytes()) if own.is_file() else []
        tasks |= {record["id"]: record for record in records}
    return tasks


def with_task(case: Case, tasks: dict[str, Any]) -> Case:
    """The case with the task that it names by id."""
    return case | {"task_data": tasks[case["task"]]} if case.get("task") in tasks else case


def why_not(stem: str) -> str:
    gym = stem.partition("_")[0]
    if gym in OFFICIAL and gym not in names():
        return f"there is no environment {gym!r} yet"
    return "nothing here computes this"


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python tests/reference/run.py DIR (a folder of case files)", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    data = folder.resolve().parent / "data" / "userrl"
    total = Tally()
    for path in sorted(folder.glob("*.json")):
        tally = run_file(path, data)
        print(tally.line(path.name))
        for note in tally.notes:
            print(f"    {note}")
        total.passed += tally.passed
        total.failed += tally.failed
        total.skipped += tally.skipped
    print(total.line("total"))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
