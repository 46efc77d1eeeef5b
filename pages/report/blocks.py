"""What a report consists of: sections of blocks, which are plain records until ``html`` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from molbuffer.pages.charts import Chart

MOST_CHARACTERS = 400
"""The most characters of a text that a page shows; it says how many there are."""
MOST_SMILES = 300


@dataclass(frozen=True)
class Number:
    """A number that stands for much: its title, the number as it is shown, and a few words on it."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Numbers:
    """Numbers beside each other."""

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
    """Charts beside each other where there is room.

    Attributes:
        charts: those that have something to show; None among them are left out.
        wide: whether each is as wide as the page.
    """

    charts: Sequence[Chart | None]
    wide: bool = False
    kind: ClassVar[str] = "charts"

    @property
    def drawn(self) -> list[Chart]:
        """The charts that have something to show."""
        return [chart for chart in self.charts if chart is not None]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and what it is sorted by: a number, or the text itself."""

    text: str
    sort: float | str | None = None


@dataclass(frozen=True)
class Table:
    """Rows that a reader can sort and filter.

    Attributes:
        caption: what the rows are.
        columns: the titles of the columns.
        rows: the cells of each row.
        numeric: the columns that have numbers, which are set to the right.
        long: the columns with texts that may be broken anywhere, such as SMILES.
        whole: what a title was shortened from, by the title; a reader sees it under the pointer.
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
        """Whether there are so many rows that a reader may look for one."""
        return len(self.rows) > 8


@dataclass(frozen=True)
class Card:
    """A molecule with its picture.

    Attributes:
        smiles: the molecule.
        picture: the SVG element; None where it cannot be drawn.
        title: the number that it is shown for, such as its reward.
        lines: what else is told of it, as (title, text).
        whole: what a title of a line was shortened from, by the title.
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
        chain: whether each is made of the next one, so that arrows lead from one to the other.
    """

    cards: Sequence[Card]
    chain: bool = False
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Folded:
    """A text that is shown on demand, such as a configuration."""

    title: str
    text: str
    kind: ClassVar[str] = "folded"


Block = Numbers | Heading | Note | Charts | Table | Cards | Folded


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        key: its name in addresses.
        title: its title.
        lead: one sentence that says what it shows, and what to watch for.
        blocks: what it shows; empty where there is nothing to show.
        empty: why there is nothing, in one sentence.
    """

    key: str
    title: str
    lead: str
    blocks: Sequence[Block]
    empty: str = ""


def text_cell(value: Any) -> Cell:
    """Return the cell of a text, cut where it is long; None is an empty one."""
    return Cell("") if value is None else Cell(shown(str(value)), str(value)[:MOST_CHARACTERS])


def number_cell(value: float | int | None, form: str = ",.4g") -> Cell:
    """Return the cell of a number; None is an empty one, and comes last in any order."""
    return Cell("") if value is None else Cell(format(value, form), float(value))


def share_cell(value: float | None) -> Cell:
    """Return the cell of a share, as per cent."""
    return Cell("") if value is None else Cell(f"{value:.1%}", float(value))


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text as a page shows it: cut where it is long, with a word on how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def duration(seconds: float) -> str:
    """Return a time as people say it: "12.3 s", "4 min 10 s", "3 h 20 min", "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for large, small, size, part in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86400, 3600)):
        if whole < size * (60 if large == "min" else 24 if large == "h" else 10**9):
            rest = whole % size // part
            return f"{whole // size:,} {large}" + (f" {rest} {small}" if rest else "")
    raise AssertionError(seconds)
