"""A report in a real Chromium, and what a test wants to ask of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

    def accessible(self) -> list[dict[str, Any]]:
        """The nodes of the accessibility tree: what a screen reader is told."""
        session: Any = self.page.context.new_cdp_session(self.page)
        try:
            nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
            return nodes
        finally:
            session.detach()

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


def names(nodes: list[dict[str, Any]], roles: set[str]) -> Iterator[tuple[str, str]]:
    """(role, accessible name) of the nodes of an accessibility tree that have one of the roles."""
    for node in nodes:
        role = node.get("role", {}).get("value", "")
        if role in roles and not node.get("ignored"):
            yield role, node.get("name", {}).get("value", "")


CONTRASTS = """() => {
  // Text that can be seen, whose colour is too near its ground (WCAG: 4.5, or 3 where large).
  const rgb = (text) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].map((v, k) => (k === 3 ? v / 255 : v));
  };
  const known = new Map();
  const colour = (text) => known.get(text) ?? (known.set(text, rgb(text)), known.get(text));
  const over = (top, below) => top.slice(0, 3).map((v, k) => v * top[3] + below[k] * (1 - top[3]));
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const style = getComputedStyle(element);
    const below = () => ground(element.parentElement);
    if (style.backgroundImage !== "none" && !/linear-gradient\\(rgb/.test(style.backgroundImage))
      return colour((style.backgroundImage.match(/rgba?\\([^)]*\\)/) ?? ["white"])[0]).slice(0, 3);
    const own = colour(style.backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : own[3] === 0 ? below() : over(own, below());
  };
  const faults = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("script, style, .unseen, noscript, :disabled"))
      continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    let opacity = 1;
    for (let each = element; each; each = each.parentElement) opacity *= getComputedStyle(each).opacity;
    const ink = colour(style.color);
    const seen = over([...ink.slice(0, 3), ink[3] * opacity], below);
    const [a, b] = [light(seen), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5))
      faults.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className}: ${element.textContent.slice(0, 30)}`);
  }
  return [...new Set(faults)];
}"""
