"""The official data files: there, whole, and read row by row."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from compare import Case, Skip, same

from duologue.envs._rows import OFFICIAL, parquet_rows


def data_cases(whole: Case) -> list[Case]:
    """The manifest has three lists of its own in place of `cases`."""
    return [
        *({"kind": "parquet", **entry} for entry in whole["parquet"]),
        *({"kind": "json", **entry} for entry in whole["gym_json"]),
        *({"kind": "split", **entry} for entry in whole["split_reproduction_seed42"]),
    ]


def data_case(case: Case, data: Path) -> None:
    match case["kind"]:
        case "parquet":
            rows_case(case, present(data / "rows" / case["file"].removeprefix("data/")))
        case "json":
            path = present(data / "gyms" / Path(case["file"]).name)
            same("sha256", sha256(path.read_bytes()).hexdigest(), case["sha256"])
            same("records", len(json.loads(path.read_bytes())), case["records"])
        case _:
            split_case(case, data)


def rows_case(case: Case, path: Path) -> None:
    same("sha256", sha256(path.read_bytes()).hexdigest(), case["sha256"])
    owner = case["first_id"][0]
    if len(case["data_sources"]) > 1:
        raise Skip("a file of several gyms is read one gym at a time")
    rows = parquet_rows(path, owner)
    same("rows", len(rows), case["rows"])
    ids = [[owner, row.id] for row in rows]
    same("ids", sha256(json.dumps(ids).encode()).hexdigest(), case["ids_sha256"])


_SHUFFLED = {
    "function": ("functions.json", "id"),
    "telepathy": ("all_entities_refined.json", "title"),
    "turtle": ("all_stories_refined.json", "new_title"),
}


def split_case(case: Case, data: Path) -> None:
    """The published rows are the gym's records, shuffled by numpy's old generator and cut."""
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise Skip("numpy is not installed") from error
    file, key = _SHUFFLED[case["name"]]
    records = json.loads(present(data / "gyms" / file).read_bytes())
    ids = [record[key] for record in (records.values() if case["name"] == "turtle" else records)]
    numpy.random.RandomState(42).shuffle(ids)
    cut = case["n"][0]
    for split, expected in (("train", ids[:cut]), ("test", ids[cut:])):
        path = present(data / "rows" / f"{case['name']}_multiturn" / f"{split}.parquet")
        same(
            f"{split} ids", [row.id for row in parquet_rows(path, OFFICIAL[case["name"]])], expected
        )


def present(path: Path) -> Path:
    if not path.is_file():
        raise Skip(f"{path} is absent")
    return path
