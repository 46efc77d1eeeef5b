"""Reading columns of .smi, .csv and .parquet files in blocks, so that no file has to fit into memory."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.scoring import plain_smiles

SMILES_COLUMNS = ("smiles", "SMILES", "canonical_smiles", "Smiles")
"""The columns that may hold the molecules of a table when no column is named, in order of preference."""
LINE_FILES = (".smi", ".smiles", ".txt", ".ism")
BLOCK_ROWS = 65_536

Row = tuple[int, tuple[str, ...]]


@dataclass(frozen=True)
class TextBlock:
    """Some rows of a file, without those that are blank in every column.

    Attributes:
        lines: the line in which each row begins, counted from 1, a header included; for Parquet the row number.
        columns: the texts of each column, stripped of blanks, with a CXSMILES made plain as ``plain_smiles`` does.
    """

    lines: Sequence[int]
    columns: tuple[Sequence[str], ...]


def read_columns(path: Path, columns: Sequence[str | None]) -> Iterator[TextBlock]:
    """Yield the rows of a .smi, .txt, .csv or .parquet file; text files may be compressed as .gz.

    In a .smi file the first word of a line is the molecule and the rest is its name, unless it is a CXSMILES. A first
    line that starts with the name of a column, such as ``SMILES``, is a header.

    Args:
        path: the file.
        columns: the columns of a table; None is the first of ``SMILES_COLUMNS`` that it has. A .smi file has one
            column without a name.

    Raises:
        SmilesFileError: the file cannot be read, has another format, lacks a column, or holds no molecule.
    """
    with _named_in_errors(path):
        blocks = _blocks(_rows(path, columns))
        if (first := next(blocks, None)) is None:
            raise SmilesFileError(f"{path} holds no molecule")
        yield first
        yield from blocks


def _rows(path: Path, columns: Sequence[str | None]) -> Iterator[Row]:
    suffix = next((s.lower() for s in reversed(path.suffixes) if s != ".gz"), "")
    if suffix in LINE_FILES and len(columns) == 1:
        return _line_rows(path)
    if suffix == ".csv":
        return _csv_rows(path, columns)
    if suffix == ".parquet":
        return _parquet_rows(path, columns)
    tables = ".csv or .parquet file" if len(columns) > 1 else ".smi, .txt, .csv or .parquet file"
    raise SmilesFileError(f"{path}: expected a {tables} (or .gz of a text one)")


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise SmilesFileError(f"{path} cannot be read: {error}") from error


def _blocks(rows: Iterator[Row]) -> Iterator[TextBlock]:
    filled = ((line, tuple(map(_plain, texts))) for line, texts in rows if any(texts))
    while block := list(islice(filled, BLOCK_ROWS)):
        yield TextBlock([line for line, _ in block], tuple(zip(*(texts for _, texts in block), strict=True)))


def _plain(text: str) -> str:
    return plain_smiles(text) if " |" in text else text


def _open_text(path: Path) -> IO[str]:
    # utf-8-sig: the byte order mark that some editors write would become part of the first molecule or header.
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _line_rows(path: Path) -> Iterator[Row]:
    with _open_text(path) as lines:
        first = True
        for number, line in enumerate(lines, 1):
            if words := line.split(maxsplit=1):
                if not (first and words[0] in SMILES_COLUMNS):
                    yield number, (_molecule_of(words),)
                first = False


def _molecule_of(words: Sequence[str]) -> str:
    """Return the molecule of a line, of which the rest may be a name or the extension of a CXSMILES."""
    is_extended = len(words) > 1 and words[1].startswith("|") and "|" in words[1][1:]
    return " ".join(words).strip() if is_extended else words[0]


def _csv_rows(path: Path, columns: Sequence[str | None]) -> Iterator[Row]:
    with _open_text(path) as lines:
        records = csv.reader(lines, strict=True)
        header = next(records, None)
        if header is None:
            raise SmilesFileError(f"{path} cannot be read: it is empty, and a table begins with the names of columns")
        wanted = [header.index(name) for name in _named(path, columns, header)]
        line = records.line_num + 1
        for fields in records:
            if len(fields) > len(header):
                # An unquoted comma has shifted the fields after it: molecules would be taken from the wrong ones.
                raise SmilesFileError(
                    f"{path} cannot be read: line {line} has {len(fields)} fields, and the header {len(header)}"
                )
            yield line, tuple(fields[at].strip() if at < len(fields) else "" for at in wanted)
            line = records.line_num + 1


def _parquet_rows(path: Path, columns: Sequence[str | None]) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        names = _named(path, columns, file.schema_arrow.names)
        line = 1
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=list(dict.fromkeys(names))):
            texts = [batch.column(name).cast(pa.string()).to_pylist() for name in names]
            for row in zip(*texts, strict=True):
                yield line, tuple((text or "").strip() for text in row)
                line += 1


def _named(path: Path, columns: Sequence[str | None], there: Sequence[str]) -> list[str]:
    """Return the names of the wanted columns of a table."""
    names = []
    for column in columns:
        name = column or next((name for name in SMILES_COLUMNS if name in there), None)
        if name is None or name not in there:
            wanted = name or " or ".join(SMILES_COLUMNS)
            raise SmilesFileError(f"{path} has no column {wanted!r}; it has: {', '.join(there)}")
        if (same := list(there).count(name)) > 1:
            raise SmilesFileError(f"{path} has {same} columns {name!r}, of which one cannot be chosen; rename them")
        names.append(name)
    return names


@dataclass(frozen=True)
class FileRow:
    """A molecule as a file has it.

    Attributes:
        line: the line of the file, counted from 1, a header included.
        smiles: the text of the molecule.
    """

    line: int
    smiles: str


def read_smiles_file(path: Path, column: str | None = None) -> list[FileRow]:
    """Return all molecules of a .smi, .txt, .csv or .parquet file, as ``read_columns`` reads them; blank ones are
    skipped.

    Args:
        path: the file.
        column: of a table; by default the first of ``SMILES_COLUMNS`` that it has.

    Raises:
        SmilesFileError: the file cannot be read, has another format, lacks the column, or holds no molecule.
    """
    return [
        FileRow(line, text)
        for block in read_columns(path, [column])
        for line, text in zip(block.lines, block.columns[0], strict=True)
    ]
