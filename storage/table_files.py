"""Which Parquet files a table is made of at a version, as DuckLake's own tables say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.places import Place

Metadata = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]
"""Answers SQL about DuckLake's own tables, as ``Catalog.metadata`` does."""

# DuckLake's names of types, where DuckDB has no such name or takes it for another type.
_TYPES = {"int8": "TINYINT", "float32": "FLOAT", "float64": "DOUBLE"}
_COLUMNS = """SELECT table_name, column_name, column_type, column_id
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    ORDER BY column_order"""
# Compaction makes files that hold rows of several versions, up to ``partial_max``.
_DATA_FILES = """SELECT table_name, part.path, coalesce(partial_max > $snapshot, false)
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    ORDER BY data_file_id"""


@dataclass(frozen=True)
class TableFiles:
    """What a table is made of at a version.

    Attributes:
        columns: name, DuckDB type and Parquet field id of each column.
        whole: Parquet files all of whose rows belong to the version.
        partial: files made by compaction that also hold rows of later versions.
    """

    columns: tuple[tuple[str, str, int], ...]
    whole: tuple[Place, ...]
    partial: tuple[Place, ...]


def table_files(metadata: Metadata, folder: Place, tables: Sequence[str], snapshot: int) -> dict[str, TableFiles]:
    """The columns and Parquet files of tables as of a version that there is.

    Args:
        folder: has a folder of files for each table.
    """
    columns, paths = metadata(_COLUMNS, {"snapshot": snapshot}), metadata(_DATA_FILES, {"snapshot": snapshot})
    return {
        table: TableFiles(
            columns=tuple((name, str(_TYPES.get(kind, kind)), key) for of, name, kind, key in columns if of == table),
            whole=tuple(folder / table / path for of, path, partial in paths if of == table and not partial),
            partial=tuple(folder / table / path for of, path, partial in paths if of == table and partial),
        )
        for table in tables
    }
