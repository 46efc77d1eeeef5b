"""Functions that make the HTML of the explorer. They escape all texts from a store, which are never markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

MOST_CHARACTERS = 4_000
"""The most characters of a text that are shown; the number of the others is added."""


def style() -> str:
    """Return the style elements of the explorer: one for the page, and one for the elements of marimo."""
    # marimo copies a style with this title into its elements, to which no other style applies.
    return f'<style>{_css("explorer.css")}</style><style title="marimo-custom">{_css("elements.css")}</style>'


def _css(name: str) -> str:
    return files("molbuffer.pages.explorer").joinpath(name).read_text(encoding="utf-8")


def text(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return a value as the text of an element, escaped; see ``plain``."""
    shown = plain(value)
    cut = f" … and {len(shown) - most:,} characters more"
    return escape(shown if len(shown) <= most + len(cut) else shown[:most] + cut)


def plain(value: Any) -> str:
    """Return a value as a text for people: numbers with four digits, times to the second, None as a dash."""
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
    """Return a table; a value of more than 40 characters is set in small type, and may be broken anywhere.

    Args:
        caption: the caption.
        columns: the titles of the columns.
        rows: the values of each row.
        whole: show all rows; false limits the height, so that a reader scrolls.
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
    """Return the main numbers of a page in boxes, by their titles."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{text(value, 120)}</dd></div>" for name, value in facts.items())
    return f'<dl class="mb-numbers">{items}</dl>'


def heading(title: str) -> str:
    """Return the heading of a part of the page."""
    return f'<h2 class="mb-heading">{escape(title)}</h2>'


def note(message: str) -> str:
    """Return a sentence as a paragraph in muted type."""
    return f'<p class="mb-note">{escape(message)}</p>'


def error(message: str) -> str:
    """Return an error message for a reader, as an alert."""
    return f'<div class="mb-error" role="alert">{text(message)}</div>'


def card(picture: str | None, title: str, lines: Mapping[str, Any], smiles: str, controls: str = "") -> str:
    """Return a card of a molecule.

    Args:
        picture: the SVG element that ``pages.picture`` returns; None if the molecule cannot be drawn.
        title: the first line.
        lines: further facts by name; those of None are left out.
        smiles: the SMILES of the molecule.
        controls: the HTML of buttons, which is not escaped.
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
    """Return a grid of cards, with as many in a row as there is room for."""
    return f'<ul class="mb-cards">{"".join(items)}</ul>'


def block(*parts: str) -> str:
    """Return parts as one element to which the style of the explorer applies."""
    return f'<div class="mb">{"".join(parts)}</div>'
