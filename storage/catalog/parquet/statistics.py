"""The number of rows of a table and the extremes of its columns, from the statistics of each file in the catalog.

No file is opened. Statistics that are not exact are not returned: those of a table with a file of which only some rows
belong to the snapshot, and those of a column that has a NaN or text, or that is newer than a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from molbuffer.storage.backends import quote
from molbuffer.storage.catalog.parquet.parquet_files import Metadata

# The types with exact statistics: DuckLake's names and DuckDB's names.
_TYPES = {"int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE", "timestamp": "TIMESTAMP"}
_FLOATING = "float64"
_OF_TABLE = """ FROM METADATA.ducklake_data_file AS file JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE whole.table_name = [table] AND whole.end_snapshot IS NULL
    AND file.begin_snapshot <= $snapshot AND coalesce(file.end_snapshot > $snapshot, true)"""
_ROWS = f"""SELECT coalesce(sum(record_count), 0)::BIGINT, count(*),
    coalesce(bool_and(coalesce(partial_max, file.begin_snapshot) <= $snapshot), true),
    (SELECT count(*) FROM METADATA.ducklake_delete_file) = 0 {_OF_TABLE}"""
_COLUMN = """SELECT part.column_id, column_type
    FROM METADATA.ducklake_column AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE whole.table_name = [table] AND lower(column_name) = [column]
    AND part.end_snapshot IS NULL AND whole.end_snapshot IS NULL"""
_EXTREMES = f"""SELECT min(CAST(min_value AS [type])), max(CAST(max_value AS [type])), count(*),
    coalesce(bool_and(value_count = 0 OR (min_value IS NOT NULL AND max_value IS NOT NULL)), true),
    coalesce(bool_or(coalesce(contains_nan::BOOLEAN, true)), false)
    FROM METADATA.ducklake_file_column_stats
    WHERE column_id = $column AND data_file_id IN (SELECT file.data_file_id {_OF_TABLE})"""


@dataclass(frozen=True)
class TableStatistics:
    """The statistics of a table.

    Attributes:
        rows: the number of rows.
        extremes: the least and the greatest value of each requested column, as SQL.
    """

    rows: int
    extremes: Mapping[str, tuple[str, str]]


def table_statistics(metadata: Metadata, table: str, columns: Sequence[str], snapshot: int) -> TableStatistics | None:
    """Return the statistics of a table at a snapshot, which must exist; None if they are not exact.

    Args:
        metadata: a function that reads DuckLake's own tables.
        table: the name of the table.
        columns: the names of the columns whose extremes are requested, in lower case.
        snapshot: the snapshot.
    """
    at = {"snapshot": snapshot}
    rows, files, whole, undeleted = metadata(_ROWS.replace("[table]", quote(table)), at)[0]
    if not (whole and undeleted):
        return None
    extremes = {}
    for name in columns:
        of_column = _COLUMN.replace("[table]", quote(table)).replace("[column]", quote(name))
        found = metadata(of_column, {})
        if not found or found[0][1] not in _TYPES:
            return None
        column_id, kind = found[0]
        sql_type = _TYPES[kind]
        of_values = _EXTREMES.replace("[table]", quote(table)).replace("[type]", sql_type)
        least, greatest, known, all_known, has_nan = metadata(of_values, {**at, "column": int(column_id)})[0]
        if known != files or not all_known or (kind == _FLOATING and has_nan):
            return None
        extremes[name] = (_literal(least, sql_type), _literal(greatest, sql_type))
    return TableStatistics(rows, extremes)


def _literal(value: object, sql_type: str) -> str:
    return f"CAST({'NULL' if value is None else quote(str(value))} AS {sql_type})"
