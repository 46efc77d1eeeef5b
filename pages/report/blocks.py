"""The parts of a report: sections of blocks, which are plain records until ``html`` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from molbuffer.pages.charts import Chart

MOST_CHARACTERS = 400
"""The most characters of a text that a page shows; for a longer text, it shows the number of characters."""
MOST_SMILES = 300


@dataclass(frozen=True)
class Number:
    """A main number of a report.

    Attributes:
        title: the title.
        value: the number as a text.
        note: a few words about it; may be empty.
    """

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Numbers:
    """A row of main numbers.

    Attributes:
        numbers: the numbers.
    """

    numbers: Sequence[Number]
    kind: ClassVar[str] = "numbers"


@dataclass(frozen=True)
class Heading:
    """A heading within a section, such as the name of an objective."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Note:
    """A sentence between blocks."""

    text: str
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Charts:
    """A group of charts, side by side if there is room.

    Attributes:
        charts: the charts; None is a chart without data, and is left out.
        wide: whether each chart is as wide as the page.
    """

    charts: Sequence[Chart | None]
    wide: bool = False
    kind: ClassVar[str] = "charts"

    @property
    def drawn(self) -> list[Chart]:
        """The charts that have data."""
        return [chart for chart in self.charts if chart is not None]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: the text.
        sort: the number or text that the cell is sorted by; None comes last.
    """

    text: str
    sort: float | str | None = None


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort and filter.

    Attributes:
        caption: the caption.
        columns: the titles of the columns.
        rows: the cells of each row.
        numeric: the numbers of the columns with numbers, which are aligned to the right.
        long: the numbers of the columns with texts that may be broken anywhere, such as SMILES.
        whole: the full texts of shortened titles, by the shortened title; a tooltip shows them.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    long: frozenset[int] = frozenset()
    whole: Mapping[str, str] = field(default_factory=dict)
    kind: ClassVar[str] = "table"

    @property
    def can_be_filtered(self) -> bool:
        """Whether the table has so many rows that it has a filter."""
        return len(self.rows) > 8


@dataclass(frozen=True)
class Card:
    """A molecule with its picture.

    Attributes:
        smiles: the SMILES of the molecule.
        picture: the SVG element; None if the molecule cannot be drawn.
        title: the title, such as its reward.
        lines: further facts, as (title, text).
        whole: the full texts of shortened titles of lines, by the shortened title.
    """

    smiles: str
    picture: str | None = field(repr=False)
    title: str
    lines: Sequence[tuple[str, str]] = ()
    whole: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cards:
    """Pictures of molecules in a grid.

    Attributes:
        cards: the molecules.
        chain: whether each molecule is made of the next, which arrows show.
    """

    cards: Sequence[Card]
    chain: bool = False
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Folded:
    """A text that is folded until a reader opens it, such as a configuration.

    Attributes:
        title: the title.
        text: the text.
    """

    title: str
    text: str
    kind: ClassVar[str] = "folded"


Block = Numbers | Heading | Note | Charts | Table | Cards | Folded


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        key: the anchor of the section in the address of the page.
        title: the title.
        lead: one sentence that describes the section and what to watch for.
        blocks: the blocks; empty if there is nothing to show.
        empty: one sentence that is shown instead of blocks.
    """

    key: str
    title: str
    lead: str
    blocks: Sequence[Block]
    empty: str = ""


def text_cell(value: Any) -> Cell:
    """Return the cell of a text, which is cut if it is long; None is an empty cell."""
    return Cell("") if value is None else Cell(shown(str(value)), str(value)[:MOST_CHARACTERS])


def number_cell(value: float | int | None, form: str = ",.4g") -> Cell:
    """Return the cell of a number; None is an empty cell, which is always sorted last."""
    return Cell("") if value is None else Cell(format(value, form), float(value))


def share_cell(value: float | None) -> Cell:
    """Return the cell of a share, shown in per cent."""
    return Cell("") if value is None else Cell(f"{value:.1%}", float(value))


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text as a page shows it: a long text is cut, and its number of characters added."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def duration(seconds: float) -> str:
    """Return a time in seconds as a text for people: "12.3 s", "4 min 10 s", "3 h 20 min", "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for large, small, size, part in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86400, 3600)):
        if whole < size * (60 if large == "min" else 24 if large == "h" else 10**9):
            rest = whole % size // part
            return f"{whole // size:,} {large}" + (f" {rest} {small}" if rest else "")
    raise AssertionError(seconds)
