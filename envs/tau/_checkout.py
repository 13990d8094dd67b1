"""tau-bench's own domains, from a checkout that the user names. Nothing of it is in this project.

Its tools, data and policy are used as they are; its user simulation is not imported, so that what it
needs (`litellm`, `pydantic`) need not be installed.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from ...engine import UsageError
from ._tools import Domain, Parameter, Tool, calculate

_IMPORTING = Lock()


def checkout_domain(path: str | Path, name: str) -> Domain:
    """The domain `retail` or `airline` of the checkout at `path`, which is read once a process.

    Runs the checkout's Python. Raises `UsageError` when there is no such domain.
    """
    return _domain(Path(path).resolve(), name)


@cache
def _domain(path: Path, name: str) -> Domain:
    folder = path / "tau_bench" / "envs" / name
    if not (folder / "tools").is_dir():
        raise UsageError(f"{path} is no checkout of tau-bench: there is no {folder / 'tools'}")
    try:
        with _IMPORTING:
            tools, data = _imported(path, name)
        policy = (folder / "wiki.md").read_text(encoding="utf-8")
        made = [_tool(each) for each in tools.ALL_TOOLS]
        tables: dict[str, dict[str, Any]] = data.load_data()
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no checkout of tau-bench that we know: {error}") from error
    return Domain(name=name, tables=tables, tools={tool.name: tool for tool in made}, policy=policy)


def _imported(path: Path, name: str) -> tuple[ModuleType, ModuleType]:
    """The modules `tools` and `data` of a domain. The packages above them stand in as empty ones
    while they are imported, since their own import a client for models."""
    ours = {key for key in sys.modules if key.split(".")[0] == "tau_bench"}
    kept = {key: sys.modules.pop(key) for key in ours}
    try:
        for package in ("tau_bench", "tau_bench.envs", f"tau_bench.envs.{name}"):
            empty = ModuleType(package)
            empty.__path__ = [str(path.joinpath(*package.split(".")))]
            sys.modules[package] = empty
        here = f"tau_bench.envs.{name}"
        return import_module(f"{here}.tools"), import_module(f"{here}.data")
    finally:
        for key in [key for key in sys.modules if key.split(".")[0] == "tau_bench"]:
            del sys.modules[key]
        sys.modules.update(kept)


def _tool(kind: Any) -> Tool:
    about: dict[str, Any] = kind.get_info()["function"]
    name: str = about["name"]
    shape: dict[str, Any] = about["parameters"]
    required = shape.get("required", ())
    return Tool(
        name=name,
        about=about["description"],
        parameters={
            each: Parameter(
                kind=str(words.get("type", "string")),
                about=str(words.get("description", "")),
                required=each in required,
            )
            for each, words in shape["properties"].items()
        },
        # Its own evaluates the agent's text as Python, powers of powers included.
        run=calculate if name == "calculate" else _run(kind),
        checked=name == "calculate",
    )


def _run(kind: Any) -> Any:
    def run(store: Any, /, **arguments: Any) -> str:
        return str(kind.invoke(data=store, **arguments))

    return run
