"""Reading columns of .smi, .csv, .tsv and .parquet files in blocks, so that no file has to fit into memory.

The format of a file follows from its name, in any case, and a content of another format is refused. ``screened_text``
opens texts, ``text_tables`` splits them, ``parquet_tables`` reads Parquet, ``column_names`` finds columns of tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.column_names import find_columns, is_smiles_column
from molbuffer.samplers.files.parquet_tables import other_columns, parquet_rows
from molbuffer.samplers.files.screened_text import open_text
from molbuffer.samplers.files.text_tables import Row, open_table
from molbuffer.scoring import plain_smiles

LINE_FILES = (".smi", ".smiles", ".ism", ".txt")
TABLES = (".csv", ".tsv")
BLOCK_ROWS = 65_536
NAME = "name"
"""The name of the other column of a file of lines: the text after the molecule."""
_NO_NAME = (None,)


@dataclass(frozen=True)
class TextBlock:
    """Some rows of a file, without those that are blank in every column.

    Attributes:
        lines: the line in which each row begins, counted from 1, a header included; for Parquet the row number.
        columns: the texts of each column, stripped of blanks, with each CXSMILES replaced by ``plain_smiles``.
        ids: the text of each row in the id column, stripped of blanks, None where it is blank; None without an id
            column.
    """

    lines: Sequence[int]
    columns: tuple[Sequence[str], ...]
    ids: Sequence[str | None] | None = None


def read_columns(path: Path, columns: Sequence[str | None], id_column: str | None = None) -> Iterator[TextBlock]:
    """Yield the rows of a .smi, .smiles, .ism, .txt, .csv, .tsv or .parquet file; text files may be compressed as .gz.

    In a .smi file the first word of a line is the molecule and the rest is its name, unless it is a CXSMILES. A first
    line that starts with the name of a column, such as ``SMILES``, is a header, and lines that begin with ``#`` are
    comments. ``open_table`` finds the delimiter of a .csv or .tsv file.

    Args:
        path: the file.
        columns: the columns of a table, for ``find_columns``: None is ``smiles`` or ``canonical_smiles``, in any case.
            A .smi file has only this column, the first word of a line.
        id_column: the column of a table with the ids of the rows; ``name`` for a .smi file. A row with an id alone
            counts as blank.

    Raises:
        SmilesFileError: the file cannot be read, has another format or encoding, lacks a column, or has no molecule.
    """
    with _opened(path, columns, others=() if id_column is None else (id_column,)) as (_, rows):
        for block, rest in _blocks(path, rows):
            ids = None if id_column is None else [(texts[0] or "").strip() or None for texts in rest]
            yield replace(block, ids=ids)


@dataclass(frozen=True)
class FileRow:
    """A molecule of a file.

    Attributes:
        line: the line of the file, counted from 1, a header included.
        smiles: the text of the molecule.
    """

    line: int
    smiles: str


@dataclass(frozen=True)
class MoleculeTable:
    """All molecules of a file, and the other columns of their rows.

    Attributes:
        rows: the molecules [n].
        others: the other columns [n], in the order of the file: texts as written, null where blank, or the values of
            Parquet. A file of lines has one, ``name``. Names may occur twice. A column without a name and values, which
            delimiters at the ends of lines make, is left out.
    """

    rows: Sequence[FileRow]
    others: pa.Table


def read_smiles_file(path: Path, column: str | None = None) -> list[FileRow]:
    """Return all molecules of a file, read by ``read_columns``; rows without a molecule are skipped.

    Args:
        path: the file.
        column: the column of a table; None is ``smiles`` or ``canonical_smiles``, in any case.

    Raises:
        SmilesFileError: the file cannot be read, has another format, lacks the column, or has no molecule.
    """
    return [row for block in read_columns(path, [column]) for row in _file_rows(block)]


def read_molecule_table(path: Path, column: str | None = None) -> MoleculeTable:
    """Return all molecules of a file, as ``read_smiles_file`` does, with the other columns of their rows."""
    found: list[FileRow] = []
    with _opened(path, [column], others=None) as (names, rows):
        others = [_strings([], len(names))]
        for block, rest in _blocks(path, rows):
            found += _file_rows(block)
            others.append(_strings(rest, len(names)))
        if _suffix(path) == ".parquet":
            return MoleculeTable(found, other_columns(path, [column], [row.line for row in found]))
    columns = [pa.chunked_array(list(parts)) for parts in zip(*others, strict=True)]
    named = [
        (name, column) for name, column in zip(names, columns, strict=True) if name or column.null_count < len(found)
    ]
    return MoleculeTable(found, pa.Table.from_arrays([column for _, column in named], [name for name, _ in named]))


def _file_rows(block: TextBlock) -> Iterator[FileRow]:
    return map(FileRow, block.lines, block.columns[0])


def _strings(rows: Sequence[Sequence[str | None]], width: int) -> list[pa.Array]:
    return [pa.array([row[at] for row in rows], pa.large_string()) for at in range(width)]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


@contextmanager
def _opened(
    path: Path, columns: Sequence[str | None], *, others: Sequence[str] | None
) -> Iterator[tuple[Sequence[str], Iterator[Row]]]:
    """Open a file, and yield the names of the other columns and the rows.

    Args:
        path: the file.
        columns: the columns of molecules.
        others: the names of the other columns; None is all columns of a text file, and no column of a Parquet file.
    """
    suffix = _suffix(path)
    try:
        if suffix in LINE_FILES and len(columns) == 1:
            if columns[0] is not None and not is_smiles_column(columns[0]):
                problem = f"a {suffix} file has no column {columns[0]!r}: the first word of a line is the molecule"
                advice = "let the name of a table end in .csv or .tsv"
                raise SmilesFileError(path, f"{problem}; {advice}", column=columns[0])
            for name in others or ():
                find_columns(path, [name], [NAME])
            with open_text(path) as lines:
                yield (NAME,) if others is None else others, _line_rows(path, lines)
        elif suffix in TABLES:
            with open_text(path) as lines:
                table = open_table(path, lines, columns)
                every = [at for at in range(len(table.header)) if at not in table.wanted]
                wanted = every if others is None else find_columns(path, others, table.header)
                yield [table.header[at] for at in wanted], table.rows(wanted)
        elif suffix == ".parquet":
            yield others or (), parquet_rows(path, columns, others or ())
        else:
            known = (*TABLES, ".parquet") if len(columns) > 1 else (*LINE_FILES, *TABLES, ".parquet")
            raise SmilesFileError(
                path, f"expected a name that ends in {', '.join(known)} (or .gz after that of a text)"
            )
    except (OSError, pa.ArrowException) as error:
        raise SmilesFileError(path, f"it cannot be read: {error}") from error


def _blocks(path: Path, rows: Iterator[Row]) -> Iterator[tuple[TextBlock, list[tuple[str | None, ...]]]]:
    """Yield the rows in blocks, each with the texts of the other columns."""
    filled = (row for row in rows if any(row[1]))
    is_empty = True
    while block := list(islice(filled, BLOCK_ROWS)):
        columns = ([texts[at] for _, texts, _ in block] for at in range(len(block[0][1])))
        plain = tuple([plain_smiles(text) if " |" in text else text for text in column] for column in columns)
        yield TextBlock([line for line, _, _ in block], plain), [others for _, _, others in block]
        is_empty = False
    if is_empty:
        raise SmilesFileError(path, "it holds no molecule")


def _line_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line[0] != "#" and not line.isspace())
    for number, line in numbered:
        if not _is_header(path, line, number):
            yield _row_of(number, line)
        break
    for number, line in numbered:
        yield _row_of(number, line)


def _row_of(number: int, line: str) -> Row:
    """Return the number, the molecule and the name of a line; a CXSMILES has an extension before the name."""
    words = line.split(maxsplit=1)
    if len(words) == 1:
        return number, (words[0],), _NO_NAME
    smiles, rest = words
    if rest.startswith("|") and "|" in rest[1:]:
        return number, (f"{smiles} {rest}".strip(),), (rest[1:].partition("|")[2].strip() or None,)
    return number, (smiles,), (rest.strip(),)


def _is_header(path: Path, line: str, number: int) -> bool:
    """Return whether the first line is a header.

    Raises:
        SmilesFileError: the line is the header of a table in which the molecule is not the first word.
    """
    if is_smiles_column(line.split(maxsplit=1)[0]):
        return True
    if any(map(is_smiles_column, re.split(r"[\s,;|\"']+", line))):
        problem = "this is the header of a table, and in this format the first word of a line is the molecule"
        raise SmilesFileError(path, f"{problem}; let its name end in .csv or .tsv", number)
    return False
