"""UserRL's own files, read unmodified: rows of parquet and records of JSON.

The parquet files hold prompts and ids; what is behind an id lies in a JSON file of the gym. After
merging, every row has the arguments of all gyms, `None` where they do not apply: those are dropped.
Whatever is wrong with a file is a `UsageError` that names the file, the row (from 0) and the field.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from ..agents.models._extras import extra
from ..engine import Message, Task, UsageError

T = TypeVar("T")

OFFICIAL = {
    "function": "FunctionGym",
    "intention": "IntentionGym",
    "persuade": "PersuadeGym",
    "search": "SearchGym",
    "tau": "TauGym",
    "telepathy": "TelepathyGym",
    "travel": "TravelGym",
    "turtle": "TurtleGym",
}
"""Our gyms' names in the official rows."""


class Row(Struct, frozen=True, kw_only=True):
    """One official row of one gym.

    index:  the row's place in its file, from 0.
    kwargs: what the environment is created with, without what is None.
    """

    index: int
    id: str
    split: str
    prompt: tuple[Message, ...]
    kwargs: dict[str, Any]
    ground_truth: str


@contextmanager
def check_row(path: Path, index: int) -> Generator[None]:
    """Turn what is wrong with a row into a `UsageError` that names the file and the row."""
    try:
        yield
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path}, row {index}: {error}") from error


# ---- JSON


def json_records(path: Path, kind: type[T]) -> Iterator[tuple[T, dict[str, Any]]]:
    """Each record of a JSON list, checked and as it stands; their `id`s must differ."""
    try:
        raws = msgspec.json.decode(path.read_bytes(), type=list[msgspec.Raw])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON list of tasks: {error}") from error
    first: dict[str, int] = {}
    for i, raw in enumerate(raws):
        try:
            row = msgspec.json.decode(raw, type=kind)
            plain = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{path}, row {i}: {error}") from error
        _once(first, plain["id"], path, i)
        yield row, plain


def _once(first: dict[str, int], name: str, path: Path, index: int) -> None:
    if name in first:
        raise UsageError(f"{path}, row {index}: id {name!r} is that of row {first[name]} too")
    first[name] = index


# ---- parquet


class _RewardModel(Struct):
    env_name: str
    ground_truth: str


class _Interact(Struct):
    create_kwargs: dict[str, Any]


class _Tools(Struct):
    interact_with_env: _Interact


class _Extra(Struct):
    split: Annotated[str, Meta(min_length=1)]
    tools_kwargs: _Tools


class _ParquetRow(Struct):
    prompt: Annotated[tuple[Message, ...], Meta(min_length=1)]
    reward_model: _RewardModel
    extra_info: _Extra


def parquet_rows(path: Path, env_name: str) -> list[Row]:
    """The rows of a parquet file that belong to the official gym `env_name`, in order.

    The merged files hold several gyms: rows of another official gym are passed over, a row of no
    known gym is an error, and so is a file with no row of this one.
    """
    rows: list[Row] = []
    first: dict[str, int] = {}
    others: set[str] = set()
    for i, raw in enumerate(_table(path)):
        with check_row(path, i):
            parsed = msgspec.convert(raw, _ParquetRow)
            kwargs = {
                name: value
                for name, value in parsed.extra_info.tools_kwargs.interact_with_env.create_kwargs.items()
                if value is not None
            }
            owner = kwargs.get("env_name", parsed.reward_model.env_name)
            if owner != env_name:
                if owner not in OFFICIAL.values():
                    raise ValueError(f"create_kwargs.env_name: {owner!r} is no official gym")
                others.add(owner)
                continue
            name = kwargs.get("id", kwargs.get("title"))
            if not isinstance(name, str) or not name:
                raise ValueError("create_kwargs: there is neither an `id` nor a `title`")
        _once(first, name, path, i)
        rows.append(
            Row(
                index=i,
                id=name,
                split=parsed.extra_info.split,
                prompt=parsed.prompt,
                kwargs=kwargs,
                ground_truth=parsed.reward_model.ground_truth,
            )
        )
    if not rows:
        raise UsageError(
            f"{path} has no row of {env_name}"
            + (f"; its rows are of {', '.join(sorted(others))}" if others else "")
        )
    return rows


def _table(path: Path) -> list[Any]:
    with extra("data"):
        # Imported by name because pyarrow has no types: this function is where they end.
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    try:
        # Opened by hand, because pyarrow would take a folder of anything for a data set.
        with path.open("rb") as file:
            rows: list[Any] = parquet.ParquetFile(file).read().to_pylist()
    except arrow.ArrowException as error:
        raise UsageError(f"{path} is no parquet file of tasks: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no parquet file of tasks: {error}") from error
    return rows


def official_file(rows: Path, name: str) -> Path:
    """Where the JSON file `name` lies that the ids of a parquet file point into.

    Looked for beside the rows and in every folder above: in the folder itself, in a `gyms` folder
    of it, and where the official repository keeps it (`gyms/XGym/xgym/data`).
    """
    start = rows.resolve().parent
    for folder in (start, *start.parents):
        places = [folder / name, folder / "gyms" / name]
        if (folder / "gyms").is_dir():
            places += sorted((folder / "gyms").glob(f"*Gym/*gym/data/{name}"))
        for place in places:
            if place.is_file():
                return place
    raise UsageError(
        f"{rows} names its tasks by id, and {name}, which holds them, was not found; "
        f"put it beside {rows.name} or into a folder `gyms` above"
    )


# ---- rows and the records that they name


def read_rows(
    path: Path,
    env: str,
    files: Iterable[str],
    read: Callable[[Path], Mapping[str, dict[str, Any]]],
    check: Callable[[Row, dict[str, Any], str], object],
    *,
    named_by: str = "id",
) -> list[Task]:
    """The tasks of a parquet file whose rows name records of the JSON files `files`, in order.

    `read` gives the records of one of those by name; a later file wins over an earlier one. For
    `check` and `named_by` see `join_rows`; `check` is also told where the records are from.
    """
    rows = parquet_rows(path, OFFICIAL[env])
    sources = [official_file(path, name) for name in files]
    records = {name: record for source in sources for name, record in read(source).items()}
    where = " or ".join(map(str, sources))
    return join_rows(
        path,
        env,
        rows,
        records,
        lambda row, record: check(row, record, where),
        absent=f"is not in {where}",
        named_by=named_by,
    )


def join_rows(
    path: Path,
    env: str,
    rows: Iterable[Row],
    records: Mapping[str, dict[str, Any]],
    check: Callable[[Row, dict[str, Any]], object],
    *,
    absent: str,
    named_by: str = "id",
) -> list[Task]:
    """A task of each row: its own split and prompt, and the record that it names.

    check:    raises ValueError, naming the field, where row and record contradict each other.
    absent:   what is said of a name that no record has.
    named_by: the argument that the row names its record with.

    Raises `UsageError`.
    """
    tasks: list[Task] = []
    for row in rows:
        with check_row(path, row.index):
            if row.id not in records:
                raise ValueError(f"create_kwargs.{named_by}: {row.id!r} {absent}")
            record = records[row.id]
            check(row, record)
        data = record | {"prompt": msgspec.to_builtins(row.prompt)}
        tasks.append(Task(env=env, id=row.id, split=row.split, data=data))
    return tasks
