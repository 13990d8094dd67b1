"""The page: sections in reading order, one file, nothing fetched."""

from __future__ import annotations

import os
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from ._browser import browser, data
from ._curves import cold_start, others, training
from ._dialogues import dialogues
from ._html import Markup, el, join
from ._report import Headline, Report
from ._scores import scores
from ._sheets import sheet
from ._tallies import ends, fates

_Section = tuple[str, str, Markup]

_SCRIPTS = ("report.js", "dom.js", "archive.js", "list.js", "dialogue.js", "browser.js")


def render(report: Report) -> str:
    """The report as one HTML document that loads nothing from anywhere.

    The same report gives the same text, byte for byte. Nothing in it can run: texts are escaped,
    and the page's own policy allows no script but ours.
    """
    return "".join(_pieces(report))


def _pieces(report: Report) -> Iterator[str]:
    """The page in order. The packed dialogues can be tens of megabytes, so they are handed out one
    by one instead of being copied into ever larger strings."""
    sections = [section for section in _sections(report) if section is not None]
    style = Markup(_asset("report.css") + _asset("browser.css"))
    script = Markup("".join(map(_asset, _SCRIPTS)))
    yield '<!doctype html>\n<html lang="en">'
    yield el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", report.title),
        el("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        el("style", style),
    )
    yield "<body>"
    yield _header(report)
    yield _contents(sections) or ""
    yield el("main", *(_section(*section) for section in sections))
    yield el("footer", "Written by duologue.")
    if report.archive is not None:
        yield from data(report.archive)
    yield el("script", script)
    yield "</body></html>\n"


def write(report: Report, path: str | Path) -> Path:
    """The path, once the report stands there whole.

    It is written beside its place and renamed, so a reader (or a crash) never meets half a page;
    an error leaves what stood there before. Missing folders are made. Blocks on the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`, whose files only their owner may read; a report is for showing.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_pieces(report))
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return path


def _sections(report: Report) -> list[_Section | None]:
    table, other, archive = report.table, others(report), report.archive
    pairs = report.before and report.after
    tallies = [fates(report.fates), ends(report.ends)]
    return [
        ("scores", "Scores", scores(table)) if table is not None and table.rows else None,
        _listed("gyms", "By gym", [sheet(each) for each in report.sheets if each.rows]),
        _grid("training", "Training", training(report), other),
        _grid("cold-start", "Cold start", cold_start(report)),
        _grid("fates", "Trajectories", [tally for tally in tallies if tally is not None]),
        _listed("samples", "Before and after" if pairs else "Samples", dialogues(report)),
        ("dialogues", "Dialogues", browser(archive)) if archive is not None else None,
        ("configuration", "Configuration", _config(report.config)) if report.config else None,
    ]


def _grid(
    slug: str, title: str, cards: Sequence[Markup], below: Markup | None = None
) -> _Section | None:
    if not cards and below is None:
        return None
    return slug, title, join([el("div", *cards, class_="charts") if cards else None, below])


def _listed(slug: str, title: str, items: Sequence[Markup]) -> _Section | None:
    return (slug, title, join(items)) if items else None


def _section(slug: str, title: str, content: Markup) -> Markup:
    heading = f"{slug}-title"
    return el("section", el("h2", title, id=heading), content, id=slug, aria_labelledby=heading)


def _header(report: Report) -> Markup:
    facts = (el("div", el("dt", label), el("dd", value)) for label, value in report.facts)
    return el(
        "header",
        el("p", "Run report", class_="eyebrow"),
        el("h1", report.title),
        el("p", report.subtitle, class_="subtitle") if report.subtitle else None,
        _warnings(report.warnings) if report.warnings else None,
        el("div", *map(_headline, report.headlines), class_="headlines")
        if report.headlines
        else None,
        el("dl", *facts, class_="facts") if report.facts else None,
        class_="top",
    )


def _headline(headline: Headline) -> Markup:
    return el(
        "div",
        el("span", headline.label, class_="label"),
        el("b", headline.value),
        el("span", headline.note, class_="note") if headline.note else None,
        class_="headline",
    )


def _warnings(warnings: Sequence[str]) -> Markup:
    title = "Warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    items = (el("li", warning) for warning in warnings)
    return el("div", el("b", title), el("ul", *items), class_="warnings", role="note")


def _contents(sections: Sequence[_Section]) -> Markup | None:
    if len(sections) < 2:
        return None
    links = (el("a", title, href=f"#{slug}") for slug, title, _ in sections)
    return el("nav", *links, aria_label="Sections")


def _config(text: str) -> Markup:
    lines = text.count("\n") + 1
    return el(
        "details",
        el("summary", f"{lines:,} line{'' if lines == 1 else 's'}"),
        el("pre", el("code", text)),
        class_="fold",
    )


def _policy(script: str) -> str:
    """Escaping already keeps foreign script out; should it ever fail, the browser refuses too."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> Markup:
    """Our own style or script, which are markup as they stand."""
    return Markup(files("duologue.report").joinpath(name).read_text(encoding="utf-8"))
