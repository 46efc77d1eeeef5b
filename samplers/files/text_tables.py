"""Text tables of spreadsheets and databases: the delimiter is detected, and errors name the line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.column_names import find_columns

DELIMITERS = (",", "\t", ";", "|")
"""The delimiters of tables, in order of preference if several fit equally well."""
_NONE = "\x1f"
"""The delimiter of a table of one column. It occurs in no text, while a CXSMILES may have any other delimiter."""
_BLANK = "".join(DELIMITERS) + '" \r\n'
"""The characters of a line without a text, such as an empty row of a spreadsheet."""
HEAD_LINES = 100
_HEAD_LENGTH = 2**16
_NAMED_DELIMITER = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""The first line of a file in which Excel names the delimiter."""

Row = tuple[int, tuple[str, ...], tuple[str | None, ...]]
"""The line of a row, its texts in the wanted columns, and those in other columns as written, None where blank."""


@dataclass(frozen=True)
class TextTable:
    """A table whose header has been read.

    Attributes:
        header: the names of the columns, without blanks around them.
        wanted: the positions of the wanted columns.
    """

    header: Sequence[str]
    wanted: Sequence[int]
    _path: Path
    _lines: Iterable[str]
    _lines_before: int
    _delimiter: str
    _width: int

    def rows(self, others: Sequence[int] = ()) -> Iterator[Row]:
        """Yield the rows.

        Args:
            others: the positions of the other columns to read.

        Raises:
            SmilesFileError: the quotes of a row are wrong, or a row has more fields than the header.
        """
        records = self._records()
        next(records)
        for line, fields in records:
            n = len(fields)
            if n > len(self.header) and (n > self._width or fields[-1].strip()):
                # An unquoted delimiter has shifted the fields after it: molecules would be read from a wrong column.
                raise self._too_many(line, str(n))
            texts = tuple([fields[at].strip() if at < n else "" for at in self.wanted])
            if self._delimiter == _NONE and any(map(texts[0].partition(" |")[0].__contains__, DELIMITERS)):
                raise self._too_many(line, "several")
            yield line, texts, tuple([fields[at] or None if at < n else None for at in others]) if others else ()

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        records = csv.reader(self._lines, strict=True, delimiter=self._delimiter)
        before = self._lines_before
        line = before + 1
        try:
            for fields in records:
                if fields:
                    yield line, fields
                line = before + records.line_num + 1
        except csv.Error as error:
            problem = f"the quotes of the record that begins here are wrong, or a field is too long: {error}"
            advice = 'a field is quoted as a whole, as in "2,4-D", and a quote in it is written twice'
            raise SmilesFileError(self._path, f"{problem}; {advice}", line) from error

    def _too_many(self, line: int, fields: str) -> SmilesFileError:
        advice = "quote a field that has a delimiter in it"
        return SmilesFileError(
            self._path, f"the row has {fields} fields, but the header has {len(self.header)}; {advice}", line
        )


def open_table(path: Path, lines: Iterator[str], columns: Sequence[str | None]) -> TextTable:
    """Read the header of a text table.

    Before the header, blank lines and lines that begin with ``#`` are skipped. A first line such as ``sep=;`` names the
    delimiter. Otherwise the delimiter is the one with which the header has the wanted columns, and most of the first
    rows have as many fields as the header.

    Args:
        path: the file, for errors.
        lines: the lines of the file with their ends.
        columns: the wanted columns, for ``find_columns``.

    Raises:
        SmilesFileError: there is no header, or it lacks a wanted column, or has one more than once.
    """
    before, named, first = 0, None, None
    for line in lines:
        if first_line := _NAMED_DELIMITER.fullmatch(line) if before == 0 else None:
            named = first_line[1]
        elif line.strip(_BLANK) and not line.startswith("#"):
            first = line
            break
        before += 1
    if first is None:
        raise SmilesFileError(path, "it has no lines, expected a table that begins with the names of columns")
    head, is_cut = _head_of(first, lines)
    layouts = [_layout(path, head, each, columns, is_cut) for each in ([named] if named else (*DELIMITERS, _NONE))]
    # With a delimiter that the header lacks, it has one column, as without a delimiter.
    fitting = [each for each in layouts if named or each.delimiter == _NONE or len(each.header) > 1]
    best = max(fitting, key=lambda layout: layout.fitness)
    wanted = find_columns(path, columns, best.header, before + 1)
    return TextTable(
        header=best.header,
        wanted=wanted,
        _path=path,
        _lines=chain(head, lines),
        _lines_before=before,
        _delimiter=best.delimiter,
        _width=best.width,
    )


def _head_of(first: str, lines: Iterator[str]) -> tuple[list[str], bool]:
    """Return the first lines of a file, and whether there may be further ones."""
    head, length = [first], len(first)
    for line in lines:
        head.append(line)
        length += len(line)
        if len(head) == HEAD_LINES or length > _HEAD_LENGTH:
            return head, True
    return head, False


@dataclass(frozen=True)
class _Layout:
    """The layout of the first rows with one delimiter.

    Attributes:
        delimiter: the delimiter.
        header: the names of the columns.
        width: the number of fields of a row: that of the header, or one more if all rows end with a delimiter.
        fitness: whether the header has the wanted columns, the share of rows of this width, and the number of columns.
    """

    delimiter: str
    header: Sequence[str]
    width: int
    fitness: tuple[bool, float, int]


def _layout(path: Path, head: Sequence[str], delimiter: str, columns: Sequence[str | None], is_cut: bool) -> _Layout:
    records: list[list[str]] = []
    # An error here is reported with its line when the table is read with the chosen delimiter.
    with suppress(csv.Error):
        records.extend(fields for fields in csv.reader(head, delimiter=delimiter) if fields)
    header = [name.strip() for name in (records or [[head[0]]])[0]]
    rows = records[1:-1] if is_cut else records[1:]
    ends_with_delimiter = len(rows) > 1 and all(len(row) == len(header) + 1 and not row[-1].strip() for row in rows)
    width = len(header) + ends_with_delimiter
    share = sum(len(row) == width for row in rows) / len(rows) if rows else 1.0
    try:
        find_columns(path, columns, header)
    except SmilesFileError:
        return _Layout(delimiter, header, width, (False, share, len(header)))
    return _Layout(delimiter, header, width, (True, share, len(header)))
