"""A report in a real Chromium, and what a test wants to ask of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Report:
    """An open page, and everything that it asked for or complained about."""

    page: Page
    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self._refuse(dialog))
        self.page.on("console", lambda message: self.complaints.append(message.text))

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, file: Path, fragment: str = "") -> None:
        """Go to the report as a file, as if anew, and wait until its list is there."""
        self.page.goto("about:blank")
        self.requests.clear()
        self.page.goto(file.as_uri() + fragment)
        self.page.wait_for_selector("#browser:not([hidden])", state="attached")
        self.settle()

    def settle(self) -> None:
        """Wait until the list and the open dialogue stand: 120 ms after a key, the filter runs."""
        self.page.wait_for_timeout(160)
        self.until("!document.getElementById('found').textContent.includes('%')")

    def until(self, script: str, *, limit_s: float = 60.0) -> None:
        """Wait until the expression holds. Asked from outside: the page's own policy lets nobody
        hand it a text to run, the client's `wait_for_function` included."""
        give_up = time.monotonic() + limit_s
        while not self.ask(script):
            assert time.monotonic() < give_up, f"after {limit_s} s still not: {script}"
            self.page.wait_for_timeout(10)

    def listed(self) -> list[str]:
        """The names of all dialogues found, over all pages of the list."""
        names: list[str] = []
        while self.page.locator("#back").is_enabled():
            self.page.click("#back")
        while True:
            names += self.page.eval_on_selector_all(
                "#rows tr", "rows => rows.map(r => r.dataset.name)"
            )
            forth = self.page.locator("#forth")
            if forth.is_disabled():
                return names
            forth.click()

    def opened(self) -> str:
        """The name of the dialogue that is open."""
        return (self.page.get_attribute("#reading", "aria-label") or "").removeprefix("Dialogue ")

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps somebody out: contrast, names, structure, focus."""
        self.page.evaluate(f"{_axe()}; 0")
        found: list[str] = self.page.evaluate(
            """async () => {
              const { passes, violations } = await axe.run(document);
              const checked = passes.map((rule) => rule.id);
              for (const rule of ["color-contrast", "button-name", "link-name"])
                if (!checked.includes(rule)) return [`axe did not check ${rule}`];
              return violations.flatMap(({ id, nodes }) => nodes.map((node) =>
                `${id}: ${node.html.slice(0, 150)} ${node.failureSummary}`));
            }"""
        )
        return found

    def ask(self, script: str) -> Any:
        """What the expression is in the page."""
        return self.page.evaluate(script)


class Chromium:
    """Starts browsers, each cut off from the network and with a profile of its own."""

    def __init__(self, playwright: Playwright, program: str) -> None:
        self._playwright = playwright
        self._program = program

    @contextmanager
    def open(
        self, *, width: int = 1400, height: int = 900, scheme: Literal["light", "dark"] = "light"
    ) -> Generator[Report]:
        with TemporaryDirectory() as profile:
            context = self._playwright.chromium.launch_persistent_context(
                profile,
                executable_path=self._program,
                headless=True,
                args=list(FLAGS),
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                offline=True,
            )
            try:
                yield Report(context.pages[0])
            finally:
                context.close()


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@contextmanager
def open_chromium() -> Generator[Chromium]:
    """The browser of this machine, or a skip that says why there is none.

    The client runs a loop of its own in this thread: no other can be run in the block.
    """
    found = os.environ.get("DUOLOGUE_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium: install it, or name one in DUOLOGUE_CHROMIUM")
    with sync_playwright() as playwright:
        yield Chromium(playwright, found)
