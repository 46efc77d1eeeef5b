"""Which Parquet files a table is made of at a version, as DuckLake's own tables say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from molbuffer.storage.backends.engine import quote
from molbuffer.storage.files.places import Place

Metadata = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]
"""Answers SQL about DuckLake's own tables, as ``Catalog.metadata`` does."""

# DuckLake's names of types, where DuckDB has no such name or takes it for another type.
_TYPES = {"int8": "TINYINT", "float32": "FLOAT", "float64": "DOUBLE"}
_COLUMNS = """SELECT table_name, column_name, column_type, column_id, initial_default
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL ORDER BY column_order"""
_LATER_COLUMNS = """SELECT column_name, column_type, initial_default, whole.begin_snapshot > $snapshot
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL
    AND table_name = $name AND part.begin_snapshot > $snapshot ORDER BY column_order"""
# Compaction makes files that hold rows of several versions, up to ``partial_max``.
_DATA_FILES = """SELECT table_name, part.path, coalesce(partial_max > $snapshot, false), record_count
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.begin_snapshot <= $snapshot AND coalesce(part.end_snapshot > $snapshot, true)
    AND whole.begin_snapshot <= $snapshot AND coalesce(whole.end_snapshot > $snapshot, true)
    ORDER BY data_file_id"""


@dataclass(frozen=True)
class TableFiles:
    """What a table is made of at a version.

    Attributes:
        columns: name, DuckDB type and Parquet field id of each column, also of those added after the version.
        defaults: by field id, what rows have in a column that was added after they were written; null where absent.
        whole: Parquet files all of whose rows belong to the version.
        partial: files made by compaction that also hold rows of later versions.
        rows: that all of the files hold.
    """

    columns: tuple[tuple[str, str, int], ...]
    defaults: Mapping[int, str]
    whole: tuple[Place, ...]
    partial: tuple[Place, ...]
    rows: int


def table_files(metadata: Metadata, folder: Place, tables: Sequence[str], snapshot: int) -> dict[str, TableFiles]:
    """The columns and Parquet files of tables as of a version that there is.

    Args:
        folder: has a folder of files for each table.
    """
    columns, paths = metadata(_COLUMNS, {}), metadata(_DATA_FILES, {"snapshot": snapshot})
    return {
        table: TableFiles(
            columns=tuple((name, _type(kind), key) for of, name, kind, key, _ in columns if of == table),
            defaults={key: given for of, _, _, key, given in columns if of == table and given is not None},
            whole=tuple(folder / table / path for of, path, partial, _ in paths if of == table and not partial),
            partial=tuple(folder / table / path for of, path, partial, _ in paths if of == table and partial),
            rows=sum(rows for of, _, _, rows in paths if of == table),
        )
        for table in tables
    }


@dataclass(frozen=True)
class LaterColumn:
    """A column that a table got after a version.

    Attributes:
        kind: its DuckDB type. default: what older rows have in it. in_new_table: whether the table is as new.
    """

    name: str
    kind: str
    default: str | None
    in_new_table: bool


def later_columns(metadata: Metadata, table: str, snapshot: int) -> list[LaterColumn]:
    """The columns that a table got after a version."""
    found = metadata(_LATER_COLUMNS, {"snapshot": snapshot, "name": table})
    return [LaterColumn(name, _type(kind), default, new) for name, kind, default, new in found]


def default_sql(column: LaterColumn) -> str:
    """The SQL of what rows older than a column have in it."""
    return f"CAST({'NULL' if column.default is None else quote(column.default)} AS {column.kind})"


def _type(kind: str) -> str:
    return _TYPES.get(kind, kind)
