"""Parquet tables: the texts of wanted columns in blocks, and the values of the other columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.column_names import find_columns
from molbuffer.samplers.files.screened_text import check_signature
from molbuffer.samplers.files.text_tables import Row

BATCH_ROWS = 65_536


def parquet_rows(path: Path, columns: Sequence[str | None], others: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the number of each row, from 1, its texts in the wanted columns, and those in the other named columns."""
    with path.open("rb") as head:
        check_signature(path, head.read(512), b"PAR1")
    with pq.ParquetFile(path) as file:
        there = file.schema_arrow.names
        names = [there[at] for at in find_columns(path, [*columns, *others], there)]
        n = len(columns)
        number = 1
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(dict.fromkeys(names))):
            texts = [batch.column(name).cast(pa.string()).to_pylist() for name in names]
            for row in zip(*texts, strict=True):
                yield number, tuple([(text or "").strip() for text in row[:n]]), row[n:]
                number += 1


def other_columns(path: Path, columns: Sequence[str | None], rows: Sequence[int]) -> pa.Table:
    """Return the other columns, than the wanted ones, of rows given by their numbers from 1.

    Values keep their type, unless few programs know it: values of extension types have their storage type, and
    durations, and decimals of more than 38 digits, become texts.

    Raises:
        SmilesFileError: such a type is inside of lists or structures.
    """
    with pq.ParquetFile(path) as file:
        wanted = find_columns(path, columns, file.schema_arrow.names)
        table = file.read()
    others = [at for at in range(table.num_columns) if at not in wanted]
    chosen = pa.array([row - 1 for row in rows], pa.int64())
    values = [_common(path, table.field(at), table.column(at)).take(chosen) for at in others]
    return pa.Table.from_arrays(values, names=[table.field(at).name for at in others])


def _common(path: Path, field: pa.Field, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values in a type that data frames and text files can represent."""
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
        values = values.cast(kind)
    if pa.types.is_binary_view(kind):
        return values.cast(pa.large_binary())
    if pa.types.is_duration(kind):
        return pa.chunked_array([[None if each is None else str(each) for each in values.to_pylist()]], pa.string())
    if not _is_common(kind):
        if pa.types.is_nested(kind):
            raise SmilesFileError(path, f"the column {field.name!r} has the type {kind}; write it as text, or drop it")
        return values.cast(pa.large_string())
    return values


def _is_common(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return all(_is_common(kind.field(at).type) for at in range(kind.num_fields))
    rare = (pa.types.is_duration, pa.types.is_decimal256, pa.types.is_string_view, pa.types.is_binary_view)
    return not isinstance(kind, pa.BaseExtensionType) and not any(is_rare(kind) for is_rare in rare)
