"""Pieces of HTML of the explorer. Whatever comes from a store is escaped here: texts of it are never markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

MOST_CHARACTERS = 4_000
"""What is shown of a text; the rest is counted."""


def style() -> str:
    """Return the style of the explorer as elements: that of the page, and that of marimo's own elements."""
    # marimo copies a style with such a title into its elements, which no other style reaches.
    return f'<style>{_css("explorer.css")}</style><style title="marimo-custom">{_css("elements.css")}</style>'


def _css(name: str) -> str:
    return files("molbuffer.pages.explorer").joinpath(name).read_text(encoding="utf-8")


def text(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return a value as the text of an element, escaped; see ``plain``."""
    shown = plain(value)
    cut = f" … and {len(shown) - most:,} characters more"
    return escape(shown if len(shown) <= most + len(cut) else shown[:most] + cut)


def plain(value: Any) -> str:
    """Return a value for people: numbers with four digits, times to the second, no value as a dash."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: bool = False) -> str:
    """Return a table; a value with more than 40 characters is set small, and broken anywhere.

    Args:
        caption: what the rows are.
        columns: the titles of the columns.
        rows: the values of each row.
        whole: whether all rows are shown, however many, or a part that a reader scrolls.
    """
    listed = list(rows)
    kinds = [_is_number(next((row[at] for row in listed if row[at] is not None), None)) for at in range(len(columns))]
    head = "".join(
        f'<th scope="col"{_NUMBER if is_number else ""}>{escape(name)}</th>'
        for name, is_number in zip(columns, kinds, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in listed)
    if not body:
        body = f'<tr><td colspan="{len(columns)}" class="quiet">none</td></tr>'
    kind = "mb-scroll mb-whole" if whole else "mb-scroll"
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="mb-table">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


_NUMBER = ' class="number"'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if _is_number(value):
        return f"<td{_NUMBER}>{text(value)}</td>"
    long = ' class="long"' if isinstance(value, str) and len(value) > 40 else ""
    return f"<td{long}>{text(value)}</td>"


def numbers(facts: Mapping[str, Any]) -> str:
    """Return the few numbers that say the most, in boxes."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{text(value, 120)}</dd></div>" for name, value in facts.items())
    return f'<dl class="mb-numbers">{items}</dl>'


def heading(title: str) -> str:
    """Return the heading of a part."""
    return f'<h2 class="mb-heading">{escape(title)}</h2>'


def note(message: str) -> str:
    """Return a quiet sentence."""
    return f'<p class="mb-note">{escape(message)}</p>'


def error(message: str) -> str:
    """Return an error that a reader can do something about."""
    return f'<div class="mb-error" role="alert">{text(message)}</div>'


def card(picture: str | None, title: str, lines: Mapping[str, Any], smiles: str, controls: str = "") -> str:
    """Return a card of a molecule.

    Args:
        picture: as ``pages.picture`` draws it; None for what cannot be drawn.
        title: its first line.
        lines: further facts by name.
        smiles: the molecule.
        controls: elements that a reader uses, as they are.
    """
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{text(value, 80)}</dd></div>"
        for name, value in lines.items()
        if value is not None
    )
    drawn = picture if picture is not None else '<span class="quiet">no picture</span>'
    head = f'<p class="mb-title">{escape(title)}</p>' if title else ""
    return (
        f'<li class="mb-card"><div class="mb-picture">{drawn}</div>{head}<dl>{facts}</dl>'
        f'<p class="mb-smiles">{text(smiles, 300)}</p>'
        f'<div class="mb-controls">{controls}</div></li>'
    )


def cards(items: Iterable[str]) -> str:
    """Return cards beside each other, as many as there is room for."""
    return f'<ul class="mb-cards">{"".join(items)}</ul>'


def block(*parts: str) -> str:
    """Return parts as one element of the explorer's style."""
    return f'<div class="mb">{"".join(parts)}</div>'
