"""A table as plain text."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table


def as_text(table: Table) -> str:
    """The table, as wide as it needs to be."""
    # Wide enough for any table of ours: a result must not depend on who looks at it. And the path
    # of a model may look like markup.
    file = StringIO()
    Console(file=file, width=200, markup=False, emoji=False).print(table)
    return file.getvalue()
