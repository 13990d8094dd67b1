"""Reading a run store that may be missing, broken, or in an odd place."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from duologue.engine import StoreError, open_reader, open_store

pytestmark = pytest.mark.anyio


async def test_a_run_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run store at"), open_reader(tmp_path / "run.db"):
        pass  # pragma: no cover
    assert os.listdir(tmp_path) == []


async def test_a_folder_is_no_run_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open the run store"), open_reader(tmp_path):
        pass  # pragma: no cover


@pytest.mark.parametrize("name", ["50% off", "a#b", "why?mode=rwc", "späti", "with space"])
async def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    async with open_store(folder / "run.db", name="mine"):
        pass
    with open_reader(folder / "run.db") as reader:
        assert reader.run()[0] == "mine"
    assert os.listdir(tmp_path) == [name]


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path):
        pass
    with open_reader(path) as reader, pytest.raises(StoreError, match="readonly"):
        reader._all("DELETE FROM run")


async def test_a_store_without_a_run_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with open_store(path):
        pass
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM run")
        file.commit()
    with open_reader(path) as reader, pytest.raises(StoreError, match="without a run in it"):
        reader.run()


async def test_a_file_that_is_no_run_store_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "recipes.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE recipes (name TEXT)")
    with open_reader(path) as reader, pytest.raises(StoreError, match=r"recipes\.db"):
        reader.count()
