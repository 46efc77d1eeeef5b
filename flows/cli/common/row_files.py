"""Files of rows that ``SampleStore.export`` writes in batches: one class or function for each format."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from molbuffer.flows.cli.common.formats import Format, is_compressed
from molbuffer.flows.cli.common.output import table
from molbuffer.flows.cli.common.row_texts import SMILES, json_text, sdf_file

if TYPE_CHECKING:
    import pyarrow

    from molbuffer.storage import RowWriter

_DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}


def row_writer(form: Format, out: Path, report: Callable[[str], None]) -> RowWriter:
    """Return the function that opens a file of a format for writing.

    Args:
        form: the format.
        out: the file; the ending of its name says whether a text is compressed.
        report: is called with a message about rows that the format cannot hold.
    """
    if form is Format.PARQUET:
        return _parquet_file
    if form is Format.SDF:
        return partial(sdf_file, compressed=is_compressed(out), report=report)
    if form in _DELIMITERS:
        return partial(_delimited_file, delimiter=_DELIMITERS[form], compressed=is_compressed(out))
    return partial(_text_file, form=form, compressed=is_compressed(out))


def _parquet_file(path: Path, schema: pyarrow.Schema) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")


@contextmanager
def _delimited_file(path: Path, schema: pyarrow.Schema, *, delimiter: str, compressed: bool) -> Iterator[Any]:
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(delimiter=delimiter)
    with (
        gzip.open(path, "wb") if compressed else path.open("wb") as file,
        pyarrow.csv.CSVWriter(file, schema, write_options=options) as writer,
    ):
        yield writer


@contextmanager
def _text_file(path: Path, schema: pyarrow.Schema, *, form: Format, compressed: bool) -> Iterator[TextBatches]:
    with gzip.open(path, "wt", encoding="utf-8") if compressed else path.open("w", encoding="utf-8") as file:
        batches = TextBatches(file, form, schema.names)
        yield batches
        batches.end()


@dataclass
class TextBatches:
    """A file of lines, JSON or a table that is written in batches of rows.

    Attributes:
        file: the open file.
        form: the format.
        columns: the names of the columns.
    """

    file: IO[str]
    form: Format
    columns: list[str]
    _rows: list[list[Any]] = field(default_factory=list)
    _is_empty: bool = True

    def write_batch(self, batch: pyarrow.RecordBatch) -> None:
        """Write a batch of rows; a table keeps them until the end, since its column widths depend on all rows."""
        rows = batch.to_pylist()
        match self.form:
            case Format.JSONL:
                self.file.writelines(f"{json_text(row)}\n" for row in rows)
            case Format.SMILES:
                self.file.writelines(f"{row[SMILES]}\n" for row in rows if row[SMILES] is not None)
            case Format.TABLE:
                self._rows += [list(row.values()) for row in rows]
            case _:
                for row in rows:
                    self.file.write(f"{'[' if self._is_empty else f',{chr(10)} '}{json_text(row)}")
                    self._is_empty = False

    def end(self) -> None:
        """Write what follows the last row: the end of a JSON array, or a whole table."""
        if self.form is Format.TABLE:
            self.file.write(table(self.columns, self._rows) + "\n")
        elif self.form is Format.JSON:
            self.file.write("[]\n" if self._is_empty else "]\n")
