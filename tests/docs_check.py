"""Run what the documentation shows: every ```sh and ```python block of README.md and docs/*.md.

    python tests/docs_check.py [FILE ...]

The blocks of one file run in order in one fresh directory, with this interpreter's commands first
on PATH. Words after the language steer it:

    sh no-run          shown, not run (so is every other language)
    python file=a.py   written to the file a.py, not run; works for any language
    sh budget=120      seconds the block may take (BUDGET_S when it does not say)

Lines that start with `make ` are left out and said to be: CI runs those as stages of their own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGET_S = 60.0

_FENCE = re.compile(r"^```(\w+)?(.*)$")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: where it starts, its language, the words after it, its text."""

    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def runs(self) -> bool:
        shown = "no-run" in self.options or "file" in self.options
        return self.language in ("sh", "python") and not shown


@dataclass(kw_only=True)
class Tally:
    """How many checks passed, and the names of those that did not."""

    passed: int = 0
    failed: list[str] = field(default_factory=list[str])

    def note(self, name: str, problem: str | None, seconds: float = 0.0) -> None:
        if problem is None:
            self.passed += 1
            print(f"PASS  {name}  {seconds:.1f} s", flush=True)
        else:
            self.failed.append(name)
            print(f"FAIL  {name}  {seconds:.1f} s\n{_indented(problem)}", flush=True)


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        inside: list[str] = []
        for _, inner in lines:
            if inner.startswith("```"):
                break
            inside.append(inner)
        words = (word.partition("=") for word in opening[2].split())
        yield Block(
            line=number,
            language=opening[1] or "",
            options={name: value for name, _, value in words},
            text="\n".join(inside) + "\n",
        )


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    links = _LINK.findall(page.read_text())
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


def check_page(page: Path, tally: Tally) -> None:
    """Check a page's links, then its blocks in a fresh directory."""
    name = str(page.relative_to(ROOT))
    broken = broken_links(page)
    tally.note(f"{name}: links", f"lead nowhere: {', '.join(broken)}" if broken else None)
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        there = Path(folder)
        for block in blocks(page.read_text()):
            if path := block.options.get("file"):
                (there / path).parent.mkdir(parents=True, exist_ok=True)
                (there / path).write_text(block.text)
            elif block.runs:
                _check_block(f"{name}:{block.line} ({block.language})", block, there, tally)


def _check_block(name: str, block: Block, folder: Path, tally: Tally) -> None:
    text = block.text
    if block.language == "sh":
        text, left_out = _without_make(text)
        for line in left_out:
            print(f"SKIP  {name}  {line!r} is a stage of its own")
        if not text.strip():
            return
    began = time.monotonic()
    budget_s = float(block.options.get("budget", BUDGET_S))
    problem = _run(_command(block.language, text), folder, budget_s)
    tally.note(name, problem, time.monotonic() - began)


def _without_make(text: str) -> tuple[str, list[str]]:
    lines = text.splitlines()
    left_out = [line for line in lines if line.startswith("make ")]
    return "\n".join(line for line in lines if line not in left_out), left_out


def _command(language: str, text: str) -> list[str]:
    if language == "python":
        return [sys.executable, "-c", text]
    return ["bash", "-euo", "pipefail", "-c", text]


def _run(command: Sequence[str], folder: Path, budget_s: float) -> str | None:
    """None when the command succeeds in time, else what went wrong."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=budget_s)
    except subprocess.TimeoutExpired:
        # The block's own children too, a learner for one.
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return f"{output}not over after its {budget_s:g} s"
    return None if process.returncode == 0 else f"{output}exit code {process.returncode}"


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _indented(text: str) -> str:
    return "".join(f"      {line}\n" for line in text.splitlines()[-40:])


def main(arguments: Sequence[str]) -> int:
    """Check the named pages, or all of them; 1 when anything failed."""
    pages = [Path(name).resolve() for name in arguments]
    tally = Tally()
    for page in pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        check_page(page, tally)
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
