"""The dialogue browser's frame: filters, list and reading pane, which our script fills."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import compress

from ..engine import End, Fate
from ._archive import Archive, Coverage
from ._html import Markup, data_block, el
from ._record import encode
from ._tallies import end_meaning, fate_meaning, manner, name

_SORTS = (
    ("order", "order of the run"),
    ("reward", "reward"),
    ("advantage", "advantage"),
    ("turns", "turns"),
    ("tokens", "sampled tokens"),
    ("oldest", "weights"),
    ("staleness", "staleness"),
    ("seconds", "seconds"),
    ("end", "end"),
)
_CHOICES = (
    ("phase", "Phase", "all phases"),
    ("env", "Environment", "all environments"),
    ("end", "End", "any end"),
    ("fate", "Fate", "any fate"),
)
_RANGES = (
    ("reward", "Reward", "any"),
    ("turns", "Turns", "1"),
    ("version", "Weights", "1"),
    ("staleness", "Staleness", "1"),
)
_KEYS = (("j", "next"), ("k", "previous"), ("/", "search"), ("t", "tokens"), ("Esc", "leave"))


def browser(archive: Archive) -> Markup:
    """The section's content; its data are `data`'s blocks, further down in the page."""
    return el(
        "div",
        el("p", covered(archive.coverage()), class_="note", id="coverage"),
        *(el("p", note, class_="note") for note in archive.notes()),
        el(
            "noscript",
            el("p", "The dialogues are read by a script of this page.", class_="warnings"),
        ),
        _filters(archive),
        el("div", _list(), _reading(), class_="desk"),
        id="browser",
        hidden=True,  # until the script is there to fill it
    )


def data(archive: Archive) -> Iterator[Markup]:
    """The packed data, in blocks that no browser runs or looks into."""
    words = {
        "ends": {end.value: [name(end), manner(end), end_meaning(end)] for end in End},
        "fates": {fate.value: [name(fate), fate_meaning(fate)] for fate in Fate},
        "replay": archive.replay,
    }
    yield data_block(words, id="words")
    # Columns first: that packs what is still open.
    yield _block(compress(encode(archive.columns())), id="columns")
    yield _block(archive.vocabulary(), id="vocabulary")
    for chunk in archive.chunks():
        yield _block(chunk, class_="chunk")


def covered(phases: Sequence[Coverage]) -> str:
    """What is in the page, and what was left out by which rule."""
    shown, total = sum(p.shown for p in phases), sum(p.total for p in phases)
    if shown == total:
        return f"All {total:,} dialogues of the run."
    thinned = "; ".join(
        f"{p.phase}, every {_nth(p.stride)} group ({p.shown:,} of {p.total:,})"
        for p in phases
        if p.shown < p.total
    )
    whole = ", ".join(p.phase for p in phases if p.shown == p.total)
    rest = f"; whole: {whole}" if whole else ""
    return f"{shown:,} of the run's {total:,} dialogues. Thinned evenly: {thinned}{rest}."


def _nth(stride: int) -> str:
    if stride == 1:
        return "stored"
    ending = {2: "nd"}.get(stride % 10, "th") if stride % 100 != 12 else "th"
    return f"{stride}{ending}"


def _block(packed: bytes, **attributes: str) -> Markup:
    # Base64 has no character that could end the element.
    text = Markup(b64encode(packed).decode())
    return el("script", text, type="application/octet-stream", **attributes)


def _filters(archive: Archive) -> Markup:
    columns = archive.columns()
    choices = (_choice(key, label, none, columns) for key, label, none in _CHOICES)
    ranges = (_range(key, label, step, columns) for key, label, step in _RANGES)
    find = el(
        "div",
        el("label", "Search the texts", for_="find"),
        el("input", type="search", id="find", name="q", autocomplete="off", spellcheck="false",
           placeholder="words as they stand", aria_keyshortcuts="/"),
        class_="field find",
    )  # fmt: skip
    sorting = el(
        "div",
        el("label", "Sort by", for_="sort"),
        el(
            "span",
            el("select", *(el("option", text, value=key) for key, text in _SORTS), id="sort"),
            el("button", "\N{UPWARDS ARROW}", type="button", id="direction",
               aria_label="Descending", aria_pressed="false", title="ascending or descending"),
            class_="joined",
        ),
        class_="field",
    )  # fmt: skip
    return el(
        "form",
        find,
        *(field for field in choices if field is not None),
        *(field for field in ranges if field is not None),
        sorting,
        el("button", "Clear", type="reset", class_="plain", id="clear"),
        id="filters",
        role="search",
        aria_label="Filter the dialogues",
    )


def _choice(key: str, label: str, none: str, columns: dict[str, list[object]]) -> Markup | None:
    counts = Counter(str(value) for value in columns.get(key, ()) if value is not None)
    if len(counts) < 2:
        return None
    order = list(counts) if key == "phase" else sorted(counts, key=lambda v: (-counts[v], v))
    options = (
        el("option", f"{value if key in ('phase', 'env') else value.replace('_', ' ')} "
           f"({counts[value]:,})", value=value)
        for value in order
    )  # fmt: skip
    select = el("select", el("option", none, value=""), *options, id=f"by-{key}", name=key)
    return el("div", el("label", label, for_=f"by-{key}"), select, class_="field")


def _range(key: str, label: str, step: str, columns: dict[str, list[object]]) -> Markup | None:
    lows, highs = ("oldest", "newest") if key == "version" else (key, key)
    low = min(_numbers(columns.get(lows, ())), default=None)
    high = max(_numbers(columns.get(highs, ())), default=None)
    if low is None or high is None or low == high:
        return None

    def end(which: str, hint: float) -> Markup:
        return el("input", type="number", step=step, name=f"{key}-{which}", placeholder=f"{hint:g}",
                  inputmode="decimal", aria_label=f"{label}, {which}")  # fmt: skip

    return el(
        "fieldset",
        el("legend", label),
        el("span", end("min", low), el("span", "to"), end("max", high), class_="joined"),
        class_="field range",
    )


def _numbers(values: Sequence[object]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]


def _list() -> Markup:
    heads = (
        el("th", text, scope="col")
        for text in ("Dialogue", "End", "By turn", "Reward", "Turns", "Weights")
    )
    # The region scrolls, so the keyboard must be able to reach it.
    return el(
        "div",
        el("p", id="found", role="status"),
        el("div", id="histogram", aria_hidden="true"),
        el(
            "div",
            el(
                "table",
                el("caption", "Dialogues found", class_="unseen"),
                el("thead", el("tr", *heads)),
                el("tbody", id="rows"),
            ),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label="Dialogues found",
        ),
        el(
            "div",
            el("button", "\N{LEFTWARDS ARROW} Previous", type="button", id="back", class_="plain"),
            el("span", id="page", class_="note"),
            el("button", "Next \N{RIGHTWARDS ARROW}", type="button", id="forth", class_="plain"),
            class_="pager",
        ),
        el("p", *_hints(), class_="note keys"),
        class_="found card",
    )


def _hints() -> Iterator[Markup]:
    for key, what in _KEYS:
        yield el("span", el("kbd", key), f" {what} ")


def _reading() -> Markup:
    return el(
        "article",
        el("p", "Choose a dialogue.", class_="note"),
        id="reading",
        class_="card",
        tabindex="-1",
        aria_label="Dialogue",
    )
