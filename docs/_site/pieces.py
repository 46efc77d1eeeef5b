"""Pieces of Markdown that the generated pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may have Markdown, and become one line each."""
    lines = [_row(heads), "| " + " | ".join("---" for _ in heads) + " |"]
    return "\n".join([*lines, *map(_row, rows)])


def code(text: object) -> str:
    """Return a text as code within a line, whatever characters it has."""
    shown = str(text)
    fence = "`" * (1 + max((len(run) for run in shown.split("`")[1:-1] if not run), default=0))
    while fence in shown:
        fence += "`"
    pad = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
