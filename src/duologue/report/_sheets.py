"""Plain tables of numbers, such as the paper's."""

from __future__ import annotations

from ._html import Markup, el
from ._report import Sheet


def sheet(table: Sheet) -> Markup:
    """The table under its title, to be scrolled sideways where there is no room, then its note."""
    head = el("tr", *(el("th", word, scope="col") for word in table.head))
    body = (
        el("tr", el("th", name, scope="row"), *(el("td", cell) for cell in cells))
        for name, *cells in table.rows
    )
    return el(
        "figure",
        el("figcaption", el("h3", table.title)),
        el(
            "div",
            el("table", el("thead", head), el("tbody", *body), class_="sheet"),
            class_="wide",
            tabindex="0",
            role="region",
            aria_label=table.title,
        ),
        el("p", table.note, class_="note") if table.note else None,
        class_="card",
    )
